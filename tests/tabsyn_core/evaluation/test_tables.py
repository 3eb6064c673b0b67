import numpy as np
import polars as pl
import pytest

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.tables import MAX_ROWS, align

REAL = pl.DataFrame({"x": [1.0, 2.0, None], "c": ["a", None, "b"], "flag": [True, False, None]})


def test_columns_in_another_order_and_dtype_mean_the_same():
    other = pl.DataFrame({"flag": [None, True], "c": pl.Series(["b", "z"], dtype=pl.Categorical), "x": [1, None]})
    tables = align({"training": REAL, "synthetic": other}, seed=0)
    assert tables["synthetic"].feature_names == ("x", "c", "flag")
    assert tables["synthetic"].levels == (("a", "b", "z"), ("false", "true"))
    assert tables["synthetic"].codes.tolist() == [[1, -1], [2, 1]]
    np.testing.assert_array_equal(tables["synthetic"].numbers, [[1], [np.nan]])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (REAL.drop("x"), "synthetic table does not have the columns of the training table: missing 'x', unknown none"),
        (REAL.rename({"x": "y"}), "missing 'x', unknown 'y'"),
        (REAL.with_columns(x=pl.lit("text")), "column 'x' is Float64 in the training table, String in the synthetic"),
        (REAL.with_columns(x=pl.lit(float("inf"))), "column 'x' of the synthetic table is infinite in row 0"),
        (REAL.with_columns(x=pl.date(2020, 1, 1)), "column 'x' of the synthetic table is Date"),
        (REAL.clear(), "synthetic table has 0 rows"),
    ],
)
def test_tables_that_do_not_match_are_named(other, message):
    with pytest.raises(TabsynError, match=message):
        align({"training": REAL, "synthetic": other}, seed=0)


def test_a_column_without_values_is_what_the_other_table_says():
    nothing = pl.DataFrame({"x": [None], "c": [None], "flag": [None]})
    tables = align({"training": REAL, "synthetic": nothing}, seed=0)
    assert tables["synthetic"].numeric == ("x",)
    assert tables["synthetic"].codes.tolist() == [[-1, -1]]


def test_long_tables_are_drawn_down_by_the_seed_alone():
    long = pl.DataFrame({"x": np.arange(10 * MAX_ROWS)})
    first, again, other = (align({"t": long}, seed=seed)["t"].numbers for seed in (1, 1, 2))
    assert len(first) == MAX_ROWS == np.unique(first).size
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert abs(first.mean() / long["x"].mean() - 1) < 0.05
