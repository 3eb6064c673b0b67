"""Do the rows lie where real rows do, and everywhere real rows do? (Alaa et al., ICML 2022).

The one-class form of α-precision and β-recall: the α-support of a table is the ball around its mean that holds the
share α of its rows. The space is that of :func:`~tabsyn_core.evaluation.privacy.points`, ranks instead of an embedding.
"""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tabsyn_core.evaluation.figure import DRAWS, Figure
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_SHARES: Floats = np.linspace(0, 1, 31)
_JUDGED = 2_000

MIN_ROWS = 20
"""Fewer rows of either kind are not judged: a ball around them is chance."""


@one_thread()
def coverage(train: Table, holdout: Table, other: Table, rows: int, seed: int) -> dict[str, Figure]:
    """α-precision and β-recall of ``other`` as an image of the training rows, both in [0, 1], 1 best.

    At each α, the precision is the share of ``other`` rows inside the ball that holds the share α of the real rows; at
    each β, the recall is the share of real rows that have a row of ``other`` nearer than their nearest real row, the
    nearest one lying inside the ball that holds the share β of such rows. Each figure is one minus the mean distance of
    its curve from the diagonal, as a share of the largest possible.

    Both tables are drawn down to ``rows``, five times where one of them has more: the recall depends on their number,
    so it is comparable only between tables judged at the same.

    Args:
        train: Real rows.
        holdout: Further real rows, which together with those say what a rank is.
        other: The rows to judge.
        rows: How many of each.
        seed: Draws them.

    Returns:
        ``alpha_precision`` and ``beta_recall``, mean and spread over draws.
    """
    rows = min(rows, len(train), len(other), _JUDGED)
    if rows < MIN_ROWS:
        why = f"coverage needs at least {MIN_ROWS} rows of each kind; there are {rows}"
        return {"alpha_precision": Figure.none(why), "beta_recall": Figure.none(why)}
    rng = np.random.default_rng([seed, 8])
    real, fake = (points(table, train, holdout) for table in (train, other))
    draws = 1 if rows == len(real) == len(fake) else DRAWS
    found = [_coverage(rng.permutation(real)[:rows], rng.permutation(fake)[:rows]) for _ in range(draws)]
    precision, recall = np.array(found).T
    return {"alpha_precision": Figure.over(precision), "beta_recall": Figure.over(recall)}


def _coverage(real: Floats, other: Floats) -> tuple[float, float]:
    centre = real.mean(axis=0)
    radii = np.quantile(_distances(real, centre), _SHARES)
    inside = _distances(other, centre)
    precision = np.array([(inside <= radius).mean() for radius in radii])
    to_real = NearestNeighbors(n_neighbors=2).fit(real).kneighbors(real)[0][:, 1]
    to_other, nearest = (found[:, 0] for found in NearestNeighbors(n_neighbors=1).fit(other).kneighbors(real))
    spread = _distances(other[nearest], other.mean(axis=0))
    covered = np.sort(spread[to_other <= to_real])
    recall = np.searchsorted(covered, np.quantile(spread, _SHARES), side="right") / len(real)
    return _along_the_diagonal(precision), _along_the_diagonal(recall)


def _distances(places: Floats, centre: Floats) -> Floats:
    return np.asarray(np.linalg.norm(places - centre, axis=1))


def _along_the_diagonal(curve: Floats) -> float:
    return float(1 - np.abs(_SHARES - curve).sum() / _SHARES.sum())
