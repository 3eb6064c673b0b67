import numpy as np
import polars as pl
import pytest

from tabsyn_core.evaluation.coverage import MIN_ROWS, coverage
from tabsyn_core.evaluation.tables import align


def judge(train, holdout, other, rows=None):
    tables = align({"training": train, "held-out": holdout, "synthetic": other}, seed=0)
    seen, unseen, fake = tables.values()
    found = coverage(seen, unseen, fake, rows or min(len(unseen), len(fake)), seed=0)
    return found["alpha_precision"].value, found["beta_recall"].value


def cloud(rows, seed, scale=1.0):
    return pl.DataFrame(np.random.default_rng(seed).normal(0, scale, (rows, 6)), schema=list("abcdef"))


def real(table):
    return table.drop("smiles", "inchikey")


def test_other_rows_of_the_same_distribution_are_precise_and_recall_half():
    precision, recall = judge(cloud(400, 0), cloud(400, 1), cloud(400, 2))
    assert precision > 0.95
    assert recall == pytest.approx(0.5, abs=0.06)  # which of two equal clouds is nearer is a coin's toss


def test_a_copy_is_perfect():
    precision, recall = judge(cloud(300, 0), cloud(300, 1), cloud(300, 0))
    assert precision == pytest.approx(1, abs=0.01)
    assert recall == pytest.approx(1, abs=0.01)


def test_rows_in_the_middle_alone_lack_recall():
    wide, narrow = (
        judge(cloud(400, 0), cloud(400, 1), cloud(400, 2)),
        judge(cloud(400, 0), cloud(400, 1), cloud(400, 2, 0.3)),
    )
    assert narrow[0] < 0.7  # more of them inside each ball than belong there
    assert narrow[1] < 0.7 * wide[1]


def test_rows_out_of_range_are_not_precise():
    far = cloud(400, 2).with_columns(pl.all() * 100)
    assert judge(cloud(400, 0), cloud(400, 1), far)[0] < 0.3


def test_molecules_cover_molecules_and_shuffled_columns_do_not(train, holdout, more):
    rng = np.random.default_rng(0)
    shuffled = pl.DataFrame([more[name].gather(rng.permutation(more.height)) for name in more.columns])
    good, poor = judge(real(train), real(holdout), more), judge(real(train), real(holdout), shuffled)
    assert good[0] > 0.85
    assert good[1] == pytest.approx(0.5, abs=0.15)
    assert poor[0] < good[0] - 0.1
    assert poor[1] < 0.5 * good[1]


def test_the_number_of_rows_of_the_larger_table_does_not_matter():
    few, many = (judge(cloud(n, 0), cloud(200, 1), cloud(n, 2), rows=200) for n in (200, 2000))
    assert few == pytest.approx(many, abs=0.08)


def test_a_few_rows_are_not_judged():
    tables = align({"t": cloud(50, 0), "h": cloud(MIN_ROWS - 1, 1), "s": cloud(50, 2)}, seed=0)
    found = coverage(*tables.values(), rows=MIN_ROWS - 1, seed=0)
    assert {figure.why for figure in found.values()} == {"coverage needs at least 20 rows of each kind; there are 19"}
