"""Were training rows copied? Do synthetic rows lie nearer to the rows they were learnt from than to unseen ones?

Who was in the training table is asked in :mod:`~tabsyn_core.evaluation.membership`, what an attacker could do with the
synthetic rows in :mod:`~tabsyn_core.evaluation.attacks`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom
from sklearn.metrics import pairwise_distances_argmin_min, pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from tabsyn_core.evaluation.figure import Figure, share
from tabsyn_core.evaluation.neighbours import DRAWS, JUDGED, MIN_HOLDOUT, nearest, points, too_few
from tabsyn_core.evaluation.tables import Floats, Table
from tabsyn_core.evaluation.threads import one_thread

Flags = NDArray[np.bool_]

__all__ = [
    "COPIED",
    "MIN_HOLDOUT",
    "NNDR",
    "Copies",
    "copies",
    "dcr_floor",
    "dcr_share",
    "nndr",
    "nndr_floor",
    "points",
]

COPIED = 0.03
"""A larger share of copies beyond chance is a leak, if chance does not explain it (see :class:`Copies`)."""

NEAR = 0.01
"""A copy is near if its distance to the nearest training row is below this quantile of the held-out rows' distances."""

MIN_NEAR = 100
"""With fewer held-out rows, their 1 % quantile is below the least of them."""

NNDR = ("train_median", "train_low", "holdout_median", "holdout_low")
"""The keys of :func:`nndr`."""

_NNDR_DRAWS, _NNDR_JUDGED, _NNDR_SAMPLES = 5, 1_000, 50
_ROUNDING = 1e-6
_DEALS = 30


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
        return too_few(holdout)
    rng = np.random.default_rng([seed, 4])
    rows = min(len(train), len(holdout))
    spaces = [points(table, train, holdout) for table in (train, holdout, other)]
    draws = [_nearer(spaces[0], spaces[1], spaces[2], rows, rng) for _ in range(DRAWS)]
    return _over_nearer(draws)


@one_thread()
def dcr_floor(train: Table, holdout: Table, seed: int) -> Figure:
    """The same with real rows: half of the hold-out is judged, the other half stands for the hold-out; ten splits."""
    if len(holdout) < MIN_HOLDOUT:
        return too_few(holdout)
    rng = np.random.default_rng([seed, 5])
    seen, unseen = (points(table, train, holdout) for table in (train, holdout))
    half = len(holdout) // 2
    shares = []
    for _ in range(DRAWS):
        unseen = rng.permutation(unseen)
        shares.append(_nearer(seen, unseen[:half], unseen[half:], min(half, len(train)), rng))
    return _over_nearer(shares)


def _over_nearer(draws: list[Floats]) -> Figure:
    """The mean share over draws; its interval is of the rows judged and of the draws."""
    found = Figure.over(np.array([each.mean() for each in draws]))
    of_rows = max(float(each.std()) for each in draws) / np.sqrt(len(draws[0]))
    return found.within(float(np.hypot(of_rows, found.std or 0.0)))


