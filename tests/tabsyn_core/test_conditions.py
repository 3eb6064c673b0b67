import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabsyn_core.conditions import Condition, parse_conditions
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import Kind, TableSchema

TABLE = pl.DataFrame(
    {
        "x": [0.1, 2.5, None, float("nan"), -3.0],
        "single": [0.1, 2.5, None, 7.0, -3.5],
        "count": [0, 1, None, 3, 4],
        "small": [-100, 1, 2, 3, 100],
        "label": ["a", "b", None, "b", "c"],
        "colour": ["red", "blue", None, "blue", "red"],
        "flag": [True, False, None, True, False],
    },
    schema_overrides={"single": pl.Float32, "small": pl.Int8, "colour": pl.Categorical},
)
SCHEMA = TableSchema.infer(TABLE)


def met(column, asked):
    (condition,) = parse_conditions({column: asked}, SCHEMA)
    return condition.met(TABLE[column]).tolist()


@pytest.mark.parametrize(
    ("column", "asked", "expected"),
    [
        ("x", 2.5, [0, 1, 0, 0, 0]),
        ("x", [0, None], [1, 1, 0, 0, 0]),
        ("x", (None, 0.1), [1, 0, 0, 0, 1]),
        ("x", [None, None], [1, 1, 0, 0, 1]),
        ("x", {0.1, -3}, [1, 0, 0, 0, 1]),
        ("x", None, [0, 0, 1, 1, 0]),
        ("x", {None, 2.5}, [0, 1, 1, 1, 0]),
        ("single", 0.1, [1, 0, 0, 0, 0]),
        ("single", [0, 3], [1, 1, 0, 0, 0]),
        ("count", 3, [0, 0, 0, 1, 0]),
        ("count", 3.0, [0, 0, 0, 1, 0]),
        ("count", np.int64(3), [0, 0, 0, 1, 0]),
        ("count", 2.5, [0, 0, 0, 0, 0]),
        ("count", {1, 4}, [0, 1, 0, 0, 1]),
        ("count", range(1, 4), [0, 1, 0, 1, 0]),
        ("count", {"in": [0, None]}, [1, 0, 1, 0, 0]),
        ("count", [1, 3.5], [0, 1, 0, 1, 0]),
        ("small", 300, [0, 0, 0, 0, 0]),
        ("small", {100, 300}, [0, 0, 0, 0, 1]),
        ("label", "b", [0, 1, 0, 1, 0]),
        ("label", ["a", "c"], [1, 0, 0, 0, 1]),
        ("label", {"a", None}, [1, 0, 1, 0, 0]),
        ("colour", "red", [1, 0, 0, 0, 1]),
        ("colour", {"blue", None}, [0, 1, 1, 1, 0]),
        ("flag", True, [1, 0, 0, 1, 0]),
        ("flag", {False, None}, [0, 1, 1, 0, 1]),
    ],
)
def test_which_values_meet_a_condition(column, asked, expected):
    assert met(column, asked) == [bool(mark) for mark in expected]


@pytest.mark.parametrize(
    ("column", "asked", "message"),
    [
        ("counts", 3, r"column 'counts' is not in the table; did you mean 'count'\?"),
        ("zzz", 3, r"column 'zzz' is not in the table; there are \['x', 'single'"),
        ("x", "three", r"'three' for column 'x' is not a number"),
        ("x", True, r"True for column 'x' is not a number"),
        ("x", float("nan"), r"nan for column 'x' is not a number"),
        ("x", [1], r"\[1\] for column 'x' is not a range"),
        ("x", [1, 2, 3], r"\[1, 2, 3\] for column 'x' is not a range"),
        ("x", ["1", 2], r"for column 'x' is not a range"),
        ("x", [float("nan"), 2], r"for column 'x' is not a range"),
        ("x", [2, 1], r"range \[2, 1\] for column 'x' is empty"),
        ("x", set(), r"set for column 'x' is empty"),
        ("x", {"out": [1]}, r"for column 'x' is not a set; write"),
        ("label", 3, r"3 for column 'label' is not text"),
        ("label", ["a", 3], r"3 for column 'label' is not text"),
        ("colour", False, r"False for column 'colour' is not text"),
        ("flag", "yes", r"'yes' for column 'flag' is not true or false"),
        ("flag", 1, r"1 for column 'flag' is not true or false"),
    ],
)
def test_what_cannot_be_asked_names_the_column(column, asked, message):
    with pytest.raises(TabsynError, match=message):
        parse_conditions({column: asked}, SCHEMA)


def test_several_conditions_are_read_in_order():
    found = parse_conditions({"label": "a", "x": [0, 1]}, SCHEMA)
    assert [str(condition) for condition in found] == ["label in ['a']", "x in [0, 1]"]
    assert parse_conditions(None, SCHEMA) == parse_conditions({}, SCHEMA) == ()


def test_an_integer_column_that_was_declared_categorical_takes_numbers():
    schema = TableSchema.infer(TABLE, kinds={"count": Kind.CATEGORICAL})
    (condition,) = parse_conditions({"count": [1, 4]}, schema)
    assert condition.met(TABLE["count"]).tolist() == [False, True, False, False, True]


@given(
    values=st.lists(st.none() | st.floats(-10, 10), max_size=20),
    low=st.none() | st.floats(-10, 10),
    high=st.none() | st.floats(-10, 10),
)
def test_a_range_is_what_python_says_it_is(values, low, high):
    found = Condition("x", None, low, high).met(pl.Series("x", values, dtype=pl.Float64))
    expected = [
        value is not None and (low is None or value >= low) and (high is None or value <= high) for value in values
    ]
    assert found.tolist() == expected
