"""A column's body: a family inside the column's support, and the exact way to a normal score and back."""

import base64
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tabsyn_core.distributions.families import Family, Lattice, family_from_json
from tabsyn_core.distributions.grid import Grid

Floats = NDArray[np.float64]

MAX_SCORE = 8.0
"""Scores are clipped here: Phi(-8) = 6e-16 is the last digit of a double."""

SCORE_GAP = 4e-6
"""Observed values lie at least this far apart as scores, so that a score stored as float32 still finds its own."""

_MAX_OBSERVED_SCORE = 5.0
"""An observed value beyond, such as a sum that is 1e-17 instead of zero, would be an outlier to a network."""

_INSIDE = 1e-3  # a randomised score keeps this share of its jump from either edge, against rounding

_quiet = np.errstate(all="ignore")  # log(0) is -inf and a tail beyond the largest double is that double


@dataclass(frozen=True, eq=False)
class Body:
    """The part of a column that follows a family.

    Attributes:
        family: Its distribution, before the bounds cut it.
        lower: No value falls below; the family is truncated here.
        upper: No value exceeds; the family is truncated here.
        grid: What values lie on, those of ``observed`` but for rounding; None for values of any size.
        jumps: Whether each value is a jump of the cdf: its score is then drawn inside the jump (randomised
            probability integral transform, Dunn & Smyth, 1996). Otherwise a value has one score.
        exponent: The family describes ``values * 2 ** -exponent``; not 0 only for values too large or too small
            to be squared.
        observed: The distinct values at fit time, sorted, shape ``[k]``. A score within half of
            :data:`SCORE_GAP` of that of an observed value gives back that value, bit for bit. Empty for a body
            with jumps, which needs none.
    """

    family: Family
    lower: float | None
    upper: float | None
    grid: Grid | None
    jumps: bool
    exponent: int
    observed: Floats

    @_quiet
    def encode(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Normal scores in [-8, 8] of values of shape ``[n]``; values beyond the support count as its end."""
        x = self._inside(x)
        if not self.jumps:
            return self._exact(x, np.clip(self._smooth_scores(x), -MAX_SCORE, MAX_SCORE))
        u_below, s_below, u_above, s_above = self._jump(x)
        share = rng.uniform(_INSIDE, 1 - _INSIDE, x.shape)
        scores = _score(u_below + share * (u_above - u_below), s_below + share * (s_above - s_below))
        return np.clip(scores, -MAX_SCORE, MAX_SCORE)

    @_quiet
    def decode(self, score: Floats) -> Floats:
        """Values of shape ``[n]`` with these scores: inside the bounds, and on the grid if there is one."""
        score = np.clip(score, -MAX_SCORE, MAX_SCORE)
        x = np.ldexp(self._quantile(score), self.exponent)
        if self.grid is not None:
            x = self.grid.round(x)
        return self._snapped(score, self._inside(x))

    @_quiet
    def log_prob(self, x: Floats) -> Floats:
        """Log density of values of shape ``[n]`` (log mass with jumps); -inf outside the support."""
        y = np.ldexp(x, -self.exponent)
        if self.jumps and not isinstance(self.family, Lattice):
            u_below, s_below, u_above, s_above = self._jump(x)
            mass = np.where(u_below > 0.5, s_below - s_above, u_above - u_below)
            density = np.log(np.maximum(mass, 0))
        else:
            density = self.family.logpdf(y) - np.log(self.mass) - self.exponent * np.log(2)
        return np.where((x == self._inside(x)) & self._on_grid(x), density, -np.inf)

    @_quiet
    def cdf(self, x: Floats) -> Floats:
        """P(value <= x) inside the bounds, shape ``[n]``."""
        if self.jumps:
            return np.clip(self._jump(x)[2], 0, 1)
        return np.clip(self._uniform(np.ldexp(x, -self.exponent))[0], 0, 1)

    @property
    def mass(self) -> float:
        """What the bounds leave of the family's probability."""
        f_low, s_low, f_high, s_high = self._window
        return s_low - s_high if f_low > 0.5 else f_high - f_low

    @_quiet
    def is_exact(self, x: Floats) -> bool:
        """Whether ``x`` are all possible and come back from their scores, and every score gives a number."""
        finite = np.all(np.isfinite(self.decode(np.linspace(-MAX_SCORE, MAX_SCORE, 33))))
        if not (finite and np.all(np.isfinite(self.log_prob(x)))):
            return False
        if self.jumps:
            return self._tells_apart(x)
        return np.array_equal(self.decode(self.encode(x, np.random.default_rng(0))), x)

    def describe(self) -> str:
        """The family with its parameters, and what cuts or rounds it."""
        cut = 1 - self.mass
        truncated = f"truncated ({100 * cut:.1f} % cut) " if cut > 1e-3 else ""
        scaled = f" x 2^{self.exponent}" if self.exponent else ""
        return truncated + self.family.describe() + scaled

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; ``observed`` is base64 of little-endian float64, since it can be long."""
        return {
            "family": self.family.to_json(),
            "lower": self.lower,
            "upper": self.upper,
            "grid": self.grid and asdict(self.grid),
            "jumps": self.jumps,
            "exponent": self.exponent,
            "observed": base64.b64encode(self.observed.astype("<f8").tobytes()).decode("ascii"),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Body":
        """The inverse of :meth:`to_json`; older versions wrote ``decimals`` in place of the grid."""
        observed = np.frombuffer(base64.b64decode(content["observed"]), dtype="<f8").astype(np.float64)
        decimals, written = content.get("decimals"), content.get("grid")
        grid = Grid(**written) if written else None if decimals is None else Grid(decimals)
        rest = {name: content[name] for name in ("lower", "upper", "jumps", "exponent")}
        return cls(family_from_json(content["family"]), grid=grid, observed=observed, **rest)

    def _tells_apart(self, x: Floats) -> bool:
        """Whether each of the jumps at ``x`` is wide enough to be found again from a rounded score."""
        u_below, s_below, u_above, s_above = self._jump(x)
        low, high = _score(u_below, s_below), _score(u_above, s_above)
        inside = (low < MAX_SCORE) & (high > -MAX_SCORE)
        width = np.clip(high, -MAX_SCORE, MAX_SCORE) - np.clip(low, -MAX_SCORE, MAX_SCORE)
        return bool(np.all(inside & (width * _INSIDE > 1e-6)))

    def _inside(self, x: Floats) -> Floats:
        largest = np.finfo(np.float64).max
        lower = -largest if self.lower is None else self.lower
        upper = largest if self.upper is None else self.upper
        return np.clip(x, lower, upper) + 0.0  # + 0.0 turns -0.0 into 0.0

    def _on_grid(self, x: Floats) -> NDArray[np.bool_]:
        return (
            np.ones(x.shape, dtype=bool) if self.grid is None else (self.grid.round(x) == x) | np.isin(x, self.observed)
        )

    @property
    def _step(self) -> float:
        return 0.0 if self.grid is None or not self.jumps else self.grid.step

    @cached_property
    def _window(self) -> tuple[float, float, float, float]:
        """The family's cdf and sf at the lower and at the upper bound."""
        f_low, s_low, f_high, s_high = 0.0, 1.0, 1.0, 0.0
        if isinstance(self.family, Lattice):
            return f_low, s_low, f_high, s_high
        if self.lower is not None:
            at = np.array([np.ldexp(self.lower, -self.exponent) - self._step / 2])
            f_low, s_low = float(self.family.cdf(at)[0]), float(self.family.sf(at)[0])
        if self.upper is not None:
            at = np.array([np.ldexp(self.upper, -self.exponent) + self._step / 2])
            f_high, s_high = float(self.family.cdf(at)[0]), float(self.family.sf(at)[0])
        return f_low, s_low, f_high, s_high

    def _within(self, f: Floats, s: Floats) -> tuple[Floats, Floats]:
        f_low, _, _, s_high = self._window
        return (f - f_low) / self.mass, (s - s_high) / self.mass

    def _uniform(self, y: Floats) -> tuple[Floats, Floats]:
        return self._within(self.family.cdf(y), self.family.sf(y))

    def _jump(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        below_f, below_s, above_f, above_s = self.family.edges(np.ldexp(x, -self.exponent), self._step)
        return *self._within(below_f, below_s), *self._within(above_f, above_s)

    def _quantile(self, score: Floats) -> Floats:
        """The family's quantile at each score, from the nearer tail, where probabilities are exact."""
        f_low, _, _, s_high = self._window
        low = score <= 0
        y = np.empty(score.shape)
        y[low] = self.family.ppf(np.clip(f_low + special.ndtr(score[low]) * self.mass, 0, 1))
        y[~low] = self.family.isf(np.clip(s_high + special.ndtr(-score[~low]) * self.mass, 0, 1))
        return y

    def _smooth_scores(self, x: Floats) -> Floats:
        return _score(*self._uniform(np.ldexp(x, -self.exponent)))

    @cached_property
    def _observed_scores(self) -> Floats:
        """Scores of the observed values, moved apart where the family can hardly tell them apart."""
        scores = np.clip(self._smooth_scores(self.observed), -_MAX_OBSERVED_SCORE, _MAX_OBSERVED_SCORE)
        ladder = SCORE_GAP * np.arange(len(scores))
        return np.asarray(np.maximum.accumulate(scores - ladder) + ladder)

    def _exact(self, x: Floats, scores: Floats) -> Floats:
        if not self.observed.size:
            return scores
        index = np.minimum(np.searchsorted(self.observed, x), len(self.observed) - 1)
        return np.where(self.observed[index] == x, self._observed_scores[index], scores)

    def _snapped(self, score: Floats, x: Floats) -> Floats:
        if not self.observed.size:
            return x
        index = _nearest(self._observed_scores, score)
        close = np.abs(self._observed_scores[index] - score) < SCORE_GAP / 2
        return np.where(close, self.observed[index], x)


def _score(u: Floats, s: Floats) -> Floats:
    """Phi^-1(u), from whichever of u and s = 1 - u is the smaller and so the more exact."""
    return np.where(u <= s, special.ndtri(np.clip(u, 0, 1)), -special.ndtri(np.clip(s, 0, 1)))


def _nearest(grid: Floats, x: Floats) -> NDArray[np.int64]:
    """The index of the value of the sorted ``grid`` nearest to each x."""
    right = np.clip(np.searchsorted(grid, x), 1, max(len(grid) - 1, 1))
    right = np.minimum(right, len(grid) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(x - grid[left] <= grid[right] - x, left, right).astype(np.int64)
