"""A figure: a number with its spread, or no number and the reason why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tabsyn_core.evaluation.tables import Floats, Table

DRAWS = 5
"""How often the larger table is drawn down to the size of the smaller, where two figures must rest on equal rows."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the report.

    Attributes:
        value: The number, or ``None`` where it cannot be computed.
        std: The standard deviation over what was repeated (folds, draws, bootstrap), or ``None`` without repeats.
        why: Why there is no number, in plain words.
        low: The lower end of a 95 % interval, where one was computed.
        high: Its upper end.
    """

    value: float | None
    std: float | None = None
    why: str | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def over(cls, values: Floats) -> "Figure":
        """The mean of repeats and their standard deviation; a single value has none."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)

    @classmethod
    def none(cls, why: str) -> "Figure":
        """No number, and why."""
        return cls(None, why=why)

    def to_json(self, name: str) -> dict[str, Any]:
        """``name``, and ``name_std``, ``_low``, ``_high`` or ``_why`` where there is one; rounded to four decimals."""
        content: dict[str, Any] = {name: _rounded(self.value)}
        for part, bound in (("std", self.std), ("low", self.low), ("high", self.high)):
            if bound is not None:
                content[f"{name}_{part}"] = _rounded(bound)
        if self.why is not None:
            content[f"{name}_why"] = self.why
        return content


def over_draws(measure: Callable[[Table], Floats], table: Table, rows: int, rng: np.random.Generator) -> Floats:
    """What ``measure`` says of ``rows`` rows of ``table``: once if it has no more, else for several random draws.

    Returns:
        One row a draw, shape (draws, length of the measure).
    """
    draws = 1 if rows >= len(table) else DRAWS
    return np.stack([measure(table.draw(rows, rng)) for _ in range(draws)])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
