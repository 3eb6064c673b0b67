"""Rows from outside as rows of a table: some of its columns, in whatever dtypes hold the same values."""

import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema


def conform(rows: pl.DataFrame, schema: TableSchema, source: str) -> pl.DataFrame:
    """Bring rows into a schema.

    Args:
        rows: Some of its columns, in any order.
        schema: The columns wanted.
        source: What the rows are called in messages, such as the name of their file.

    Returns:
        All columns of the schema, in its order and dtypes; null where ``rows`` has no such column.

    Raises:
        TabsynError: A column is unknown, or a value is none of its column's dtype; the message names source, column
            and row.
    """
    unknown = [name for name in rows.columns if name not in schema.names]
    if unknown:
        raise TabsynError(
            f"{source}: columns {unknown[:8]} are not in the table, whose columns are {schema.names[:8]} ..."
        )
    dtypes = schema.polars_dtypes()
    return rows.select(
        _cast(rows[name], dtype, source) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in dtypes.items()
    )


def _cast(values: pl.Series, dtype: pl.DataType, source: str) -> pl.Series:
    """The same values in another dtype: 2.0 is 2 among integers, 2.5 is none."""
    try:
        values = values.fill_nan(None) if values.dtype.is_float() else values
        cast = values.cast(dtype, strict=False)
        lost = cast.is_null() & values.is_not_null()
        if values.dtype.is_float() and dtype.is_integer():
            lost |= (cast.cast(pl.Float64) != values.cast(pl.Float64)).fill_null(value=False)
    except pl.exceptions.PolarsError as error:
        found = f"is {values.dtype}, which cannot be read as {dtype}"
        raise TabsynError(f"{source}: column '{values.name}' {found}; a cell holds one value or none.") from error
    if lost.any():
        row = int(lost.arg_true()[0])
        raise TabsynError(
            f"{source}, row {row + 1}: {values[row]!r} in column '{values.name}' is not {dtype}; correct it, or"
            " leave it empty if it is not known."
        )
    return cast
