"""Columns that another column determines without arithmetic: constants, levels looked up, levels cut from a number."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.identities.forms import Floats, Masks, numbers
from tabsyn_core.schema import Kind, TableSchema

Level = str | bool | int | float | None

_MIN_LEVEL_ROWS = 5  # rows in which a level must be seen before it shows what it determines
_SEEN_SHARE = 0.95  # of the rows are of levels that are seen so often
_MIN_SURPRISE = 30.0  # rows that would disagree if the columns were independent
_MAX_STEPS = 20
_PROBE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Constant:
    """A column that has one value, which may be missing.

    Attributes:
        column: The column.
        level: Its value.
    """

    column: str
    level: Level

    def value(self, rows: pl.DataFrame, dtype: pl.DataType) -> pl.Series:
        """The column, length ``rows.height``."""
        return pl.repeat(self.level, rows.height, dtype=dtype, eager=True).alias(self.column)

    def obeyed(self, rows: pl.DataFrame) -> Masks:
        """Which rows obey it, shape (rows,)."""
        return _equal(rows[self.column], self.value(rows, rows.schema[self.column]))

    def describe(self) -> str:
        """What the column is."""
        return f"{self.column} = {_text(self.level)}"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column that follows from the level of a categorical one.

    Attributes:
        column: The column that is looked up.
        key: The column that determines it.
        levels: The levels of the key.
        values: What each of them determines.
    """

    column: str
    key: str
    levels: tuple[Level, ...]
    values: tuple[Level, ...]

    def value(self, rows: pl.DataFrame, dtype: pl.DataType) -> pl.Series:
        """The column, missing where the key is none of the levels; length ``rows.height``."""
        keys = _plain(rows[self.key])
        values = pl.Series(self.values, dtype=_plain(pl.Series(dtype=dtype)).dtype)
        levels = pl.Series(self.levels, dtype=keys.dtype)
        return keys.replace_strict(levels, values, default=None).cast(dtype).alias(self.column)

    def obeyed(self, rows: pl.DataFrame) -> Masks:
        """Which rows obey it; one whose key is none of the levels does; shape (rows,)."""
        unknown = ~_plain(rows[self.key]).is_in([level for level in self.levels if level is not None]).fill_null(
            None in self.levels
        )
        known = _equal(rows[self.column], self.value(rows, rows.schema[self.column]))
        return np.asarray(known | unknown.to_numpy())

    def describe(self) -> str:
        """What the column is."""
        return f"{self.column} is looked up by {self.key} ({len(self.levels)} levels)"


@dataclass(frozen=True, slots=True)
class Steps:
    """A categorical column that follows from the interval a number is in.

    Attributes:
        column: The column that is cut.
        key: The number.
        cuts: The upper ends of all intervals but the last, ascending, each part of its interval.
        levels: The level of each interval.
        missing: The level where the number is missing.
    """

    column: str
    key: str
    cuts: tuple[float, ...]
    levels: tuple[Level, ...]
    missing: Level

    def value(self, rows: pl.DataFrame, dtype: pl.DataType) -> pl.Series:
        """The column, length ``rows.height``."""
        x = numbers(rows[self.key])
        interval = np.where(np.isnan(x), len(self.levels), np.searchsorted(self.cuts, x, side="left"))
        levels = pl.Series([*self.levels, self.missing], dtype=_plain(pl.Series(dtype=dtype)).dtype)
        return levels.gather(interval).cast(dtype).alias(self.column)

    def obeyed(self, rows: pl.DataFrame) -> Masks:
        """Which rows obey it, shape (rows,)."""
        return _equal(rows[self.column], self.value(rows, rows.schema[self.column]))

    def describe(self) -> str:
        """What the column is."""
        parts = [f"{_text(level)} up to {cut:.6g}" for level, cut in zip(self.levels, self.cuts, strict=False)]
        return f"{self.column} is cut from {self.key}: {', '.join(parts)}, {_text(self.levels[-1])} above"


Rewrite = Constant | Lookup | Steps


def find_constants(table: pl.DataFrame, schema: TableSchema, min_rows: int) -> list[Constant]:
    """The columns with one value, if any other column has two."""
    if table.height < min_rows:
        return []
    found = [
        Constant(name, _plain(table[name])[0])
        for name in schema.names
        if _plain(table[name].fill_nan(None) if table[name].dtype.is_float() else table[name]).n_unique() == 1
    ]
    return found if len(found) < table.width else []


def find_lookups(table: pl.DataFrame, schema: TableSchema, taken: set[str]) -> list[Lookup]:
    """Columns that a categorical column determines, each level of which is seen often enough.

    Args:
        table: The training rows.
        schema: Its columns.
        taken: Columns that are not to be looked up, for others are computed from them.

    Returns:
        Lookups none of whose keys is itself looked up.
    """
    codes = {name: _codes(table[name]) for name in schema.names}
    sizes = {name: int(code.max(initial=-1)) + 1 for name, code in codes.items()}
    categorical = {name for name in schema.names if schema[name].kind is Kind.CATEGORICAL}
    keys: list[str] = []
    found: list[Lookup] = []
    for name in sorted(schema.names, key=lambda name: (-sizes[name], name not in categorical)):
        if sizes[name] < 2:
            continue
        near = (key for key in keys if name not in taken and _determines(codes[key], codes[name]))
        if key := next(near, None):
            found.append(_lookup(table, key, name, codes[key]))
        elif name in categorical and _seen_often(codes[name]):
            keys.append(name)
    return found


