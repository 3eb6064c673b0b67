import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.columns import column_table
from tabsyn_core.evaluation.fidelity import shape_errors
from tabsyn_core.evaluation.tables import align


def judge(train, holdout, fake, **options):
    return column_table(*align({"training": train, "held-out": holdout, "synthetic": fake}, 0).values(), **options)


def only(table: pl.DataFrame, column: str) -> dict:
    return table.row(by_predicate=pl.col("column") == column, named=True)


def normals(seed: int, rows: int = 400, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"x": rng.normal(shift, 2, rows), "c": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])})


def test_identical_tables_have_no_error_no_distance_and_no_violations(train):
    real = train.drop("smiles", "inchikey")
    found = judge(real, real, real)
    assert sorted(found["column"]) == sorted(real.columns)
    for name in ("error", "floor", "wasserstein", "missing_difference", "support_violations", "tail_low", "tail_high"):
        assert found[name].drop_nulls().abs().max() == 0, name
    assert found.filter(pl.col("kind") == "numeric")["wasserstein"].null_count() == 0


def test_errors_are_the_shape_errors_and_distances_scipys():
    train, fake = normals(0, 300), normals(1, 300, shift=1)
    tables = align({"training": train, "held-out": fake, "synthetic": fake}, 0)
    found = column_table(*tables.values())
    expected = dict(zip(("x", "c"), shape_errors(tables["training"], tables["synthetic"]), strict=True))
    for column, error in expected.items():
        assert only(found, column)["error"] == only(found, column)["floor"] == pytest.approx(error, abs=1e-12)
    real, other = train["x"].to_numpy(), fake["x"].to_numpy()
    row = only(found, "x")
    assert row["wasserstein"] == pytest.approx(wasserstein_distance(real, other) / real.std(), rel=1e-9)
    for name, share in (("tail_low", 0.01), ("tail_high", 0.99)):
        apart = np.subtract(*(np.quantile(values, share, method="hazen") for values in (other, real)))
        assert row[name] == pytest.approx(apart / real.std(), rel=1e-9)
    assert only(found, "c")["wasserstein"] is only(found, "c")["tail_low"] is None


def test_a_shift_by_a_standard_deviation_is_one_in_distance_and_both_tails():
    row = only(judge(normals(0, 4000), normals(1, 4000), normals(2, 4000, shift=2)), "x")
    for name in ("wasserstein", "tail_low", "tail_high"):
        assert row[name] == pytest.approx(1, abs=0.25)
        assert abs(row[f"{name}_floor"]) < 0.25
    assert row["error"] == pytest.approx(2 * norm.cdf(0.5) - 1, abs=0.03)


def test_a_tail_of_counts_does_not_jump():
    # Nine ones in 1,000 are not in the highest hundredth's quantile, eleven are.
    few, many = (pl.DataFrame({"x": [1] * ones + [0] * (1000 - ones)}) for ones in (9, 11))
    row = only(judge(few, few, many), "x")
    assert 0 <= row["tail_high"] < 0.1
    more = only(judge(few, few, pl.DataFrame({"x": [3] * 20 + [0] * 980})), "x")
    assert more["tail_high"] > 10
    assert more["tail_low"] == 0


def test_the_worst_column_stands_first():
    rng = np.random.default_rng(0)
    train, holdout, fake = (pl.DataFrame(rng.normal(size=(300, 3)), schema=["a", "b", "c"]) for _ in range(3))
    fake = fake.with_columns(pl.col("b") + 3, pl.col("c") + 0.8)
    assert judge(train, holdout, fake)["column"].to_list() == ["b", "c", "a"]


def test_a_column_that_real_rows_get_wrong_as_well_is_not_the_worst():
    rng = np.random.default_rng(0)
    train, holdout, fake = (pl.DataFrame(rng.normal(size=(300, 2)), schema=["drifted", "wrong"]) for _ in range(3))
    holdout = holdout.with_columns(pl.col("drifted") + 3)
    fake = fake.with_columns(pl.col("drifted") + 3, pl.col("wrong") + 1)
    found = judge(train, holdout, fake)
    assert found["column"].to_list() == ["wrong", "drifted"]
    assert found["error"][0] < found["error"][1]


