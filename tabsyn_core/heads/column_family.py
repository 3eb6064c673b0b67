"""What a head must know about one column: the form and the coordinate that its family takes."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tabsyn_core.codec import Codec, ColumnLayout
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.families import Mixture, Parametric

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Kind = Literal[
    "none", "score", "discrete", "normal", "logistic", "gumbel", "left gumbel", "student-t", "gamma", "beta", "mixture"
]

REACH = 8.0
STEP = 0.05
KNOTS: Floats = np.arange(-160, 161, dtype=np.float64) * STEP
"""Ranks and normal scores at which the tables are taken."""

_OUTERMOST = 5.0 + STEP / 2  # normal score at which :mod:`tabsyn_core.distributions.body` holds an outlier
_CUT = 1e-3  # a family whose bounds cut more of it away has no closed form left
_CENTRE = np.abs(KNOTS) <= 4  # here a coordinate must tell scores apart


@dataclass(frozen=True)
class Coordinate:
    """y = power · link((sign · x − shift) / unit): where a family takes its standard form.

    Attributes:
        link: ``"identity"``, ``"log"`` or ``"logit"``.
        sign: −1 for a family that leans on an upper bound.
        shift: In units of x.
        unit: In units of x.
        power: Multiplies the link.
    """

    link: Literal["identity", "log", "logit"] = "identity"
    sign: float = 1.0
    shift: float = 0.0
    unit: float = 1.0
    power: float = 1.0

    def forward(self, x: Floats) -> Floats:
        """Map values (n,) to coordinates (n,), finite also at and beyond the family's bounds."""
        t = (self.sign * x - self.shift) / self.unit
        if self.link == "log":
            t = np.log(np.maximum(t, np.finfo(np.float64).tiny))
        elif self.link == "logit":
            t = special.logit(np.clip(t, np.finfo(np.float64).tiny, 1 - 2.0**-53))
        return np.asarray(self.power * t)

    def invert(self, y: Floats) -> Floats:
        """Map coordinates (n,) to values (n,)."""
        t = y / self.power
        if self.link == "log":
            t = np.exp(t)
        elif self.link == "logit":
            t = special.expit(t)
        return np.asarray(self.sign * (self.shift + self.unit * t))


@dataclass(frozen=True, eq=False)
class ColumnFamily:
    """What a head must know about one column.

    A body is written in the coordinate in which its family has a standard form: a log-normal is normal in its
    logarithm, a Weibull a left Gumbel in its logarithm, a gamma and a beta keep their own form. ``"discrete"`` bodies
    (counts, lattices, grids) are masses between the normal scores of their own cdf. ``"score"`` bodies are Gaussian on
    the normal score of their own cdf: smoothed empirical ones, which are nothing but their cdf; skew-normal ones; and
    families cut by bounds, where only the cdf keeps the bound.

    Attributes:
        distribution: The fitted column.
        layout: Where its states lie.
        kind: The body's head.
        coordinate: From values to the body's coordinate, before the body's power of two.
        parameters: Of the standard form: degrees of freedom; shape(s); or weights, means and standard deviations.
    """

    distribution: ColumnDistribution
    layout: ColumnLayout
    kind: Kind
    coordinate: Coordinate
    parameters: tuple[float, ...] = ()

    @classmethod
    def of(cls, distribution: ColumnDistribution, layout: ColumnLayout) -> "ColumnFamily":
        """Choose the head of a fitted column."""
        body = distribution.body
        if body is None:
            return cls(distribution, layout, "none", Coordinate())
        found = cls(distribution, layout, *_head(body))
        steps = np.diff(found.place[_CENTRE])
        usable = np.all(np.isfinite(found.place)) and (np.all(steps > 0) or np.all(steps < 0))
        return found if usable else cls(distribution, layout, "score", Coordinate())

    def measured(self, x: Floats, scores: Floats) -> Floats:
        """Coordinates (n,) of body values, which are their normal scores where the head works on those."""
        if self.kind in ("score", "discrete"):
            return scores
        low, high = sorted(self.place[np.abs(KNOTS) <= _OUTERMOST][[0, -1]])
        return np.clip(self.coordinate.forward(np.ldexp(x, -self._body.exponent)), low, high)

    def scores(self, y: Floats) -> Floats:
        """The inverse of :meth:`measured`, as normal scores (n,)."""
        if self.kind in ("score", "discrete"):
            return y
        u = self._body.cdf(np.ldexp(self.coordinate.invert(y), self._body.exponent))
        return np.clip(special.ndtri(u), -REACH, REACH)

    @cached_property
    def score(self) -> Floats:
        """The body's normal score at each rank of the column, shape (knots,)."""
        if self.kind == "none":
            return KNOTS
        return self.layout.scores(np.asarray(special.ndtr(KNOTS))) if len(self.layout.low) > 1 else KNOTS

    @cached_property
    def place(self) -> Floats:
        """The coordinate of the body's value at each normal score, shape (knots,)."""
        if self.kind in ("none", "score", "discrete"):
            return KNOTS
        family, below = self._body.family, KNOTS <= 0
        with np.errstate(all="ignore"):
            x = np.where(below, family.ppf(special.ndtr(KNOTS)), family.isf(special.ndtr(-KNOTS)))
            return self.coordinate.forward(x)

    @property
    def _body(self) -> Body:
        if self.distribution.body is None:
            raise ValueError(f"column {self.distribution.name!r} has no body")
        return self.distribution.body


def families_of(codec: Codec) -> list[ColumnFamily]:
    """The heads of the columns that the network sees, in their order."""
    return [ColumnFamily.of(codec.distributions[name], layout) for name, layout in codec.layouts.items()]


_Head = tuple[Kind, Coordinate, tuple[float, ...]]


def _head(body: Body) -> _Head:
    if body.jumps:
        return "discrete", Coordinate(), ()
    if body.mass >= 1 - _CUT and isinstance(body.family, Mixture):
        return _mixture(body.family)
    if body.mass >= 1 - _CUT and isinstance(body.family, Parametric) and body.family.base != "skew-normal":
        return _parametric(body.family)
    return "score", Coordinate(), ()


def _mixture(family: Mixture) -> _Head:
    weights, means, stds = (np.array(part) for part in (family.weights, family.means, family.stds))
    centre = float(weights @ means)
    unit = float(np.sqrt(weights @ (stds**2 + (means - centre) ** 2)))
    parameters = (*family.weights, *((means - centre) / unit).tolist(), *(stds / unit).tolist())
    return "mixture", Coordinate(shift=centre, unit=unit), parameters


def _parametric(family: Parametric) -> _Head:
    *shapes, loc, scale = family.values
    at = partial(Coordinate, sign=-1.0 if family.reflected else 1.0, shift=loc, unit=scale)
    heads: dict[str, _Head] = {
        "normal": ("normal", at(), ()),
        "logistic": ("logistic", at(), ()),
        "gumbel": ("gumbel", at(), ()),
        "left gumbel": ("left gumbel", at(), ()),
        "student-t": ("student-t", at(), tuple(shapes)),
        "log-normal": ("normal", at(link="log", power=1 / (shapes or [1.0])[0]), ()),
        "weibull": ("left gumbel", at(link="log", power=(shapes or [1.0])[0]), ()),
        "exponential": ("left gumbel", at(link="log"), ()),
        "gamma": ("gamma", at(link="log"), tuple(shapes)),
        "beta": ("beta", at(link="logit"), tuple(shapes)),
    }
    return heads[family.base]
