"""Families that are nothing but their data: smoothed, with modelled tails, or as quantiles."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from typing_extensions import override

from tabsyn_core.distributions.families.family import Family, Floats


@dataclass(frozen=True)
class Tail:
    """A generalised Pareto tail: P(excess > y) = (1 + shape y / scale)^(-1/shape) (Pickands, 1975)."""

    shape: float
    scale: float

    def sf(self, y: Floats) -> Floats:
        """P(excess > y) for y >= 0."""
        return np.asarray(np.exp(-self._hazard(y)))

    def isf(self, s: Floats) -> Floats:
        """The excess that is passed with probability s."""
        hazard = -np.log(np.maximum(s, np.finfo(float).tiny))
        if self.shape == 0:
            return np.asarray(self.scale * hazard)
        return np.asarray(self.scale * np.expm1(np.minimum(self.shape * hazard, 700)) / self.shape)

    def logpdf(self, y: Floats) -> Floats:
        """Log density of the excess."""
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = np.log1p(np.maximum(self.shape * y / self.scale, -1))
            return np.asarray(-self._hazard(y) - growth - np.log(self.scale))

    def _hazard(self, y: Floats) -> Floats:
        if self.shape == 0:
            return np.asarray(y / self.scale)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log1p(np.maximum(self.shape * y / self.scale, -1)) / self.shape)


@dataclass(frozen=True)
class Empirical(Family):
    """Data smoothed to a piecewise linear cdf between quantile knots, with a modelled tail on either side.

    Attributes:
        knots: Strictly increasing quantiles, shape ``[k]``.
        levels: The cdf at each knot, strictly increasing, inside (0, 1).
        lower: The tail below the first knot, of mass ``levels[0]``.
        upper: The tail above the last knot, of mass ``1 - levels[-1]``.
    """

    knots: tuple[float, ...]
    levels: tuple[float, ...]
    lower: Tail
    upper: Tail

    @property
    @override
    def name(self) -> str:
        return "smoothed empirical"

    @property
    @override
    def parameters(self) -> dict[str, float]:
        return {"knots": len(self.knots), "lower_tail": self.lower.shape, "upper_tail": self.upper.shape}

    @property
    @override
    def num_parameters(self) -> int:
        return 2 * len(self.knots) + 4

    @override
    def cdf(self, x: Floats) -> Floats:
        xs, us = self._arrays
        below = us[0] * self.lower.sf(np.maximum(xs[0] - x, 0))
        above = 1 - (1 - us[-1]) * self.upper.sf(np.maximum(x - xs[-1], 0))
        return np.where(x < xs[0], below, np.where(x > xs[-1], above, np.interp(x, xs, us)))

    @override
    def sf(self, x: Floats) -> Floats:
        xs, us = self._arrays
        below = 1 - us[0] * self.lower.sf(np.maximum(xs[0] - x, 0))
        above = (1 - us[-1]) * self.upper.sf(np.maximum(x - xs[-1], 0))
        return np.where(x < xs[0], below, np.where(x > xs[-1], above, np.interp(x, xs, 1 - us)))

    @override
    def ppf(self, u: Floats) -> Floats:
        return self._quantile(u, 1 - u)

    @override
    def isf(self, s: Floats) -> Floats:
        return self._quantile(1 - s, s)

    @override
    def logpdf(self, x: Floats) -> Floats:
        xs, us = self._arrays
        below = self.lower.logpdf(np.maximum(xs[0] - x, 0)) + np.log(us[0])
        above = self.upper.logpdf(np.maximum(x - xs[-1], 0)) + np.log1p(-us[-1])
        if len(xs) == 1:
            return np.asarray(np.where(x < xs[0], below, above))
        density: Floats = np.log(np.diff(us) / np.diff(xs))
        between = density[np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)]
        return np.where(x < xs[0], below, np.where(x > xs[-1], above, between))

    @override
    def to_json(self) -> dict[str, Any]:
        tails = [[tail.shape, tail.scale] for tail in (self.lower, self.upper)]
        return {"type": "empirical", "knots": list(self.knots), "levels": list(self.levels), "tails": tails}

    def _quantile(self, u: Floats, s: Floats) -> Floats:
        xs, us = self._arrays
        below = xs[0] - self.lower.isf(np.minimum(u / us[0], 1))
        above = xs[-1] + self.upper.isf(np.minimum(s / (1 - us[-1]), 1))
        return np.where(u < us[0], below, np.where(s < 1 - us[-1], above, np.interp(u, us, xs)))

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        return np.array(self.knots), np.array(self.levels)


@dataclass(frozen=True)
class Quantiles(Family):
    """The plain quantile map of other table generators, for comparison: linear between quantiles, nothing beyond them.

    As scikit-learn's ``QuantileTransformer``: a value that fills several quantiles has the middle of their levels, the
    smallest and the largest value have the outermost, and all levels in between give the value back.

    Attributes:
        knots: Quantiles in ascending order, repeated where a value fills more than one, shape ``[k]``.
        levels: The cdf at each, strictly increasing, inside (0, 1).
    """

    knots: tuple[float, ...]
    levels: tuple[float, ...]

    @property
    @override
    def name(self) -> str:
        return "quantiles"

    @property
    @override
    def parameters(self) -> dict[str, float]:
        return {"knots": len(self.knots)}

    @property
    @override
    def num_parameters(self) -> int:
        return 2 * len(self.knots)

    @override
    def cdf(self, x: Floats) -> Floats:
        return self._middle(x, np.array(self.levels))

    @override
    def sf(self, x: Floats) -> Floats:
        return self._middle(x, 1 - np.array(self.levels))

    @override
    def ppf(self, u: Floats) -> Floats:
        return np.interp(u, self.levels, self.knots)

    @override
    def isf(self, s: Floats) -> Floats:
        return np.interp(s, 1 - np.array(self.levels)[::-1], self.knots[::-1])

    @override
    def logpdf(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            density: Floats = np.log(np.diff(self.levels)) - np.log(np.diff(self.knots))
        place = np.searchsorted(self.knots, x, side="left") - 1
        inside = (x >= self.knots[0]) & (x <= self.knots[-1])
        return np.where(inside, density[np.clip(place, 0, len(density) - 1)], -np.inf)

    @override
    def to_json(self) -> dict[str, Any]:
        return {"type": "quantiles", "knots": list(self.knots), "levels": list(self.levels)}

    def _middle(self, x: Floats, at: Floats) -> Floats:
        """``at`` between the knots; of repeated knots the mean of the first and the last, at either end the end."""
        knots = np.array(self.knots)
        middle = (np.interp(x, knots, at) + np.interp(-x, -knots[::-1], at[::-1])) / 2
        return np.where(x <= knots[0], at[0], np.where(x >= knots[-1], at[-1], middle))
