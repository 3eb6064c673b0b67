"""Classifier two-sample test: can a classifier tell synthetic rows from real ones? (Lopez-Paz & Oquab, ICLR 2017).

Half an AUC of 1 means no: 0.5. Well above 0.5 means that it can. Below 0.5 means that rows were copied: a copy's twin
stands in the training folds under the other label.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tabsyn_core.boosting import boosted, share_of_columns
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.paired import corrected_t_test
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_ROUNDS = 150
_COMMON_LEVELS = 50

MIN_ROWS = 50
"""Fewer rows of either kind are not judged: an AUC of 50 against 50 already has a standard deviation of 0.06."""

Scorer = Callable[[Floats, Codes, Floats], Floats]
"""Training features, training labels, test features -> a score for each test row."""


@one_thread()
def c2st(real: Table, other: Table, folds: int, seed: int) -> tuple[dict[str, Figure], pl.DataFrame]:
    """Cross-validated AUC of telling ``other`` from ``real``, by boosted trees and by logistic regression.

    The larger table is drawn down to the size of the smaller. Trees see missing values and categories as they are; the
    logistic regression sees numbers standardised with the mean for a missing one, an indicator of what was missing, and
    one column for each of the 50 most frequent categories.

    Returns:
        ``lightgbm`` and ``logistic``: mean and standard deviation over folds, or no number when either table has fewer
        than :data:`MIN_ROWS` rows; and the tell-tale columns: ``column``,
        ``gain`` (share of the trees' gain, summed over folds), largest first.
    """
    rows = min(len(real), len(other))
    if rows < MIN_ROWS:
        return dict.fromkeys(("lightgbm", "logistic"), _too_few(rows)), _telltales(real, np.zeros(0))
    rng = np.random.default_rng([seed, 1])
    real, other = real.draw(rows, rng), other.draw(rows, rng)
    gains = np.zeros(len(real.feature_names))
    figures = {
        "lightgbm": _judged(_trees(len(real.categorical), seed, gains), (real.features, other.features), folds, seed),
        "logistic": _judged(_logistic, _linear_features(real, other), folds, seed),
    }
    return figures, _telltales(real, gains)


@one_thread()
def columns_alone(real: Table, other: Table, folds: int, seed: int) -> Figure:
    """Cross-validated AUC of boosted trees of one split each, on the rows of :func:`c2st`.

    Such trees add up what each column says and see no dependence between columns (an additive logistic model: Friedman,
    Hastie & Tibshirani, Ann. Stat. 28, 337 (2000)): of rows whose columns are distributed as the real ones and only go
    together differently, they tell next to none. Where they tell about as many as whole trees do, single columns give
    rows away. (Shuffled columns would tell more than they should: each of many correlated ones would witness the same
    small shift anew.)
    """
    rows = min(len(real), len(other))
    if rows < MIN_ROWS:
        return _too_few(rows)
    rng = np.random.default_rng([seed, 1])
    features = real.draw(rows, rng).features, other.draw(rows, rng).features
    stumps = _trees(len(real.categorical), seed, np.zeros(len(real.feature_names)), leaves=2)
    return _judged(stumps, features, folds, seed)


def _too_few(rows: int) -> Figure:
    return Figure.none(f"a two-sample test needs at least {MIN_ROWS} rows of each kind; there are {rows}")


def _judged(scorer: Scorer, features: tuple[Floats, Floats], folds: int, seed: int) -> Figure:
    """The AUC of telling equally many rows of two tables apart, over folds.

    Its interval is that of the corrected resampled t-test: folds are few, and share most of what they were trained on.
    """
    rows = len(features[0])
    both, labels = np.vstack(features), np.repeat([0, 1], rows)
    splits = StratifiedKFold(min(folds, rows), shuffle=True, random_state=seed)
    found = np.array(
        [
            roc_auc_score(labels[test], scorer(both[train], labels[train], both[test]))
            for train, test in splits.split(both, labels)
        ]
    )
    _, low, high, _ = corrected_t_test(found, 1 / (len(found) - 1))
    return replace(Figure.over(found), low=max(0.0, low), high=min(1.0, high))


def _trees(categorical: int, seed: int, gains: Floats, leaves: int = 15) -> Scorer:
    """Boosted trees; what each column gained is added to ``gains``."""

    def score(features: Floats, known: Codes, unknown: Floats) -> Floats:
        model = boosted(
            features,
            known,
            categorical,
            seed,
            _ROUNDS,
            objective="binary",
            learning_rate=0.1,
            feature_fraction=share_of_columns(features.shape[1]),
            num_leaves=leaves,
        )
        gains[:] += model.feature_importance("gain")
        return np.asarray(model.predict(unknown))

    return score


def _telltales(real: Table, gains: Floats) -> pl.DataFrame:
    """Columns by their share of the gain; none when no tree found a split."""
    if gains.sum() <= 0:
        return pl.DataFrame(schema={"column": pl.String, "gain": pl.Float64})
    return (
        pl.DataFrame({"column": real.feature_names, "gain": gains / gains.sum()})
        .filter(pl.col("gain") > 0)
        .sort("gain", "column", descending=[True, False])
    )


def _logistic(features: Floats, labels: Codes, unknown: Floats) -> Floats:
    model = make_pipeline(
        SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=200)
    )
    with warnings.catch_warnings():
        # Two tables that a plane separates have no finite optimum; the AUC is settled long before.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(model.fit(features, labels).predict_proba(unknown)[:, 1])


def _linear_features(real: Table, other: Table) -> tuple[Floats, Floats]:
    """Numbers, and an indicator for each of the categories that are most frequent in both tables together."""
    shown = [_most_frequent(np.concatenate([t.codes[:, j] for t in (real, other)])) for j in range(len(real.levels))]
    found = [
        np.hstack([t.numbers, *((t.codes[:, [j]] == codes).astype(np.float64) for j, codes in enumerate(shown))])
        for t in (real, other)
    ]
    return found[0], found[1]


def _most_frequent(codes: Codes) -> Codes:
    counts = np.bincount(codes[codes >= 0])
    return np.sort(np.argsort(-counts, kind="stable")[:_COMMON_LEVELS])
