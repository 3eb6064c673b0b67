"""What is known about each column before anything is fitted: kind, dtype, whether gaps occur, hard bounds."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl

from tabsyn_core.errors import TabsynError


class Kind(StrEnum):
    """What the values of a column are, whatever dtype stores them."""

    NUMERIC = "numeric"
    INTEGER = "integer"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """One column.

    Attributes:
        name: The column's name.
        kind: What its values are.
        dtype: The polars dtype that comes back after sampling, as polars prints it (``"Int64"``).
        nullable: Whether missing values occurred.
        lower: A bound no value may fall below (known, or 0 for a column without negative values).
        upper: A bound no value may exceed; ``None`` where none is known.
    """

    name: str
    kind: Kind
    dtype: str
    nullable: bool
    lower: float | None = None
    upper: float | None = None


_DTYPES: dict[str, pl.DataType] = {
    str(dtype): dtype()
    for dtype in (
        pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
        pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Categorical,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a table, in order."""

    columns: tuple[ColumnSchema, ...]

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return [column.name for column in self.columns]

    def __getitem__(self, name: str) -> ColumnSchema:
        return next(column for column in self.columns if column.name == name)

    @classmethod
    def infer(
        cls,
        table: pl.DataFrame,
        kinds: Mapping[str, Kind] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    ) -> "TableSchema":
        """Read the schema off a table.

        A string, categorical or boolean column is categorical; an integer column, or a float column whose
        values are all whole, is integer; any other float column is numeric.

        Args:
            table: Any rows and columns.
            kinds: Kinds that are known better than by looking.
            bounds: Hard (lower, upper) bounds that are known better than by looking.

        Raises:
            TabsynError: No rows or columns, an unknown name in ``kinds`` or ``bounds``, an infinite value, or a
                dtype that cannot be modelled; the message names the column.
        """
        if table.width == 0 or table.height == 0:
            raise TabsynError(f"the table has {table.height} rows and {table.width} columns; both must be at least 1.")
        kinds, bounds = kinds or {}, bounds or {}
        for name in [*kinds, *bounds]:
            if name not in table.columns:
                raise TabsynError(f"column '{name}' is not in the table; its columns are {table.columns[:8]} ...")
        return cls(tuple(_infer_column(table[n], kinds.get(n), bounds.get(n)) for n in table.columns))

    def check(self, table: pl.DataFrame) -> None:
        """See that ``table`` has these columns with these dtypes, in any order.

        Raises:
            TabsynError: A column is missing, unexpected, or has another dtype.
        """
        missing = [name for name in self.names if name not in table.columns]
        extra = [name for name in table.columns if name not in self.names]
        if missing or extra:
            raise TabsynError(f"the table does not match the schema: missing columns {missing}, unknown {extra}.")
        for column in self.columns:
            if str(table.schema[column.name]) != column.dtype:
                found = table.schema[column.name]
                raise TabsynError(f"column '{column.name}' is {found}, expected {column.dtype}; cast it first.")

    def without(self, names: Collection[str]) -> "TableSchema":
        """The other columns, in order."""
        return TableSchema(tuple(column for column in self.columns if column.name not in names))

    def polars_dtypes(self) -> dict[str, pl.DataType]:
        """The polars dtype of each column."""
        return {column.name: _DTYPES[column.dtype] for column in self.columns}

    def empty(self) -> pl.DataFrame:
        """A frame with these columns and no rows."""
        return pl.DataFrame(schema=self.polars_dtypes())

    def to_json(self) -> list[dict[str, Any]]:
        """A JSON-ready list, one entry a column."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, content: list[dict[str, Any]]) -> "TableSchema":
        """The inverse of :meth:`to_json`."""
        return cls(tuple(ColumnSchema(**{**entry, "kind": Kind(entry["kind"])}) for entry in content))


def _infer_column(
    values: pl.Series, kind: Kind | None, bounds: tuple[float | None, float | None] | None
) -> ColumnSchema:
    dtype = str(values.dtype)
    if dtype.startswith("Categorical"):
        values, dtype = values.cast(pl.String), "Categorical"
    if dtype not in _DTYPES:
        raise TabsynError(f"column '{values.name}' is {dtype}, which cannot be modelled; cast it to a number or text.")
    if not values.dtype.is_numeric():
        if kind in (Kind.NUMERIC, Kind.INTEGER):
            raise TabsynError(f"column '{values.name}' is {dtype} but was declared {kind}; cast it to a number.")
        return ColumnSchema(values.name, Kind.CATEGORICAL, dtype, values.null_count() > 0)
    numbers = values.cast(pl.Float64).to_numpy()
    present = numbers[~np.isnan(numbers)]
    if np.isinf(present).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0])
        raise TabsynError(f"column '{values.name}' is infinite in row {row}; make it missing or use its logarithm.")
    whole = bool(np.all(present == np.round(present)) and np.all(np.abs(present) < 2**53))
    if kind is Kind.INTEGER and not whole:
        value = present[present != np.round(present)][:1]
        raise TabsynError(f"column '{values.name}' was declared integer but holds {value}; declare it numeric.")
    kind = kind or (Kind.INTEGER if whole and present.size else Kind.NUMERIC)
    nullable = present.size < numbers.size
    if kind is Kind.CATEGORICAL:
        return ColumnSchema(values.name, kind, dtype, nullable)
    if bounds is None:
        bounds = (0.0 if present.size and present.min() >= 0 else None, None)
    return ColumnSchema(values.name, kind, dtype, nullable, *bounds)