def _lookup(table: pl.DataFrame, key: str, name: str, codes: NDArray[np.int64]) -> Lookup:
    first = np.unique(codes, return_index=True)[1]
    return Lookup(name, key, tuple(_plain(table[key]).gather(first)), tuple(_plain(table[name]).gather(first)))


def _seen_often(codes: NDArray[np.int64]) -> bool:
    counts = np.bincount(codes)
    return bool(counts[counts >= _MIN_LEVEL_ROWS].sum() >= _SEEN_SHARE * len(codes))


def _determines(key: NDArray[np.int64], codes: NDArray[np.int64]) -> bool:
    """Whether each level of a key has one value, and chance would have given it others."""
    few = slice(None, None, max(1, len(key) // _PROBE_ROWS))
    for rows in (few, slice(None)):
        pairs = np.unique(key[rows] * (codes.max() + 1) + codes[rows])
        if len(pairs) > len(np.unique(key[rows])):
            return False
    counts, first = np.bincount(key), np.unique(key, return_index=True)[1]
    frequency = np.bincount(codes)[codes[first]] / len(codes)
    return bool(np.sum((counts - 1) * (1 - frequency)) >= _MIN_SURPRISE)


def find_steps(table: pl.DataFrame, schema: TableSchema, taken: set[str]) -> list[Steps]:
    """Categorical columns whose levels are intervals of one number; ``taken`` as for :func:`find_lookups`."""
    categorical = {column.name for column in schema.columns if column.kind is Kind.CATEGORICAL}
    values = {name: numbers(table[name]) for name in schema.names if name not in categorical}
    found = []
    for name in schema.names:
        if name in categorical - taken and table[name].n_unique() <= _MAX_STEPS + 1:
            found += [steps for steps in (_steps(table[name], key, x) for key, x in values.items()) if steps][:1]
    return found


def _steps(column: pl.Series, key: str, x: Floats) -> Steps | None:
    """The column as intervals of x, if it is."""
    levels = _plain(column)
    gap = np.isnan(x)
    if levels.filter(pl.Series(gap)).n_unique() > 1 or levels.filter(pl.Series(~gap)).null_count():
        return None
    codes, numbers_there = _codes(levels.filter(pl.Series(~gap))), x[~gap]
    counts = np.bincount(codes)
    if not 2 <= len(counts) <= _MAX_STEPS or counts.min() < _MIN_LEVEL_ROWS or len(codes) < 10 * len(counts):
        return None
    order = np.argsort(numbers_there, kind="stable")
    codes, ascending = codes[order], numbers_there[order]
    ends = np.flatnonzero(np.diff(codes))
    if len(ends) != len(counts) - 1 or np.any(ascending[ends] == ascending[ends + 1]):
        return None
    if len(codes) - counts.max() < _MIN_SURPRISE or len(np.unique(ascending)) <= 2 * len(counts):
        return None
    cuts = tuple(_round_between(float(ascending[end]), float(ascending[end + 1])) for end in ends)
    there = levels.filter(pl.Series(~gap)).gather(order).gather([0, *(ends + 1)])
    return Steps(column.name, key, cuts, tuple(there), levels.filter(pl.Series(gap))[0] if gap.any() else None)


def _round_between(low: float, high: float) -> float:
    """The number with the fewest digits from low to below high; the last one below high where high has fewer."""
    for places in range(-6, 16):
        if round(high, places) == high:
            return float(np.nextafter(high, -np.inf))
        for cut in (round(low, places), round(high, places)):
            if low <= cut < high:
                return cut + 0.0  # never -0.0
    return low


def _codes(values: pl.Series) -> NDArray[np.int64]:
    """Levels as numbers from 0, gaps as a level; shape (rows,)."""
    plain = values.fill_nan(None) if values.dtype.is_float() else _plain(values)
    return plain.rank("dense").fill_null(0).cast(pl.Int64).to_numpy() - (plain.null_count() == 0)


def _plain(values: pl.Series) -> pl.Series:
    return values.cast(pl.String) if values.dtype == pl.Categorical else values


def _equal(found: pl.Series, expected: pl.Series) -> Masks:
    return np.asarray(_plain(found).eq_missing(_plain(expected)).to_numpy(), dtype=bool)


def _text(level: Level) -> str:
    return "missing" if level is None else f"'{level}'" if isinstance(level, str) else f"{level:g}"


def from_json(entry: Mapping[str, Any]) -> Rewrite:
    """An entry of its own kind, which its keys tell."""
    content: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in entry.items()}
    kinds: tuple[type[Rewrite], ...] = (Constant, Lookup, Steps)
    return next(kind for kind in kinds if {*kind.__dataclass_fields__} == content.keys())(**content)