def _nearer(train: Floats, holdout: Floats, other: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Of each row judged whether it is nearer to a training row: 1, 0, or a half for a tie."""
    seen, unseen, judged = (
        places[rng.permutation(len(places))[:size]]
        for places, size in ((train, rows), (holdout, rows), (other, JUDGED))
    )
    to_seen, to_unseen = (pairwise_distances_argmin_min(judged, places)[1] for places in (seen, unseen))
    # Distances come from rounded products: what differs by less than their rounding is a tie.
    tie = np.isclose(to_seen, to_unseen, rtol=1e-6, atol=1e-6)
    return np.where(tie, 0.5, to_seen < to_unseen)


@dataclass(frozen=True, slots=True)
class Copies:
    """Synthetic rows that are training rows, or nearly so. All figures are shares of rows.

    Attributes:
        exact: Synthetic rows that equal a training row in all columns, a gap being equal to a gap.
        exact_holdout: Synthetic rows that equal a held-out row.
        exact_floor: Held-out rows that equal a training row: what a table of few categories has anyway.
        near: Synthetic rows whose nearest training row is no farther than the nearest training row of the closest 1 %
            of the held-out rows (distances of :func:`points`, ranks being those among all rows; at most 2,000 rows
            judged): 0.01 for a clean generator, more where many rows coincide anyway.
        near_floor: The same of one half of the hold-out, the other half setting the distance; ten splits.
        excess: Copies beyond chance, exact or near ones, whichever are more certain. Two estimates of each are made,
            and the smaller one counts: what the share exceeds the hold-out's own by, and what share of copies would
            explain that more synthetic rows meet training than held-out rows, at equal numbers of both. A generator
            that likes frequent rows more than it should exceeds the first, but only one that knows training rows from
            unseen ones exceeds both. ``std`` is the larger standard deviation of the two where nothing is copied; for
            exact copies where at most 1 % of the held-out rows equal a training row, that of the first.
    """

    exact: Figure
    exact_holdout: Figure
    exact_floor: Figure
    near: Figure
    near_floor: Figure
    excess: Figure

    @property
    def leaked(self) -> bool:
        """Whether more than :data:`COPIED` of the rows are copies, and chance (two ``std``) does not explain it."""
        return self.excess.value is not None and self.excess.value > COPIED and _certain(self.excess) > 0


@one_thread()
def copies(train: Table, holdout: Table, other: Table, seed: int) -> Copies:
    """Exact and near copies of training rows among ``other`` rows, each beside its floor; see :class:`Copies`.

    Shares of exact copies need no hold-out, their floor and the excess need :data:`MIN_HOLDOUT` rows of it, near copies
    :data:`MIN_NEAR`.
    """
    keys = [row_keys(table) for table in (train, holdout, other)]
    seen, unseen, fake = (set(part) for part in keys)
    exact, exact_holdout, exact_floor = (
        np.array([key in rows for key in part], dtype=np.bool_)
        for part, rows in ((keys[2], seen), (keys[2], unseen), (keys[1], seen))
    )
    shares = [share(int(found.sum()), len(found)) for found in (exact, exact_holdout)]
    if len(holdout) < MIN_HOLDOUT:
        return Copies(shares[0], shares[1], *[too_few(holdout)] * 4)
    rng = np.random.default_rng([seed, 42])
    judged = rng.permutation(len(other))[:JUDGED]
    places = {key: place for place, key in enumerate(seen | unseen | fake)}
    real, ours = np.array([places[key] for key in keys[0] + keys[1]]), np.array([places[key] for key in keys[2]])
    floor = share(int(exact_floor.sum()), len(exact_floor))
    beyond = _beyond_unseen(ours[judged, None] == real, len(train), rng)
    # Where real rows do not coincide, synthetic ones do not by chance either, even if they are all copies of one row.
    excess = _excess(exact, exact_floor, beyond if exact_floor.mean() > NEAR else Figure(beyond.value, 0.0))
    if len(holdout) < MIN_NEAR:
        why = f"near copies need a hold-out of at least {MIN_NEAR} rows; it has {len(holdout)}"
        return Copies(shares[0], shares[1], floor, Figure.none(why), Figure.none(why), excess)
    near, near_floor, near_excess = _near_copies(train, holdout, other.take(judged), rng)
    return Copies(shares[0], shares[1], floor, near, near_floor, max(excess, near_excess, key=_certain))


def row_keys(table: Table) -> list[bytes]:
    """One key a row; rows are equal if and only if their keys are."""
    # Adding zero makes -0.0 a 0.0; every gap becomes the one NaN.
    numbers = np.where(np.isnan(table.numbers), np.nan, table.numbers + 0.0)
    return [row.tobytes() for row in np.hstack([numbers, table.codes.astype(np.float64)])]


def _near_copies(train: Table, holdout: Table, other: Table, rng: np.random.Generator) -> tuple[Figure, Figure, Figure]:
    """The share of near copies, its floor and its excess."""
    given = (train, holdout, other)
    seen, unseen, fake = (points(table, *given) for table in given)
    distances = nearest(rng.permutation(unseen)[:JUDGED], seen)
    radius = float(np.quantile(distances, NEAR))
    half, floors = len(distances) // 2, []
    for _ in range(DRAWS):
        distances = rng.permutation(distances)
        floors.append(np.mean(distances[half:] <= np.quantile(distances[:half], NEAR)))
    meets = _within(fake, np.vstack([seen, unseen]), radius)
    found = np.asarray(meets[:, : len(seen)].any(axis=1))
    excess = _excess(found, np.asarray(distances <= radius), _beyond_unseen(meets, len(seen), rng))
    return share(int(found.sum()), len(found)), Figure.over(np.array(floors)), excess


def _within(places: Floats, others: Floats, radius: float) -> Flags:
    """Whether each of the others lies within the radius of each place, a few places at a time."""

    def near(distances: Floats, _: int) -> Flags:
        return np.asarray(distances <= radius + _ROUNDING)

    return np.vstack(list(pairwise_distances_chunked(places, others, reduce_func=near, working_memory=64)))


def _beyond_unseen(meets: Flags, seen: int, rng: np.random.Generator) -> Figure:
    """The share of copies that would explain why more synthetic rows meet training than held-out rows.

    With ``rows`` training rows drawn at random, as many as there are held-out ones, a synthetic row that meets c of the
    training rows meets one of those drawn unless the hypergeometric distribution says otherwise. If a share s of the
    rows are copies, each of one training row, the share met exceeds that met among held-out rows by
    s · (rows / seen) · (1 - met among held-out rows). The spread is that of the same share where all real rows are
    dealt to training and hold-out at random.

    Args:
        meets: Whether a synthetic row equals, or lies near, a real row; shape (synthetic, training + held-out).
        seen: Training rows, which come first.
        rng: Deals the real rows.
    """
    total = meets.shape[1]
    rows = min(seen, total - seen)
    dealt = np.zeros((total, 1 + _DEALS), dtype=np.float32)
    dealt[:seen, 0] = 1
    dealt[:, 1:] = rng.permuted(np.tile(dealt[:, :1], _DEALS), axis=0)
    counted = meets.astype(np.float32)
    met, met_unseen = (
        1 - np.asarray(hypergeom.pmf(0, size, np.arange(size + 1), rows))[np.rint(counted @ parts).astype(int)].mean(0)
        for size, parts in ((seen, dealt), (total - seen, 1 - dealt))
    )
    room = np.maximum(1 - met_unseen, 1 / len(meets))
    found = (met - met_unseen) / room * seen / rows
    return Figure(float(found[0]), float(found[1:].std()))


def _certain(excess: Figure) -> float:
    """What is left of it when two standard deviations are taken for chance."""
    return (excess.value or 0.0) - 2 * (excess.std or 0.0)


def _excess(found: Flags, unseen: Flags, beyond: Figure) -> Figure:
    """The smaller of both estimates, not below 0, with the larger spread.

    Args:
        found: Which synthetic rows are copies.
        unseen: Which held-out rows would be.
        beyond: The estimate of :func:`_beyond_unseen`.
    """
    # A share of 0 in few rows is not certainly 0: one more row that is a copy, and one that is not.
    chance = (float(np.sum(unseen)) + 1) / (len(unseen) + 2)
    std = float(np.sqrt(chance * (1 - chance) * (1 / len(found) + 1 / len(unseen))))
    value = min(float(np.mean(found) - np.mean(unseen)), beyond.value or 0.0)
    spread = max(std, beyond.std or 0.0)
    return Figure(max(0.0, value), spread).within(spread)


@one_thread()
def nndr(train: Table, holdout: Table, other: Table, seed: int) -> dict[str, Figure]:
    """Nearest-neighbour distance ratios: how much nearer is the nearest real row than the second nearest?

    The ratio of a row that names one real row among all others is near 0, that of a row that lies among them near 1; of
    a row with two nearest rows at distance 0 it is 1. A generator that copies nothing has the same ratios to training
    as to held-out rows. Training rows are drawn down to the number of held-out rows, five times; at most 1,000 rows are
    judged a draw.

    Returns:
        :data:`NNDR`: ``train_median`` and ``train_low`` (the 5 % quantile) of the ratios to training rows,
        ``holdout_median`` and ``holdout_low`` to held-out rows; mean and spread over draws.
    """
    if len(holdout) < MIN_HOLDOUT or len(train) < MIN_HOLDOUT:
        return dict.fromkeys(NNDR, too_few(min(train, holdout, key=len)))
    rng = np.random.default_rng([seed, 43])
    rows = min(len(train), len(holdout))
    given = (train, holdout, other)
    seen, unseen, fake = (points(table, *given) for table in given)
    return _ratios([(seen, unseen, fake)] * _NNDR_DRAWS, rows, rng)


@one_thread()
def nndr_floor(train: Table, holdout: Table, seed: int) -> dict[str, Figure]:
    """The same with real rows: half of the hold-out is judged, the other half stands for the hold-out; five splits."""
    if len(holdout) < MIN_HOLDOUT or len(train) < MIN_HOLDOUT:
        return dict.fromkeys(NNDR, too_few(min(train, holdout, key=len)))
    rng = np.random.default_rng([seed, 44])
    seen, unseen = (points(table, train, holdout) for table in (train, holdout))
    half = len(unseen) // 2
    splits = [rng.permutation(unseen) for _ in range(_NNDR_DRAWS)]
    return _ratios([(seen, split[:half], split[half:]) for split in splits], min(half, len(seen)), rng)


def _ratios(draws: list[tuple[Floats, Floats, Floats]], rows: int, rng: np.random.Generator) -> dict[str, Figure]:
    """Of training rows, held-out rows and rows to judge, once a draw; ``rows`` of each of the first two."""
    found, spreads = [], []
    sampler = rng.spawn(1)[0]  # so that the draws do not depend on it
    for *real, others in draws:
        judged = rng.permutation(others)[:_NNDR_JUDGED]
        ratios = [_ratio(judged, rng.permutation(places)[:rows]) for places in real]
        found.append([statistic for ratio in ratios for statistic in _statistics(ratio)])
        samples = [sampler.integers(0, len(judged), len(judged)) for _ in range(_NNDR_SAMPLES)]
        repeats = [[statistic for ratio in ratios for statistic in _statistics(ratio[rows])] for rows in samples]
        spreads.append(np.std(repeats, axis=0, ddof=1))
    figures = map(Figure.over, np.array(found).T)
    of_rows = np.mean(spreads, axis=0)
    return {
        name: figure.within(float(np.hypot(spread, figure.std or 0.0)))
        for name, figure, spread in zip(NNDR, figures, of_rows, strict=True)
    }


def _statistics(ratio: Floats) -> tuple[float, float]:
    return float(np.median(ratio)), float(np.quantile(ratio, 0.05))


def _ratio(judged: Floats, places: Floats) -> Floats:
    near, far = np.round(NearestNeighbors(n_neighbors=2).fit(places).kneighbors(judged)[0], 6).T
    return np.where(far > 0, near / np.where(far > 0, far, 1), 1.0)
