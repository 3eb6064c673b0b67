"""Distance to closest record: do synthetic rows lie nearer to the rows they were trained on than to unseen ones?

And the other way round, as an attacker asks: who lies nearer to a synthetic row, was he in the training table?
"""

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min, roc_auc_score

from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.tables import Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_DRAWS = 10
_JUDGED = 2_000

MIN_HOLDOUT = 20
"""A smaller hold-out is not compared with: with so few rows, which of two tables is nearer is chance."""


@one_thread()
def dcr_share(train: Table, holdout: Table, other: Table, seed: int) -> Figure:
    """The share of ``other`` rows that are nearer to the training rows than to the held-out rows, ties halved.

    There is no figure when the hold-out has fewer than :data:`MIN_HOLDOUT` rows.

    Training rows are drawn down to the number of held-out rows (ten times, mean and spread), so that a generator that
    copies nothing gives 0.50 and one that copies gives about 1. Each time at most 2,000 rows are judged.

    The distance is Euclidean over numeric columns as ranks among the real rows, scaled to [0, 1], with a further 0 or 1
    for missing, and over categorical columns, which add 1 to the square where they differ.
    """
    if len(holdout) < MIN_HOLDOUT:
        return _too_few(holdout)
    rng = np.random.default_rng([seed, 4])
    rows = min(len(train), len(holdout))
    spaces = [points(table, train, holdout) for table in (train, holdout, other)]
    return Figure.over(np.array([_share(spaces[0], spaces[1], spaces[2], rows, rng) for _ in range(_DRAWS)]))


@one_thread()
def dcr_floor(train: Table, holdout: Table, seed: int) -> Figure:
    """The same with real rows: half of the hold-out is judged, the other half stands for the hold-out; ten splits."""
    if len(holdout) < MIN_HOLDOUT:
        return _too_few(holdout)
    rng = np.random.default_rng([seed, 5])
    seen, unseen = (points(table, train, holdout) for table in (train, holdout))
    half = len(holdout) // 2
    shares = []
    for _ in range(_DRAWS):
        unseen = rng.permutation(unseen)
        shares.append(_share(seen, unseen[:half], unseen[half:], min(half, len(train)), rng))
    return Figure.over(np.array(shares))


@one_thread()
def mia_auc(train: Table, holdout: Table, other: Table, seed: int) -> Figure:
    """AUC of telling training from held-out rows by their distance to the nearest ``other`` row; 0.5 is clean.

    The distance-based membership inference of Chen et al. (CCS 2020) by an attacker who has the synthetic rows and
    nothing else. Rows and distances as in :func:`dcr_share`; draws are of as many training rows as held-out ones.
    """
    if len(holdout) < MIN_HOLDOUT:
        return _too_few(holdout)
    rng = np.random.default_rng([seed, 9])
    seen, unseen, fake = (points(table, train, holdout) for table in (train, holdout, other))
    return Figure.over(_attacks(_nearness(seen, fake), _nearness(unseen, fake), rng, _DRAWS))


@one_thread()
def mia_floor(train: Table, holdout: Table, seed: int) -> Figure:
    """The same with real rows: half of the hold-out takes the place of the synthetic rows; ten splits."""
    if len(holdout) < MIN_HOLDOUT:
        return _too_few(holdout)
    rng = np.random.default_rng([seed, 10])
    seen, unseen = (points(table, train, holdout) for table in (train, holdout))
    half = len(holdout) // 2
    found = []
    for _ in range(_DRAWS):
        unseen, seen = rng.permutation(unseen), rng.permutation(seen)
        fake = unseen[:half]
        found.append(_attacks(_nearness(seen[:_JUDGED], fake), _nearness(unseen[half:][:_JUDGED], fake), rng, 1))
    return Figure.over(np.concatenate(found))


def _attacks(members: Floats, others: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """The AUC on equal numbers of both, at most 2,000, a draw."""
    rows = min(len(members), len(others), _JUDGED)
    labels = np.repeat([1, 0], rows)
    return np.array(
        [
            roc_auc_score(labels, np.concatenate([rng.permutation(part)[:rows] for part in (members, others)]))
            for _ in range(draws)
        ]
    )


def _nearness(places: Floats, other: Floats) -> Floats:
    """Minus the distance to the nearest row, rounded: what differs by less than the rounding of products is a tie."""
    return np.asarray(np.round(-pairwise_distances_argmin_min(places, other)[1], 6))


def _too_few(holdout: Table) -> Figure:
    return Figure.none(f"distances need a hold-out of at least {MIN_HOLDOUT} rows; it has {len(holdout)}")


def points(table: Table, train: Table, holdout: Table) -> Floats:
    """Rows as points, shape (rows, dimensions), between which distance is as :func:`dcr_share` states."""
    real = np.vstack([train.numbers, holdout.numbers])
    ranks = [_ranks(table.numbers[:, j], real[:, j]) for j in range(real.shape[1])]
    gaps = np.isnan(table.numbers).astype(np.float64)
    # A mismatch differs in two indicators, so each is 1/sqrt(2): together 1 in the square.
    flags = [(table.codes[:, [j]] == np.arange(-1, len(levels))) / np.sqrt(2) for j, levels in enumerate(table.levels)]
    return np.hstack([np.array(ranks).reshape(len(ranks), len(table)).T, gaps, *flags])


def _share(train: Floats, holdout: Floats, other: Floats, rows: int, rng: np.random.Generator) -> float:
    seen, unseen, judged = (
        places[rng.permutation(len(places))[:size]]
        for places, size in ((train, rows), (holdout, rows), (other, _JUDGED))
    )
    to_seen, to_unseen = (pairwise_distances_argmin_min(judged, places)[1] for places in (seen, unseen))
    # Distances come from rounded products: what differs by less than their rounding is a tie.
    tie = np.isclose(to_seen, to_unseen, rtol=1e-6, atol=1e-6)
    return float(np.mean(np.where(tie, 0.5, to_seen < to_unseen)))


def _ranks(values: Floats, real: Floats) -> Floats:
    """Mid-ranks among the real values, in [0, 1]; a missing value stands in the middle."""
    known = np.sort(real[~np.isnan(real)])
    below, up_to = np.searchsorted(known, values, "left"), np.searchsorted(known, values, "right")
    return np.where(np.isnan(values), 0.5, (below + up_to) / max(2 * known.size, 1))
