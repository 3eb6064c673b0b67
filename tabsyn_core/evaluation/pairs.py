"""Pair by pair: do columns depend on one another as the real ones do?

All three tables are drawn down to the number of rows of the smallest. A dependence estimated from few rows looks
stronger than one from many, and a distance larger, so that only equal numbers make synthetic rows and their floor, the
held-out rows in their place, comparable.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import rankdata

from tabsyn_core.evaluation.columns import without_last_bits
from tabsyn_core.evaluation.combinations import (
    besides_commonest,
    correlation_ratios,
    cramers_v,
    joint_shares,
    joint_variations,
)
from tabsyn_core.evaluation.fidelity import correlations
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

MIN_ROWS = 20
"""Fewer rows of any kind are not judged: a dependence between them is chance."""

SUBSET_ROWS = 30
"""Values that a dependence must rest on to be looked at by itself, as in a numeric column within a category."""

_MOST = 2_000  # pairs of columns that are drawn at random where there are more
_MOST_SUBSETS = 500  # the same, where distributions within levels are only averaged
_BINS = 10
_LEVELS = 20  # the most frequent levels, the others counted as one, where information is measured
_RESAMPLES, _RESAMPLED_ROWS = 10, 2_000


@one_thread()
def pair_measures(train: Table, holdout: Table, fake: Table, seed: int = 0) -> dict[str, dict[str, Figure]]:
    """How far the dependence between columns is from the real one, 0 best.

    A missing category is a level of its own; a missing number is left out, but in ``mutual_information``, where it is a
    bin, and in ``spectrum``, where it stands in the middle. A pair that the real rows do not define (a constant column)
    is not judged; one that only the other rows do not define counts as independent there. At most 2,000 pairs of
    columns are looked at in ``mutual_information`` and 500 in ``subsets``, drawn at random, the same of all tables.

    Args:
        train: Real rows the generator saw.
        holdout: Real rows it did not see.
        fake: The rows to judge.
        seed: Draws rows, pairs and bootstrap samples.

    Returns:
        For each measure ``"synthetic"`` and ``"floor"`` (held-out rows in their place), or the reason why there is
        none. The spread is over ten bootstrap samples of the judged rows, at most 2,000, scaled to all of them; the
        interval is 1.96 times as wide on either side. (Quantiles of the samples would lie too high, since resampling
        adds to a distance.)

        - ``pearson``, ``spearman``: mean absolute difference of correlations over pairs of numeric columns, 0 to 2.
          Ranks are of the column's own values, whether or not the other is missing.
        - ``contingency``: mean total variation distance of joint shares over pairs of categorical columns, 0 to 1.
        - ``correlation_ratio``: mean absolute difference of η, the root of the share of a numeric column's variance
          that lies between the levels of a categorical one, 0 to 1.
        - ``mutual_information``: mean absolute difference of 2 I(X; Y) / (H(X) + H(Y)) over pairs of any kind, numbers
          in at most ten bins between the quantiles of real rows, 0 to 1.
        - ``subsets``: mean Kolmogorov-Smirnov statistic of numeric columns within each level that holds
          :data:`SUBSET_ROWS` values of both tables, 0 to 1. (That a level lacks rows is seen in ``contingency``.)
        - ``spectrum``: total variation distance between the eigenvalues of the covariance of ranks in descending order,
          as shares of their sum, 0 to 1.
    """
    rng = np.random.default_rng([seed, 23])
    real, unseen, made = _at_equal_rows(train, holdout, fake, rng)
    if len(real) < MIN_ROWS:
        none = Figure.none(f"pairs need at least {MIN_ROWS} rows of each kind; there are {len(real)}")
        return {name: {"synthetic": none, "floor": none} for name in _WITHOUT}
    ruler = _Ruler.of(real, unseen, rng)
    known = _Dependence.of(real, ruler)
    judged, floor = (_figures(real, known, other, ruler, rng) for other in (made, unseen))
    return {name: {"synthetic": judged[name], "floor": floor[name]} for name in _WITHOUT}


@one_thread()
def worst_pairs(train: Table, holdout: Table, fake: Table, k: int = 30, seed: int = 0) -> pl.DataFrame:
    """The pairs of columns whose dependence is furthest from the real one.

    A column with fewer than :data:`SUBSET_ROWS` real values besides its commonest is left out: what depends on a few
    rows is chance, and the list would hold nothing else.

    Returns:
        At most ``k`` rows, the largest ``difference`` minus ``floor`` first: ``left``, ``right``, ``kind`` ("numeric",
        "mixed" or "categorical"), ``measure`` (Spearman correlation, -1 to 1; correlation ratio or Cramér's V, 0 to 1),
        its value in ``real``, ``synthetic`` and ``held_out`` rows (null where these do not define it), ``difference``
        (absolute, of synthetic and real; an undefined value counts as 0) and ``floor`` (of held-out and real).
    """
    tables = _at_equal_rows(train, holdout, fake, np.random.default_rng([seed, 24]))
    parts = [(correlations(_ranks(table.numbers)), correlation_ratios(table), cramers_v(table)) for table in tables]
    numeric, categorical = (np.triu_indices(len(names), k=1) for names in (train.numeric, train.categorical))
    mixed, shift = _mixed_pairs(train).T, len(train.numeric)
    real, unseen, made = (np.concatenate([part[0][numeric], part[1].T[*mixed], part[2][categorical]]) for part in parts)
    sizes = [len(pairs[0]) for pairs in (numeric, mixed, categorical)]
    left = np.concatenate([numeric[0], mixed[0], categorical[0] + shift])
    right = np.concatenate([numeric[1], mixed[1] + shift, categorical[1] + shift])
    varied = besides_commonest(tables[0].features) >= SUBSET_ROWS
    names = pl.Series(train.feature_names)
    return (
        pl.DataFrame(
            {
                "left": names.gather(left),
                "right": names.gather(right),
                "kind": np.repeat(["numeric", "mixed", "categorical"], sizes),
                "measure": np.repeat(["Spearman correlation", "correlation ratio", "Cramér's V"], sizes),
                "real": real,
                "synthetic": made,
                "held_out": unseen,
                "difference": np.abs(np.nan_to_num(made) - real),
                "floor": np.abs(np.nan_to_num(unseen) - real),
            }
        )
        .fill_nan(None)
        .filter(pl.col("real").is_not_null(), pl.Series(varied[left] & varied[right]))
        .sort(pl.col("difference") - pl.col("floor"), "left", "right", descending=[True, False, False])
        .head(k)
    )


@one_thread()
def spectra(train: Table, holdout: Table, fake: Table, seed: int = 0) -> pl.DataFrame:
    """The eigenvalues behind ``spectrum`` of :func:`pair_measures`, for a scree plot.

    Returns:
        A row a component, largest first: ``component`` (from 1), ``real``, ``held_out``, ``synthetic`` (shares of the
        variance of ranks, null in a table whose numeric columns are all constant).
    """
    tables = _at_equal_rows(train, holdout, fake, np.random.default_rng([seed, 25]))
    shares = [_spectrum(_ranks(table.numbers)) for table in tables]
    columns = dict(zip(("real", "held_out", "synthetic"), shares, strict=True))
    return pl.DataFrame({"component": np.arange(1, len(train.numeric) + 1), **columns}).fill_nan(None)


@one_thread()
def subset_table(train: Table, holdout: Table, fake: Table, seed: int = 0) -> pl.DataFrame:
    """Each numeric column within each level of each categorical column (of 2,000 random pairs where there are more).

    Returns:
        A row for each numeric column and level with :data:`SUBSET_ROWS` values, real and synthetic: ``column``,
        ``category``, ``level``, ``rows_real``, ``rows_synthetic`` (values, of tables drawn to equal rows), ``ks``, and
        ``floor`` (held-out rows in their place; null where these have too few). Worst first, by ``ks`` times the root
        of n m / (n + m): with few rows it is large by chance.
    """
    rng = np.random.default_rng([seed, 26])
    real, unseen, made = _at_equal_rows(train, holdout, fake, rng)
    pairs = _some(_mixed_pairs(train), _MOST, rng)
    found, floor = (_subsets(real, other, pairs) for other in (made, unseen))
    keys = ["column", "category", "level"]
    ours, theirs = pl.col("rows_real"), pl.col("rows_synthetic")
    return (
        found.rename({"rows": "rows_synthetic"})
        .join(floor.select(*keys, pl.col("ks").alias("floor")), on=keys, how="left", maintain_order="left")
        .sort(pl.col("ks") * (ours * theirs / (ours + theirs)).sqrt(), descending=True, maintain_order=True)
    )


_WITHOUT = {
    **dict.fromkeys(("pearson", "spearman"), "fewer than two numeric columns vary"),
    "contingency": "there are fewer than two categorical columns",
    "correlation_ratio": "no numeric column varies beside a categorical one that does",
    "mutual_information": "fewer than two columns vary",
    "subsets": f"no category holds {SUBSET_ROWS} values of a numeric column in both tables",
    "spectrum": "no numeric column varies",
}
"""Why a measure cannot be computed."""


def _at_equal_rows(train: Table, holdout: Table, fake: Table, rng: np.random.Generator) -> tuple[Table, Table, Table]:
    rows = min(len(train), len(holdout), len(fake))
    return train.draw(rows, rng), holdout.draw(rows, rng), fake.draw(rows, rng)


@dataclass(frozen=True)
class _Ruler:
    """What every table is measured by: bins and levels of real rows, and the pairs that are looked at.

    Attributes:
        edges: Of the bins of each numeric column.
        common: For each categorical column, the place of each level (missing first) among the common ones.
        pairs: Of any columns, shape (pairs, 2).
        subsets: Of a numeric and a categorical column, shape (pairs, 2).
    """

    edges: list[Floats]
    common: list[Codes]
    pairs: NDArray[np.int64]
    subsets: NDArray[np.int64]

    @classmethod
    def of(cls, train: Table, holdout: Table, rng: np.random.Generator) -> "_Ruler":
        numbers = np.vstack([train.numbers, holdout.numbers])
        codes = np.vstack([train.codes, holdout.codes])
        shares = np.linspace(0, 1, _BINS + 1)[1:-1]
        present = [column[~np.isnan(column)] for column in numbers.T]
        common = []
        for column, levels in zip(codes.T, train.levels, strict=True):
            counts = np.bincount(column + 1, minlength=len(levels) + 1)[1:]
            places = np.argsort(np.argsort(-counts, kind="stable"), kind="stable")
            common.append(np.append(0, 1 + np.minimum(places, _LEVELS)))
        return cls(
            [np.unique(np.quantile(values, shares)) if values.size else np.empty(0) for values in present],
            common,
            _some(np.column_stack(np.triu_indices(len(train.feature_names), k=1)), _MOST, rng),
            _some(_mixed_pairs(train), _MOST_SUBSETS, rng),
        )

    def binned(self, table: Table) -> Codes:
        """All columns as small codes, shape (rows, columns)."""
        numeric = [
            np.where(np.isnan(column), edges.size + 1, np.searchsorted(edges, column))
            for edges, column in zip(self.edges, table.numbers.T, strict=True)
        ]
        categorical = [places[column + 1] for places, column in zip(self.common, table.codes.T, strict=True)]
        return np.column_stack([*numeric, *categorical])


def _mixed_pairs(table: Table) -> NDArray[np.int64]:
    """Every numeric with every categorical column, shape (pairs, 2)."""
    return np.indices((len(table.numeric), len(table.categorical))).reshape(2, -1).T


def _some(pairs: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return pairs if len(pairs) <= most else pairs[np.sort(rng.permutation(len(pairs))[:most])]


@dataclass(frozen=True)
class _Dependence:
    """What one table says of its pairs; NaN where it does not define a value.

    Attributes:
        pearson: Shape (numeric, numeric), as ``spearman``.
        spearman: Of ranks.
        ratios: Correlation ratios, shape (categorical, numeric).
        information: Of the ruler's pairs, shape (pairs,).
        spectrum: Shape (numeric,).
        joint: Joint shares of all levels of all categorical columns, shape (levels, levels).
    """

    pearson: Floats
    spearman: Floats
    ratios: Floats
    information: Floats
    spectrum: Floats
    joint: csr_array[np.float64]

    @classmethod
    def of(cls, table: Table, ruler: _Ruler) -> "_Dependence":
        ranks = _ranks(table.numbers)
        return cls(
            correlations(table.numbers),
            correlations(ranks),
            correlation_ratios(table),
            _information(ruler.binned(table), ruler.pairs),
            _spectrum(ranks),
            joint_shares(table),
        )


def _figures(
    real: Table, known: _Dependence, other: Table, ruler: _Ruler, rng: np.random.Generator
) -> dict[str, Figure]:
    values = _distances(real, known, other, ruler)
    rows = min(len(other), _RESAMPLED_ROWS)
    samples = [other.take(rng.integers(0, len(other), rows)) for _ in range(_RESAMPLES)]
    repeats = np.stack([_distances(real, known, sample, ruler) for sample in samples])
    spread = np.sqrt(rows / len(other)) * repeats.std(axis=0, ddof=1)
    figures = zip(_WITHOUT.items(), values.tolist(), spread.tolist(), strict=True)
    return {name: Figure.none(why) if np.isnan(value) else _spread(value, std) for (name, why), value, std in figures}


def _spread(value: float, std: float) -> Figure:
    half = 1.96 * std
    return Figure(value) if np.isnan(std) else Figure(value, std, low=max(value - half, 0.0), high=value + half)


def _distances(real: Table, known: _Dependence, other: Table, ruler: _Ruler) -> Floats:
    """In the order of the figures; NaN where there is nothing to judge."""
    found = _Dependence.of(other, ruler)
    upper = np.triu_indices(len(real.numeric), k=1)
    return np.array(
        [
            _mean_difference(known.pearson[upper], found.pearson[upper]),
            _mean_difference(known.spearman[upper], found.spearman[upper]),
            _mean(joint_variations(known.joint, found.joint, real)),
            _mean_difference(known.ratios, found.ratios),
            _mean_difference(known.information, found.information),
            _mean(_subsets(real, other, ruler.subsets)["ks"].to_numpy()),
            _spectral_distance(known.spectrum, found.spectrum),
        ]
    )


def _mean_difference(real: Floats, other: Floats) -> float:
    judged = ~np.isnan(real)
    return _mean(np.abs(real[judged] - np.nan_to_num(other[judged])))


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def _spectral_distance(real: Floats, other: Floats) -> float:
    if np.isnan(real).any() or real.size == 0:
        return float("nan")
    return 1.0 if np.isnan(other).any() else float(np.abs(real - other).sum() / 2)


def _ranks(numbers: Floats) -> Floats:
    """Mid-ranks of each column among its own values, in [0, 1]; NaN where missing."""
    ranks = np.full(numbers.shape, np.nan)
    for j, column in enumerate(without_last_bits(numbers).T):
        present = ~np.isnan(column)
        ranks[present, j] = (rankdata(column[present]) - 0.5) / max(present.sum(), 1)
    return ranks


def _spectrum(ranks: Floats) -> Floats:
    """Eigenvalues of the covariance of ranks, largest first, as shares of their sum; NaN where all are constant."""
    centred = np.where(np.isnan(ranks), 0, ranks - 0.5)  # mid-ranks have this mean
    values = np.maximum(np.linalg.eigvalsh(centred.T @ centred)[::-1], 0)
    total = values.sum()
    return np.asarray(values / total) if total > 1e-9 * len(ranks) else np.full(len(values), np.nan)


def _information(codes: Codes, pairs: NDArray[np.int64]) -> Floats:
    """Mutual information over the mean entropy of each pair, shape (pairs,); NaN where either does not vary."""
    width = int(codes.max(initial=0)) + 1
    found = []
    for start in range(0, len(pairs), 100):
        first, second = codes[:, pairs[start : start + 100, 0]], codes[:, pairs[start : start + 100, 1]]
        places = first * width + second + np.arange(first.shape[1]) * width**2
        joint = np.bincount(places.ravel(), minlength=first.shape[1] * width**2).reshape(-1, width, width) / len(codes)
        alone = [_entropy(joint.sum(axis=axis)) for axis in (2, 1)]
        mean = (alone[0] + alone[1]) / 2
        shared = np.maximum(2 * mean - _entropy(joint.reshape(len(joint), -1)), 0)
        varies = np.minimum(*alone) > 1e-9  # shares of one value may add up to a little less than 1
        found.append(np.where(varies, shared / np.where(varies, mean, 1), np.nan))
    return np.concatenate(found) if found else np.empty(0)


def _entropy(shares: Floats) -> Floats:
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1))


def _subsets(real: Table, other: Table, pairs: NDArray[np.int64]) -> pl.DataFrame:
    """Kolmogorov-Smirnov statistics of numeric columns within levels, in the order of the columns."""
    # Few levels fit in 16 bits, which numpy sorts several times faster.
    small = np.int16 if max(map(len, real.levels), default=0) < 2**15 else np.int32
    codes = np.vstack([real.codes, other.codes]).astype(small)
    ours = np.arange(len(codes)) < len(real)
    found = [np.empty((0, 6))]
    for j in np.unique(pairs[:, 0]):
        column = without_last_bits(np.concatenate([real.numbers[:, j], other.numbers[:, j]]))
        order = np.argsort(column)[: np.count_nonzero(~np.isnan(column))]
        for c in pairs[pairs[:, 0] == j, 1]:
            part = _within_levels(column[order], codes[order, c], ours[order], len(real.levels[c]))
            found.append(np.column_stack([np.full((len(part), 2), (j, c)), part]))
    places = np.vstack(found)
    names = places[:, :3].astype(np.int64).tolist()
    return pl.DataFrame(
        {
            "column": pl.Series([real.numeric[j] for j, _, _ in names], dtype=pl.String),
            "category": pl.Series([real.categorical[c] for _, c, _ in names], dtype=pl.String),
            "level": pl.Series([real.levels[c][level] for _, c, level in names], dtype=pl.String),
            "rows_real": places[:, 3].astype(np.int64),
            "rows": places[:, 4].astype(np.int64),
            "ks": places[:, 5],
        }
    )


def _within_levels(values: Floats, codes: NDArray[np.signedinteger], real: NDArray[np.bool_], levels: int) -> Floats:
    """Levels with enough rows: the level, real rows, other rows and the statistic; of values in ascending order."""
    ours, theirs = (np.bincount(codes[side] + 1, minlength=levels + 1)[1:] for side in (real, ~real))
    enough = np.minimum(ours, theirs) >= SUBSET_ROWS
    kept = np.flatnonzero(np.append(enough, [False])[codes])
    if kept.size == 0:
        return np.empty((0, 4))
    kept = kept[np.argsort(codes[kept], kind="stable")]
    values, codes, real = values[kept], codes[kept], real[kept]
    # The steps of a level add up to 0, so one running sum serves all of them, and its last value is no gap.
    gaps = np.cumsum(np.where(real, 1 / np.maximum(ours, 1)[codes], -1 / np.maximum(theirs, 1)[codes]))
    last = np.append(values[1:] != values[:-1], [True])
    starts = np.append(0, np.flatnonzero(codes[1:] != codes[:-1]) + 1)
    largest = np.maximum.reduceat(np.where(last, np.abs(gaps), 0), starts)
    shown = np.flatnonzero(enough)
    return np.column_stack([shown, ours[shown], theirs[shown], np.round(largest, 12)])
