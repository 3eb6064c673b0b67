"""A table without gaps, for methods that know none: the pre-step of SMOTE, the Gaussian copula, TVAE and CTGAN.

A number column with gaps becomes two: its values with the median where they are missing, and a category that says
whether they are, so that gaps are drawn jointly with everything else. A missing category is a level of its own. Columns
with a single value are left out and put back, whole numbers are rounded on the way back.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.codec import _restore
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Level = str | int | float | bool


@dataclass(frozen=True)
class Complete:
    """How a table becomes one without gaps, and back.

    Attributes:
        schema: All columns.
        medians: Of the number columns that vary, or have gaps as well as values, by name.
        gappy: Which of these have gaps.
        levels: Of the other columns, sorted, ``None`` first where values are missing; more than one if they vary.
    """

    schema: TableSchema
    medians: dict[str, float]
    gappy: tuple[str, ...]
    levels: dict[str, tuple[Level | None, ...]]

    @classmethod
    def of(cls, table: pl.DataFrame, schema: TableSchema) -> "Complete":
        """Read off a table with the schema's columns, NaN null."""
        medians: dict[str, float] = {}
        gappy: list[str] = []
        levels: dict[str, tuple[Level | None, ...]] = {}
        for column in schema.columns:
            values = table[column.name]
            if column.kind is Kind.CATEGORICAL or values.drop_nulls().n_unique() < 2:
                levels[column.name] = _levels(values)
                continue
            medians[column.name] = float(np.median(values.drop_nulls().cast(pl.Float64).to_numpy()))
            gappy += [column.name] * (values.null_count() > 0)
        return cls(schema, medians, tuple(gappy), levels)

    @property
    def categorical(self) -> list[str]:
        """The columns of categories that vary, those of the gaps not among them."""
        return [name for name, levels in self.levels.items() if len(levels) > 1]

    @property
    def sizes(self) -> list[int]:
        """Levels of each column of codes."""
        return [*(len(self.levels[name]) for name in self.categorical), *(2 for _ in self.gappy)]

    def split(self, table: pl.DataFrame) -> tuple[Floats, Integers]:
        """Numbers, shape (rows, ``medians``), and codes, shape (rows, ``sizes``), those of gaps last: 1 is missing."""
        rows = table.height
        numbers = [table[name].cast(pl.Float64).fill_null(median).to_numpy() for name, median in self.medians.items()]
        codes = [_codes(table[name], self.levels[name]) for name in self.categorical]
        codes += [table[name].is_null().to_numpy().astype(np.int64) for name in self.gappy]
        empty = np.empty((rows, 0))
        return (
            np.column_stack(numbers) if numbers else empty,
            np.column_stack(codes) if codes else empty.astype(np.int64),
        )

    def join(self, numbers: Floats, codes: Integers) -> pl.DataFrame:
        """The inverse of :meth:`split`, for any finite numbers."""
        known, rows = len(self.categorical), len(numbers)
        state = dict(zip(self.categorical, codes[:, :known].T, strict=True))
        missing = dict(zip(self.gappy, codes[:, known:].T == 1, strict=True))
        value = dict(zip(self.medians, numbers.T, strict=True))
        return pl.DataFrame(
            [
                _numbers(value[column.name], missing.get(column.name), column)
                if column.name in value
                else _restore(_gather(self.levels[column.name], state.get(column.name), rows), column)
                for column in self.schema.columns
            ]
        )


def _levels(values: pl.Series) -> tuple[Level | None, ...]:
    present = values.cast(pl.String) if values.dtype == pl.Categorical else values
    return (*((None,) if values.null_count() else ()), *present.drop_nulls().unique().sort().to_list())


def _codes(values: pl.Series, levels: tuple[Level | None, ...]) -> Integers:
    place = {level: code for code, level in enumerate(levels)}
    return np.array([place[level] for level in values.to_list()], dtype=np.int64)


def _gather(levels: tuple[Level | None, ...], state: Integers | None, rows: int) -> pl.Series:
    return pl.Series(levels).gather(np.zeros(rows, dtype=np.int64) if state is None else state)


def _numbers(values: Floats, missing: NDArray[np.bool_] | None, column: ColumnSchema) -> pl.Series:
    whole = np.round(values) if column.kind is Kind.INTEGER else values
    series = pl.Series(column.name, whole)
    return _restore(series if missing is None else series.set(pl.Series(missing), None), column)
