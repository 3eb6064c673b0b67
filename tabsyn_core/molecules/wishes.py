"""Conditions on molecules: which rows meet them, and how far the others are from it."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.conditions import Condition

Floats = NDArray[np.float64]


class Wishes:
    """Conditions, measured in standard deviations of the training rows.

    Args:
        conditions: On descriptors or endpoints.
        table: The training rows.
    """

    def __init__(self, conditions: Sequence[Condition], table: pl.DataFrame) -> None:
        self._conditions = conditions
        self._spreads = {
            each.column: (table[each.column].cast(pl.Float64).std() or 1.0)
            for each in conditions
            if table[each.column].dtype.is_numeric()
        }

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._conditions)

    def __str__(self) -> str:
        return " and ".join(map(str, self._conditions))

    def concern(self, columns: Sequence[str]) -> bool:
        """Whether any is on one of these columns."""
        return any(each.column in columns for each in self._conditions)

    def missed_by(self, rows: pl.DataFrame) -> Floats:
        """How far each row is from meeting all of them, shape (rows,); 0 where it does.

        A range is missed by the distance to its nearer end and a set of numbers by that to its nearest member, in
        standard deviations; whatever else is missed counts 1.
        """
        missed = np.zeros(rows.height)
        for each in self._conditions:
            missed += self._missed(each, rows[each.column])
        return missed

    def _missed(self, condition: Condition, values: pl.Series) -> Floats:
        met = condition.met(values)
        if condition.column not in self._spreads:
            return np.where(met, 0.0, 1.0)
        numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
        ends = condition.members if condition.members is not None else (condition.low, condition.high)
        marks = np.array([end for end in ends if end is not None], dtype=np.float64)
        if not marks.size:
            return np.where(met, 0.0, 1.0)
        apart = np.abs(numbers[:, None] - marks).min(axis=1) / self._spreads[condition.column]
        return np.where(met, 0.0, np.where(np.isnan(apart), 1.0, np.maximum(apart, 1e-9)))

    def told(self, row: pl.DataFrame) -> str:
        """What one row has in their columns."""
        values = {each.column: row[each.column][0] for each in self._conditions}
        return ", ".join(f"{name} {v:.6g}" if isinstance(v, float) else f"{name} {v}" for name, v in values.items())
