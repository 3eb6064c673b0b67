"""Membership inference: who was in the training table?

Two attackers who have the synthetic rows. The first asks how near a row lies to them (Chen et al., CCS 2020). The
second also has other real rows, so that he can tell a row that lies near synthetic rows because it is common from one
that lies near them because it was learnt (DOMIAS: van Breugel et al., AISTATS 2023).
"""

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.neighbours import DRAWS, JUDGED, MIN_HOLDOUT, nearest, points, too_few
from tabsyn_core.evaluation.tables import Floats, Table
from tabsyn_core.evaluation.threads import one_thread

FALSE_ALARMS = 0.01
"""The share of unseen rows an attacker may take for training rows when he must be right about the ones he names."""

MIN_UNSEEN = 100
"""With fewer unseen rows, one false alarm in a hundred is less than one row."""

_SMOOTH = 1e-3
_SAMPLES = 20

MEASURES = ("distance_auc", "distance_tpr", "density_auc", "density_tpr")
"""The keys of :func:`membership`."""


@one_thread()
def membership(train: Table, holdout: Table, other: Table, seed: int) -> dict[str, Figure]:
    """What two attackers find out about who was in the training table.

    ``distance`` is the AUC, or the true positive rate, of telling training from held-out rows by their distance to the
    nearest ``other`` row (distances of :func:`~.neighbours.points`), on as many training rows as held-out ones, at most
    2,000. ``density`` scores a row by p_synthetic(x) / p_reference(x), the ratio of DOMIAS, with nearest-neighbour
    estimates of both densities (Loftsgaarden & Quesenberry 1965), whose ratio grows with d_reference / d_synthetic, the
    distances to the nearest row of either. The reference rows are the half of the hold-out that is not attacked; halves
    change places, and scores of both are pooled. Boosted trees as an estimate of the ratio see next to nothing: an AUC
    of 0.57 to 0.62 where the synthetic table is the training table, where this one has 1.00.

    ``auc`` is 0.5 for a generator that remembers no row; ``tpr`` is the share of training rows found when 1 % of the
    unseen ones are accused wrongly (Carlini et al., S&P 2022), 0.01 for such a generator.

    Returns:
        :data:`MEASURES`: mean and spread over ten draws, or the reason why there is none: fewer than
        :data:`MIN_HOLDOUT` held-out rows, or fewer than :data:`MIN_UNSEEN` attacked ones for ``tpr``.
    """
    if len(holdout) < MIN_HOLDOUT:
        return dict.fromkeys(MEASURES, too_few(holdout))
    seen, unseen, fake = (points(table, train, holdout) for table in (train, holdout, other))
    to_fake = nearest(seen, fake), nearest(unseen, fake)
    distance = _by_distance(*to_fake, np.random.default_rng([seed, 9]), DRAWS)
    rng = np.random.default_rng([seed, 40])
    density = [_by_density((seen, unseen), to_fake, rng) for _ in range(DRAWS)]
    return _figures(distance, np.array(density), min(len(seen), len(unseen)))


@one_thread()
def membership_floor(train: Table, holdout: Table, seed: int) -> dict[str, Figure]:
    """The same with real rows: half of the hold-out takes the place of the synthetic rows; ten splits."""
    if len(holdout) < MIN_HOLDOUT:
        return dict.fromkeys(MEASURES, too_few(holdout))
    rng, dealer = np.random.default_rng([seed, 10]), np.random.default_rng([seed, 41])
    seen, unseen = (points(table, train, holdout) for table in (train, holdout))
    half = len(unseen) // 2
    distance, density = [], []
    for _ in range(DRAWS):
        unseen, seen = rng.permutation(unseen), rng.permutation(seen)
        fake, attacked = unseen[:half], (seen[:JUDGED], unseen[half:][:JUDGED])
        to_fake = nearest(attacked[0], fake), nearest(attacked[1], fake)
        distance.append(_by_distance(*to_fake, rng, 1))
        density.append(_by_density(attacked, to_fake, dealer))
    return _figures(np.concatenate(distance), np.array(density), min(len(seen), len(unseen) - half))


def _by_distance(members: Floats, others: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """AUC and TPR on equal numbers of both, at most 2,000, a draw; shape (draws, 2, 2) as of :func:`_attacked`."""
    rows = min(len(members), len(others), JUDGED)
    return np.array([_attacked(*(-rng.permutation(part)[:rows] for part in (members, others))) for _ in range(draws)])


def _by_density(places: tuple[Floats, Floats], to_fake: tuple[Floats, Floats], rng: np.random.Generator) -> Floats:
    """As of :func:`_attacked`, of the ratio; either half of the unseen rows is attacked, the other the reference."""
    rows = min(len(places[0]), len(places[1]), JUDGED)
    order = [rng.permutation(len(part)) for part in places]
    scores: tuple[list[Floats], list[Floats]] = ([], [])
    for turn in range(min(2, rows)):
        # Halves are every other row of the drawn order, so that no reference row is attacked in the same turn.
        reference = places[1][order[1][1 - turn :: 2]][:JUDGED]
        for kind in (0, 1):
            attacked = order[kind][:rows][turn::2]
            to_reference = nearest(places[kind][attacked], reference)
            scores[kind].append(np.log((to_reference + _SMOOTH) / (to_fake[kind][attacked] + _SMOOTH)))
    return _attacked(*(np.concatenate(part) for part in scores))


def _attacked(members: Floats, others: Floats) -> Floats:
    """AUC and TPR, and their standard deviations over bootstrap samples of the rows attacked; shape (2, 2)."""
    rng = np.random.default_rng([len(members), len(others), 45])
    repeats = [
        _roc(*(part[rng.integers(0, len(part), len(part))] for part in (members, others))) for _ in range(_SAMPLES)
    ]
    return np.array([_roc(members, others), np.std(repeats, axis=0, ddof=1)])


def _roc(members: Floats, others: Floats) -> tuple[float, float]:
    """AUC, and TPR at an FPR of 1 %, of scores that are larger for supposed members."""
    labels = np.repeat([1, 0], [len(members), len(others)])
    scores = np.concatenate([members, others])
    false, true, _ = roc_curve(labels, scores)
    return float(roc_auc_score(labels, scores)), float(np.interp(FALSE_ALARMS, false, true))


def _figure(draws: Floats) -> Figure:
    """From values and their spreads over bootstrap samples, shape (2, draws)."""
    found = Figure.over(draws[0])
    return found.within(float(np.hypot(draws[1].mean(), found.std or 0.0)))


def _figures(distance: Floats, density: Floats, unseen: int) -> dict[str, Figure]:
    figures = [_figure(draws) for draws in (*distance.transpose(2, 1, 0), *density.transpose(2, 1, 0))]
    found = dict(zip(MEASURES, figures, strict=True))
    if unseen < MIN_UNSEEN:
        why = f"one false alarm in a hundred needs at least {MIN_UNSEEN} unseen rows to attack; there are {unseen}"
        found |= dict.fromkeys(("distance_tpr", "density_tpr"), Figure.none(why))
    return found
