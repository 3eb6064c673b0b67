"""What learns from rows and is asked about others: boosted trees and a linear model, for numbers and for classes."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from tabsyn_core.boosting import boosted
from tabsyn_core.evaluation.tables import Codes, Floats, Table

ROUNDS = 150
"""Trees, a class, at a learning rate of 0.05; fewer trees learn proportionally faster."""

MAX_CLASSES = 20
"""A target of more classes is not judged where many models are fitted: each class has its own trees."""

PROTOCOLS = (
    ("synthetic", "held-out"),  # TSTR
    ("real", "held-out"),  # TRTR
    ("real", "synthetic"),  # TRTS
    ("real+synthetic", "held-out"),  # augmentation
)
"""Rows trained on and rows tested on."""

_LEARNED = 7.5  # trees times learning rate
_COMMON_LEVELS = 50
_FARTHEST = 5.0  # standard deviations: a linear model would follow a descriptor's outlier anywhere
_PENALTIES = np.logspace(-1, 5, 7)
_LOGISTIC_C = 0.1


@dataclass(frozen=True, slots=True)
class Task:
    """The rows that have a value of the target.

    Attributes:
        features: Shape (rows, columns), numbers first, then codes of categories; NaN where missing.
        categorical: How many of the last columns are codes.
        labels: Values or class codes of the target, shape (rows,).
    """

    features: Floats
    categorical: int
    labels: Floats

    @classmethod
    def of(cls, table: Table, target: str, targets: Sequence[str]) -> "Task":
        """Predict ``target`` from all columns but ``targets``, which would answer for one another."""
        labels = table.features[:, table.feature_names.index(target)]
        kept = [table.feature_names.index(name) for name in predictors(table, target, targets)]
        categorical = sum(j >= len(table.numeric) for j in kept)
        known = ~np.isnan(labels)
        return cls(table.features[known][:, kept], categorical, labels[known])

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.labels)

    def take(self, rows: Any) -> "Task":
        """These rows, by place or by mask."""
        return Task(self.features[rows], self.categorical, self.labels[rows])

    def draw(self, rows: int, rng: np.random.Generator) -> "Task":
        """As many rows at random, in their order; from the same random numbers the same rows of tables as long."""
        return self.take(np.sort(rng.permutation(len(self))[:rows]))

    def and_also(self, other: "Task") -> "Task":
        """These rows and those of another table."""
        return Task(
            np.vstack([self.features, other.features]),
            self.categorical,
            np.concatenate([self.labels, other.labels]),
        )


def predictors(table: Table, target: str, targets: Sequence[str]) -> list[str]:
    """The columns of :attr:`Task.features`, in their order."""
    return [name for name in table.feature_names if name not in {target, *targets}]


def trainings(real: Task, fake: Task) -> dict[str, Task]:
    """What :data:`PROTOCOLS` train on, by name."""
    return {"real": real, "synthetic": fake, "real+synthetic": real.and_also(fake)}


def has_classes(table: Table, target: str) -> bool:
    """Whether the target is a category, or a number of at most two values."""
    values = table.features[:, table.feature_names.index(target)]
    return target in table.categorical or np.unique(values[~np.isnan(values)]).size <= 2


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted model.

    Attributes:
        score: From features, shape (rows, columns), to values, shape (rows,), or scores, shape (rows, classes).
        classes: The classes it knows, sorted; ``None`` where it predicts values.
    """

    score: Callable[[Floats], Floats]
    classes: Floats | None

    def on(self, test: Task) -> tuple[Floats | Codes, Floats]:
        """Labels and predictions of rows.

        Returns:
            Values and predicted values, both of shape (rows,); or codes, shape (rows,), and a score for each of the
            classes that it or the rows know, shape (rows, classes), 0 for one it never saw.
        """
        if self.classes is None:
            return test.labels, self.score(test.features)
        known = np.union1d(self.classes, test.labels)
        scores = np.zeros((len(test), len(known)))
        scores[:, np.searchsorted(known, self.classes)] = self.score(test.features)
        return np.searchsorted(known, test.labels), scores


def trees(task: Task, *, classes: bool, seed: int, rounds: int = ROUNDS) -> Model:
    """Boosted trees, which see missing values and categories as they are."""
    booster = _booster(task, classes, seed, rounds)
    return Model(lambda features: np.asarray(booster.predict(features)), np.unique(task.labels) if classes else None)


def gains(task: Task, *, classes: bool, seed: int, rounds: int) -> Floats:
    """What each feature contributed to boosted trees: the loss its splits took away, shape (columns,)."""
    return np.asarray(_booster(task, classes, seed, rounds).feature_importance("gain"), dtype=np.float64)


def _booster(task: Task, classes: bool, seed: int, rounds: int) -> lgb.Booster:  # noqa: FBT001 - one of two kinds
    known, codes = np.unique(task.labels, return_inverse=True)
    settings: dict[str, Any] = {"learning_rate": _LEARNED / rounds, "feature_fraction": 0.5}
    settings |= {"objective": "multiclass", "num_class": len(known)} if classes else {"objective": "regression"}
    return boosted(task.features, codes if classes else task.labels, task.categorical, seed, rounds, **settings)


def linear(task: Task, *, classes: bool) -> Model:
    """Ridge regression with the penalty of the least leave-one-out error, or logistic regression.

    Numbers: the median for a missing value and an indicator of what was missing, standardised and held within five
    standard deviations. Categories: an indicator for each of the 50 most frequent and for a missing one.
    """
    columns = task.features.shape[1]
    numbers = list(range(columns - task.categorical))
    codes = list(range(columns - task.categorical, columns))
    prepared = make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
                StandardScaler(),
                FunctionTransformer(np.clip, kw_args={"a_min": -_FARTHEST, "a_max": _FARTHEST}),
            ),
            numbers,
        ),
        (
            OneHotEncoder(max_categories=_COMMON_LEVELS, handle_unknown="infrequent_if_exist", sparse_output=False),
            codes,
        ),
    )
    if not classes:
        values = make_pipeline(prepared, RidgeCV(_PENALTIES)).fit(task.features, task.labels)
        return Model(lambda features: np.asarray(values.predict(features)), None)
    with warnings.catch_warnings():
        # A class that a plane separates has no finite optimum; the order of the scores is settled long before.
        warnings.simplefilter("ignore", ConvergenceWarning)
        chances = make_pipeline(prepared, LogisticRegression(C=_LOGISTIC_C, max_iter=200, tol=1e-3))
        known, codes_of_rows = np.unique(task.labels, return_inverse=True)  # a class may be any number, such as 0.5
        chances.fit(task.features, codes_of_rows)
    return Model(lambda features: np.asarray(chances.predict_proba(features)), known)


def model_names(*, classes: bool) -> tuple[str, str]:
    """The trees and the linear model."""
    return "lightgbm", "logistic" if classes else "ridge"


def learn(task: Task, *, classes: bool, seed: int, rounds: int = ROUNDS) -> dict[str, Model]:
    """Both models by name."""
    fitted = trees(task, classes=classes, seed=seed, rounds=rounds), linear(task, classes=classes)
    return dict(zip(model_names(classes=classes), fitted, strict=True))
