"""Three tables made comparable: the same columns in the same order, numbers as floats, categories as codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.chemistry.descriptors import IDENTIFIERS
from tabsyn_core.errors import TabsynError

NOT_JUDGED = (*IDENTIFIERS, "acceptance_weight")
"""Columns that name a row's molecule or say how it was chosen; what is judged are the others."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MAX_ROWS = 10_000
"""Longer tables are judged on this many of their rows, drawn at random without replacement."""

MAX_LEVELS = 2_000
"""A column of more categories names rows rather than says something of them."""

_HUGE = 1e100


@dataclass(frozen=True)
class Table:
    """Rows to be judged.

    Attributes:
        numeric: The numeric columns, in the order of the training table.
        categorical: The categorical columns, in that order.
        levels: For each categorical column, its values over all tables in sorted order.
        numbers: Values of the numeric columns, shape (rows, numeric); NaN where missing.
        codes: Indices into ``levels``, shape (rows, categorical); -1 where missing.
        order: All columns, as in the training table.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    numbers: Floats
    codes: Codes
    order: tuple[str, ...]

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.numbers)

    def take(self, rows: NDArray[np.int64]) -> "Table":
        """These rows, in this order."""
        return self._with(self.numbers[rows], self.codes[rows])

    def draw(self, rows: int, rng: np.random.Generator) -> "Table":
        """As many rows at random, without replacement; the table itself when it has no more."""
        return self if rows >= len(self) else self.take(np.sort(rng.permutation(len(self))[:rows]))

    def without_dependence(self, rows: int, rng: np.random.Generator) -> "Table":
        """Each column drawn on its own, with replacement: the columns' distributions, no dependence between them.

        Shuffling each column instead would keep its exact mean. A fold that lies above the mean then leaves the others
        below it, and a linear classifier under cross-validation scores far below 0.5 for that reason alone.
        """
        draws = rng.integers(0, len(self), (rows, len(self.order)))
        numeric, categorical = draws[:, : len(self.numeric)], draws[:, len(self.numeric) :]
        return self._with(np.take_along_axis(self.numbers, numeric, 0), np.take_along_axis(self.codes, categorical, 0))

    @cached_property
    def features(self) -> Floats:
        """All columns for trees, numeric first then codes, shape (rows, columns); NaN where missing."""
        return np.hstack([self.numbers, np.where(self.codes < 0, np.nan, self.codes.astype(np.float64))])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns of :attr:`features`."""
        return self.numeric + self.categorical

    def _with(self, numbers: Floats, codes: Codes) -> "Table":
        return Table(self.numeric, self.categorical, self.levels, numbers, codes, self.order)


def align(tables: dict[str, pl.DataFrame], seed: int) -> dict[str, Table]:
    """Bring tables to one shape.

    The first table says which columns there are, and in which order. Text, categories and booleans are categorical,
    numbers are numeric, a column without any value is what the other tables say it is. A table of more than
    :data:`MAX_ROWS` rows is drawn down to that. A column that reaches beyond 1e100 is divided by a power of two, which
    changes no figure and keeps its squares finite.

    Raises:
        TabsynError: A table has no rows or columns, lacks a column or has one too many, holds other kinds of values
            than the first, an infinite value, values that are neither numbers nor categories, or more categories than
            :data:`MAX_LEVELS`.
    """
    first = next(iter(tables))
    for name, table in tables.items():
        _check_columns(table, name, tables[first].columns, first)
    tables = {name: subsample(table, seed) for name, table in tables.items()}
    order = tables[first].columns
    kinds = {column: _is_numeric(column, tables) for column in order}
    numeric = [column for column in order if kinds[column]]
    categorical = [column for column in order if not kinds[column]]
    numbers = {name: _numbers(table, numeric, name) for name, table in tables.items()}
    scale = _scale(numbers)
    levels = tuple(_levels(column, tables) for column in categorical)
    for column, known in zip(categorical, levels, strict=True):
        if len(known) > MAX_LEVELS:
            raise TabsynError(
                f"column '{column}' has {len(known):,} categories; at most {MAX_LEVELS:,} can be judged. Drop it if it "
                "names rows, or join rare categories."
            )
    return {
        name: Table(
            tuple(numeric),
            tuple(categorical),
            levels,
            numbers[name] / scale,
            _codes(table, categorical, levels),
            tuple(order),
        )
        for name, table in tables.items()
    }


