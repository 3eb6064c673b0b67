"""Is the whole table distributed as the real one? An energy test of all columns at once, and shares of clusters.

Distances are those of :func:`~tabsyn_core.evaluation.privacy.points`, and every figure stands beside its floor: the
same figure of held-out rows, at the same number of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin

from tabsyn_core.evaluation.figure import DRAWS, Figure
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_ROWS = 1_000
_PERMUTATIONS = 999
_SAMPLES = 50
_CLUSTERS = 10
_STARTS = 4

MIN_ROWS = 20
"""Fewer rows of any kind are not judged: such a test finds nothing, and such shares are chance."""


@dataclass(frozen=True, slots=True)
class TwoSample:
    """A permutation test of the hypothesis that two tables have one distribution.

    Attributes:
        statistic: The energy distance between training and synthetic rows; see :func:`energy_test`.
        p_value: How often tables of one distribution would be at least as far apart.
        floor: The statistic between training and held-out rows, at the same number of rows.
        floor_p_value: Its p value.
    """

    statistic: Figure
    p_value: Figure
    floor: Figure
    floor_p_value: Figure


@one_thread()
def energy_test(train: Table, holdout: Table, other: Table, seed: int) -> TwoSample:
    """The energy test of Székely & Rizzo (2004, 2013) between the training rows and ``other``.

    The statistic is the energy distance as a share of its largest value, the square root of the coefficient of
    inhomogeneity H = (2 E|X-Y| - E|X-X'| - E|Y-Y'|) / (2 E|X-Y|) over all pairs of rows: 0 only where both tables hold
    the same rows, 1 where the rows of each are all equal and the two differ. It depends on the number of rows, so all
    tables are drawn down to the smallest of the three, and to 1,000.

    The p value is (1 + hits) / (1 + permutations) over 999 permutations of the labels; it is exact for independent
    rows, and at least 0.001.

    Returns:
        Statistic and p value of ``other`` and of the held-out rows in its place; no numbers with fewer than
        :data:`MIN_ROWS` rows in any table.
    """
    rows = min(len(train), len(holdout), len(other), _ROWS)
    if rows < MIN_ROWS:
        none = _too_few("an energy test needs", rows)
        return TwoSample(none, none, none, none)

    def compare(table: Table) -> tuple[Figure, Figure]:
        # The same draws whatever the table, so that held-out rows in its place give the floor to the bit.
        rng = np.random.default_rng([seed, 30])
        both = np.vstack([points(part.draw(rows, rng), train, holdout) for part in (train, table)])
        statistic, p_value, spread = _energy(both, rng)
        return Figure(statistic).within(spread), Figure(p_value)

    return TwoSample(*compare(other), *compare(holdout))


def _energy(both: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    """The distance between the first and the second half of the rows, its p value, and its bootstrap spread."""
    # In whole millionths, whose sums are exact: equal rows are at 0, and equal sums are ties whatever their order.
    distances = np.round(1e6 * pairwise_distances(both))
    halves = np.repeat([1.0, 0.0], len(both) // 2)
    labels = np.vstack([halves, rng.permuted(np.tile(halves, (_PERMUTATIONS, 1)), axis=1)])
    # Permutations leave the sum over all pairs: between equal halves, the distance rises with what lies across alone.
    across = np.einsum("ij,ij->i", labels @ distances, 1 - labels)
    hits = int(np.count_nonzero(across[1:] >= across[0]))
    p_value = (1 + hits) / (1 + _PERMUTATIONS)
    if across[0] == 0:
        return 0.0, p_value, 0.0
    size = len(both) // 2
    drawn = [np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(2 * _SAMPLES)]
    parts = np.hstack([np.vstack([np.ones(size), *drawn[i::2]]) for i in range(2)])
    first = np.where(halves > 0, parts, 0)
    second = parts - first
    between = np.einsum("ij,ij->i", first @ distances, second)
    within = np.einsum("ij,ij->i", parts @ distances, parts) - 2 * between
    # Not below 0 but by the rounding of distances.
    found = np.sqrt(np.maximum(0, 1 - within / (2 * np.maximum(between, 1))))
    return float(found[0]), p_value, float(found[1:].std(ddof=1))


@dataclass(frozen=True)
class ClusterShares:
    """How rows spread over the clusters of all tables together.

    Attributes:
        shares: ``cluster``, the most frequent first, and the shares ``real``, ``held_out``, ``synthetic`` of all rows
            of each table. No rows where nothing was judged.
        tvd: Total variation distance between the shares of real and of synthetic rows, 0 (equal) to 1.
        log_cluster: The logarithm of the mean over clusters of (real rows / real and synthetic rows - 1/2)²; the
            lower the better, -1.39 where no cluster holds both.
        tvd_floor: ``tvd`` with held-out rows in the place of the synthetic ones.
        log_cluster_floor: The same of ``log_cluster``.
    """

    shares: pl.DataFrame
    tvd: Figure
    log_cluster: Figure
    tvd_floor: Figure
    log_cluster_floor: Figure


@one_thread()
def cluster_shares(train: Table, holdout: Table, fake: Table, seed: int) -> ClusterShares:
    """Do synthetic rows fall into the clusters of the data as often as real rows do?

    Clusters are those of :func:`cluster_centres`. ``log_cluster`` is the cluster-analysis measure of Woo et al. (2009),
    in the logarithm of Goncalves et al. (2020). Chance alone sets shares apart, the more the fewer rows there are, so
    the two distances are between as many rows of each table: the mean of five draws where one has more than the
    smallest.

    Returns:
        The shares and their distances; no numbers with fewer than :data:`MIN_ROWS` rows in any table.
    """
    tables = {"real": train, "held_out": holdout, "synthetic": fake}
    rows = min(len(table) for table in tables.values())
    if rows < MIN_ROWS:
        none = _too_few("clusters need", rows)
        shares = pl.DataFrame(schema={"cluster": pl.Int64, **dict.fromkeys(tables, pl.Float64)})
        return ClusterShares(shares, none, none, none, none)
    centres = cluster_centres(train, holdout, fake, seed)
    labels = {name: nearest_centre(points(table, train, holdout), centres) for name, table in tables.items()}
    found = {name: np.bincount(places, minlength=len(centres)) / len(places) for name, places in labels.items()}
    rng = np.random.default_rng([seed, 31])
    draws = 1 if len({len(table) for table in tables.values()}) == 1 else DRAWS
    counts = [
        {name: np.bincount(rng.permutation(p)[:rows], minlength=len(centres)) for name, p in labels.items()}
        for _ in range(draws)
    ]

    def over(measure: Callable[[Codes, Codes], float], name: str) -> Figure:
        values = np.array([measure(drawn["real"], drawn[name]) for drawn in counts])
        if not np.isfinite(values).all():
            return Figure.none("all clusters hold real and other rows in equal numbers, which have no logarithm")
        sampler = np.random.default_rng([seed, 33])
        shares = [found[each] / found[each].sum() for each in ("real", name)]
        repeats = np.array([measure(*(sampler.multinomial(rows, part) for part in shares)) for _ in range(_SAMPLES)])
        lowest, highest = (0.0, 1.0) if measure is _total_variation else (-np.inf, np.inf)
        return Figure.over(values).within(float(repeats[np.isfinite(repeats)].std(ddof=1)), lowest, highest)

    return ClusterShares(
        shares=pl.DataFrame({"cluster": np.arange(len(centres)), **found}),
        tvd=over(_total_variation, "synthetic"),
        log_cluster=over(_log_cluster, "synthetic"),
        tvd_floor=over(_total_variation, "held_out"),
        log_cluster_floor=over(_log_cluster, "held_out"),
    )


def cluster_centres(train: Table, holdout: Table, fake: Table, seed: int) -> Floats:
    """The centres of a k-means clustering of all three tables together, as many rows of each, at most 1,000.

    Held-out rows take part as the others do: rows that a clustering has not seen spread otherwise over its clusters,
    and a floor of them would be too high. There are ten clusters, or one for every ten rows of a table, or as many as
    rows that differ, whichever is fewest.

    Returns:
        Shape (clusters, dimensions of :func:`~.privacy.points`), the most frequent first.
    """
    rng = np.random.default_rng([seed, 32])
    rows = min(len(train), len(holdout), len(fake), _ROWS)
    places = np.vstack([points(table.draw(rows, rng), train, holdout) for table in (train, holdout, fake)])
    clusters = min(_CLUSTERS, max(1, rows // 10), len(np.unique(places, axis=0)))
    model = KMeans(clusters, n_init=_STARTS, random_state=seed).fit(places)
    order = np.argsort(-np.bincount(model.labels_, minlength=clusters), kind="stable")
    return np.asarray(model.cluster_centers_[order])


def nearest_centre(places: Floats, centres: Floats) -> Codes:
    """The cluster of each of ``places``, shape (rows,): its place among the centres."""
    return np.asarray(pairwise_distances_argmin(places, centres), dtype=np.int64)


def _total_variation(real: Codes, other: Codes) -> float:
    return float(np.abs(real / real.sum() - other / other.sum()).sum() / 2)


def _log_cluster(real: Codes, other: Codes) -> float:
    """Of two tables of as many rows; minus infinity where all clusters hold as many of both."""
    known = real + other > 0
    apart = float(np.mean((real[known] / (real + other)[known] - 0.5) ** 2))
    return float(np.log(apart)) if apart > 0 else -np.inf


def _too_few(what: str, rows: int) -> Figure:
    return Figure.none(f"{what} at least {MIN_ROWS} rows of each kind; there are {rows}")
