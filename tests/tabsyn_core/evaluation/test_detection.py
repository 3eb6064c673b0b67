import numpy as np
import polars as pl
import pytest

from tabsyn_core.evaluation.detection import MIN_ROWS, c2st, columns_alone
from tabsyn_core.evaluation.tables import align


def judge(real, other, folds=5):
    tables = align({"training": real, "synthetic": other}, seed=0)
    return c2st(tables["training"], tables["synthetic"], folds, seed=0)


def real_split(molecules, seed):
    table = molecules.drop("smiles", "inchikey")
    order = np.random.default_rng(seed).permutation(table.height)
    return table[order[:200]], table[order[200:]]


def test_random_halves_of_real_rows_cannot_be_told_apart(molecules):
    found = [judge(*real_split(molecules, seed), folds=3)[0]["lightgbm"].value for seed in range(4)]
    # An AUC of 200 against 200 rows has a standard deviation of 0.029 under the null; the mean of four, half of it.
    assert np.mean(found) == pytest.approx(0.5, abs=4 * 0.029 / 2)


def test_columns_without_dependence_are_told_apart_by_trees_and_not_by_planes(molecules):
    table = align({"training": molecules.drop("smiles", "inchikey")}, seed=0)["training"]
    figures, telltales = c2st(table, table.without_dependence(400, np.random.default_rng(0)), 3, seed=0)
    assert figures["lightgbm"].value > 0.95
    assert figures["logistic"].value < 0.6
    assert telltales.height > 10


def test_the_column_that_differs_is_the_telltale(molecules):
    real, other = real_split(molecules, 0)
    figures, telltales = judge(real, other.with_columns(pl.col("MolLogP") + 5), folds=2)
    assert figures["lightgbm"].value > 0.95
    assert figures["logistic"].value > 0.9
    assert telltales["column"][0] == "MolLogP"
    assert telltales["gain"].sum() == pytest.approx(1)


def test_missing_values_and_categories_give_rows_away():
    rng = np.random.default_rng(0)
    real, other = (pl.DataFrame({"x": rng.normal(size=300), "c": rng.choice(["a", "b"], 300)}) for _ in range(2))
    holes = other.with_columns(pl.when(pl.Series(rng.random(300) < 0.6)).then(None).otherwise("x").alias("x"))
    renamed = other.with_columns(pl.lit("z").alias("c"))
    for changed in (holes, renamed):
        figures, _ = judge(real, changed)
        # A gap in 60 % of one side's rows and in none of the other's: an AUC of 0.5 + 0.6 / 2 at most.
        assert figures["lightgbm"].value > 0.7
        assert figures["logistic"].value > 0.7


def alone(real, other):
    tables = align({"training": real, "synthetic": other}, seed=0)
    return columns_alone(tables["training"], tables["synthetic"], 3, seed=0)


def test_without_dependence_only_columns_that_differ_give_rows_away(molecules):
    real, other = real_split(molecules, 0)
    assert alone(real, other).value == pytest.approx(0.5, abs=4 * 0.029)
    assert alone(real, other.with_columns(pl.col("MolLogP") + 5)).value > 0.95
    rng = np.random.default_rng(0)
    shuffled = pl.DataFrame([other[column].gather(rng.permutation(other.height)) for column in other.columns])
    assert judge(real, shuffled, folds=3)[0]["lightgbm"].value > 0.9
    assert alone(real, shuffled).value < 0.6
    assert "at least 50 rows" in alone(real[:20], other).why


def test_a_plane_sees_the_most_frequent_categories_whatever_their_names():
    rng = np.random.default_rng(0)
    rare = [f"a{place:03}" for place in range(80)]  # before the frequent ones by name

    def table(share):
        frequent = rng.choice(["y", "z"], 600, p=[share, 1 - share])
        return pl.DataFrame({"c": np.where(rng.random(600) < 0.8, frequent, rng.choice(rare, 600))})

    assert judge(table(0.9), table(0.1))[0]["logistic"].value > 0.8


def test_copies_score_below_a_half(molecules):
    real, _ = real_split(molecules, 0)
    assert judge(real, real, folds=2)[0]["lightgbm"].value < 0.45


def test_the_same_seed_gives_the_same_bits(molecules):
    halves = real_split(molecules, 0)
    first, again = judge(*halves, folds=2), judge(*halves, folds=2)
    assert first[0] == again[0]
    assert first[1].equals(again[1])


@pytest.mark.parametrize("fewer", [1, 8, MIN_ROWS - 1])
def test_few_rows_are_not_judged_on_either_side(fewer):
    few, enough = pl.DataFrame({"x": np.arange(float(fewer))}), pl.DataFrame({"x": np.arange(float(MIN_ROWS))})
    for real, other in ((few, enough), (enough, few)):
        figures, telltales = judge(real, other)
        for figure in figures.values():
            assert figure.value is None
            assert f"at least 50 rows of each kind; there are {fewer}" in figure.why
        assert telltales.height == 0
    assert all(figure.value is not None for figure in judge(enough, enough)[0].values())
