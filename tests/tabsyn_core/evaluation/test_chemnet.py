"""The Fréchet ChemNet distance: the package's own, smaller for like molecules, and its reasons."""

import numpy as np
import pytest

from tabsyn_core.evaluation import chemnet
from tabsyn_core.evaluation.chemnet import chemnet_distances, frechet
from tabsyn_core.evaluation.structures import Structures

fcd = pytest.importorskip("fcd", reason='needs pip install -c constraints.txt -e ".[fcd]"')


@pytest.fixture(scope="module")
def parts(molecules):
    smiles = molecules["smiles"].to_list()
    chains = ["C" * size + "O" * (size % 2) for size in range(1, 101)]
    return [Structures.read(each, 1) for each in (smiles[:100], smiles[100:200], smiles[200:300], chains)]


@pytest.mark.filterwarnings("ignore")
def test_the_distance_is_that_of_the_package(parts):
    acts = [chemnet._activations(chemnet._canonical(part)) for part in parts[:2]]  # noqa: SLF001
    moments = [each for act in acts for each in (act.mean(axis=0), np.cov(act.T))]
    expected = fcd.calculate_frechet_distance(moments[0], moments[1], moments[2], moments[3])
    assert frechet(*acts) == pytest.approx(expected, rel=1e-3)
    assert frechet(acts[0], acts[0]) == pytest.approx(0, abs=1e-6)


def test_like_molecules_are_at_the_floor_and_strange_ones_far_beyond(parts):
    like, floor = chemnet_distances(*parts[:3], 0)
    assert like.low < like.value < like.high
    assert like.value == pytest.approx(floor.value, rel=0.3)
    strange, same = chemnet_distances(*parts[:2], parts[3], 0)
    assert same == floor
    assert strange.value > 2 * floor.value


def test_few_molecules_have_no_distance(parts):
    few = parts[0].take(np.arange(10))
    assert chemnet_distances(few, parts[1], parts[2], 0)[0].why.endswith("there are 10")


def test_without_the_package_the_reason_is_how_to_get_it(parts, monkeypatch):
    monkeypatch.setattr(chemnet, "find_spec", lambda _: None)
    assert "pip install" in chemnet_distances(*parts[:3], 0)[0].why
