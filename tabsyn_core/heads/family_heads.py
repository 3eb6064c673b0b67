"""Decoder heads that are likelihoods of each column's own family.

The decoder reads the latent of a column as a noisy sight of its rank, and the head is the column's fitted distribution
after that sight. With r̂ the decoded rank and s² the share of the column that the latent leaves untold, the rank given
the latent is N((1 − s²) r̂, s²): the column's own distribution at s = 1 whatever the latent says, the identity as s → 0.
A state (atom, level, body) has the mass this leaves on its interval; the body follows its own family, with its median
(or mean) where the family has the rank, and a spread that is the family's own times s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor, nn

from tabsyn_core.heads.column_family import KNOTS, REACH, STEP, ColumnFamily, Floats, Integers, Kind
from tabsyn_core.heads.likelihoods import OVERFLOW, beta, constants_of, draw, gamma, interval, standard
from tabsyn_core.networks import StateHeads

_START_LOGIT = -6.0
"""s starts at e⁻³, as the posterior's standard deviation does."""

_LEAST_SHARE = np.exp(-8.0)
"""A rank is known to about e⁻⁴ of a standard deviation; sharper heads would only fit the rounding."""


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
        slope = np.log(np.maximum(np.abs(np.gradient(place, STEP, axis=1)), 1e-6))
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
            constants = constants_of(kind, [families[j] for j in columns])
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
        squeezed = (seen**2 - ranks**2 - self.get_buffer("log_square_mass")).clamp(-OVERFLOW, OVERFLOW).exp()
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
            return interval(y.double(), mean.double(), untold.double().sqrt()).float()
        if kind == "mixture":
            log_weight, centre, variance = self._components(sight)
            inner = standard("normal", (y[0][..., None] - centre) / variance.sqrt(), constants)
            return (log_weight + inner - 0.5 * variance.log()).logsumexp(-1)
        place, spread = self._placed(columns, mean, untold)
        if kind in ("gamma", "beta"):
            density = gamma if kind == "gamma" else beta
            return density(y[0].double(), place.double(), spread.double(), constants).float()
        return standard(kind, (y[0] - place) / spread + constants[0], constants) - spread.log()

    def _placed(self, columns: Sequence[int], mean: Tensor, untold: Tensor) -> tuple[Tensor, Tensor]:
        """The coordinate at the mean score, and the spread there as a multiple of the family's own."""
        place = _interpolate(self.get_buffer("place_table"), mean, columns)
        slopes = self.get_buffer("slope_table")
        relative = _interpolate(slopes, mean, columns) - slopes[columns, len(KNOTS) // 2]
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
            low, high = family.layout.intervals(states[:, j], np.clip(scores[:, j], -REACH, REACH))
            ranks[:, j] = special.ndtri((low + high) / 2)
        return states, np.clip(ranks, -REACH, REACH)

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
            y = draw(kind, place, spread, self._constants(kind).double().cpu().numpy(), rng)
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
    position = (at + REACH) / STEP
    below = position.detach().long().clamp(0, len(KNOTS) - 2)
    rows = torch.tensor(columns, device=table.device)
    left, right = table[rows, below], table[rows, below + 1]
    return left + (position - below) * (right - left)
