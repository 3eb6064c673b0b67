"""Decoder heads that are likelihoods of each column's own family.

The decoder reads the latent of a column as a noisy sight of its rank, and the head is the column's fitted distribution
after that sight. With r̂ the decoded rank and s² the share of the column that the latent leaves untold, the rank given
the latent is N((1 − s²) r̂, s²): the column's own distribution at s = 1 whatever the latent says, the identity as s → 0.
A state (atom, level, body) has the mass this leaves on its interval; the body follows its own family, with its median
(or mean) where the family has the rank, and a spread that is the family's own times s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, nn
from torch.nn import functional

from tabsyn_core.codec import Codec, ColumnLayout, Encoded
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.families import Mixture, Parametric
from tabsyn_core.networks import StateHeads

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Kind = Literal[
    "none", "score", "discrete", "normal", "logistic", "gumbel", "left gumbel", "student-t", "gamma", "beta", "mixture"
]

_REACH = 8.0
_STEP = 0.05
_KNOTS: Floats = np.arange(-160, 161, dtype=np.float64) * _STEP  # ranks and normal scores at which the tables are taken

_START_LOGIT = -6.0
"""s starts at e⁻³, as the posterior's standard deviation does."""

_LEAST_SHARE = np.exp(-8.0)
"""A rank is known to about e⁻⁴ of a standard deviation; sharper heads would only fit the rounding."""

_OUTERMOST = 5.0 + _STEP / 2  # normal score at which :mod:`tabsyn_core.distributions.body` holds an outlier
_CUT = 1e-3  # a family whose bounds cut more of it away has no closed form left
_INSIDE = 1e-3  # a redrawn value keeps this share of its interval from either edge, against rounding
_CENTRE = np.abs(_KNOTS) <= 4  # here a coordinate must tell scores apart


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
        low, high = sorted(self.place[np.abs(_KNOTS) <= _OUTERMOST][[0, -1]])
        return np.clip(self.coordinate.forward(np.ldexp(x, -self._body.exponent)), low, high)

    def scores(self, y: Floats) -> Floats:
        """The inverse of :meth:`measured`, as normal scores (n,)."""
        if self.kind in ("score", "discrete"):
            return y
        u = self._body.cdf(np.ldexp(self.coordinate.invert(y), self._body.exponent))
        return np.clip(special.ndtri(u), -_REACH, _REACH)

    @cached_property
    def score(self) -> Floats:
        """The body's normal score at each rank of the column, shape (knots,)."""
        if self.kind == "none":
            return _KNOTS
        return self.layout.scores(np.asarray(special.ndtr(_KNOTS))) if len(self.layout.low) > 1 else _KNOTS

    @cached_property
    def place(self) -> Floats:
        """The coordinate of the body's value at each normal score, shape (knots,)."""
        if self.kind in ("none", "score", "discrete"):
            return _KNOTS
        family, below = self._body.family, _KNOTS <= 0
        with np.errstate(all="ignore"):
            x = np.where(below, family.ppf(special.ndtr(_KNOTS)), family.isf(special.ndtr(-_KNOTS)))
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


@dataclass(frozen=True)
class Measured:
    """Rows as states, intervals of ranks and intervals of coordinates; every tensor has shape (rows, columns).

    A value on a grid stands for everything within half a unit of it, a count or lattice value for its jump of the cdf;
    any other is itself. Rows are redrawn within these intervals at every visit.

    Attributes:
        encoded: States, and ranks with the body's intervals.
        low: One end of each body value's coordinate.
        high: The other.
        discrete: Of each column, whether its body is one of masses: then both ends are what a head needs.
    """

    encoded: Encoded
    low: Tensor
    high: Tensor
    discrete: Tensor

    @classmethod
    def of(cls, table: pl.DataFrame, codec: Codec, encoded: Encoded, families: Sequence[ColumnFamily]) -> "Measured":
        """Measure what ``codec.encode(table, ...)`` encoded."""
        low_u, high_u = encoded.low.numpy().copy(), encoded.high.numpy().copy()
        low, high = np.zeros(low_u.shape), np.zeros(low_u.shape)
        for j, (name, family) in enumerate(zip(codec.columns, families, strict=True)):
            body = family.distribution.body
            states = encoded.states[:, j].numpy()
            rows = np.flatnonzero(states == len(family.distribution.atoms)) if body is not None else np.empty(0, int)
            if body is None or not rows.size:
                continue
            ends = table[name].cast(pl.Float64).to_numpy()[rows] + np.zeros((2, 1))
            scores = _ends(body, ends)
            low[rows, j], high[rows, j] = (family.measured(*end) for end in zip(ends, scores, strict=True))
            inside = scores + np.array([[_INSIDE], [-_INSIDE]]) * (scores[1] - scores[0])
            low_u[rows, j], high_u[rows, j] = (family.layout.intervals(states[rows], s)[0] for s in inside)
        discrete = torch.tensor([family.kind == "discrete" for family in families])
        widened = Encoded(encoded.states, torch.from_numpy(low_u), torch.from_numpy(high_u))
        return cls(widened, torch.from_numpy(low).float(), torch.from_numpy(high).float(), discrete)

    def __len__(self) -> int:
        return len(self.low)

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """States and ranks of some rows, each (len(rows), columns), and both ends of their coordinates, (2, ...)."""
        states, ranks = self.encoded.batch(rows, generator)
        ends = torch.stack([self.low[rows], self.high[rows]])
        drawn = ends[0] + (ends[1] - ends[0]) * torch.rand(ends[0].shape, generator=generator)
        return states, ranks, torch.where(self.discrete, ends, drawn)


