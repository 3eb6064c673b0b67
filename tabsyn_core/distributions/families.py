"""The families a column's body may follow: one interface over scipy's, a mixture, counts and smoothed data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from typing_extensions import override

Floats = NDArray[np.float64]

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


@dataclass(frozen=True)
class Parametric(Family):
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
            return _invert(self.cdf, u, *self._reach, rising=True)
        return np.asarray(-self._frozen.isf(u) if self.reflected else self._frozen.ppf(u), dtype=np.float64)

    @override
    def isf(self, s: Floats) -> Floats:
        if self.base == "skew-normal":
            return _invert(self.sf, s, *self._reach, rising=False)
        return np.asarray(-self._frozen.ppf(s) if self.reflected else self._frozen.isf(s), dtype=np.float64)

    @override
    def logpdf(self, x: Floats) -> Floats:
        return np.asarray(self._frozen.logpdf(-x if self.reflected else x), dtype=np.float64)

    @override
    def to_json(self) -> dict[str, Any]:
        return {"type": "parametric", "base": self.base, "values": list(self.values), "reflected": self.reflected}

    @property
    def _reach(self) -> tuple[float, float]:
        _, loc, scale = self.values
        return loc - 40 * scale, loc + 40 * scale


@dataclass(frozen=True)
class Mixture(Family):
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
        return _invert(self.cdf, u, *self._reach, rising=True)

    @override
    def isf(self, s: Floats) -> Floats:
        return _invert(self.sf, s, *self._reach, rising=False)

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
    def _reach(self) -> tuple[float, float]:
        means, stds = np.array(self.means), np.array(self.stds)
        return float((means - 40 * stds).min()), float((means + 40 * stds).max())


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


def family_from_json(content: dict[str, Any]) -> Family:
    """Build a family from what its ``to_json`` wrote."""
    match content["type"]:
        case "parametric":
            return Parametric(content["base"], tuple(content["values"]), content["reflected"])
        case "mixture":
            return Mixture(tuple(content["weights"]), tuple(content["means"]), tuple(content["stds"]))
        case "empirical":
            lower, upper = (Tail(*tail) for tail in content["tails"])
            return Empirical(tuple(content["knots"]), tuple(content["levels"]), lower, upper)
        case "count":
            return Count(content["base"], tuple(content["values"]), content["start"], content["zero"])
        case "quantiles":
            return Quantiles(tuple(content["knots"]), tuple(content["levels"]))
        case _:
            return Lattice(tuple(content["support"]), tuple(content["masses"]))


def _invert(function: Any, target: Floats, low: float, high: float, *, rising: bool) -> Floats:
    """Solve ``function(x) = target`` for a monotone function by bisection, all targets at once."""
    lows, highs = np.full(target.shape, low), np.full(target.shape, high)
    for _ in range(_BISECTIONS):
        middle = lows + (highs - lows) / 2
        if np.all((middle == lows) | (middle == highs)):
            break
        values = function(middle)
        too_low = values < target if rising else values > target
        lows, highs = np.where(too_low, middle, lows), np.where(too_low, highs, middle)
    return highs
