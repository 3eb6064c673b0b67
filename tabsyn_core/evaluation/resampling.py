"""Scores of predictions, of all rows and of many bootstrap samples of them at once.

A bootstrap sample is how often each row was drawn, so a score of a thousand samples is a few sums of products. The
scores are those of scikit-learn and SciPy, of the rows repeated as often as they count.
"""

from collections.abc import Iterator

import numpy as np

from tabsyn_core.evaluation.tables import Codes, Floats

SAMPLES = 500
"""Bootstrap samples behind an interval."""

LOWER_IS_BETTER = frozenset({"MAE"})

_INTERVAL = (0.025, 0.975)
_BLOCK = 200_000


def score_names(*, classes: bool) -> tuple[str, ...]:
    """The scores of predicted classes, or of predicted values."""
    return ("AUROC", "AUPRC") if classes else ("MAE", "R2", "Spearman")


def bootstrap_counts(rows: int, rng: np.random.Generator) -> Floats:
    """How often each row counts: once in the first sample, which is all rows, then as often as drawn.

    Returns:
        Shape (1 + :data:`SAMPLES`, rows).
    """
    draws = (np.bincount(rng.integers(0, rows, rows), minlength=rows) for _ in range(SAMPLES))
    return np.vstack([np.ones(rows), *draws])


def scores(labels: Floats | Codes, predicted: Floats, counts: Floats, *, classes: bool) -> dict[str, Floats]:
    """Each score of each sample.

    ``MAE``; ``R2``; ``Spearman``, 0 where all predictions are equal, which order nothing. ``AUROC`` and ``AUPRC``
    (average precision): the mean over the classes that occur in a sample, each against the rest.

    Args:
        labels: Values or class codes, shape (rows,).
        predicted: Values, shape (rows,), or a score for each class, shape (rows, classes).
        counts: How often each row counts, shape (samples, rows).
        classes: Whether labels are class codes.

    Returns:
        Shape (samples,) each; NaN where a sample holds one value or one class only.
    """
    # A few samples at a time stay in the processor's cache, which is several times as fast.
    blocks = [
        _of_classes(labels.astype(np.int64), predicted, block)
        if classes
        else _of_values(labels.astype(np.float64), predicted, block)
        for block in np.array_split(counts, max(1, counts.size // _BLOCK))
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def interval(samples: Floats) -> tuple[float | None, float | None]:
    """The percentile 95 % interval over bootstrap samples (Efron & Tibshirani, 1993, chapter 13), if there is one."""
    known = samples[~np.isnan(samples)]
    if known.size == 0:
        return None, None
    low, high = np.quantile(known, _INTERVAL)
    return float(low), float(high)


def _of_values(labels: Floats, predicted: Floats, counts: Floats) -> dict[str, Floats]:
    varied = _varied(labels, counts)
    drawn = counts.sum(axis=1)
    centred = labels - labels.mean()
    spread = counts @ centred**2 - (counts @ centred) ** 2 / drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "MAE": counts @ np.abs(labels - predicted) / drawn,
            "R2": 1 - counts @ (labels - predicted) ** 2 / spread,
            "Spearman": _correlation(_ranks(labels, counts), _ranks(predicted, counts), counts),
        }
    found["Spearman"] = np.where(_varied(predicted, counts), found["Spearman"], 0.0)
    return {name: np.where(varied, values, np.nan) for name, values in found.items()}


def _varied(values: Floats, counts: Floats) -> Floats:
    """Whether the rows of a sample have more than one value, shape (samples,)."""
    drawn = counts > 0
    low = np.where(drawn, values, np.inf).min(axis=1)
    high = np.where(drawn, values, -np.inf).max(axis=1)
    return np.asarray(low < high)


def _correlation(left: Floats, right: Floats, counts: Floats) -> Floats:
    """Pearson's, along rows; all of shape (samples, rows)."""
    # A mid-rank's mean is known: (drawn + 1) / 2.
    middle = (counts.sum(axis=1, keepdims=True) + 1) / 2
    left, right = left - middle, right - middle
    products = [(counts * a * b).sum(axis=1) for a, b in ((left, right), (left, left), (right, right))]
    return np.asarray(products[0] / np.sqrt(products[1] * products[2]))


def _ranks(values: Floats, counts: Floats) -> Floats:
    """Mid-ranks of the rows in each sample, shape (samples, rows)."""
    order, starts, group = _ties(values)
    sizes = _summed(counts[:, order], starts)
    return np.asarray((np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group])


def _ties(values: Floats) -> tuple[Codes, Codes, Codes]:
    """Rows in ascending order, where in it each group of equal values starts, and the group of each row."""
    order = np.argsort(values, kind="stable")
    first = np.append(True, np.diff(values[order]) != 0)
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.cumsum(first) - 1
    return order, np.flatnonzero(first), group


def _summed(ordered: Floats, starts: Codes) -> Floats:
    """Counts of each group of equal values, shape (samples, groups)."""
    if len(starts) == ordered.shape[1]:
        return ordered
    return np.asarray(np.add.reduceat(ordered, starts, axis=1))


def _of_classes(labels: Codes, predicted: Floats, counts: Floats) -> dict[str, Floats]:
    areas = np.array(list(_areas(labels, predicted, counts)))
    judged = ~np.isnan(areas)
    with np.errstate(invalid="ignore"):
        means = np.where(judged, areas, 0).sum(axis=0) / judged.sum(axis=0)
    return dict(zip(score_names(classes=True), means, strict=True))


def _areas(labels: Codes, predicted: Floats, counts: Floats) -> Iterator[Floats]:
    """Of each class that occurs: areas under the ROC and the precision-recall curve, shape (2, samples)."""
    for code in np.unique(labels):
        order, starts, _ = _ties(-predicted[:, code])
        drawn, member = counts[:, order], labels[order] == code
        hits, misses = _summed(drawn * member, starts), _summed(drawn * ~member, starts)
        true, false = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
        members, others = true[:, -1], false[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            roc = (hits * (others[:, None] - false + misses / 2)).sum(axis=1) / (members * others)
            precision = true / np.maximum(true + false, 1)
            recall = (hits * precision).sum(axis=1) / members
        yield np.where((members > 0) & (others > 0), [roc, recall], np.nan)
