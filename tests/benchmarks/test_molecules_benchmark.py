"""The molecule benchmark's own parts, without fitting anything that takes long."""

from dataclasses import replace
from itertools import pairwise

import molecules
import numpy as np
import polars as pl
import pytest
import real_tables
from cells import Bench, Fold

from tabsyn_core.errors import TabsynError
from tabsyn_core.molecules import Realized, RealizerConfig

ALKANOLS = tuple(f"{'C' * size}O" for size in range(1, 101))


@pytest.fixture
def fold():
    """A hundred alkanols whose number of carbons tells one endpoint, a class, but for noise."""
    size = np.arange(1, 101)
    noisy = size + np.random.default_rng(0).normal(0, 10, 100)
    rows = pl.DataFrame(
        {"HeavyAtomCount": size + 1, "logS": noisy, "class": np.where(size > 50, "large", "small")},
    )
    return Fold(real_tables.RealTable("made", rows, ("logS", "class"), smiles=ALKANOLS), seed=0)


def test_the_lines_add_one_part_at_a_time_up_to_the_product():
    ladder = [step for step in molecules.steps() if not step.beside]
    assert [step.name[0] for step in ladder] == list("12345")
    product = ladder[3].settings
    assert product["realize"] == molecules.asdict(RealizerConfig())
    assert not product["borrowed"]
    for one, other in pairwise(ladder):
        settings = zip(one.settings["realize"].values(), other.settings["realize"].values(), strict=True)
        changed = sum(a != b for a, b in settings) + (one.settings["borrowed"] != other.settings["borrowed"])
        assert changed == 1, other.name


def test_molecules_are_split_as_their_rows_are(fold):
    train, held_out = molecules.molecules(fold)
    assert [len(smiles) for smiles in train] == fold.train["HeavyAtomCount"].to_list()
    assert [len(smiles) for smiles in held_out] == fold.holdout["HeavyAtomCount"].to_list()


def test_a_table_without_molecules_is_refused(fold):
    ordinary = Fold(real_tables.RealTable("adult", fold.real.rows, ()), seed=0)
    with pytest.raises(TabsynError, match="'adult' has no molecules"):
        molecules.molecules(ordinary)


def test_predicted_endpoints_keep_the_signal_and_drawn_ones_the_spread(fold):
    predicted = molecules.cross_fitted(fold, spread=False).rows
    drawn = molecules.cross_fitted(fold, spread=True).rows
    for rows in (predicted, drawn):
        assert rows.schema == fold.train.schema
        assert rows["HeavyAtomCount"].equals(fold.train["HeavyAtomCount"])
        assert np.corrcoef(rows["logS"], fold.train["logS"])[0, 1] > 0.7
        assert (rows["class"] == fold.train["class"]).mean() > 0.8
        assert not rows["logS"].equals(fold.train["logS"])
    spreads = [rows["logS"].std() for rows in (predicted, drawn, fold.train)]
    assert spreads[0] < spreads[1] == pytest.approx(spreads[2], rel=0.15)


def test_structures_are_counted_against_the_training_molecules(fold):
    train, _ = molecules.molecules(fold)
    smiles = [train[0], "CCCN", "CCCN", "c1ccccc1"]
    keys = [key.inchikey for key in molecules.standardize(smiles, workers=1)]
    provenance = pl.DataFrame({"smiles": smiles, "inchikey": keys, "similarity": [1.0, 0.5, 0.5, 0.0]})
    found = molecules.structures(fold, Realized(pl.DataFrame(), provenance))
    assert found["novelty"] == 0.75
    assert found["uniqueness"] == 0.75
    assert found["tanimoto_mean"] == 0.5
    assert 0.5 < found["held_out_tanimoto_mean"] <= 1


def test_the_page_has_a_line_beside_the_floor_and_structures_where_there_are_molecules(fold, tmp_path):
    lines = molecules.steps()
    bound = next(step for step in lines if step.name == "real descriptors, drawn endpoints")
    known = {"novelty": 1.0, "uniqueness": 1.0, "tanimoto_mean": 0.4, "tanimoto_high": 0.6}
    known |= {"held_out_tanimoto_mean": 0.45, "held_out_tanimoto_high": 0.7}

    def made(of, _):
        return replace(molecules.cross_fitted(of, spread=True), more=known)

    bench = Bench(tmp_path, run=True)
    product = replace(lines[4], draw=made)
    cells = [bench.cell(fold, bound), bench.cell(fold, product)]
    cells.append({"table": "made", "seed": 0, "step": lines[5].name, "error": "no luck"})
    page = molecules.page(cells, [fold.real], lines, ["table 'x' is skipped"])
    floor = "| **floor: real hold-out** | – | – | 0.450 | 0.700 |"
    line = "| 4 + matched endpoints | 100.0 % | 100.0 % | 0.400 | 0.600 |"
    assert f"{floor}\n{line}\n" in page
    assert "| real descriptors, drawn endpoints | 0 | " in page
    assert "- 5 + local search, seed 0: no luck" in page
    assert "_table 'x' is skipped_" in page
