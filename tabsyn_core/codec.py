"""A table as states and ranks, and back with exact supports.

Every column's distribution is a mixture of atoms (or levels) and a body. Laid along [0, 1] in the order of their
values, an atom is an interval as long as its mass and the body fills what is left: u = F(x). The rank of a value is
the normal score Φ⁻¹(u); inside an atom's interval u is drawn at random (the randomised probability integral
transform), so that ranks are close to standard normal whatever the column looks like.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.schema import ColumnSchema, TableSchema

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_RANK = 6.0
"""Ranks are clipped here: beyond, double precision no longer tells u from 1."""

_EDGE = float(ndtr(-MAX_RANK))


@dataclass(frozen=True)
class ColumnLayout:
    """Where a column's states lie along u in [0, 1].

    Attributes:
        low: Lower end of each atom's or level's interval; NaN for the body.
        high: Upper end.
        body_mass: Probability of the body, 0 without one.
        body_cut: For each atom, F_body at its value: the body's mass below the atom.
    """

    low: Floats
    high: Floats
    body_mass: float
    body_cut: Floats

    @classmethod
    def of(cls, distribution: ColumnDistribution) -> "ColumnLayout":
        """Lay out a fitted column: missing first, then values in ascending order, levels in their own."""
        masses = np.asarray(distribution.state_probabilities, dtype=np.float64)
        masses = masses / masses.sum()
        body = distribution.body
        if body is None:
            high = np.cumsum(masses)
            return cls(high - masses, high, 0.0, np.zeros(len(masses)))
        atoms = np.array([-np.inf if atom is None else atom for atom in distribution.atoms], dtype=np.float64)
        cut = np.zeros(len(atoms))
        finite = np.isfinite(atoms)
        cut[finite] = body.cdf(atoms[finite])
        before = np.cumsum(masses[:-1]) - masses[:-1]
        low = before + masses[-1] * cut
        return cls(np.append(low, np.nan), np.append(low + masses[:-1], np.nan), float(masses[-1]), cut)

    def intervals(self, states: Integers, scores: Floats) -> tuple[Floats, Floats]:
        """The interval of u that each value stands for, of length zero in the body; arrays of shape (n,)."""
        low, high = self.low[states], self.high[states]
        if self.body_mass:
            in_body = states == len(self.low) - 1
            below = ndtr(scores[in_body])
            atom_mass = self.high[:-1] - self.low[:-1]
            atoms_below = np.append(0.0, np.cumsum(atom_mass))[np.searchsorted(self.body_cut, below, side="left")]
            low[in_body] = high[in_body] = self.body_mass * below + atoms_below
        return low, high

    def scores(self, u: Floats) -> Floats:
        """The body's normal scores at u, shape (n,): what is left of u when the atoms below it are taken out."""
        atom_mass = self.high[:-1] - self.low[:-1]
        middle = (self.low[:-1] + self.high[:-1]) / 2
        atoms_below = np.append(0.0, np.cumsum(atom_mass))[np.searchsorted(middle, u)]
        return np.asarray(ndtri(np.clip((u - atoms_below) / max(self.body_mass, 1e-12), _EDGE, 1 - _EDGE)))

    def bounds(self) -> tuple[list[float], list[float]]:
        """Each state's interval in ranks; NaN for the body, the outermost ends far outside."""
        low, high = ndtri(np.clip(self.low, 0, 1)), ndtri(np.clip(self.high, 0, 1))
        return np.clip(low, -2 * MAX_RANK, 2 * MAX_RANK).tolist(), np.clip(high, -2 * MAX_RANK, 2 * MAX_RANK).tolist()


@dataclass(frozen=True)
class Encoded:
    """A table the network can read; every tensor has shape (rows, columns).

    Attributes:
        states: Which atom, level or body each value is.
        low: Lower end of the interval of u that the value stands for.
        high: Upper end; equal to ``low`` in a body.
    """

    states: Tensor
    low: Tensor
    high: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """States and freshly drawn ranks of some rows, each (len(rows), columns)."""
        low, high = self.low[rows], self.high[rows]
        u = low + (high - low) * torch.rand(low.shape, generator=generator, dtype=torch.float64)
        return self.states[rows], torch.special.ndtri(u.clamp(_EDGE, 1 - _EDGE)).float()


class Codec:
    """The border between a table and the networks.

    Args:
        schema: The table's columns.
        distributions: The fitted distribution of each column.
    """

    def __init__(self, schema: TableSchema, distributions: Mapping[str, ColumnDistribution]) -> None:
        self.schema = schema
        self.distributions = dict(distributions)
        layouts = {name: ColumnLayout.of(self.distributions[name]) for name in schema.names}
        self.layouts = {name: layout for name, layout in layouts.items() if len(layout.low) > 1 or layout.body_mass}
        """Of the columns that vary; the network sees no others."""

    @property
    def columns(self) -> list[str]:
        """The columns the network sees, in order."""
        return list(self.layouts)

    def encode(self, table: pl.DataFrame, rng: np.random.Generator) -> Encoded:
        """Encode every row.

        Args:
            table: Rows with the schema's columns and dtypes.
            rng: Draws positions inside the jumps of discrete bodies.

        Raises:
            TabsynError: The table does not match the schema.
        """
        self.schema.check(table)
        shape = (table.height, len(self.layouts))
        states, low, high = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
        for j, (name, layout) in enumerate(self.layouts.items()):
            states[:, j], scores = self.distributions[name].encode(table[name], rng)
            low[:, j], high[:, j] = layout.intervals(states[:, j], scores)
        return Encoded(torch.from_numpy(states), torch.from_numpy(low), torch.from_numpy(high))

    def decode(self, states: Integers, ranks: Floats) -> pl.DataFrame:
        """Decode states and ranks, each (rows, len(columns)), to rows on the columns' exact supports."""
        seen = {name: j for j, name in enumerate(self.layouts)}
        rows = len(states)
        decoded = []
        for column in self.schema.columns:
            distribution = self.distributions[column.name]
            if (j := seen.get(column.name)) is None:
                values = distribution.decode(np.zeros(rows, dtype=np.int64), np.zeros(rows))
            else:
                scores = self.layouts[column.name].scores(ndtr(ranks[:, j]))
                values = distribution.decode(states[:, j], scores)
            decoded.append(_restore(values, column))
        return pl.DataFrame(decoded)

    def bounds(self) -> tuple[list[list[float]], list[list[float]]]:
        """For each column the network sees, the lower and upper rank of each state; NaN for the body."""
        both = [layout.bounds() for layout in self.layouts.values()]
        return [low for low, _ in both], [high for _, high in both]


def _restore(values: pl.Series, column: ColumnSchema) -> pl.Series:
    """Give values the dtype the table came with, and keep them inside it."""
    dtype = TableSchema((column,)).polars_dtypes()[column.name]
    if dtype.is_integer():
        limits = np.iinfo(column.dtype.lower())
        values = values.round().clip(limits.min, limits.max) if values.dtype == pl.Float64 else values
        values = values.clip(max(limits.min, -(2**63)), min(limits.max, 2**63 - 1))
    elif dtype == pl.Float32:
        values = values.clip(float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))
    return values.cast(dtype).alias(column.name)
