"""What a column's distribution is taken to be: the product's own answer, and those of its peers for comparison."""

import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.column import ColumnDistribution, fit_column
from tabsyn_core.distributions.families import Family, Lattice, Parametric, Quantiles
from tabsyn_core.distributions.grid import Grid
from tabsyn_core.distributions.selection import GoodnessOfFit, Support, fit_body
from tabsyn_core.distributions.table import Distributions, fit_table
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

if TYPE_CHECKING:
    from tabsyn_core.config import FrontEnd

Floats = NDArray[np.float64]

_OUTERMOST = 1e-7  # level of the smallest and one minus that of the largest value, as QuantileTransformer clips them
_EXTREME = 1e100  # larger values are scaled by a power of two, so that their squares are finite


def front_end_distributions(
    front_end: "FrontEnd", table: pl.DataFrame, schema: TableSchema, *, seed: int, progress: ProgressCallback = silent
) -> Distributions:
    """Fit every column of the schema the way a front end does. All of them pass through the same codec.

    A categorical column keeps its levels in all of them, and a missing value is always an atom.

    Args:
        front_end: ``"families"`` is the product: :func:`~tabsyn_core.distributions.table.fit_table`.
            ``"families without atoms"`` has the fitted body alone: whole numbers and decimal grids by their jumps,
            everything else by a density, which repeated values do not have.
            ``"quantile"`` maps the quantiles of every column to those of a normal, linearly in between, with as many
            quantiles as TabDDPM (Kotelnikov et al., ICML 2023) and TabSyn (Zhang et al., ICLR 2024) take, and rounds
            whole numbers on the way back.
            ``"gaussian"`` takes every column for normal, and rounds whole numbers on the way back.
        table: Rows to fit; columns beyond the schema are left alone.
        schema: The columns to fit.
        seed: Together with a column's name, draws the rows that choose a family.
        progress: Told after each column.

    Raises:
        TabsynError: The table lacks a column of the schema.
    """
    if front_end == "families":
        return fit_table(table, schema, seed=seed, progress=progress)
    schema.check(table.select(name for name in table.columns if name in schema.names))
    fit = _FITS[front_end]
    found: Distributions = {}
    with threadpool_limits(limits=1, user_api="blas"):  # as fit_table
        for done, column in enumerate(schema.columns, start=1):
            found[column.name] = fit(table[column.name], column, seed)
            progress(Progress(done, len(schema.columns), "columns"))
    return found


def _without_atoms(values: pl.Series, column: ColumnSchema, seed: int) -> ColumnDistribution:
    """The product's fit with no atom split off; what it would call a lattice then gets a density after all."""
    fitted = fit_column(values, column, seed=seed, max_atoms=0)
    if column.kind is Kind.INTEGER or fitted.body is None or not isinstance(fitted.body.family, Lattice):
        return fitted
    x = _present(values)
    # A density has no mass on a bound: where values lie on it, it is left to the tail.
    lower = None if column.lower is None or (x == column.lower).any() else column.lower
    upper = None if column.upper is None or (x == column.upper).any() else column.upper
    rng = np.random.default_rng([seed, zlib.crc32(column.name.encode())])
    with np.errstate(all="ignore"):  # as fit_column
        body, fit = fit_body(x, Support(lower, upper, None, jumps=False), rng, "heldout")
    return _only(body, values, column, fit)


def _mapped(
    family: Callable[[Floats], Family], values: pl.Series, column: ColumnSchema, seed: int
) -> ColumnDistribution:
    """One family for all that varies, unbounded, rounded for whole numbers."""
    if column.kind is Kind.CATEGORICAL or _present(values).size == 0 or np.ptp(_present(values)) == 0:
        return fit_column(values, column, seed=seed)
    x = _present(values)
    exponent = int(np.frexp(np.abs(x).max())[1]) if not 1 / _EXTREME < np.abs(x).max() < _EXTREME else 0
    grid = Grid(0) if column.kind is Kind.INTEGER else None
    body = Body(family(np.ldexp(x, -exponent)), None, None, grid, jumps=False, exponent=exponent, observed=np.empty(0))
    return _only(body, values, column, GoodnessOfFit("none"))


def _normal(x: Floats) -> Parametric:
    return Parametric("normal", (float(x.mean()), float(x.std())))


def _quantiles(x: Floats) -> Quantiles:
    """At most 1,000 quantiles, one for 30 rows, at least 10 where there are as many rows."""
    number = max(min(len(x) // 30, 1000), min(len(x), 10))
    share = np.linspace(0, 1, number)
    levels = np.clip(share, _OUTERMOST, 1 - _OUTERMOST)
    return Quantiles(tuple(np.quantile(x, share).tolist()), tuple(levels.tolist()))


def _only(body: Body, values: pl.Series, column: ColumnSchema, fit: GoodnessOfFit) -> ColumnDistribution:
    """A body, and missing values if there are any."""
    missing = 1 - _present(values).size / len(values)
    atoms, masses = ((None,), (missing,)) if missing else ((), ())
    return ColumnDistribution(column.name, column.kind, atoms, masses, body, (), (), None, fit)


def _present(values: pl.Series) -> Floats:
    """The values that are there, 0.0 for -0.0."""
    x = values.cast(pl.Float64).to_numpy() + 0.0
    return np.asarray(x[~np.isnan(x)], dtype=np.float64)


_FITS: dict["FrontEnd", Callable[[pl.Series, ColumnSchema, int], ColumnDistribution]] = {
    "families without atoms": _without_atoms,
    "quantile": partial(_mapped, _quantiles),
    "gaussian": partial(_mapped, _normal),
}