@pytest.mark.parametrize("column", ["x", "c"])
def test_the_interval_holds_the_error_of_endless_rows_nearly_always(column):
    truth = {"x": 2 * norm.cdf(0.5) - 1, "c": 0.2}[column]
    rng = np.random.default_rng(1)
    held = []
    for _ in range(40):
        train, fake = (
            pl.DataFrame({"x": rng.normal(shift, 1, 500), "c": rng.choice(["a", "b"], 500, p=[share, 1 - share])})
            for shift, share in ((0, 0.5), (1, 0.7))
        )
        row = only(judge(train, train, fake), column)
        held.append(row["error_low"] <= truth <= row["error_high"])
        assert 0 <= row["error_low"] < row["error"] < row["error_high"] <= 1
        assert row["error_high"] - row["error_low"] < 0.2
    assert sum(held) >= 33  # of 40, 38 expected


def test_more_rows_do_not_look_better_by_their_number():
    train, holdout = normals(0, 2000), normals(1, 100)
    few, many = (only(judge(train, holdout, normals(2, rows)), "x")["error"] for rows in (100, 5000))
    assert many == pytest.approx(few, abs=0.06)
    assert many > 0.03  # of 5,000 rows it would be about 0.02


def test_missing_shares():
    gaps = pl.DataFrame({"x": [None, None, 1.0, 2.0], "c": ["a", None, "b", "b"]})
    full = pl.DataFrame({"x": [1.0, 2.0, 1.0, 2.0], "c": ["a", "a", "b", "b"]})
    row = only(judge(gaps, gaps, full), "x")
    assert (row["missing_real"], row["missing_synthetic"], row["missing_difference"]) == (0.5, 0, -0.5)
    assert row["missing_floor"] == 0
    assert only(judge(full, gaps, gaps), "c")["missing_difference"] == 0.25