def _check_columns(table: pl.DataFrame, name: str, expected: Sequence[str], first: str) -> None:
    if table.height == 0 or table.width == 0:
        raise TabsynError(f"the {name} table has {table.height} rows and {table.width} columns; nothing can be judged.")
    missing = [column for column in expected if column not in table.columns]
    extra = [column for column in table.columns if column not in expected]
    if missing or extra:
        raise TabsynError(
            f"the {name} table does not have the columns of the {first} table: missing {_some(missing)}, "
            f"unknown {_some(extra)}. Give tables of the same columns."
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown or "none"


def subsample(table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """At most :data:`MAX_ROWS` rows, the same ones of equally long tables."""
    if table.height <= MAX_ROWS:
        return table
    rows = np.random.default_rng([seed, 0]).permutation(table.height)[:MAX_ROWS]
    return table[np.sort(rows)]


def _is_numeric(column: str, tables: dict[str, pl.DataFrame]) -> bool:
    """Whether a column is numeric, which all tables that hold a value of it must agree on."""
    told = {name: table[column].dtype for name, table in tables.items() if table[column].dtype != pl.Null}
    for name, dtype in told.items():
        if not (dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)):
            raise TabsynError(f"column '{column}' of the {name} table is {dtype}; cast it to a number or to text.")
    answers = {name: dtype.is_numeric() for name, dtype in told.items()}
    if len(set(answers.values())) > 1:
        dtypes = ", ".join(f"{dtype} in the {name} table" for name, dtype in told.items())
        raise TabsynError(f"column '{column}' is {dtypes}; cast it to one kind of value.")
    return next(iter(answers.values()), True)


def _numbers(table: pl.DataFrame, columns: list[str], name: str) -> Floats:
    if not columns:
        return np.empty((table.height, 0))
    numbers = np.column_stack([table[column].cast(pl.Float64).to_numpy() for column in columns])
    rows, places = np.nonzero(np.isinf(numbers))
    if rows.size:
        raise TabsynError(
            f"column '{columns[places[0]]}' of the {name} table is infinite in row {rows[0]}; make it missing or use "
            "its logarithm."
        )
    return numbers


def _scale(numbers: dict[str, Floats]) -> Floats:
    """A power of two for each column: 1, or one that brings its largest magnitude to about 1 (exact division)."""
    largest = np.max([np.abs(np.nan_to_num(values)).max(axis=0, initial=0) for values in numbers.values()], axis=0)
    exponents = np.where(largest > _HUGE, np.frexp(largest)[1] - 1, 0)
    scale: Floats = np.ldexp(1.0, exponents)
    return scale


def _levels(column: str, tables: dict[str, pl.DataFrame]) -> tuple[str, ...]:
    values = pl.concat([table[column].cast(pl.String) for table in tables.values()])
    return tuple(sorted(values.drop_nulls().unique()))


def _codes(table: pl.DataFrame, columns: list[str], levels: tuple[tuple[str, ...], ...]) -> Codes:
    if not columns:
        return np.empty((table.height, 0), dtype=np.int64)
    places = [
        table[column]
        .cast(pl.String)
        .replace_strict(list(known), list(range(len(known))), default=-1, return_dtype=pl.Int64)
        if known
        else pl.repeat(-1, table.height, dtype=pl.Int64, eager=True)
        for column, known in zip(columns, levels, strict=True)
    ]
    return np.column_stack([place.fill_null(-1).to_numpy() for place in places])
