import math

import polars as pl
import pytest

from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import Kind, TableSchema

TABLE = pl.DataFrame(
    {"x": [0.5, -1.0], "whole": [1.0, 2.0], "n": [1, None], "label": ["a", None], "flag": [True, False]}
)


def test_kinds_gaps_and_bounds_are_read_off():
    schema = TableSchema.infer(TABLE)
    kinds = [column.kind for column in schema.columns]
    assert kinds == [Kind.NUMERIC, Kind.INTEGER, Kind.INTEGER, Kind.CATEGORICAL, Kind.CATEGORICAL]
    assert [column.nullable for column in schema.columns] == [False, False, True, True, False]
    assert schema["x"].lower is None
    assert schema["whole"].lower == 0


def test_what_is_known_better_wins():
    schema = TableSchema.infer(TABLE, {"whole": Kind.NUMERIC, "n": Kind.CATEGORICAL}, {"x": (-5.0, 5.0)})
    assert (schema["whole"].kind, schema["n"].kind) == (Kind.NUMERIC, Kind.CATEGORICAL)
    assert (schema["x"].lower, schema["x"].upper) == (-5.0, 5.0)


def test_json_keeps_it():
    schema = TableSchema.infer(TABLE)
    assert TableSchema.from_json(schema.to_json()) == schema
    assert schema.empty().schema == TABLE.schema


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (pl.DataFrame(), {}, "0 rows and 0 columns"),
        (TABLE.clear(), {}, "0 rows"),
        (pl.DataFrame({"x": [1.0, math.inf]}), {}, "column 'x' is infinite in row 1"),
        (pl.DataFrame({"x": [[1]]}), {}, r"column 'x' is List\(Int64\), which cannot be modelled"),
        (TABLE, {"kinds": {"y": Kind.NUMERIC}}, "column 'y' is not in the table"),
        (TABLE, {"kinds": {"label": Kind.NUMERIC}}, "column 'label' is String but was declared numeric"),
    ],
)
def test_what_cannot_be_modelled_is_named(table, arguments, message):
    with pytest.raises(TabsynError, match=message):
        TableSchema.infer(table, **arguments)


def test_another_dtype_is_refused():
    with pytest.raises(TabsynError, match="column 'n' is Float64, expected Int64"):
        TableSchema.infer(TABLE).check(TABLE.with_columns(pl.col("n").cast(pl.Float64)))
