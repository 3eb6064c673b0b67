"""Two-sample tests of every column: is a difference from the real rows more than chance, and how large is it?"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import starmap

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import (
    anderson_ksamp,
    chi2_contingency,
    false_discovery_control,
    kruskal,
    ks_2samp,
    mannwhitneyu,
    rankdata,
    wilcoxon,
)

from tabsyn_core.evaluation.columns import without_last_bits
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

MAX_ROWS = 2_000
"""At most this many rows a side are tested: a p-value measures their number before it measures the difference."""

_LEVEL = 0.05
_MIN_VALUES = 3
_QUANTILES = 100
_EXCHANGES = 499
_BINS = 10
_MIN_EXPECTED = 5.0
_CATEGORICAL = "the column is categorical"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a test says of one column: numbers, or the reason why there are none."""

    statistic: float | None = None
    effect: float | None = None
    p: float | None = None
    why: str | None = None


Measure = Callable[[Floats, Floats], _Outcome]
"""Real values, other values, none missing -> outcome."""


@one_thread()
def hypothesis_tests(train: Table, holdout: Table, fake: Table, seed: int = 0) -> pl.DataFrame:
    """Test every column of the synthetic rows, and of held-out rows in their place, against the training rows.

    At most :data:`MAX_ROWS` rows of each table are tested, drawn at random: with enough rows every p-value of a
    generator is 0, whatever the size of the difference. Synthetic and held-out rows are drawn to equal numbers, so both
    have the same power; the effect is what to compare, the floor what to compare it with. Missing values are left out,
    and numbers that differ in their last bits are equal.

    ========================  ==========================================================  ===========================
    test                      null                                                        effect
    ========================  ==========================================================  ===========================
    Kolmogorov-Smirnov        one distribution                                            D, the largest gap, 0 to 1
    Mann-Whitney U            neither tends to larger values                              Cliff's delta, -1 to 1
                                                                                          (rank-biserial correlation)
    Wilcoxon signed-rank      matched quantiles differ symmetrically about 0              matched-pairs rank-biserial
                                                                                          correlation, -1 to 1
    Kruskal-Wallis            one mean rank                                               epsilon squared, 0 to 1
    Anderson-Darling          one distribution, tails weighing more                       root mean square gap, each
                                                                                          weighed by 1 / sqrt(H(1 - H)),
                                                                                          0 to 1
    chi-square                one distribution over categories, or over bins              Cramér's V, 0 to 1
    ========================  ==========================================================  ===========================

    Signed effects are positive where the synthetic values are larger. Two groups make Kruskal-Wallis the square of
    Mann-Whitney's normal score. Signed-rank pairs are the quantiles of both at 100 equally spaced probabilities (as
    many as there are values, where fewer). Quantiles of a sample depend on one another, so a p that takes pairs for
    independent finds three in four real columns different from themselves. This one is the share of 500 random
    exchanges of real and synthetic values, what happened being one, with as large an effect; since in a few of a
    hundred all quantiles lie on one side, it rarely falls below 0.02. Anderson-Darling is the k-sample test by
    mid-ranks (Scholz & Stephens, JASA 1987); its p is cut off by scipy at 0.001 and 0.25. Its effect is what its
    statistic estimates and does not grow with the number of rows: the root of the mean, over all values together, of
    (F - G)² / (H (1 - H)), where F and G are the two distribution functions and H that of both together, all at
    mid-ranks, as a share of what it is where no value of one side lies among those of the other. Chi-square bins lie
    between quantiles of both samples together, ten of them where there are 100 values of either; levels and bins that
    are expected fewer than five times on a side count as one.

    Args:
        train: Real rows the generator saw.
        holdout: Real rows it did not see.
        fake: The rows to judge.
        seed: Draws rows.

    Returns:
        A row for each column and test, in the order of the columns: ``column``, ``test``, ``null`` (in words),
        ``statistic``, ``effect``, ``effect_name``, ``p``, ``p_adjusted`` (Benjamini & Hochberg, 1995, over the columns
        of the test), ``rejected`` (``p_adjusted`` at most 0.05), of the synthetic rows; ``floor_statistic``,
        ``floor_effect``, ``floor_p_adjusted``, ``floor_rejected``, the same of the held-out rows; ``why``, the reason
        where either were not tested. Null where there is no number.
    """
    rows = min(len(holdout), len(fake), MAX_ROWS)
    rng = np.random.default_rng([seed, 22])
    real = train.draw(MAX_ROWS, rng)
    found, floor = (_adjusted(_outcomes(real, other.draw(rows, rng))) for other in (fake, holdout))
    kept = ["statistic", "effect", "p_adjusted", "rejected"]
    names = pl.DataFrame(
        [
            {"column": column, "test": test.name, "null": test.null, "effect_name": test.effect}
            for column in train.feature_names
            for test in _TESTS
        ],
        schema=["column", "test", "null", "effect_name"],
        schema_overrides=dict.fromkeys(["column", "test", "null", "effect_name"], pl.String),
    )
    why = pl.coalesce("why", pl.lit("held-out rows: ") + pl.col("floor_why"))
    return pl.concat([names, found, floor.select(pl.col(*kept, "why").name.prefix("floor_"))], how="horizontal").select(
        *("column", "test", "null", "statistic", "effect", "effect_name", "p", "p_adjusted", "rejected"),
        *(f"floor_{name}" for name in kept),
        why,
    )


