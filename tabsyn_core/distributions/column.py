"""One column as atoms and a body, or as levels: fitted, encoded for a network, decoded to its exact support."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.grid import Grid
from tabsyn_core.distributions.selection import (
    Criterion,
    GoodnessOfFit,
    Support,
    chi_square,
    fit_body,
    fit_counts,
    split,
)
from tabsyn_core.schema import ColumnSchema, Kind

Floats = NDArray[np.float64]
Level = str | int | float | bool

LATTICE_SHARE = 0.5
"""A body off any decimal grid whose distinct values are a smaller share of its rows is a lattice: nothing between."""

_INT64 = (-(2.0**63), 2.0**63 - 1024)  # the outermost floats that are 64-bit integers
_MIN_REPEATS = 3  # a repeated value is an atom from this count on,
_MIN_ATOM_SHARE = 0.005  # and from this share of the rows on
_MIN_SPIKE_SHARE = 0.02  # on a grid, where repeats are ordinary, an atom has this share of the rows
_SPIKE = 5  # and stands out from its neighbours by this factor
_NOISE = 1e-12  # sums of decimal numbers lie on their grid but for this share of the largest
_GRID_JUMP_SHARE = 0.9  # a grid with almost no repeats is fine enough to be treated as continuous, then rounded


@dataclass(frozen=True, eq=False)
class ColumnDistribution:
    """How a column is distributed, by itself.

    A numeric or integer column is a mixture of ``atoms``, values that repeat, and a ``body``. A categorical
    column has ``levels``. Missing values are the atom or level ``None``, which then comes first.

    Attributes:
        name: The column's name.
        kind: What its values are.
        atoms: Repeated values split off, sorted, ``None`` first; empty for categorical columns.
        atom_probabilities: Of each atom; what is left to one belongs to the body.
        body: The family of the other values; None when atoms carry everything.
        levels: Of a categorical column, sorted, ``None`` first; empty for others.
        level_probabilities: Of each level.
        counts: Of an integer column whose values are all atoms, the family of counts they follow, if one does:
            it names the column and gives values that were never seen a probability. Encoding uses the atoms.
        fit: The test of the family on held-out rows.
    """

    name: str
    kind: Kind
    atoms: tuple[float | None, ...]
    atom_probabilities: tuple[float, ...]
    body: Body | None
    levels: tuple[Level | None, ...]
    level_probabilities: tuple[float, ...]
    counts: Body | None
    fit: GoodnessOfFit

    @property
    def num_states(self) -> int:
        """Levels of a categorical column; atoms, and one more for a body, of any other."""
        return len(self.levels) or len(self.atoms) + (self.body is not None)

    @property
    def state_probabilities(self) -> Floats:
        """The probability of each state, shape ``[num_states]``."""
        known = self.level_probabilities or self.atom_probabilities
        rest = [max(1 - sum(known), 0.0)] if self.body is not None else []
        return np.array([*known, *rest])

    def encode(self, values: pl.Series, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
        """Split values into a state and a normal score.

        A value unseen at fit time takes the body's state, its score clipped to [-8, 8], or without a body the
        nearest atom; an unknown level, or a missing value where none was seen, takes the likeliest state.

        Args:
            values: Of any length ``n``.
            rng: Draws the scores of discrete bodies inside their jumps.

        Returns:
            States, shape ``[n]``, integers in ``[0, num_states)``; the last is the body, if there is one. Scores,
            shape ``[n]``, zero wherever the state is not the body.
        """
        if self.levels:
            return self._level_states(values), np.zeros(len(values))
        x = _numbers(values)
        states = self._atom_states(x)
        scores = np.zeros(x.shape)
        if self.body is not None:
            in_body = (states == len(self.atoms)) & ~np.isnan(x)
            scores[in_body] = self.body.encode(x[in_body], rng)
        return states, scores

    def decode(self, states: NDArray[np.int64], scores: Floats) -> pl.Series:
        """The inverse of :meth:`encode`: exact for values seen at fit time, on the column's support for any score.

        Args:
            states: Integers in ``[0, num_states)``, shape ``[n]``.
            scores: Normal scores, shape ``[n]``; looked at only where the state is the body.

        Returns:
            A series of the column's name: Float64, Int64, or the levels' own dtype.
        """
        if self.levels:
            return pl.Series(self.name, self.levels, dtype=self._level_dtype).gather(states.astype(np.int64))
        x = np.append(np.array([np.nan if atom is None else atom for atom in self.atoms]), np.nan)[states]
        if self.body is not None:
            in_body = states == len(self.atoms)
            x[in_body] = self.body.decode(scores[in_body].astype(np.float64))
        return self._series(x)

    def sample(self, n: int, rng: np.random.Generator) -> pl.Series:
        """Draw ``n`` independent values."""
        if self.counts is not None:
            x = self.counts.decode(rng.standard_normal(n))
            return self._series(np.where(rng.random(n) < self._missing, np.nan, x))
        states = rng.choice(self.num_states, n, p=self.state_probabilities / self.state_probabilities.sum())
        return self.decode(states.astype(np.int64), rng.standard_normal(n))

    def log_prob(self, values: pl.Series) -> Floats:
        """Log probability of each value, shape ``[n]``: log mass of atoms and levels, log density of a continuous body.

        A value the column cannot take has -inf.
        """
        with np.errstate(divide="ignore"):
            if self.levels:
                log_masses = np.append(np.log(self.level_probabilities), -np.inf)
                return np.asarray(log_masses[self._level_states(values, unknown=len(self.levels))])
            x = _numbers(values)
            present = np.where(np.isnan(x), 0.0, x)
            if self.counts is not None:
                found = np.log1p(-self._missing) + self.counts.log_prob(present)
                return np.asarray(np.where(np.isnan(x), np.log(self._missing), found))
            return self._mixture_log_prob(x, present)

    def describe(self) -> str:
        """In words, for example ``"zero-inflated gamma(a=2.1, scale=3), 41 % zeros"``."""
        if self.levels:
            present_levels = sum(level is not None for level in self.levels)
            return f"categorical({_number_of(present_levels, 'level')}){self._missing_words}"
        present = [atom for atom in self.atoms if atom is not None]
        if self.counts is not None:
            return self.counts.describe() + self._missing_words
        if self.body is None:
            if len(present) <= 1:
                return (f"constant({present[0]:g})" if present else "constant(missing)") + self._missing_words
            return f"categorical({_number_of(len(present), 'value')}){self._missing_words}"
        return self._inflation + self.body.describe() + self._atom_words + self._missing_words

    @property
    def family(self) -> str:
        """The family's name alone, for example ``"zero-inflated gamma"``."""
        return (
            self.describe().split("(", maxsplit=1)[0] if self.body is None else self._inflation + self.body.family.name
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "name": self.name,
            "kind": str(self.kind),
            "description": self.describe(),
            "atoms": list(self.atoms),
            "atom_probabilities": list(self.atom_probabilities),
            "body": self.body and self.body.to_json(),
            "levels": list(self.levels),
            "level_probabilities": list(self.level_probabilities),
            "counts": self.counts and self.counts.to_json(),
            "fit": self.fit.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ColumnDistribution":
        """The inverse of :meth:`to_json`."""
        return cls(
            name=content["name"],
            kind=Kind(content["kind"]),
            atoms=tuple(content["atoms"]),
            atom_probabilities=tuple(content["atom_probabilities"]),
            body=content["body"] and Body.from_json(content["body"]),
            levels=tuple(content["levels"]),
            level_probabilities=tuple(content["level_probabilities"]),
            counts=content["counts"] and Body.from_json(content["counts"]),
            fit=GoodnessOfFit.from_json(content["fit"]),
        )

    def _series(self, x: Floats) -> pl.Series:
        series = pl.Series(self.name, x, dtype=pl.Float64).fill_nan(None)
        return series.clip(*_INT64).cast(pl.Int64) if self.kind is Kind.INTEGER else series

    def _atom_states(self, x: Floats) -> NDArray[np.int64]:
        atoms, first = self._atom_values
        nearest = first + _nearest(atoms, x) if atoms.size else np.zeros(x.shape, dtype=np.int64)
        if self.body is not None:
            is_atom = np.isin(x, atoms)
            nearest = np.where(is_atom, nearest, len(self.atoms))
        likeliest = int(np.argmax(self.state_probabilities))
        return np.where(np.isnan(x), 0 if first else likeliest, nearest).astype(np.int64)

    def _level_states(self, values: pl.Series, unknown: int | None = None) -> NDArray[np.int64]:
        if unknown is None:
            unknown = int(np.argmax(self.level_probabilities))
        index = {level: state for state, level in enumerate(self.levels)}
        return np.array([index.get(level, unknown) for level in _levels(values)], dtype=np.int64)

    def _mixture_log_prob(self, x: Floats, present: Floats) -> Floats:
        atoms, first = self._atom_values
        found = np.full(x.shape, -np.inf)
        is_atom = np.isin(x, atoms)
        if self.body is not None:
            weight = self.state_probabilities[-1]
            found = np.log(weight) + self.body.log_prob(present)
            if not self.body.jumps:
                found[is_atom] = -np.inf  # a density beside a mass is nothing
        masses = np.array(self.atom_probabilities)[first:]
        if is_atom.any():
            found[is_atom] = np.logaddexp(found[is_atom], np.log(masses[_nearest(atoms, x[is_atom])]))
        return np.where(np.isnan(x), np.log(self._missing), found)

    @cached_property
    def _atom_values(self) -> tuple[Floats, int]:
        """The atoms that are numbers, and how many states come before them."""
        first = int(bool(self.atoms) and self.atoms[0] is None)
        return np.array(self.atoms[first:], dtype=np.float64), first

    @property
    def _level_dtype(self) -> pl.DataType | None:
        return pl.String() if all(level is None for level in self.levels) else None

    @property
    def _missing(self) -> float:
        known, probabilities = (self.levels or self.atoms), (self.level_probabilities or self.atom_probabilities)
        return probabilities[0] if known and known[0] is None else 0.0

    @property
    def _zeros(self) -> float:
        return dict(zip(self.atoms, self.atom_probabilities, strict=True)).get(0.0, 0.0)

    @property
    def _inflation(self) -> str:
        return "zero-inflated " if self._zeros else ""

    @property
    def _atom_words(self) -> str:
        others = [atom for atom in self.atoms if atom not in (None, 0.0)]
        zeros = f", {_percent(self._zeros)} zeros" if self._zeros else ""
        share = sum(self.atom_probabilities) - self._missing - self._zeros
        return zeros + (f", {_percent(share)} on {_number_of(len(others), 'repeated value')}" if others else "")

    @property
    def _missing_words(self) -> str:
        return f", {_percent(self._missing)} missing" if self._missing else ""


@np.errstate(all="ignore")  # an unfit family is told by its likelihood, not by warnings
def fit_column(
    values: pl.Series,
    column: ColumnSchema,
    *,
    seed: int,
    criterion: Criterion = "heldout",
    max_atoms: int = 32,
) -> ColumnDistribution:
    """Fit one column.

    Args:
        values: The column, at least one row.
        column: Its schema.
        seed: Draws the held-out rows, together with the column's name: the order of columns does not matter.
        criterion: ``"heldout"`` (log likelihood on held-out rows) or ``"bic"``.
        max_atoms: Repeated values to split off at most, beside missing.
    """
    rng = np.random.default_rng([seed, zlib.crc32(column.name.encode())])
    if column.kind is Kind.CATEGORICAL:
        return _fit_levels(values, column, rng)
    x = _numbers(values)
    present = x[~np.isnan(x)]
    atoms = _find_atoms(present, column, max_atoms)
    rest = present[~np.isin(present, atoms)]
    missing = [None] if present.size < x.size else []
    masses = [(present == atom).sum() / x.size for atom in atoms]
    body, counts, fit = None, None, GoodnessOfFit("none")
    if rest.size:
        body, fit = fit_body(rest, _support(present, rest, atoms, column), rng, criterion)
    elif column.kind is Kind.INTEGER and atoms.size > 1:
        support = Support(column.lower, column.upper, Grid(0), jumps=True)
        counts, fit = fit_counts(present, support, rng, criterion)
    return ColumnDistribution(
        name=column.name,
        kind=column.kind,
        atoms=(*missing, *atoms.tolist()),
        atom_probabilities=(*[(x.size - present.size) / x.size for _ in missing], *map(float, masses)),
        body=body,
        levels=(),
        level_probabilities=(),
        counts=counts,
        fit=fit,
    )


def _fit_levels(values: pl.Series, column: ColumnSchema, rng: np.random.Generator) -> ColumnDistribution:
    found = _levels(values)
    levels: list[Any] = sorted({level for level in found if level is not None})
    levels = [None, *levels] if None in found else levels
    index = {level: state for state, level in enumerate(levels)}
    states = np.array([index[level] for level in found])
    shares = np.bincount(states, minlength=len(levels)) / len(states)
    train, test = split(states, rng)
    fit = GoodnessOfFit("none")
    if test.size:
        expected = np.bincount(train, minlength=len(levels)) * test.size / train.size
        observed = np.bincount(test, minlength=len(levels))
        statistic, p_value = chi_square(observed, expected, 1 + test.size / train.size)
        fit = GoodnessOfFit("none" if p_value is None else "chi-square", statistic, p_value, test.size)
    return ColumnDistribution(column.name, column.kind, (), (), None, tuple(levels), tuple(shares.tolist()), None, fit)


def _find_atoms(x: Floats, column: ColumnSchema, max_atoms: int) -> Floats:
    """The values to split off, sorted."""
    values, repeats = np.unique(x + 0.0, return_counts=True)
    few = len(values) <= max_atoms and (column.kind is Kind.INTEGER or len(values) <= x.size / 2)
    if len(values) <= 1 or few:
        return values
    atom = repeats >= max(_MIN_REPEATS, _MIN_ATOM_SHARE * x.size)
    if Grid.of(values, whole=column.kind is Kind.INTEGER) is not None:
        atom &= (repeats >= _MIN_SPIKE_SHARE * x.size) & (repeats >= _SPIKE * _neighbours(repeats))
    else:
        atom |= (values == column.lower) | (values == column.upper)
    commonest = np.argsort(-np.where(atom, repeats, 0), kind="stable")[: min(max_atoms, int(atom.sum()))]
    atoms = np.sort(values[commonest])
    return values if len(atoms) == len(values) - 1 else atoms  # one value left over is an atom too


def _neighbours(repeats: NDArray[np.int64]) -> Floats:
    """How often the three distinct values on either side occur, on average, at least once."""
    padded = np.pad(repeats.astype(np.float64), 3)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 7)
    inside = np.lib.stride_tricks.sliding_window_view(np.pad(np.ones(len(repeats)), 3), 7)
    return np.asarray(np.maximum((windows.sum(axis=1) - repeats) / np.maximum(inside.sum(axis=1) - 1, 1), 1))


