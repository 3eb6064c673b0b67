"""Column distributions from two noisy joint histograms.

A row falls into one cell of each column's histogram: it is missing, or at an atom, or in an interval, or has a level.
All histograms of a round together are one vector, which a row added or removed moves by √columns (L2), so that one
Gaussian mechanism covers it (Dwork & Roth, 2014, appendix A). The first round has cells that nothing but public
knowledge chose, and finds where values lie; the second cuts that range into as many equally likely cells as can be
told from the noise.

Levels that nobody stated are published if their noisy count passes a threshold that the level of a single row passes
with a probability of δ' at most (Korolova et al., WWW 2009; Wilkins et al., arXiv:2202.01100).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tabsyn_core.codec import Codec
from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.column import ColumnDistribution
from tabsyn_core.distributions.families import Empirical, Tail
from tabsyn_core.distributions.grid import Grid
from tabsyn_core.distributions.selection import GoodnessOfFit
from tabsyn_core.distributions.table import Distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.private.accounting import SELECTION_SHARE, Plan
from tabsyn_core.private.config import PrivacyConfig
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

Floats = NDArray[np.float64]
Level = str | int | float | bool

_FINE = 0.01  # cells are even below this size, and grow in proportion to the value beyond it
_LEAST_CELLS, _MAX_CELLS = 12, 64
_FIRST_PER_NOISE = 0.5  # cells of the first round, in units of rows over noise
_SIGNIFICANT = 3.0  # standard deviations of the noise
_TAIL = 1e-9  # what the smoothed cdf keeps outside its knots, before the bounds cut it


def public_schema(
    table: pl.DataFrame,
    kinds: Mapping[str, Kind] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> TableSchema:
    """What names and dtypes alone say about the columns; no row is looked at, unlike ``TableSchema.infer``.

    Integer dtypes are integer, floats numeric, all else categorical, every column may have gaps, and bounds are those
    that are given.

    Args:
        table: Only its names and dtypes are read.
        kinds: Kinds known to the public, such as integer for whole numbers stored as floats.
        bounds: Hard bounds known to the public, such as
            :func:`tabsyn_core.chemistry.descriptors.descriptor_bounds`; names that are not in the table are ignored.

    Raises:
        TabsynError: A dtype cannot be modelled.
    """
    kinds, bounds = kinds or {}, bounds or {}
    return TableSchema(
        tuple(_public_column(name, dtype, kinds.get(name), bounds.get(name)) for name, dtype in table.schema.items())
    )


def private_distributions(
    table: pl.DataFrame,
    schema: TableSchema,
    config: PrivacyConfig,
    plan: Plan,
    rng: np.random.Generator,
    *,
    levels: Mapping[str, Sequence[Level]] | None = None,
) -> Distributions:
    """Fit every column of the schema under differential privacy.

    Args:
        table: The training rows, one a person (or molecule) to protect.
        schema: Facts known to the public (:func:`public_schema`); nothing in it may come from the rows.
        config: Where numbers without bounds are cut off.
        plan: Which noise to add.
        rng: The noise; its seed must stay secret.
        levels: The levels of categorical columns, where the public knows them; others are found, as far as they are
            common enough.

    Returns:
        Ordinary distributions. Of the rows they know nothing but what the two noisy histograms say.

    Raises:
        TabsynError: The noise drowns the histograms, or a column has no level that may be published.
    """
    schema.check(table.select(name for name in table.columns if name in schema.names))
    levels = levels or {}
    columns = [column for column in schema.columns if column.kind is not Kind.CATEGORICAL]
    categorical = [column for column in schema.columns if column.kind is Kind.CATEGORICAL]
    noise = plan.counts.noise_multiplier * sensitivity(len(schema.columns))
    _check_noise(noise, table.height, len(schema.columns), config)
    scale = plan.ranges.noise_multiplier * sensitivity(len(columns))
    size = int(np.clip(_FIRST_PER_NOISE * table.height / max(scale, 1.0), _LEAST_CELLS, _MAX_CELLS))
    first = [Cells(column, _atoms(column), first_edges(column, config.limit, size)) for column in columns]
    noisy = _noisy(histograms(table, first), scale, rng)
    cells = [_refined(cell, count, scale, noise) for cell, count in zip(first, noisy, strict=True)]
    found = {column.name: Levels.of(table[column.name], column, levels.get(column.name)) for column in categorical}
    second: list[Cells | Levels] = [*cells, *found.values()]
    unknown = sum(not known.public for known in found.values())
    threshold = 1 - noise * float(ndtri(SELECTION_SHARE * config.delta / max(unknown, 1)))
    noisy = _noisy(histograms(table, second), noise, rng)
    fitted = {
        asked.column.name: asked.distribution(count, noise, threshold)
        for asked, count in zip(second, noisy, strict=True)
    }
    return {name: fitted[name] for name in schema.names}


def states_at(codec: Codec, ranks: Floats) -> NDArray[np.int64]:
    """The state whose interval each rank lies in, both (rows, columns): the codec read back without a network."""
    states = np.zeros(ranks.shape, dtype=np.int64)
    for j, layout in enumerate(codec.layouts.values()):
        u = ndtr(ranks[:, j])
        atoms = np.flatnonzero(~np.isnan(layout.low))
        if not atoms.size:
            continue
        order = atoms[np.argsort(layout.low[atoms], kind="stable")]
        nearest = order[np.clip(np.searchsorted(layout.low[order], u, side="right") - 1, 0, None)]
        inside = (u >= layout.low[nearest]) & (u < layout.high[nearest]) if layout.body_mass else True
        states[:, j] = np.where(inside, nearest, len(layout.low) - 1)
    return states


def histograms(table: pl.DataFrame, asked: Sequence["Cells | Levels"]) -> list[Floats]:
    """The counts of every column: each row adds one to exactly one cell of each."""
    return [cells.count(table[cells.column.name]) for cells in asked]


def sensitivity(columns: int) -> float:
    """How far a row added or removed moves the counts of this many columns together (L2)."""
    return math.sqrt(columns)


@dataclass(frozen=True, eq=False)
class Cells:
    """The histogram of a number column: missing, then each atom, then the intervals between edges.

    Attributes:
        column: Its schema.
        atoms: Values counted by themselves, sorted.
        edges: Ends of the intervals, sorted, none or at least two; values beyond count in the outermost ones.
    """

    column: ColumnSchema
    atoms: Floats
    edges: Floats

    def count(self, values: pl.Series) -> Floats:
        """Rows in each cell."""
        x = values.cast(pl.Float64).to_numpy()
        cell = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, max(len(self.edges) - 2, 0))
        cell = 1 + len(self.atoms) + cell
        for number, atom in enumerate(self.atoms, start=1):
            cell = np.where(x == atom, number, cell)
        cell = np.where(np.isnan(x), 0, cell)
        return np.bincount(cell, minlength=len(self.atoms) + max(len(self.edges), 2)).astype(np.float64)

    def distribution(self, noisy: Floats, noise: float, _: float) -> ColumnDistribution:
        """The mixture that noisy counts speak for; atoms that the noise could have made are left out."""
        special = 1 + len(self.atoms)
        kept = np.append(noisy[:special] > _SIGNIFICANT * noise, np.full(len(noisy) - special, len(self.edges) > 0))
        kept[0] &= self.column.nullable
        if not kept.any():
            kept[int(np.argmax(noisy[:special]))] = True
        shares = np.zeros(len(noisy))
        shares[kept] = _simplex(noisy[kept] / noisy[kept].sum() if noisy[kept].sum() > 0 else noisy[kept])
        atoms = [None, *self.atoms.tolist()]
        used = [k for k in range(special) if shares[k] > 0]
        in_cells = shares[special:]
        body = self._body(in_cells) if in_cells.sum() > 0 else None
        if body is None and in_cells.sum() > 0:  # a single whole number
            return self._of([*(atoms[k] for k in used), self.edges[0] + 0.5], [*shares[used], in_cells.sum()], None)
        return self._of([atoms[k] for k in used], shares[used].tolist(), body)

    def _of(self, atoms: list[Any], shares: list[Any], body: Body | None) -> ColumnDistribution:
        known = tuple(None if atom is None else float(atom) for atom in atoms)
        fit = GoodnessOfFit("none")  # a test would have to look at the rows
        return ColumnDistribution(
            self.column.name, self.column.kind, known, tuple(map(float, shares)), body, (), (), None, fit
        )

    def _body(self, shares: Floats) -> Body | None:
        """A piecewise linear cdf over the cells, cut off at both ends; None where one whole number is all there is."""
        whole = self.column.kind is Kind.INTEGER
        if whole and self.edges[-1] - self.edges[0] <= 1:
            return None
        mass = np.maximum(shares / shares.sum(), _TAIL)
        levels = np.append(0.0, np.cumsum(mass / mass.sum())) * (1 - 2 * _TAIL) + _TAIL
        tails = [Tail(0.0, float(width)) for width in (self.edges[1] - self.edges[0], self.edges[-1] - self.edges[-2])]
        family = Empirical(tuple(self.edges.tolist()), tuple(levels.tolist()), *tails)
        margin = 0.5 if whole else 0.0
        lower, upper = float(self.edges[0]) + margin, float(self.edges[-1]) - margin
        return Body(family, lower, upper, Grid(0) if whole else None, whole, 0, np.empty(0))


@dataclass(frozen=True, eq=False)
class Levels:
    """The histogram of a categorical column: missing, then each level.

    Attributes:
        column: Its schema.
        levels: What is counted.
        public: Whether the levels are public; otherwise they are those of the rows, and secret until they pass the
            threshold.
    """

    column: ColumnSchema
    levels: tuple[Level, ...]
    public: bool

    @classmethod
    def of(cls, values: pl.Series, column: ColumnSchema, stated: Sequence[Level] | None) -> "Levels":
        """The stated levels, those of the dtype, or those of the rows."""
        if column.dtype == "Boolean" and stated is None:
            stated = (False, True)
        if stated is not None:
            return cls(column, tuple(sorted(set(stated))), public=True)
        return cls(column, tuple(sorted({level for level in _plain(values) if level is not None})), public=False)

    def count(self, values: pl.Series) -> Floats:
        """Rows in each cell; a level that was not stated counts as missing."""
        index = {level: number for number, level in enumerate(self.levels, start=1)}
        states = np.array([index.get(level, 0) for level in _plain(values)], dtype=np.int64)
        return np.bincount(states, minlength=len(self.levels) + 1).astype(np.float64)

    def distribution(self, noisy: Floats, noise: float, threshold: float) -> ColumnDistribution:
        """The levels that may be published, and their shares."""
        least = np.full(len(noisy), -np.inf if self.public else threshold)
        least[0] = _SIGNIFICANT * noise if self.column.nullable else np.inf
        kept = noisy > least
        if not kept[1:].any():
            raise TabsynError(
                f"column '{self.column.name}': no level is common enough to be published with this noise (it takes "
                f"about {threshold:.0f} rows); state its levels, leave it out, or raise privacy.epsilon."
            )
        shares = _simplex(noisy[kept] / max(float(noisy[kept].sum()), 1.0))
        levels = [level for level, keep in zip([None, *self.levels], kept, strict=True) if keep]
        likely = [(level, float(share)) for level, share in zip(levels, shares, strict=True) if share > 0]
        return ColumnDistribution(
            self.column.name, self.column.kind, (), (), None,
            tuple(level for level, _ in likely), tuple(share for _, share in likely), None, GoodnessOfFit("none"),
        )  # fmt: skip


def first_edges(column: ColumnSchema, limit: float, cells: int) -> Floats:
    """Cells that only the column's bounds decide: even between two bounds, else growing with the distance from one.

    Args:
        column: Its kind and public bounds.
        limit: How far numbers without bounds may go.
        cells: How many, on either side of zero if there is no bound.
    """
    lower, upper = column.lower, column.upper
    if lower is not None and upper is not None:
        edges = np.linspace(lower, max(upper, math.nextafter(lower, math.inf)), cells + 1)
    else:
        away = _FINE * np.sinh(np.linspace(0, math.asinh(limit / _FINE), cells + 1))
        if lower is not None:
            edges = lower + away
        else:
            edges = (upper or 0.0) - away[::-1]
            edges = edges if upper is not None else np.append(edges, away[1:])
    if column.kind is not Kind.INTEGER:
        return np.unique(edges)
    edges = np.unique(np.round(edges))
    return np.append(edges - 0.5, edges[-1] + 0.5)


def _refined(first: Cells, noisy: Floats, scale: float, noise: float) -> Cells:
    """The cells of the second round: the range that holds more than noise, cut where rows are equally many."""
    special = 1 + len(first.atoms)
    low, high = _range(noisy[special:], scale)
    edges, counts = first.edges[low : high + 1], noisy[special:][low:high]
    rows = float(counts.sum())
    if first.atoms.size and rows <= _SIGNIFICANT * scale * math.sqrt(high - low):
        return Cells(first.column, first.atoms, np.empty(0))
    counts = _simplex(counts / rows) if rows > 0 else np.full(len(counts), 1 / len(counts))
    number = int(np.clip(rows / (_SIGNIFICANT * noise) if noise else _MAX_CELLS, 1, _MAX_CELLS))
    cuts = np.interp(np.linspace(0, 1, number + 1), np.append(0.0, np.cumsum(counts)), edges)
    cuts[[0, -1]] = edges[[0, -1]]
    if first.column.kind is Kind.INTEGER:
        cuts = np.round(cuts - 0.5) + 0.5
    return Cells(first.column, first.atoms, np.unique(cuts))


def _range(counts: Floats, scale: float) -> tuple[int, int]:
    """The run of cells with the largest sum where each costs the noise's standard deviation, between sure ends.

    A cell at an end that the noise alone may have made could lie far out: it takes twice the noise to be one.
    """
    total = np.append(0.0, np.cumsum(counts - scale))
    before = np.minimum.accumulate(total)
    high = int(np.argmax(total[1:] - before[:-1])) + 1
    low = int(np.argmin(total[:high]))
    sure = low + np.flatnonzero(counts[low:high] > 2 * scale)
    return (int(sure[0]), int(sure[-1]) + 1) if sure.size else (low, high)


def _simplex(x: Floats) -> Floats:
    """The nearest shares to ``x``: not negative, adding up to one (Duchi et al., ICML 2008)."""
    falling = np.sort(x)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(x) + 1)
    shift = excess[np.flatnonzero(falling > excess)[-1]]
    shares = np.maximum(x - shift, 0)
    return np.asarray(shares / shares.sum())


def _noisy(counts: list[Floats], scale: float, rng: np.random.Generator) -> list[Floats]:
    return [count + scale * rng.standard_normal(len(count)) for count in counts]


def _atoms(column: ColumnSchema) -> Floats:
    """Zero and the bounds: the values that columns are known to repeat. Whole numbers have cells of their own."""
    if column.kind is Kind.INTEGER:
        return np.empty(0)
    low, high = (
        -math.inf if column.lower is None else column.lower,
        math.inf if column.upper is None else column.upper,
    )
    return np.array(sorted({value for value in (low, 0.0, high) if low <= value <= high and math.isfinite(value)}))


def _check_noise(noise: float, rows: int, columns: int, config: PrivacyConfig) -> None:
    if 2 * _SIGNIFICANT * noise > rows:
        raise TabsynError(
            f"privacy.epsilon {config.epsilon:g} leaves ±{noise:.0f} rows of noise on every count of {columns} columns "
            f"of {rows} rows: the columns' distributions would be pure noise. Raise privacy.epsilon or "
            "privacy.marginals, use fewer columns or more rows."
        )


def _public_column(
    name: str, dtype: pl.DataType, kind: Kind | None, bounds: tuple[float | None, float | None] | None
) -> ColumnSchema:
    text = "Categorical" if str(dtype).startswith("Categorical") else str(dtype)
    if not (dtype.is_integer() or dtype.is_float() or text in ("String", "Boolean", "Categorical")):
        raise TabsynError(f"column '{name}' is {text}, which cannot be modelled; cast it to a number or text.")
    usual = Kind.INTEGER if dtype.is_integer() else Kind.NUMERIC if dtype.is_float() else Kind.CATEGORICAL
    kind = kind or usual
    return ColumnSchema(name, kind, text, nullable=True, **_named(bounds if kind is not Kind.CATEGORICAL else None))


def _named(bounds: tuple[float | None, float | None] | None) -> dict[str, float | None]:
    return dict(zip(("lower", "upper"), bounds or (None, None), strict=True))


def _plain(values: pl.Series) -> list[Any]:
    """Levels as Python values with None for missing."""
    if values.dtype.is_float():
        values = values.fill_nan(None)
    return (values.cast(pl.String) if str(values.dtype).startswith("Categorical") else values).to_list()