def summary(tests: pl.DataFrame) -> pl.DataFrame:
    """What :func:`hypothesis_tests` found, a row a test.

    Returns:
        ``test``, ``effect_name``, ``columns`` (tested), ``rejected`` and ``floor_rejected`` (shares of those, of
        held-out rows in the second), ``effect`` and ``floor_effect`` (medians of the magnitude). Null where
        nothing was tested.
    """
    return tests.group_by("test", "effect_name", maintain_order=True).agg(
        pl.col("p").count().alias("columns"),
        pl.col("rejected").mean(),
        pl.col("floor_rejected").mean(),
        pl.col("effect").abs().median(),
        pl.col("floor_effect").abs().median(),
    )


def _outcomes(real: Table, other: Table) -> list[list[_Outcome]]:
    """A list for each column, an outcome for each test."""
    numeric = [
        [_numeric(test, first, second) for test in _TESTS]
        for first, second in zip(real.numbers.T, other.numbers.T, strict=True)
    ]
    categorical = [
        [_Outcome(why=_CATEGORICAL)] * (len(_TESTS) - 1) + [_categorical(first, second)]
        for first, second in zip(real.codes.T, other.codes.T, strict=True)
    ]
    return numeric + categorical


def _numeric(test: "_Test", real: Floats, other: Floats) -> _Outcome:
    real, other = (without_last_bits(values[~np.isnan(values)]) for values in (real, other))
    why = _why_not(real, other)
    return _Outcome(why=why) if why else test.measure(real, other)


def _categorical(real: Codes, other: Codes) -> _Outcome:
    real, other = real[real >= 0], other[other >= 0]
    why = _why_not(real, other)
    return _Outcome(why=why) if why else _chi_square_of_codes(real, other)


def _why_not(real: Floats | Codes, other: Floats | Codes) -> str | None:
    fewest = min(real.size, other.size)
    if fewest < _MIN_VALUES:
        return f"a test needs at least {_MIN_VALUES} values of each kind; there are {fewest}"
    if real.min() == real.max() == other.min() == other.max():
        return "all values are the same"
    return None


def _adjusted(outcomes: list[list[_Outcome]]) -> pl.DataFrame:
    """Outcomes as columns, in the order of columns and then tests, with p-values adjusted within each test."""
    table = pl.DataFrame(
        [tuple(getattr(outcome, field.name) for field in fields(_Outcome)) for tests in outcomes for outcome in tests],
        schema={"statistic": pl.Float64, "effect": pl.Float64, "p": pl.Float64, "why": pl.String},
        orient="row",
    )
    p = table["p"].cast(pl.Float64).to_numpy().reshape(-1, len(_TESTS))
    adjusted = np.full(p.shape, np.nan)
    for j in range(len(_TESTS)):
        known = ~np.isnan(p[:, j])
        if known.any():
            adjusted[known, j] = false_discovery_control(p[known, j])
    return table.with_columns(pl.Series("p_adjusted", adjusted.ravel()).fill_nan(None)).with_columns(
        rejected=pl.col("p_adjusted") <= _LEVEL
    )