def _support(present: Floats, rest: Floats, atoms: Floats, column: ColumnSchema) -> Support:
    """Where the body's values may lie: on a grid it leaves a bound that is an atom to the atom.

    A body without jumps is rounded to a grid that its values are on but for noise, too.
    """
    values, whole = np.unique(present), column.kind is Kind.INTEGER
    grid = Grid.of(values, whole=whole)
    distinct = len(np.unique(rest)) / rest.size
    jumps = distinct < (LATTICE_SHARE if grid is None else _GRID_JUMP_SHARE)
    if not jumps:
        grid = Grid.of(values, whole=whole, noise=_NOISE)
    lower, upper = (column.lower, column.upper) if grid is None else grid.within(column.lower, column.upper)
    step = grid.step if jumps and grid is not None else 0.0
    lower = None if lower is None else float(lower + step * np.isin(lower, atoms))
    upper = None if upper is None else float(upper - step * np.isin(upper, atoms))
    return Support(lower, upper, grid, jumps)


def _numbers(values: pl.Series) -> Floats:
    """As float64 with NaN for missing, and 0.0 for -0.0."""
    return values.cast(pl.Float64).to_numpy().astype(np.float64) + 0.0


def _levels(values: pl.Series) -> list[Any]:
    """As Python values with None for missing."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    return (values.cast(pl.String) if str(values.dtype).startswith("Categorical") else values).to_list()


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def _number_of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _nearest(grid: Floats, x: Floats) -> NDArray[np.int64]:
    """The index of the value of the sorted, non-empty ``grid`` nearest to each x."""
    right = np.clip(np.searchsorted(grid, x), 1, max(len(grid) - 1, 1))
    right = np.minimum(right, len(grid) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(x / 2 - grid[left] / 2 <= grid[right] / 2 - x / 2, left, right).astype(np.int64)
