import numpy as np
import polars as pl
import pytest

from tabsyn_core.evaluation.coverage import MIN_ROWS, coverage
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import align


def figures(train, holdout, other, rows=None):
    tables = align({"training": train, "held-out": holdout, "synthetic": other}, seed=0)
    seen, unseen, fake = tables.values()
    return coverage(seen, unseen, fake, rows or min(len(unseen), len(fake)), seed=0)


def judge(*tables, rows=None):
    found = figures(*tables, rows=rows)
    return found["alpha_precision"].value, found["beta_recall"].value


def balls(*tables, rows=None):
    found = figures(*tables, rows=rows)
    return found["density"].value, found["coverage"].value


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
    assert list(found) == ["alpha_precision", "beta_recall", "density", "coverage"]
    assert {figure.why for figure in found.values()} == {"coverage needs at least 20 rows of each kind; there are 19"}


def test_rows_of_the_same_distribution_have_the_density_and_coverage_of_the_lemmas():
    n = 400
    density, covered = balls(cloud(n, 0), cloud(n, 1), cloud(n, 2))
    missed = np.prod([(n - i) / (2 * n - i) for i in range(1, 6)])  # none of n others among the 5 nearest
    assert density == pytest.approx(1, abs=0.1)
    assert covered == pytest.approx(1 - missed, abs=0.03)


def test_density_and_coverage_count_balls():
    real, other = cloud(60, 0), cloud(60, 2, 1.5)
    seen, unseen, judged = align({"t": real, "h": cloud(60, 1), "s": other}, seed=0).values()
    places, others = (points(table, seen, unseen) for table in (seen, judged))
    inside = np.zeros((60, 60))
    for i, centre in enumerate(places):
        radius = np.sort(np.linalg.norm(places - centre, axis=1))[5]
        inside[i] = np.linalg.norm(others - centre, axis=1) <= radius
    assert balls(real, cloud(60, 1), other) == (inside.sum() / (5 * 60), inside.any(axis=1).mean())


def test_a_copy_lies_in_its_own_ball_and_those_of_its_neighbours():
    assert balls(cloud(300, 0), cloud(300, 1), cloud(300, 0)) == (6 / 5, 1)


def test_a_mode_that_is_lost_is_not_covered_and_lowers_no_density():
    here, there = (pl.concat([cloud(100, seed), cloud(100, seed + 1) + 50]) for seed in (0, 2))
    density, covered = balls(here, there, cloud(200, 4))
    assert covered == pytest.approx(0.5, abs=0.02)
    assert density > 0.8


def test_rows_that_repeat_are_covered_where_they_repeat():
    rng = np.random.default_rng(0)
    real, holdout, same = (pl.DataFrame({"c": rng.choice(list("abc"), 90)}) for _ in range(3))
    assert balls(real, holdout, same)[1] == 1
    share = (real["c"] == "a").mean()
    assert balls(real, holdout, pl.DataFrame({"c": ["a"] * 90}))[1] == pytest.approx(share)
    assert balls(real, holdout, pl.DataFrame({"c": ["z"] * 90})) == (0, 0)
