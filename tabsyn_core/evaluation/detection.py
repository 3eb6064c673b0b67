"""Classifier two-sample test: can a classifier tell synthetic rows from real ones? (Lopez-Paz & Oquab, ICLR 2017).

Half an AUC of 1 means no: 0.5. Well above 0.5 means that it can. Below 0.5 means that rows were copied: a copy's twin
stands in the training folds under the other label.
"""

import warnings
from collections.abc import Callable

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
        why = f"a two-sample test needs at least {MIN_ROWS} rows of each kind; there are {rows}"
        return {"lightgbm": Figure.none(why), "logistic": Figure.none(why)}, _telltales(real, np.zeros(0))
    rng = np.random.default_rng([seed, 1])
    real, other = real.draw(rows, rng), other.draw(rows, rng)
    labels = np.repeat([0, 1], rows)
    gains = np.zeros(len(real.feature_names))

    def trees(features: Floats, known: Codes, unknown: Floats) -> Floats:
        model = boosted(
            features,
            known,
            len(real.categorical),
            seed,
            _ROUNDS,
            objective="binary",
            learning_rate=0.1,
            feature_fraction=share_of_columns(features.shape[1]),
        )
        gains[:] += model.feature_importance("gain")
        return np.asarray(model.predict(unknown))

    splits = StratifiedKFold(min(folds, rows), shuffle=True, random_state=seed)

    def judge(scorer: Scorer, features: Floats) -> Figure:
        return Figure.over(
            np.array(
                [
                    roc_auc_score(labels[test], scorer(features[train], labels[train], features[test]))
                    for train, test in splits.split(features, labels)
                ]
            )
        )

    figures = {
        "lightgbm": judge(trees, np.vstack([real.features, other.features])),
        "logistic": judge(_logistic, np.vstack([_linear_features(real), _linear_features(other)])),
    }
    return figures, _telltales(real, gains)


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


def _linear_features(table: Table) -> Floats:
    indicators = [
        (table.codes[:, [j]] == np.arange(min(len(levels), _COMMON_LEVELS))).astype(np.float64)
        for j, levels in enumerate(table.levels)
    ]
    return np.hstack([table.numbers, *indicators])
