"""The data of density pictures: each column's distributions over each other, their quantiles, and pairs on a grid.

Kernel densities are scipy's; of a column with Silverman's bandwidth (1986, eq. 3.31), which a heavy tail does not
widen, of a pair with Scott's, without the rows far beyond the grid. A column of few values, or of which a tenth is
one value, is drawn as bins instead: a kernel would show a bump where there is a spike.
"""

from collections.abc import Iterable

import numpy as np
from scipy.stats import gaussian_kde

from tabsyn_core.evaluation.page.content import Density, Joint
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_BINS = 40
_BARS = 12
_GRID = 24
_KERNELS = 1_000
_QUANTILES = np.linspace(0.0125, 0.9875, 40)
_SPIKE = 0.1
_NEAR = 1.5  # from the middle of a grid that is one wide: what lies beyond would only widen the kernels


@one_thread()
def densities(train: Table, holdout: Table, fake: Table) -> tuple[Density, ...]:
    """One density a column, in the order of ``train.feature_names``.

    Numeric columns are shown over the range of the middle 99 % of all rows, with what lies beyond in the outer bins.
    """
    tables = (train, fake, holdout)
    numeric = [_numeric(name, [t.numbers[:, j] for t in tables]) for j, name in enumerate(train.numeric)]
    bars = [
        _categorical(name, train.levels[j], [t.codes[:, j] for t in tables]) for j, name in enumerate(train.categorical)
    ]
    return (*numeric, *bars)


def _numeric(name: str, values: list[Floats]) -> Density:
    known = [each[~np.isnan(each)] for each in values]
    pooled = np.concatenate(known)
    edges = _edges(pooled)
    smooth = _is_smooth(pooled) and all(_has_spread(each) for each in known)
    heights = [_kernel(each, edges) if smooth else _shares(each, edges) for each in known]
    quantiles = [np.quantile(each, _QUANTILES) if each.size else np.zeros(0) for each in known]
    return Density(
        column=name,
        edges=tuple(edges),
        smooth=smooth,
        **dict(zip(("real", "synthetic", "held_out"), map(tuple, heights), strict=True)),
        **dict(
            zip(("quantiles_real", "quantiles_synthetic", "quantiles_held_out"), map(tuple, quantiles), strict=True)
        ),
    )


def _edges(values: Floats) -> Floats:
    """Bins of equal width; one a value for integers of a small range."""
    if values.size == 0:
        return np.array([0.0, 1.0])
    low, high = np.quantile(values, [0.005, 0.995], method="nearest")
    if np.array_equal(values, np.round(values)) and high - low < _BINS:
        return np.arange(low - 0.5, high + 1)
    return np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])


def _is_smooth(values: Floats) -> bool:
    """Whether many values are taken, and none by a tenth of the rows."""
    if values.size == 0:
        return False
    counts = np.unique(values, return_counts=True)[1]
    return counts.size > _BINS and counts.max() < _SPIKE * values.size


def _has_spread(values: Floats) -> bool:
    return values.size > 1 and bool(np.ptp(values) > 0)


def _kernel(values: Floats, edges: Floats) -> Floats:
    """The kernel density at the middle of each bin, from at most 1,000 quantiles, which stand for all rows."""
    if values.size > _KERNELS:
        values = np.quantile(values, (np.arange(_KERNELS) + 0.5) / _KERNELS)
    scale = np.ptp(edges)  # densities are of the column in units of its range, which keeps huge columns finite
    scaled = values / scale
    spread, middle = np.std(scaled, ddof=1), np.subtract(*np.quantile(scaled, [0.75, 0.25])) / 1.34
    factor = 0.9 * (min(spread, middle) or spread) / spread * values.size**-0.2
    return np.asarray(gaussian_kde(scaled, factor)((edges[:-1] + edges[1:]) / 2 / scale))


def _shares(values: Floats, edges: Floats) -> Floats:
    return np.asarray(np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(values.size, 1))


def _categorical(name: str, levels: tuple[str, ...], codes: list[Codes]) -> Density:
    """The most frequent categories, real and synthetic rows taken together."""
    shares = np.stack([np.bincount(each[each >= 0], minlength=len(levels)) / max(len(each), 1) for each in codes])
    order = np.argsort(-shares[:2].sum(axis=0), kind="stable")[:_BARS]
    real, synthetic, held_out = (tuple(row) for row in shares[:, order])
    return Density(
        column=name, labels=tuple(levels[i] for i in order), real=real, synthetic=synthetic, held_out=held_out
    )


@one_thread()
def joints(train: Table, fake: Table, pairs: Iterable[tuple[str, str]], seed: int = 0) -> tuple[Joint, ...]:
    """Kernel densities of pairs of numeric columns on a grid over the middle 98 % of the real rows.

    At most 1,000 rows of either table make a density, drawn by the seed: a table may be in the order of its dates.
    A pair in which a column has no spread, or both columns are one line, has no density and is left out.
    """
    found = (_joint(train, fake, left, right, seed) for left, right in pairs)
    return tuple(each for each in found if each is not None)


def _joint(train: Table, fake: Table, left: str, right: str, seed: int) -> Joint | None:
    places = [train.numeric.index(left), train.numeric.index(right)]
    both = [_complete(table.numbers[:, places]) for table in (train, fake)]
    if any(len(rows) < 10 or not np.ptp(rows, axis=0).all() for rows in both):
        return None
    low, high = np.quantile(both[0], [0.01, 0.99], axis=0)
    if not (high > low).all():
        return None
    scaled = [(rows - low) / (high - low) for rows in both]
    scaled = [rows[(np.abs(rows - 0.5) < _NEAR).all(axis=1)] for rows in scaled]
    if any(len(rows) < 10 for rows in scaled):
        return None
    middles = (np.arange(_GRID) + 0.5) / _GRID
    grid = np.stack([each.ravel() for each in np.meshgrid(middles, middles, indexing="ij")])
    drawn = [rows[np.random.default_rng([seed, 35]).permutation(len(rows))[:_KERNELS]] for rows in scaled]
    try:
        heights = [gaussian_kde(rows.T)(grid).reshape(_GRID, _GRID) for rows in drawn]
    except np.linalg.LinAlgError:  # the columns are functions of each other: a line has no density
        return None
    edges = [np.linspace(low[k], high[k], _GRID + 1) for k in range(2)]
    return Joint(
        left=left,
        right=right,
        left_edges=tuple(edges[0]),
        right_edges=tuple(edges[1]),
        real=tuple(map(tuple, heights[0])),
        synthetic=tuple(map(tuple, heights[1])),
    )


def _complete(rows: Floats) -> Floats:
    return rows[~np.isnan(rows).any(axis=1)]