def _kolmogorov_smirnov(real: Floats, other: Floats) -> _Outcome:
    with warnings.catch_warnings():
        # Where the exact p fails, for many ties, scipy takes the asymptotic one, as it should.
        warnings.filterwarnings("ignore", message="ks_2samp: Exact calculation unsuccessful")
        found = ks_2samp(other, real)
    return _Outcome(float(found.statistic), float(found.statistic), float(found.pvalue))


def _mann_whitney(real: Floats, other: Floats) -> _Outcome:
    found = mannwhitneyu(other, real)
    delta = 2 * found.statistic / (real.size * other.size) - 1
    return _Outcome(float(found.statistic), float(delta), float(found.pvalue))


def _wilcoxon(real: Floats, other: Floats) -> _Outcome:
    points = min(_QUANTILES, real.size, other.size)
    pooled = np.sort(np.concatenate([other, real]))
    sides = [_quantiles(np.sort(values)[None], points) for values in (other, real)]
    exchanged = [
        _between(pooled[places[0]], pooled[places[1]], part)
        for places, part in _exchanges(other.size, real.size, points)
    ]
    apart = np.vstack([sides[0] - sides[1], exchanged[0] - exchanged[1]])
    if not apart[0].any():
        return _Outcome(0.0, 0.0, 1.0)
    effects = _rank_biserial(apart)
    as_large = np.abs(effects) >= abs(effects[0]) - 1e-12
    return _Outcome(float(wilcoxon(apart[0]).statistic), float(effects[0]), float(as_large.mean()))


def _rank_biserial(apart: Floats) -> Floats:
    """Of the signed ranks of each row of differences; those of 0 have none."""
    ranks = rankdata(np.abs(apart), axis=1) - (apart == 0).sum(axis=1, keepdims=True)
    ranks = np.where(apart == 0, 0, ranks)
    return np.asarray((np.sign(apart) * ranks).sum(axis=1) / np.maximum(ranks.sum(axis=1), 1))


def _quantiles(ordered: Floats, points: int) -> Floats:
    """Quantiles at equally spaced probabilities of each row of ordered values."""
    places, part = _neighbours(ordered.shape[1], points)
    return _between(ordered[:, places[0]], ordered[:, places[1]], part)


def _between(low: Floats, high: Floats, part: Floats) -> Floats:
    return low + part * (high - low)


def _neighbours(size: int, points: int) -> tuple[Codes, Floats]:
    """The two ordered values that each quantile lies between, shape (2, points), and how far from the first."""
    at = (size - 1) * (np.arange(points) + 0.5) / points
    low = np.floor(at).astype(np.int64)
    return np.stack([low, np.minimum(low + 1, size - 1)]), at - low


@lru_cache(maxsize=8)
def _exchanges(first: int, second: int, points: int) -> tuple[tuple[Codes, Floats], tuple[Codes, Floats]]:
    """Random divisions of so many values into two sides, the same for all columns that have as many.

    Returns:
        For each side the places, among all values in order, of those that its quantiles lie between, shape
        (2, divisions, points), and how far the quantile lies from the first of the two.
    """
    rng = np.random.default_rng([first, second, 23])
    chosen = rng.permuted(np.tile(np.arange(first + second) < first, (_EXCHANGES, 1)), axis=1)
    found = []
    for side, size in ((chosen, first), (~chosen, second)):
        of_side = np.nonzero(side)[1].reshape(_EXCHANGES, size)
        places, part = _neighbours(size, points)
        found.append((np.stack([of_side[:, place] for place in places]), part))
    return found[0], found[1]


def _kruskal_wallis(real: Floats, other: Floats) -> _Outcome:
    found = kruskal(real, other)
    return _Outcome(float(found.statistic), float(found.statistic / (real.size + other.size - 1)), float(found.pvalue))


