"""Shape and trend: do columns, and pairs of columns, have the distribution of the real ones?

The definitions are those of SDMetrics (KSComplement, TVComplement, CorrelationSimilarity, ContingencySimilarity),
computed for all columns at once and turned round: an error is one minus the SDMetrics score, so that 0 is perfect.
"""

import numpy as np

from tabsyn_core.evaluation.tables import Codes, Floats, Table

_BINS = 10
_DECIMALS = 14
_NO_VARIANCE = 1e-12


def shape_errors(real: Table, other: Table) -> Floats:
    """How far each column's distribution is from the real one, missing values left out.

    Numeric: the two-sample Kolmogorov-Smirnov statistic (1 - KSComplement). Categorical: the total variation distance
    (1 - TVComplement). A column that has values in one table only is wrong altogether: 1. One without values in either
    is not judged: NaN.

    Returns:
        Errors between 0 and 1 in the order of ``real.feature_names``.
    """
    numeric = [_ks(real.numbers[:, j], other.numbers[:, j]) for j in range(len(real.numeric))]
    categorical = [
        _present(real.codes[:, j], other.codes[:, j], len(real.levels[j])) for j in range(len(real.categorical))
    ]
    return np.array(numeric + categorical)


def _ks(real: Floats, other: Floats) -> float:
    real, other = _sorted_present(real), _sorted_present(other)
    if real.size == 0 or other.size == 0:
        return float("nan") if real.size == other.size else 1.0
    points = np.concatenate([real, other])
    distance = np.searchsorted(real, points, "right") / real.size - np.searchsorted(other, points, "right") / other.size
    return float(np.abs(distance).max())


def _sorted_present(values: Floats) -> Floats:
    """Present values as SDMetrics sees them: rounded, so that the last bits of a sum make no difference."""
    values = values[~np.isnan(values)]
    rounded: Floats = np.where(
        np.abs(values) < 1e8, np.round(np.where(np.abs(values) < 1e8, values, 0), _DECIMALS), values
    )
    return np.sort(rounded)


def _present(real: Codes, other: Codes, levels: int) -> float:
    real, other = real[real >= 0], other[other >= 0]
    if real.size == 0 or other.size == 0:
        return float("nan") if real.size == other.size else 1.0
    return _total_variation(real, other, levels)


def _total_variation(real: Codes, other: Codes, levels: int) -> float:
    """Half the sum of absolute differences in share; codes lie between 0 and ``levels`` - 1."""
    shares = np.bincount(real, minlength=levels) / real.size - np.bincount(other, minlength=levels) / other.size
    return float(np.abs(shares).sum() / 2)


def trend_errors(real: Table, other: Table) -> Floats:
    """How far each pair of columns is from the real dependence.

    Two numeric columns: half the difference of their Pearson correlations, over rows where both are present
    (1 - CorrelationSimilarity). Any other pair: the total variation distance of the joint counts, numeric columns in
    ten bins of equal width between the real extremes, a missing value being a category (1 - ContingencySimilarity).
    A correlation that real rows do not define (a constant column, fewer than two rows) is not judged; one that only the
    other rows do not define counts as 0, since the dependence is lost there.

    Returns:
        Errors between 0 and 1, shape (judged pairs,).
    """
    return np.concatenate([_correlation_errors(real, other), _contingency_errors(real, other)])


def _correlation_errors(real: Table, other: Table) -> Floats:
    upper = np.triu_indices(len(real.numeric), k=1)
    expected, found = correlations(real.numbers)[upper], correlations(other.numbers)[upper]
    judged = ~np.isnan(expected)
    return np.abs(expected[judged] - np.nan_to_num(found[judged])) / 2


def correlations(numbers: Floats) -> Floats:
    """Pearson correlations over the rows where both columns are present.

    Args:
        numbers: Shape (rows, columns), NaN where missing.

    Returns:
        Shape (columns, columns); NaN where a column is constant in those rows or fewer than two rows remain.
    """
    present = ~np.isnan(numbers)
    counts = np.maximum(present.sum(axis=0), 1)
    # Centred and scaled before sums of products, which would otherwise cancel to noise in columns with a large mean.
    centred = np.where(present, numbers - np.where(present, numbers, 0).sum(axis=0) / counts, 0)
    scaled = centred / np.maximum(np.abs(centred).max(axis=0, initial=0), np.finfo(float).tiny)
    masks = present.astype(np.float64)
    rows = masks.T @ masks
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = scaled.T @ masks / rows
        covariances = scaled.T @ scaled / rows - sums * sums.T
        variances = (scaled**2).T @ masks / rows - sums**2
        found: Floats = covariances / np.sqrt(variances * variances.T)
    defined = (np.minimum(variances, variances.T) > _NO_VARIANCE) & (rows >= 2)
    return np.where(defined, np.clip(found, -1, 1), np.nan)


def _contingency_errors(real: Table, other: Table) -> Floats:
    """Every pair with a categorical column in it."""
    first, second = (np.hstack([_binned(real, table), table.codes + 1]) for table in (real, other))
    numeric, columns = len(real.numeric), len(real.feature_names)
    pairs = [(i, j) for j in range(numeric, columns) for i in range(j)]
    return np.array([_joint_variation(first[:, [i, j]], second[:, [i, j]]) for i, j in pairs])


def _binned(real: Table, table: Table) -> Codes:
    """Numeric columns in equal bins between the real extremes, the outer ones open; missing values after the last."""
    bins = np.empty(table.numbers.shape, dtype=np.int64)
    for j in range(len(real.numeric)):
        edges = _edges(real.numbers[:, j])
        bins[:, j] = np.digitize(table.numbers[:, j], edges)
    return bins


def _edges(values: Floats) -> Floats:
    """As ``np.histogram_bin_edges``, which has none for a constant too large to move by a half."""
    known = values[~np.isnan(values)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    if high - low <= 1e-9 * abs(high):
        half = max(0.5, 1e-9 * abs(high))
        low, high = low - half, high + half
    edges = np.linspace(low, high, _BINS + 1)
    edges[0], edges[-1] = -np.inf, np.inf
    return edges


def _joint_variation(real: Codes, other: Codes) -> float:
    width = int(max(real[:, 1].max(), other[:, 1].max())) + 1
    joint = np.concatenate([real, other]) @ np.array([width, 1])
    places = np.unique(joint, return_inverse=True)[1]
    return _total_variation(places[: len(real)], places[len(real) :], int(places.max()) + 1)
