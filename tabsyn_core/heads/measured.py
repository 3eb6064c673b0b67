"""Rows as the heads learn from them: within what a measurement cannot tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from scipy import special
from torch import Tensor

from tabsyn_core.codec import Codec, Encoded
from tabsyn_core.distributions.body import Body
from tabsyn_core.heads.column_family import REACH, ColumnFamily, Floats

_INSIDE = 1e-3  # a redrawn value keeps this share of its interval from either edge, against rounding


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
        return np.asarray(np.clip(special.ndtri(np.clip([below, above], 0, 1)), -REACH, REACH))
    if body.grid is not None:
        ends += 0.5 * body.grid.step * np.array([[-1.0], [1.0]])
    rng = np.random.default_rng(0)  # draws nothing: only jumps are drawn within
    return np.stack([body.encode(end, rng) for end in ends])
