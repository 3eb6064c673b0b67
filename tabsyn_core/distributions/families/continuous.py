"""Continuous families: scipy's, and Gaussian mixtures."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats
from typing_extensions import override

from tabsyn_core.distributions.families.family import Family, Floats, Knots

SCIPY_FAMILIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "normal": (stats.norm, ("mean", "std")),
    "logistic": (stats.logistic, ("loc", "scale")),
    "gumbel": (stats.gumbel_r, ("loc", "scale")),
    "left gumbel": (stats.gumbel_l, ("loc", "scale")),
    "student-t": (stats.t, ("df", "loc", "scale")),
    "skew-normal": (stats.skewnorm, ("shape", "loc", "scale")),
    "log-normal": (stats.lognorm, ("sigma", "loc", "scale")),
    "gamma": (stats.gamma, ("a", "loc", "scale")),
    "weibull": (stats.weibull_min, ("c", "loc", "scale")),
    "exponential": (stats.expon, ("loc", "scale")),
    "beta": (stats.beta, ("a", "b", "loc", "scale")),
}
"""Name to (scipy distribution, parameter names in scipy's order)."""

_FROM_A_BOUND = ("log-normal", "gamma", "weibull", "exponential")  # their loc is a known bound, not a free parameter


class _Searched(Family):
    """A family whose quantiles are searched for between knots."""

    @property
    @abstractmethod
    def _reach(self) -> tuple[float, float]:
        """Where all of its mass lies that a float can tell from none."""

    @cached_property
    def _cdf_knots(self) -> Knots:
        return Knots.of(self.cdf, *self._reach)

    @cached_property
    def _sf_knots(self) -> Knots:
        return Knots.of(self.sf, *self._reach)


@dataclass(frozen=True)
class Parametric(_Searched):
    """A continuous family of ``scipy.stats``.

    Attributes:
        base: A key of :data:`SCIPY_FAMILIES`.
        values: Its parameters in scipy's order.
        reflected: Whether ``-x`` follows the family: it then leans on an upper bound.
    """

    base: str
    values: tuple[float, ...]
    reflected: bool = False

    @property
    @override
    def name(self) -> str:
        return ("reflected " if self.reflected else "") + self.base

    @cached_property
    def _frozen(self) -> Any:
        return SCIPY_FAMILIES[self.base][0](*self.values)

    @property
    @override
    def parameters(self) -> dict[str, float]:
        named = dict(zip(SCIPY_FAMILIES[self.base][1], self.values, strict=True))
        if self.base in _FROM_A_BOUND and named["loc"] == 0:
            del named["loc"]
        return named

    @property
    @override
    def num_parameters(self) -> int:
        known = {"beta": 2}.get(self.base, int(self.base in _FROM_A_BOUND))
        return len(self.values) - known

    @override
    def cdf(self, x: Floats) -> Floats:
        return np.asarray(self._frozen.sf(-x) if self.reflected else self._frozen.cdf(x), dtype=np.float64)

    @override
    def sf(self, x: Floats) -> Floats:
        return np.asarray(self._frozen.cdf(-x) if self.reflected else self._frozen.sf(x), dtype=np.float64)

    @override
    def ppf(self, u: Floats) -> Floats:
        if self.base == "skew-normal":  # scipy searches each root by itself, a hundred times slower
            return self._cdf_knots.solve(self.cdf, u)
        return np.asarray(-self._frozen.isf(u) if self.reflected else self._frozen.ppf(u), dtype=np.float64)

    @override
    def isf(self, s: Floats) -> Floats:
        if self.base == "skew-normal":
            return self._sf_knots.solve(self.sf, s)
        return np.asarray(-self._frozen.ppf(s) if self.reflected else self._frozen.isf(s), dtype=np.float64)

    @override
    def logpdf(self, x: Floats) -> Floats:
        return np.asarray(self._frozen.logpdf(-x if self.reflected else x), dtype=np.float64)

    @override
    def to_json(self) -> dict[str, Any]:
        return {"type": "parametric", "base": self.base, "values": list(self.values), "reflected": self.reflected}

    @property
    @override
    def _reach(self) -> tuple[float, float]:
        _, loc, scale = self.values
        return loc - 40 * scale, loc + 40 * scale


@dataclass(frozen=True)
class Mixture(_Searched):
    """A mixture of normals: weights, means and standard deviations, each of shape ``[components]``."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    @property
    @override
    def name(self) -> str:
        return "gaussian mixture"

    @property
    @override
    def parameters(self) -> dict[str, float]:
        named: dict[str, float] = {}
        for index, component in enumerate(zip(self.weights, self.means, self.stds, strict=True), start=1):
            named |= dict(zip((f"w{index}", f"mean{index}", f"std{index}"), component, strict=True))
        return named

    @property
    @override
    def num_parameters(self) -> int:
        return 3 * len(self.weights) - 1

    @override
    def cdf(self, x: Floats) -> Floats:
        return np.asarray(special.ndtr(self._standardised(x)) @ np.array(self.weights))

    @override
    def sf(self, x: Floats) -> Floats:
        return np.asarray(special.ndtr(-self._standardised(x)) @ np.array(self.weights))

    @override
    def ppf(self, u: Floats) -> Floats:
        return self._cdf_knots.solve(self.cdf, u)

    @override
    def isf(self, s: Floats) -> Floats:
        return self._sf_knots.solve(self.sf, s)

    @override
    def logpdf(self, x: Floats) -> Floats:
        scaled = np.array(self.weights) / np.array(self.stds) / np.sqrt(2 * np.pi)
        return np.asarray(special.logsumexp(-0.5 * self._standardised(x) ** 2, b=scaled, axis=1))

    @override
    def to_json(self) -> dict[str, Any]:
        return {
            "type": "mixture",
            "weights": list(self.weights),
            "means": list(self.means),
            "stds": list(self.stds),
        }

    def _standardised(self, x: Floats) -> Floats:
        return np.asarray((x[:, None] - np.array(self.means)) / np.array(self.stds))

    @property
    @override
    def _reach(self) -> tuple[float, float]:
        means, stds = np.array(self.means), np.array(self.stds)
        return float((means - 40 * stds).min()), float((means + 40 * stds).max())
