"""The interface of every family."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_KNOTS = 33
_BISECTIONS = 200  # halvings of a float64 interval; far fewer are needed, the loop stops when it no longer moves


class Family(ABC):
    """A one-dimensional distribution. All methods are vectorised: shape ``[n]`` in, shape ``[n]`` out."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in reports."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, float]:
        """The parameters worth printing, by name."""

    @property
    @abstractmethod
    def num_parameters(self) -> int:
        """Free parameters, as BIC counts them."""

    @abstractmethod
    def cdf(self, x: Floats) -> Floats:
        """P(X <= x)."""

    @abstractmethod
    def sf(self, x: Floats) -> Floats:
        """P(X > x), exact where ``1 - cdf`` would cancel."""

    @abstractmethod
    def ppf(self, u: Floats) -> Floats:
        """The smallest x with ``cdf(x) >= u``."""

    @abstractmethod
    def isf(self, s: Floats) -> Floats:
        """The smallest x with ``sf(x) <= s``."""

    @abstractmethod
    def logpdf(self, x: Floats) -> Floats:
        """Log density, or log mass for a family of counts."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The inverse of :func:`family_from_json`."""

    def edges(self, x: Floats, step: float) -> tuple[Floats, Floats, Floats, Floats]:
        """The jump that a grid of width ``step`` makes at ``x``: cdf and sf below it, cdf and sf above it."""
        below, above = x - step / 2, x + step / 2
        return self.cdf(below), self.sf(below), self.cdf(above), self.sf(above)

    def describe(self) -> str:
        """For example ``"gamma(a=2.1, scale=3)"``."""
        return f"{self.name}({', '.join(f'{key}={value:.3g}' for key, value in self.parameters.items())})"


@dataclass(frozen=True)
class Knots:
    """A monotone function at a few places, between which :meth:`solve` starts its search.

    Bisection from both ends of the reach would ask for far tails in every search, where a cdf may be an integral
    (scipy's skew-normal: a thousand times slower than elsewhere).

    Attributes:
        x: Places in rising order, shape (knots,).
        values: The function there.
    """

    x: Floats
    values: Floats

    @classmethod
    def of(cls, function: Callable[[Floats], Floats], low: float, high: float) -> "Knots":
        """Places from ``low`` to ``high``, most of them about the middle."""
        x = (low + high) / 2 + (high - low) / 2 * np.linspace(-1, 1, _KNOTS) ** 3
        return cls(x, function(x))

    def solve(self, function: Callable[[Floats], Floats], target: Floats) -> Floats:
        """Solve ``function(x) = target`` by bisection, all targets at once; shape of ``target``."""
        rising = bool(self.values[-1] > self.values[0])
        values = np.maximum.accumulate(self.values if rising else -self.values)  # tails may be off by rounding
        places = np.clip(np.searchsorted(values, target if rising else -target), 1, len(self.x) - 1)
        lows, highs = self.x[places - 1], self.x[places]
        for _ in range(_BISECTIONS):
            middle = lows + (highs - lows) / 2
            if np.all((middle == lows) | (middle == highs)):
                break
            found = function(middle)
            too_low = found < target if rising else found > target
            lows, highs = np.where(too_low, middle, lows), np.where(too_low, highs, middle)
        return highs