def _anderson_darling(real: Floats, other: Floats) -> _Outcome:
    with warnings.catch_warnings():
        # That a p is floored or capped is said in the description of the test.
        warnings.filterwarnings("ignore", message="p-value (floored|capped)")
        found = anderson_ksamp([real, other], variant="midrank")
    return _Outcome(float(found.statistic), _weighed_gap(real, other), float(found.pvalue))


def _weighed_gap(real: Floats, other: Floats) -> float:
    """The gap between two distribution functions as Anderson and Darling weigh it, root mean square over all values."""
    values, counts = np.unique(np.concatenate([real, other]), return_counts=True)
    ours, theirs = (
        (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * ordered.size)
        for ordered in (np.sort(real), np.sort(other))
    )
    both = (real.size * ours + other.size * theirs) / (real.size + other.size)
    squares = np.average((ours - theirs) ** 2 / (both * (1 - both)), weights=counts)
    part = real.size / (real.size + other.size)
    apart = sum((-p - np.log1p(-p)) / p**2 for p in (part, 1 - part))  # its limit where the sides do not overlap
    return float(min(1.0, np.sqrt(squares / apart)))


def _chi_square(real: Floats, other: Floats) -> _Outcome:
    # Twice what is asked for, since ties make bins uneven.
    bins = min(_BINS, max(int(min(real.size, other.size) / (2 * _MIN_EXPECTED)), 1))
    edges = np.quantile(np.concatenate([real, other]), np.arange(1, bins) / bins)
    return _chi_square_of_codes(*(np.searchsorted(np.unique(edges), values) for values in (real, other)))


def _chi_square_of_codes(real: Codes, other: Codes) -> _Outcome:
    levels = int(max(real.max(), other.max())) + 1
    counts = _without_rare(np.stack([np.bincount(codes, minlength=levels) for codes in (real, other)]))
    if counts.shape[1] < 2:
        return _Outcome(why="fewer than two levels are expected five times on either side")
    found = chi2_contingency(counts, correction=False)
    return _Outcome(float(found.statistic), float(np.sqrt(found.statistic / counts.sum())), float(found.pvalue))


def _without_rare(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts, shape (2, levels), with the rarest levels as one, so that every expectation is at least five."""
    totals = counts.sum(axis=0)
    counts = counts[:, np.argsort(-totals, kind="stable")]
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    kept = int(np.sum(expected >= _MIN_EXPECTED))
    if 0 < expected[kept:].sum() < _MIN_EXPECTED:
        kept -= 1
    rest = counts[:, max(kept, 0) :].sum(axis=1, keepdims=True)
    counts = np.hstack([counts[:, : max(kept, 0)], rest])
    return counts[:, counts.sum(axis=0) > 0]


@dataclass(frozen=True, slots=True)
class _Test:
    name: str
    null: str
    effect: str
    measure: Measure


# Chi-square stands last: the only one for categories.
_TESTS = tuple(
    starmap(
        _Test,
        [
            (
                "Kolmogorov-Smirnov",
                "synthetic and real values have one distribution",
                "D (largest gap between the distribution functions)",
                _kolmogorov_smirnov,
            ),
            (
                "Mann-Whitney U",
                "a synthetic value is as likely to be above a real one as below it",
                "Cliff's delta",
                _mann_whitney,
            ),
            (
                "Wilcoxon signed-rank",
                "synthetic quantiles lie above and below real ones alike",
                "matched-pairs rank-biserial correlation",
                _wilcoxon,
            ),
            (
                "Kruskal-Wallis",
                "synthetic and real values have one mean rank",
                "epsilon squared",
                _kruskal_wallis,
            ),
            (
                "Anderson-Darling",
                "synthetic and real values have one distribution, tails weighing more (p lies within 0.001 and 0.25)",
                "weighed gap (root mean square, tails weighing more)",
                _anderson_darling,
            ),
            (
                "chi-square",
                "synthetic and real values have one distribution over categories, or over bins",
                "Cramér's V",
                _chi_square,
            ),
        ],
    )
)