ROWS = np.arange(300)
SUPPORTS = {
    "whole": (ROWS % 30, {3.5: True, 3.0: False, -1.0: True, 500.0: False}),
    "signed": (ROWS % 30 - 15, {3.5: True, -500.0: False}),
    "even": (ROWS % 30 * 2, {3.0: True, 4.0: False, 4.5: True}),
    "odd": (ROWS % 30 * 2 + 1, {3.0: False, 4.0: True}),
    "halves": (ROWS % 30 / 2, {0.5: False, 0.25: True}),
    "cents": (ROWS % 30 / 100, {0.07: False, 0.075: True, 1.5: True}),  # and a fraction
    "single cents": ((ROWS % 30 / 100 - 2).astype(np.float32), {-1.93: False, -1.925: True}),
    "fraction": (np.linspace(0, 1, 300) ** 2, {0.3: False, 1.01: True, -0.01: True}),
    "positive": (np.linspace(0.5, 40, 300) ** 1.5, {0.1234: False, 1e4: False, -0.1: True}),
    "negative": (-(np.linspace(0.5, 40, 300) ** 1.5), {-0.1234: False, 0.1: True}),
    "free": (np.random.default_rng(0).normal(size=300), {-100.0: False, 0.123456: False}),
    "sum": (np.tile([0.1 + 0.2, 0.7, 0.1, 0.5], 75), {0.3: False, 0.9: False, 0.8: True, 0.35: True}),
    "flag": (ROWS % 50 == 0, {2.0: False}),
    "zeros": (ROWS * 0, {3.0: False, -1.0: True}),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_values_that_no_real_value_could_be(name):
    values, candidates = SUPPORTS[name]
    train = pl.DataFrame({"x": values.astype(values.dtype if values.dtype.kind in "if" else np.int64)})
    for value, impossible in candidates.items():
        fake = train.cast(pl.Float64).with_columns(
            pl.when(pl.int_range(pl.len()) < 75).then(value).otherwise("x").alias("x")
        )
        row = only(judge(train, train, fake), "x")
        assert (row["support_violations"] or 0) == (0.25 if impossible else 0), (value, row["support"])
        assert (row["support_violations_floor"] or 0) == 0


def test_supports_in_words():
    train = pl.DataFrame({name: np.asarray(values, dtype=np.float64) for name, (values, _) in SUPPORTS.items()})
    found = judge(train, train, train)
    words = dict(zip(found["column"], found["support"], strict=True))
    assert words == {
        "whole": "whole, at least 0",
        "signed": "whole",
        "even": "steps of 2, at least 0",
        "odd": "steps of 2 from 1, at least 0",
        "halves": "steps of 0.5, at least 0",
        "cents": "steps of 0.01, 0 to 1",
        "single cents": "steps of 0.01",
        "fraction": "0 to 1",
        "positive": "at least 0",
        "negative": "at most 0",
        "free": None,
        "sum": "steps of 0.2 from 0.1, 0 to 1",
        "flag": "whole, at least 0",
        "zeros": "whole, at least 0",
    } | {"single cents": words["single cents"], "sum": words["sum"]}
    assert words["single cents"].endswith("at most 0")


def test_a_few_even_numbers_are_no_law():
    for twos, share in ((99, 0), (100, 0.1)):
        train = pl.DataFrame({"x": [0] * 500 + [2] * twos})
        fake = pl.DataFrame({"x": [0] * 90 + [1] * 10})
        assert only(judge(train, train, fake), "x")["support_violations"] == share


def test_decimals_so_fine_that_no_value_repeats_are_no_lattice():
    rng = np.random.default_rng(0)
    train = pl.DataFrame({"x": np.round(rng.normal(size=500), 5)})
    fake = pl.DataFrame({"x": rng.normal(size=500)})
    assert only(judge(train, train, fake), "x")["support"] is None


def test_unknown_categories():
    train = pl.DataFrame({"c": ["a", "b"] * 20})
    row = only(judge(train, pl.DataFrame({"c": ["a", "z"] * 20}), pl.DataFrame({"c": ["a", "y", "z", None] * 10})), "c")
    assert row["support_violations"] == pytest.approx(2 / 3)
    assert row["support_violations_floor"] == 0.5


def test_supports_that_are_known_better():
    table = pl.DataFrame({"x": np.linspace(10, 20, 50) ** 1.1, "y": np.linspace(10, 20, 50) ** 1.1})
    fake = table.with_columns(pl.when(pl.col("x") > 20).then(30.0).otherwise("x").alias("x"))
    known = pl.DataFrame({"column": ["x"], "lower": [None], "upper": [29.0]}, schema_overrides={"lower": pl.Float64})
    found = judge(table, table, fake, supports=known)
    assert only(found, "x")["support"] == "0 to 29"
    assert only(found, "x")["support_violations"] == (fake["x"] == 30).mean() > 0
    assert only(found, "y")["support_violations"] == 0
    whole = judge(table, table, table, supports=pl.DataFrame({"column": ["y"], "step": [1]}))
    assert only(whole, "y")["support_violations"] > 0.9


@pytest.mark.parametrize(
    ("supports", "message"),
    [
        (pl.DataFrame({"name": ["x"]}), "the table of supports has no 'column'; its columns are \\['name'\\]"),
        (pl.DataFrame({"column": ["c"]}), "supports are given for 'c', which is not a numeric column"),
    ],
)
def test_supports_that_do_not_match_are_named(supports, message):
    with pytest.raises(TabsynError, match=message):
        judge(normals(0), normals(1), normals(2), supports=supports)


def test_constant_and_empty_columns():
    rows = 30
    train = pl.DataFrame({"same": [5.0] * rows, "moved": [5.0] * rows, "empty": [None] * rows}).cast(pl.Float64)
    fake = train.with_columns(moved=pl.lit(6.0), empty=pl.lit(1.0))
    found = judge(train, train, fake)
    assert only(found, "same")["wasserstein"] == only(found, "same")["error"] == 0
    assert only(found, "moved")["wasserstein"] is only(found, "moved")["tail_high"] is None
    assert only(found, "moved")["error"] == 1
    empty = only(found, "empty")
    assert (empty["error"], empty["missing_difference"]) == (1, -1)
    assert empty["floor"] is empty["error_low"] is empty["support"] is empty["support_violations"] is None


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    tables = normals(0, 500), normals(1, 100), normals(2, 500)
    first, again, other = (judge(*tables, seed=seed) for seed in (3, 3, 4))
    assert first.equals(again)
    for name in ("error", "error_low"):
        assert not first[name].equals(other[name])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(-1e308, 1e308) | st.none(), min_size=1, max_size=40),
    st.lists(st.floats(-1e-300, 1e-300) | st.none(), min_size=1, max_size=40),
)
def test_every_number_is_finite_whatever_the_values(first, second):
    one, other = (
        pl.DataFrame({"x": values, "c": ["a"] * len(values)}, schema={"x": pl.Float64, "c": pl.String})
        for values in (first, second)
    )
    for tables in ((one, other, other), (other, one, one), (one, one, other)):
        found = judge(*tables)
        assert found.height == 2
        for column in found.select(pl.selectors.float()):
            assert column.drop_nulls().is_finite().all()
        assert found["error"].drop_nulls().is_between(0, 1).all()