def _ends(body: Body, ends: Floats) -> Floats:
    """Move both ends (2, n) of body values to half a unit away; return their normal scores, (2, n)."""
    if body.jumps:
        above = body.cdf(ends[1])
        below = above - np.exp(body.log_prob(ends[1]))
        return np.asarray(np.clip(special.ndtri(np.clip([below, above], 0, 1)), -_REACH, _REACH))
    if body.grid is not None:
        ends += 0.5 * body.grid.step * np.array([[-1.0], [1.0]])
    rng = np.random.default_rng(0)  # draws nothing: only jumps are drawn within
    return np.stack([body.encode(end, rng) for end in ends])


@dataclass(frozen=True)
class Sight:
    """What the decoder says about a batch of rows; tensors of shape (batch, columns).

    Attributes:
        logits: Of the states by group: the group's columns, and (columns, batch, states).
        seen: The body's normal score at the decoded rank.
        untold: s² of the body, between 0 and 1: what the latent leaves untold of its normal score.
        leaning: What is added to the log weights of the mixtures' components, (mixtures, batch, components).
    """

    logits: list[tuple[list[int], Tensor]]
    seen: Tensor
    untold: Tensor
    leaning: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean of the body's normal score, shape (batch, columns)."""
        return (1 - self.untold) * self.seen


