import polars as pl
import pytest

from tabsyn_core.conform import conform
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema

TABLE = pl.DataFrame({"weight": [1.5, 2.5], "rings": [1, None], "class": ["a", "b"], "acid": [True, False]})
SCHEMA = TableSchema.infer(TABLE)


def test_some_columns_in_other_dtypes_become_the_table_with_gaps():
    rows = pl.DataFrame({"class": ["b", None], "rings": [2.0, float("nan")], "weight": [3, 4]})
    expected = {"weight": [3.0, 4.0], "rings": [2, None], "class": ["b", None], "acid": [None, None]}
    assert conform(rows, SCHEMA, "x").equals(pl.DataFrame(expected, schema=TABLE.schema))


def test_a_table_is_itself():
    assert conform(TABLE, SCHEMA, "x").equals(TABLE)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"rings": [1.0, 2.5]}, r"x, row 2: 2\.5 in column 'rings' is not Int64"),
        ({"weight": ["1.5", ">4.5"]}, r"x, row 2: '>4\.5' in column 'weight' is not Float64"),
        ({"weight": [[1.0, 2.0]]}, r"x: column 'weight' is List\(Float64\), which cannot be read as Float64"),
        ({"wieght": [1.0]}, r"x: columns \['wieght'\] are not in the table"),
    ],
)
def test_what_is_not_of_the_table_is_named(columns, told):
    with pytest.raises(TabsynError, match=told):
        conform(pl.DataFrame(columns), SCHEMA, "x")
