import pytest
from small_project import molecule_table, tiny_generator

from tabsyn_core.config import GeneratorConfig
from tabsyn_core.generator import Generator
from tabsyn_core.private.config import PrivacyConfig
from tasks.model_card import model_card


@pytest.fixture(scope="module")
def rows():
    return molecule_table().drop("smiles", "inchikey")


def test_the_card_counts_who_draws_what_and_warns_of_what_the_trees_hold(rows):
    card = model_card(tiny_generator(rows))
    assert "Fitted to 60 rows. Of its 5 columns are" in card
    assert "by a tree over the columns before" in card
    assert sum(int(line.split()[1]) for line in card.splitlines() if line.startswith("- ")) == 5
    assert "no formal privacy guarantee" in card
    assert "trees hold values of training rows" in card


def test_the_card_of_a_private_model_states_epsilon_and_delta_instead(rows):
    pytest.importorskip("opacus")
    generator = Generator(GeneratorConfig(privacy=PrivacyConfig(epsilon=4.0, delta=1e-3))).fit(rows)
    card = model_card(generator)
    assert str(generator.privacy) in card
    assert "drawn by the diffusion model" in card
    assert "no formal privacy guarantee" not in card
    assert "trees" not in card