class FamilyHeads(nn.Module):
    """p(x | z) of every column in its own family; columns of one family share a few kernels.

    Args:
        families: The columns.
        width: Size of a token.
        start_logit: Logit of s² before training.
    """

    def __init__(self, families: Sequence[ColumnFamily], width: int, start_logit: float = _START_LOGIT) -> None:
        super().__init__()
        self.families = list(families)
        bounds = [family.layout.bounds() for family in families]
        low, high = [low for low, _ in bounds], [high for _, high in bounds]
        self.states = StateHeads(low, high, width, kernel="normal")
        self.logit = nn.Parameter(torch.full((len(families),), start_logit))
        self.logit_weight = nn.Parameter(torch.zeros(len(families), width))
        place = np.stack([family.place for family in families])
        slope = np.log(np.maximum(np.abs(np.gradient(place, _STEP, axis=1)), 1e-6))
        for name, table in (("score", np.stack([family.score for family in families])), ("place", place)):
            self.register_buffer(f"{name}_table", torch.from_numpy(table).float(), persistent=False)
        last = [len(family.distribution.atoms) if family.kind != "none" else -1 for family in families]
        self.register_buffer("body_state", torch.tensor(last), persistent=False)
        mass = torch.tensor([max(family.layout.body_mass, 1e-6) for family in families])
        self.register_buffer("log_square_mass", 2 * mass.log(), persistent=False)
        self.register_buffer("slope_table", torch.from_numpy(slope).float(), persistent=False)
        kinds = sorted({family.kind for family in families} - {"none"})
        self.groups = {kind: [j for j, f in enumerate(families) if f.kind == kind] for kind in kinds}
        for kind, columns in self.groups.items():
            constants = _constants(kind, [families[j] for j in columns])
            self.register_buffer(f"constants_{kind.replace('-', ' ')}", constants, persistent=False)
        components = self._constants("mixture").shape[-1] if "mixture" in self.groups else 0
        self.mixture_weight = nn.Parameter(torch.zeros(len(self.groups.get("mixture", [])), width, components))

    def forward(self, tokens: Tensor, ranks: Tensor) -> Sight:
        """Read tokens (batch, columns, width) and decoded ranks (batch, columns)."""
        tokens, ranks = tokens.float(), ranks.float()
        logit = self.logit + (tokens * self.logit_weight).sum(-1)
        untold = _LEAST_SHARE + (1 - _LEAST_SHARE) * logit.sigmoid()
        logits = self.states(tokens, (1 - untold) * ranks, untold.sqrt())
        seen = _interpolate(self.get_buffer("score_table"), ranks, range(len(self.families)))
        # Between atoms a body is squeezed on the axis of ranks: d score / d rank = φ(rank) / (body mass · φ(score)).
        squeezed = (seen**2 - ranks**2 - self.get_buffer("log_square_mass")).clamp(-_OVERFLOW, _OVERFLOW).exp()
        untold = untold * squeezed / (untold * squeezed + 1 - untold)
        mixtures = tokens[:, self.groups.get("mixture", [])].transpose(0, 1)
        return Sight(logits, seen, untold, torch.bmm(mixtures, self.mixture_weight))

    def log_prob(self, sight: Sight, states: Tensor, ends: Tensor) -> Tensor:
        """Log p(x | z) of each value, shape (batch, columns).

        A state has a mass. A body value has a density a unit of its coordinate, whose Jacobian no weight changes.

        Args:
            sight: What the decoder said.
            states: Of shape (batch, columns).
            ends: Coordinates, shape (2, batch, columns); see :class:`Measured`.
        """
        found = _by_column(
            [
                (columns, group.log_softmax(-1).gather(-1, states[:, columns].t()[..., None])[..., 0].t())
                for columns, group in sight.logits
            ],
            torch.zeros_like(sight.seen),
        )
        inside = [(columns, self._body(kind, sight, ends)) for kind, columns in self.groups.items()]
        body = _by_column(inside, torch.zeros_like(sight.seen))
        return found + torch.where(states == self.get_buffer("body_state"), body, 0.0)

    def _constants(self, kind: Kind) -> Tensor:
        return self.get_buffer(f"constants_{kind.replace('-', ' ')}")

    def _body(self, kind: Kind, sight: Sight, ends: Tensor) -> Tensor:
        """Log densities of one kind of body, (batch, columns of the kind)."""
        columns = self.groups[kind]
        y, constants = ends[:, :, columns], self._constants(kind)
        mean, untold = sight.mean[:, columns], sight.untold[:, columns]
        if kind == "discrete":
            return _interval(y.double(), mean.double(), untold.double().sqrt()).float()
        if kind == "mixture":
            log_weight, centre, variance = self._components(sight)
            inner = _standard("normal", (y[0][..., None] - centre) / variance.sqrt(), constants)
            return (log_weight + inner - 0.5 * variance.log()).logsumexp(-1)
        place, spread = self._placed(columns, mean, untold)
        if kind in ("gamma", "beta"):
            density = _gamma if kind == "gamma" else _beta
            return density(y[0].double(), place.double(), spread.double(), constants).float()
        return _standard(kind, (y[0] - place) / spread + constants[0], constants) - spread.log()

    def _placed(self, columns: Sequence[int], mean: Tensor, untold: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinate at the mean score, and the spread there as a multiple of the family's own."""
        place = _interpolate(self.get_buffer("place_table"), mean, columns)
        slopes = self.get_buffer("slope_table")
        relative = _interpolate(slopes, mean, columns) - slopes[columns, len(_KNOTS) // 2]
        return place, untold.sqrt() * ((1 - untold) * relative.clamp(-8, 8).exp() + untold)

    def _components(self, sight: Sight) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights, means and variances of the mixtures after one Gaussian sight of the value: conjugate in each.

        Returns:
            Each of shape (batch, mixtures, components).
        """
        columns = self.groups["mixture"]
        seen, untold = sight.seen[:, columns], sight.untold[:, columns]
        place = _interpolate(self.get_buffer("place_table"), seen, columns)[..., None]
        slope = _interpolate(self.get_buffer("slope_table"), seen, columns).clamp(-8, 8).exp()
        precision = ((1 - untold) / (untold * slope**2))[..., None]
        log_weight, mean, variance = self._constants("mixture")
        told = 1 + precision * variance
        log_weight = log_weight - 0.5 * told.log() - 0.5 * precision * (place - mean) ** 2 / told
        log_weight = (log_weight + sight.leaning.transpose(0, 1)).log_softmax(-1)
        return log_weight, (mean + precision * variance * place) / told, variance / told

    @torch.no_grad()
    def realise(self, sight: Sight, rng: np.random.Generator | None) -> tuple[Integers, Floats]:
        """States and ranks, each (batch, columns): the likeliest, or a draw.

        Args:
            sight: What the decoder said.
            rng: Draws from p(x | z); None takes the likeliest state, and the body where the decoded rank has it.
        """
        states = choose_states(sight.logits, (len(sight.seen), sight.seen.shape[1]), rng)
        scores = sight.seen.double().cpu().numpy()
        if rng is not None:
            mean, spread = sight.mean.double().cpu().numpy(), sight.untold.double().sqrt().cpu().numpy()
            scores = mean + spread * rng.standard_normal(mean.shape)
            for kind in self.groups:
                if kind not in ("discrete", "score"):
                    self._redraw(kind, sight, scores, rng)
        ranks = np.zeros(scores.shape)
        for j, family in enumerate(self.families):
            low, high = family.layout.intervals(states[:, j], np.clip(scores[:, j], -_REACH, _REACH))
            ranks[:, j] = special.ndtri((low + high) / 2)
        return states, np.clip(ranks, -_REACH, _REACH)

    def _redraw(self, kind: Kind, sight: Sight, scores: Floats, rng: np.random.Generator) -> None:
        """Replace the scores of one kind's columns by a draw from its family."""
        columns = self.groups[kind]
        if kind == "mixture":
            log_weight, centre, variance = (part.double().cpu().numpy() for part in self._components(sight))
            chosen = (log_weight + rng.gumbel(size=log_weight.shape)).argmax(-1)[..., None]
            centre, variance = (np.take_along_axis(part, chosen, -1)[..., 0] for part in (centre, variance))
            y = centre + np.sqrt(variance) * rng.standard_normal(centre.shape)
        else:
            placed = self._placed(columns, sight.mean[:, columns], sight.untold[:, columns])
            place, spread = (part.double().cpu().numpy() for part in placed)
            y = _draw(kind, place, spread, self._constants(kind).double().cpu().numpy(), rng)
        for k, j in enumerate(columns):
            scores[:, j] = self.families[j].scores(y[:, k])


def choose_states(
    logits: Sequence[tuple[list[int], Tensor]], shape: tuple[int, int], rng: np.random.Generator | None
) -> Integers:
    """The likeliest state of each value, or a draw; shape (batch, columns), 0 where a column has one state."""
    states = np.zeros(shape, dtype=np.int64)
    for columns, group in logits:
        scores = group.double().cpu().numpy()
        noise = 0.0 if rng is None else rng.gumbel(size=scores.shape)
        states[:, columns] = (scores + noise).argmax(-1).T
    return states


def _by_column(pieces: Sequence[tuple[Sequence[int], Tensor]], otherwise: Tensor) -> Tensor:
    """Put pieces (batch, some columns) in the order of the columns; those of no piece come from ``otherwise``."""
    known = [j for columns, _ in pieces for j in columns]
    rest = sorted(set(range(otherwise.shape[1])) - set(known))
    return torch.cat([*(values for _, values in pieces), otherwise[:, rest]], dim=1)[:, np.argsort([*known, *rest])]


def _interpolate(table: Tensor, at: Tensor, columns: Sequence[int]) -> Tensor:
    """Read tables (all columns, knots) at ranks or scores (batch, columns), linearly, also beyond the last knot."""
    position = (at + _REACH) / _STEP
    below = position.detach().long().clamp(0, len(_KNOTS) - 2)
    rows = torch.tensor(columns, device=table.device)
    left, right = table[rows, below], table[rows, below + 1]
    return left + (position - below) * (right - left)


def _constants(kind: Kind, families: Sequence[ColumnFamily]) -> Tensor:
    """What the densities of one kind need of each column: its median, or how far the mean lies from it, and shapes."""
    parameters = [np.array(family.parameters) for family in families]
    if kind == "mixture":
        return _padded_components(parameters)
    middle = np.array([family.place[len(_KNOTS) // 2] for family in families])
    shapes = np.array(parameters).T.reshape(-1, len(families))
    if kind == "gamma":
        middle = np.log(shapes[0]) - middle
    elif kind == "beta":
        middle = special.logit(shapes[0] / shapes.sum(0)) - middle
    return torch.from_numpy(np.vstack([middle, shapes])).float()


def _padded_components(parameters: Sequence[Floats]) -> Tensor:
    """Log weights, means and variances, (3, mixtures, components); a component that is not there weighs nothing."""
    most = max(len(own) // 3 for own in parameters)
    table = np.tile(np.array([_NOTHING, 0.0, 1.0])[:, None, None], (1, len(parameters), most))
    for row, own in enumerate(parameters):
        weights, means, stds = own.reshape(3, -1)
        table[:, row, : len(weights)] = np.log(np.maximum(weights, 1e-12)), means, stds**2
    return torch.from_numpy(table).float()


_NOTHING = -1e4  # a log weight; finite, so that no gradient is NaN


def _standard(kind: Kind, w: Tensor, constants: Tensor) -> Tensor:
    """Log density of a family's standard form at w, shape (batch, columns)."""
    match kind:
        case "logistic":
            return functional.logsigmoid(w) + functional.logsigmoid(-w)
        case "gumbel":
            return -w - (-w).clamp(max=_OVERFLOW).exp()
        case "left gumbel":
            return w - w.clamp(max=_OVERFLOW).exp()
        case "student-t":
            df = constants[1]
            log_norm = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
            log_density: Tensor = log_norm - (df + 1) / 2 * torch.log1p(w**2 / df)
            return log_density
        case _:
            log_normal: Tensor = -(w**2) / 2 - math.log(2 * math.pi) / 2
            return log_normal


_OVERFLOW = 20.0  # nothing is so far from its median; exp stays finite


def _gamma(y: Tensor, place: Tensor, spread: Tensor, constants: Tensor) -> Tensor:
    """Log density of the logarithm of a gamma variable by log mean and shape, which is the inverse of the spread²."""
    shape = constants[1] / spread**2
    d = (y - place - constants[0] * spread**2).clamp(max=_OVERFLOW)
    return shape * (1 + d - d.exp()) + shape * shape.log() - shape - torch.lgamma(shape)


def _beta(y: Tensor, place: Tensor, spread: Tensor, constants: Tensor) -> Tensor:
    """Log density of the logit of a beta variable by mean and concentration."""
    a, b = _beta_shapes(place, spread, constants)
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return a * functional.logsigmoid(y) + b * functional.logsigmoid(-y) - log_beta


def _beta_shapes(place: Tensor, spread: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """The concentration follows the spread on the logit axis, where a beta variable's variance is 1 / (c μ (1 − μ))."""
    gap, a, b = constants.double()
    eta = (place + gap * spread**2).clamp(-_OVERFLOW, _OVERFLOW)
    mean, rest = eta.sigmoid(), (-eta).sigmoid()
    concentration = a * b / (a + b) / (mean * rest * spread**2)
    return mean * concentration, rest * concentration


def _interval(ends: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """log(Φ((high − mean) / σ) − Φ((low − mean) / σ)) from the nearer tail, (2, batch, columns) to (batch, columns)."""
    low, high = ((ends - mean) / sigma).unbind(0)
    above = (low + high) > 0
    low, high = torch.where(above, -high, low), torch.where(above, -low, high)
    top = torch.special.log_ndtr(high)
    ratio = (torch.special.log_ndtr(low) - top).clamp(max=-1e-12)
    log_mass: Tensor = top + torch.log(-torch.expm1(ratio))
    return log_mass


def _draw(kind: Kind, place: Floats, spread: Floats, constants: Floats, rng: np.random.Generator) -> Floats:
    """Coordinates (batch, columns) drawn from one kind of family around their places."""
    match kind:
        case "gamma":
            shape = constants[1] / spread**2
            drawn = np.maximum(rng.standard_gamma(shape) / shape, np.finfo(np.float64).tiny)
            return np.asarray(place + constants[0] * spread**2 + np.log(drawn))
        case "beta":
            a, b = _beta_shapes(*map(torch.from_numpy, (place, spread, constants)))
            first, second = (np.maximum(rng.standard_gamma(k.numpy()), np.finfo(np.float64).tiny) for k in (a, b))
            return np.log(first) - np.log(second)
        case "logistic":
            w = rng.logistic(size=place.shape)
        case "gumbel":
            w = rng.gumbel(size=place.shape)
        case "left gumbel":
            w = -rng.gumbel(size=place.shape)
        case "student-t":
            w = rng.standard_t(np.broadcast_to(constants[1], place.shape))
        case _:
            w = rng.standard_normal(place.shape)
    return np.asarray(place + spread * (w - constants[0]))
