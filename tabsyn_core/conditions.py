"""What a caller asks of sampled rows: equality, ranges and sets on any columns.

``{"solubility_class": "high", "MolWt": [200, 350], "RingCount": {1, 2}}``: a value asks for equality, a list or tuple
of two numbers on a numeric column for a range with both ends (``None`` leaves an end open), a set, or a list on a
categorical column, for any of its members; ``None`` is a gap.
"""

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

Masks = NDArray[np.bool_]
Where = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one column.

    Attributes:
        column: Its name.
        members: Values of which the cell must be one; ``None`` for a range.
        low: Least value of a range, or ``None``.
        high: Largest value of a range, or ``None``.
    """

    column: str
    members: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None

    def met(self, values: pl.Series) -> Masks:
        """Which values meet it, shape (n,); a gap does not, unless ``None`` is a member."""
        if values.dtype.is_float():
            values = values.fill_nan(None)
        if self.members is None:
            low, high = (-np.inf if self.low is None else self.low), (np.inf if self.high is None else self.high)
            mark = values.cast(pl.Float64).is_between(low, high)
        else:
            mark = _is_in(values, [member for member in self.members if member is not None])
            mark = mark | values.is_null() if None in self.members else mark
        return mark.fill_null(value=False).to_numpy()

    def __str__(self) -> str:
        if self.members is not None:
            return f"{self.column} in {list(self.members)}"
        return f"{self.column} in [{self.low}, {self.high}]"


def parse_conditions(where: Where | None, schema: TableSchema) -> tuple[Condition, ...]:
    """Read conditions.

    Args:
        where: Column to value, range or set.
        schema: The columns there are.

    Raises:
        TabsynError: A column is unknown, a value has the wrong type, or a range is empty; the message says which.
    """
    if not isinstance(where, Mapping | None):
        raise TabsynError(f'where is {where!r}; give columns and what they must be, as in {{"MolWt": [200, 350]}}.')
    found = []
    for name, asked in (where or {}).items():
        if name not in schema.names:
            near = difflib.get_close_matches(name, schema.names, 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {schema.names[:8]} ..."
            raise TabsynError(f"where: column '{name}' is not in the table{hint}")
        found.append(_condition(schema[name], asked))
    return tuple(found)


def _is_in(values: pl.Series, members: list[Any]) -> pl.Series:
    if values.dtype.is_float():  # 0.1 asks for the Float32 nearest to it
        return values.is_in(pl.Series(members, dtype=pl.Float64).cast(values.dtype).implode())
    if values.dtype.is_integer():  # 2.5 asks for none, and 300 may be beyond the dtype
        return values.cast(pl.Float64).is_in(pl.Series(members, dtype=pl.Float64).implode())
    dtype = pl.Boolean if values.dtype == pl.Boolean else pl.String
    return values.cast(dtype).is_in(pl.Series(members, dtype=dtype).implode())


def _condition(column: ColumnSchema, asked: Any) -> Condition:
    if isinstance(asked, Mapping):
        if set(asked) != {"in"}:
            raise TabsynError(f"where: {asked!r} for column '{column.name}' is not a set; write {{\"in\": [...]}}.")
        asked = set(asked["in"])
    if column.kind is not Kind.CATEGORICAL and isinstance(asked, list | tuple):
        return _range(column, asked)
    several = isinstance(asked, Collection) and not isinstance(asked, str | bytes | Mapping)
    members = tuple(asked) if several else (asked,)
    if not members:
        raise TabsynError(f"where: the set for column '{column.name}' is empty; name at least one value.")
    for member in members:
        if member is not None and not _is_of(column, member):
            raise TabsynError(
                f"where: {member!r} for column '{column.name}' is not {_WORDS.get(column.dtype, 'a number')}."
            )
    return Condition(column.name, members)


_WORDS = {"Boolean": "true or false", "String": "text", "Categorical": "text"}


def _is_of(column: ColumnSchema, member: Any) -> bool:
    if column.dtype == "Boolean":
        return isinstance(member, bool | np.bool_)
    return isinstance(member, str) if column.dtype in _WORDS else _is_number(member)


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and not math.isnan(value)


def _range(column: ColumnSchema, asked: list[Any] | tuple[Any, ...]) -> Condition:
    if len(asked) != 2 or not all(end is None or _is_number(end) for end in asked):
        raise TabsynError(
            f"where: {asked!r} for column '{column.name}' is not a range; give [low, high], with null for an open end,"
            " or a set of values."
        )
    low, high = asked
    if low is not None and high is not None and low > high:
        raise TabsynError(f"where: the range {asked!r} for column '{column.name}' is empty; give [low, high].")
    return Condition(column.name, None, low, high)
