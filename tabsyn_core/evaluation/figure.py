"""A figure: a number with its spread, or no number and the reason why."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import binomtest

from tabsyn_core.evaluation.tables import Floats, Table

Z = 1.96
"""Standard deviations on either side of a figure that are its 95 % interval."""

_RESAMPLES, _RESAMPLED_ROWS = 20, 1_000

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

    def within(self, std: float, lowest: float = 0.0, highest: float = 1.0) -> "Figure":
        """With its 95 % interval: 1.96 standard deviations on either side, cut to where such figures lie.

        The bootstrap's own quantiles would lie too high for a distance: resampling adds the noise of a second sample.
        """
        if self.value is None or not np.isfinite(std):
            return self
        low, high = max(lowest, self.value - Z * std), min(highest, self.value + Z * std)
        return replace(self, low=min(low, self.value), high=max(high, self.value))

    def between(self, low: float | None, high: float | None) -> "Figure":
        """With this interval."""
        return replace(self, low=low, high=high)

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


def bootstrap_std(
    measure: Callable[[Table, Table], float], real: Table, other: Table, rows: int, rng: np.random.Generator
) -> float:
    """The standard deviation of a measure over bootstrap samples of both tables (Efron, Ann. Stat. 7, 1 (1979)).

    Samples of at most 1,000 rows of either are drawn, and their spread is brought to ``rows`` rows by the square root.
    """
    sizes = [min(len(real), _RESAMPLED_ROWS), min(rows, _RESAMPLED_ROWS)]
    repeats = [
        measure(
            *(table.take(rng.integers(0, len(table), size)) for table, size in zip((real, other), sizes, strict=True))
        )
        for _ in range(_RESAMPLES)
    ]
    known = np.array([each for each in repeats if not np.isnan(each)])
    return float(known.std(ddof=1) * np.sqrt(sizes[1] / rows)) if known.size > 1 else float("nan")


def share(count: float, rows: int) -> Figure:
    """A share with its Wilson interval (JASA 22, 209 (1927)), which the bootstrap's approaches.

    Its spread is not 0 where the share is.
    """
    interval = binomtest(round(count), rows).proportion_ci(method="wilson")
    chance = (count + 1) / (rows + 2)
    std = float(np.sqrt(chance * (1 - chance) / rows))
    return Figure(count / rows, std, low=float(interval.low), high=float(interval.high))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
