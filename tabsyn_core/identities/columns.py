"""The numeric columns of a table, and what decides which of them may be recomputed."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from tabsyn_core.identities.forms import TOLERANCE, Floats, numbers
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

MIN_ROWS = 30
"""Rows in which a recomputed column must differ from its commonest value, so that chance is not taken for a law."""

_FRAGILE_SHARE = 0.2  # a commonest value more frequent than this is an atom
_FEW_VALUES = 20  # fewer distinct values than this are levels of a count or a lattice
_REPEATING = 0.9  # an irregular float with fewer distinct values than this share of its rows is on a lattice


@dataclass(frozen=True)
class Columns:
    """The numeric columns of a table as arrays of floats with NaN for gaps, and what decides which to keep."""

    values: dict[str, Floats]
    schema: dict[str, ColumnSchema]
    off_mode: dict[str, int]
    distinct: dict[str, int]
    decimals: dict[str, int | None]
    spread: dict[str, float]

    @classmethod
    def of(cls, table: pl.DataFrame, schema: TableSchema) -> "Columns":
        """Read them off a table; integers that a float cannot hold are left out."""
        columns = {column.name: column for column in schema.columns if column.kind is not Kind.CATEGORICAL}
        values = {name: numbers(table[name]) for name in columns}
        values = {
            name: x for name, x in values.items() if np.all(np.abs(x[~np.isnan(x)]) < _LARGEST[columns[name].kind])
        }
        counts = {name: np.unique(x[~np.isnan(x)], return_counts=True)[1] for name, x in values.items()}
        return cls(
            values,
            columns,
            {name: int(count.sum() - count.max(initial=0)) for name, count in counts.items()},
            {name: len(count) for name, count in counts.items()},
            {name: 0 if columns[name].kind is Kind.INTEGER else decimals_of(x) for name, x in values.items()},
            {name: float(np.nanstd(x)) if len(counts[name]) else 0.0 for name, x in values.items()},
        )

    @property
    def tolerance(self) -> float:
        """How far from a law a row may be for rounding, relative to the terms."""
        return rounding(self.schema.values())

    @property
    def varying(self) -> list[str]:
        """The columns with at least two values."""
        return [name for name, distinct in self.distinct.items() if distinct > 1]

    def whole(self, name: str) -> bool:
        """Whether a column is a count."""
        return self.schema[name].kind is Kind.INTEGER

    def few(self, name: str) -> bool:
        """Whether a column has few values or one that is very common."""
        present = int(np.sum(~np.isnan(self.values[name])))
        return present - self.off_mode[name] > _FRAGILE_SHARE * present or self.distinct[name] < _FEW_VALUES

    def fragile(self, name: str) -> bool:
        """Whether a column is zero-inflated or on a lattice, so that differences of others would miss its support."""
        irregular = self.decimals[name] is None  # sums of regular numbers, such as cents, stay on their lattice
        repeats = self.distinct[name] < _REPEATING * np.sum(~np.isnan(self.values[name]))
        return self.few(name) or bool(irregular and repeats)

    def rounds_onto(self, inputs: Iterable[str], name: str) -> bool:
        """Whether rounding a column to its decimals cannot break an identity with these inputs."""
        return self.decimals[name] is None or all(self.decimals[other] is not None for other in inputs)

    def not_negative(self, name: str) -> bool:
        """Whether no value is below zero."""
        return bool(np.nanmin(self.values[name]) >= 0)

    def place(self, name: str) -> tuple[bool, float, bool, float]:
        """Sort key, worth keeping first: fragile, often zero, whole, little spread. A total comes after its parts."""
        x = self.values[name]
        fragile = self.fragile(name)
        return (not fragile, -float(np.mean(x == 0)) if fragile else 0.0, not self.whole(name), self.spread[name])


_LARGEST: dict[Kind, float] = {Kind.INTEGER: 2.0**53, Kind.NUMERIC: np.inf}


def rounding(columns: Iterable[ColumnSchema]) -> float:
    """What is forgiven as rounding, relative to the terms: more where a column is stored in single precision."""
    return 1e-6 if any(column.dtype == "Float32" for column in columns) else TOLERANCE


def decimals_of(x: Floats) -> int | None:
    """The fewest decimal places that hold every value exactly, up to six; otherwise ``None``."""
    present = x[~np.isnan(x)]
    return next((places for places in range(1, 7) if np.array_equal(np.round(present, places), present)), None)
