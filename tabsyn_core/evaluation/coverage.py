"""Do the rows lie where real rows do, and everywhere real rows do?

Asked twice. The one-class form of α-precision and β-recall (Alaa et al., ICML 2022): the α-support of a table is the
ball around its mean that holds the share α of its rows. Density and coverage (Naeem et al., ICML 2020): the support of
the real rows is a ball around each that reaches to its fifth nearest real neighbour. The space of all four is that of
:func:`~tabsyn_core.evaluation.privacy.points`, ranks instead of an embedding.
"""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from tabsyn_core.evaluation.figure import DRAWS, Figure
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_SHARES: Floats = np.linspace(0, 1, 31)
_JUDGED = 2_000
_NEIGHBOURS = 5
_SAMPLES = 20
_FIGURES = ("alpha_precision", "beta_recall", "density", "coverage")

MIN_ROWS = 20
"""Fewer rows of either kind are not judged: a ball around them is chance."""


@one_thread()
def coverage(train: Table, holdout: Table, other: Table, rows: int, seed: int) -> dict[str, Figure]:
    """α-precision, β-recall, density and coverage of ``other`` as an image of the training rows.

    α-precision and β-recall lie in [0, 1], 1 best. At each α, the precision is the share of ``other`` rows inside the
    ball that holds the share α of the real rows; at each β, the recall is the share of real rows that have a row of
    ``other`` nearer than their nearest real row, the nearest one lying inside the ball that holds the share β of such
    rows. Each figure is one minus the mean distance of its curve from the diagonal, as a share of the largest possible.

    Density is the number of real balls that a row of ``other`` lies in, on average, over the five expected of a row of
    the same distribution (Naeem et al., lemma 1): 1 is best, more says that rows crowd where real rows do. Coverage is
    the share of real balls with a row of ``other`` inside: 1 - 2⁻⁵ = 0.97 for many rows of the same distribution
    (lemma 2). A ball holds its surface, which the authors' code leaves out: where rows repeat, its radius may be 0.

    Both tables are drawn down to ``rows``, five times where one of them has more: recall and coverage depend on their
    number, so they are comparable only between tables judged at the same.

    Args:
        train: Real rows.
        holdout: Further real rows, which together with those say what a rank is.
        other: The rows to judge.
        rows: How many of each.
        seed: Draws them.

    Returns:
        ``alpha_precision``, ``beta_recall``, ``density`` and ``coverage``, mean and spread over draws; no numbers with
        fewer than :data:`MIN_ROWS` rows of either kind.
    """
    rows = min(rows, len(train), len(other), _JUDGED)
    if rows < MIN_ROWS:
        why = f"coverage needs at least {MIN_ROWS} rows of each kind; there are {rows}"
        return dict.fromkeys(_FIGURES, Figure.none(why))
    rng, sampler = (np.random.default_rng([seed, stream]) for stream in (8, 12))
    real, fake = (points(table, train, holdout) for table in (train, other))
    draws = 1 if rows == len(real) == len(fake) else DRAWS
    found = []
    for _ in range(draws):
        seen, judged = rng.permutation(real)[:rows], rng.permutation(fake)[:rows]
        parts = [_precision_and_recall(seen, judged, sampler), _density_and_coverage(seen, judged, sampler)]
        found.append(np.hstack(parts))  # values in the first row, their spreads in the second
    values = zip(_FIGURES, np.array(found).transpose(2, 1, 0), strict=True)
    return {name: _figure(each, highest=np.inf if name == "density" else 1.0) for name, each in values}


def _figure(draws: Floats, highest: float) -> Figure:
    """From values and their spreads over bootstrap samples, shape (2, draws)."""
    found = Figure.over(draws[0])
    return found.within(float(np.hypot(draws[1].mean(), found.std or 0.0)), highest=highest)


def _precision_and_recall(real: Floats, other: Floats, rng: np.random.Generator) -> Floats:
    centre = real.mean(axis=0)
    radii = np.quantile(_distances(real, centre), _SHARES)
    inside = _distances(other, centre)
    to_real = NearestNeighbors(n_neighbors=2).fit(real).kneighbors(real)[0][:, 1]
    to_other, nearest = (found[:, 0] for found in NearestNeighbors(n_neighbors=1).fit(other).kneighbors(real))
    spread = _distances(other[nearest], other.mean(axis=0))
    reached = to_other <= to_real

    def curves(judged: Codes, known: Codes) -> tuple[float, float]:
        precision = np.searchsorted(np.sort(inside[judged]), radii, side="right") / len(judged)
        covered = np.sort(spread[known][reached[known]])
        recall = np.searchsorted(covered, np.quantile(spread[known], _SHARES), side="right") / len(known)
        return _along_the_diagonal(precision), _along_the_diagonal(recall)

    return _resampled(curves, len(other), len(real), rng)


def _density_and_coverage(real: Floats, other: Floats, rng: np.random.Generator) -> Floats:
    # Rounded: what differs by less than the rounding of products lies on the surface. Each row is its own nearest.
    radii = np.partition(np.round(pairwise_distances(real), 6), _NEIGHBOURS, axis=1)[:, [_NEIGHBOURS]]
    inside = np.round(pairwise_distances(real, other), 6) <= radii
    deep, covered = inside.sum(axis=0), inside.any(axis=1)
    return _resampled(
        lambda judged, known: (float(deep[judged].sum() / (_NEIGHBOURS * len(judged))), float(covered[known].mean())),
        len(other),
        len(real),
        rng,
    )


def _resampled(
    measure: Callable[[Codes, Codes], tuple[float, float]], judged: int, known: int, rng: np.random.Generator
) -> Floats:
    """What is measured, and its standard deviation over bootstrap samples of the rows, their balls as they are."""
    samples = [[rng.integers(0, rows, rows) for rows in (judged, known)] for _ in range(_SAMPLES)]
    repeats = [measure(*rows) for rows in samples]
    return np.array([measure(np.arange(judged), np.arange(known)), np.std(repeats, axis=0, ddof=1)])


def _distances(places: Floats, centre: Floats) -> Floats:
    return np.asarray(np.linalg.norm(places - centre, axis=1))


def _along_the_diagonal(curve: Floats) -> float:
    return float(1 - np.abs(_SHARES - curve).sum() / _SHARES.sum())
