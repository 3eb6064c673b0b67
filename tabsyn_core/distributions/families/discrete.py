"""Families of counts, and lattices of observed values."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats
from typing_extensions import override

from tabsyn_core.distributions.families.family import Family, Floats

COUNT_FAMILIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "poisson": (stats.poisson, ("mu",)),
    "negative binomial": (stats.nbinom, ("n", "p")),
    "geometric": (stats.geom, ("p",)),
    "binomial": (stats.binom, ("n", "p")),
}
"""Name to (scipy distribution on 0, 1, 2 ..., parameter names)."""


@dataclass(frozen=True)
class Count(Family):
    """A family of counts on ``start, start + 1, ...``, its first count possibly modelled apart.

    With ``zero`` given, the first count has that probability and the others share the rest as the base family,
    truncated, would: a hurdle model (Mullahy, 1986). When ``zero`` exceeds the base family's own mass the same
    distribution is the zero-inflated one (Lambert, 1992), and is called so.

    Attributes:
        base: A key of :data:`COUNT_FAMILIES`.
        values: Its parameters in scipy's order.
        start: The smallest count.
        zero: Probability of the smallest count, or None for the plain family.
    """

    base: str
    values: tuple[float, ...]
    start: float = 0.0
    zero: float | None = None

    @property
    @override
    def name(self) -> str:
        if self.zero is None:
            return self.base
        return ("zero-inflated " if self.zero >= self._base_zero else "hurdle ") + self.base

    @property
    @override
    def parameters(self) -> dict[str, float]:
        named = dict(zip(COUNT_FAMILIES[self.base][1], self.values, strict=True))
        if self.start:
            named["start"] = self.start
        return named if self.zero is None else named | {"p_zero": self.zero}

    @property
    @override
    def num_parameters(self) -> int:
        return len(self.values) - (self.base == "binomial") + (self.zero is not None)

    @override
    def cdf(self, x: Floats) -> Floats:
        if self.zero is None:
            return self._base("cdf", x)
        return np.where(x < self.start, 0.0, 1 - self.sf(x))

    @override
    def sf(self, x: Floats) -> Floats:
        base = self._base("sf", x)
        return base if self.zero is None else np.where(x < self.start, 1.0, self._beyond_zero * base)

    @override
    def ppf(self, u: Floats) -> Floats:
        if self.zero is None:
            return self._shifted("ppf", u)
        return self.isf(1 - u)

    @override
    def isf(self, s: Floats) -> Floats:
        if self.zero is None:
            return self._shifted("isf", s)
        beyond = np.clip(s / self._beyond_zero, 0, 1)
        return np.where(s >= 1 - self.zero, self.start, self._shifted("isf", beyond))

    @override
    def logpdf(self, x: Floats) -> Floats:
        base = self._base("logpmf", x)
        if self.zero is None:
            return base
        with np.errstate(divide="ignore"):
            return np.asarray(np.where(x == self.start, np.log(self.zero), np.log(self._beyond_zero) + base))

    @override
    def to_json(self) -> dict[str, Any]:
        content = {"type": "count", "base": self.base, "values": list(self.values), "start": self.start}
        return content | {"zero": self.zero}

    def _base(self, method: str, x: Floats) -> Floats:
        shift = self.start - (self.base == "geometric")  # scipy's geometric starts at 1
        return np.asarray(getattr(self._frozen, method)(x - shift), dtype=np.float64)

    def _shifted(self, method: str, u: Floats) -> Floats:
        shift = self.start - (self.base == "geometric")
        found = np.asarray(getattr(self._frozen, method)(u), dtype=np.float64) + shift
        return np.maximum(found, self.start)

    @cached_property
    def _frozen(self) -> Any:
        return COUNT_FAMILIES[self.base][0](*self.values)

    @cached_property
    def _base_zero(self) -> float:
        return float(np.exp(self._base("logpmf", np.array([self.start]))[0]))

    @property
    def _beyond_zero(self) -> float:
        return (1 - (self.zero or 0.0)) / max(1 - self._base_zero, np.finfo(float).tiny)


@dataclass(frozen=True)
class Lattice(Family):
    """The observed values and nothing between them: sums of a few contributions, or what no other family fits.

    Attributes:
        support: Strictly increasing values, shape ``[k]``.
        masses: Their probabilities, summing to one.
    """

    support: tuple[float, ...]
    masses: tuple[float, ...]

    @property
    @override
    def name(self) -> str:
        return "lattice"

    @property
    @override
    def parameters(self) -> dict[str, float]:
        return {"values": len(self.support)}

    @property
    @override
    def num_parameters(self) -> int:
        return len(self.support) - 1

    @override
    def cdf(self, x: Floats) -> Floats:
        return np.asarray(self._cumulative[np.searchsorted(self._support, x, side="right")])

    @override
    def sf(self, x: Floats) -> Floats:
        return 1 - self.cdf(x)

    @override
    def ppf(self, u: Floats) -> Floats:
        index = np.searchsorted(self._cumulative[1:], u, side="left")
        return np.asarray(self._support[np.minimum(index, len(self._support) - 1)])

    @override
    def isf(self, s: Floats) -> Floats:
        return self.ppf(1 - s)

    @override
    def logpdf(self, x: Floats) -> Floats:
        index = np.minimum(np.searchsorted(self._support, x), len(self._support) - 1)
        return np.where(self._support[index] == x, np.log(np.array(self.masses))[index], -np.inf)

    @override
    def edges(self, x: Floats, step: float) -> tuple[Floats, Floats, Floats, Floats]:
        """The jump at the support's value nearest to ``x``."""
        del step
        right = np.clip(np.searchsorted(self._support, x), 1, max(len(self._support) - 1, 1))
        right = np.minimum(right, len(self._support) - 1)
        left = np.maximum(right - 1, 0)
        nearest = np.where(x / 2 - self._support[left] / 2 < self._support[right] / 2 - x / 2, left, right)
        below, above = self._cumulative[nearest], self._cumulative[nearest + 1]
        return below, 1 - below, above, 1 - above

    @override
    def to_json(self) -> dict[str, Any]:
        return {"type": "lattice", "support": list(self.support), "masses": list(self.masses)}

    @cached_property
    def _support(self) -> Floats:
        return np.array(self.support)

    @cached_property
    def _cumulative(self) -> Floats:
        cumulative = np.concatenate([[0.0], np.cumsum(self.masses)])
        return np.asarray(cumulative / cumulative[-1])
