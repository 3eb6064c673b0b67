"""Train on synthetic, test on real (Esteban et al., 2017), beside train on real, test on real."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import r2_score, roc_auc_score

from tabsyn_core.boosting import boosted
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.tables import Codes, Floats, Table

_ROUNDS = 150
_BOOTSTRAP = 100


@dataclass(frozen=True, slots=True)
class Utility:
    """How well a target is predicted on held-out real rows.

    Attributes:
        target: The predicted column.
        score: ``"R2"`` or ``"AUROC"`` (mean over classes, one against the rest).
        tstr: Trained on synthetic rows; spread over bootstrap samples of the held-out rows.
        trtr: Trained on as many real rows.
        difference: ``tstr`` minus ``trtr``, spread over the same bootstrap samples of both.
    """

    target: str
    score: str
    tstr: Figure
    trtr: Figure
    difference: Figure

    def to_json(self) -> dict[str, Any]:
        """The figures and the name of the score."""
        figures = {"tstr": self.tstr, "trtr": self.trtr, "difference": self.difference}
        return {"score": self.score} | {
            k: v for name, figure in figures.items() for k, v in figure.to_json(name).items()
        }


def utility(
    train: Table, holdout: Table, synthetic: Table, target: str, *, targets: Sequence[str], seed: int
) -> Utility:
    """Fit the same boosted trees to synthetic and to real rows, and compare them on held-out real rows.

    Rows without the target are left out. The larger training table is drawn down to the size of the smaller. No target
    is a feature of another: endpoints measured together would answer for one another. A numeric target with at most two
    values is a class.
    """
    tables = [_Task.of(table, target, targets) for table in (train, holdout, synthetic)]
    kind = "AUROC" if target in train.categorical or _is_binary(train, target) else "R2"
    real, test, fake = tables
    why = _why_not(real, test, fake, kind)
    if why:
        return Utility(target, kind, *[Figure.none(why)] * 3)
    rows = min(len(real.labels), len(fake.labels))
    # The same draw for both, so that equal tables give equal models.
    scores = [_bootstrap(task.draw(rows, seed), test, kind, seed) for task in (fake, real)]
    tstr, trtr = (Figure(float(score[0]), float(score[1:].std())) for score in scores)
    apart = scores[0] - scores[1]
    return Utility(target, kind, tstr, trtr, Figure(float(apart[0]), float(apart[1:].std())))


@dataclass(frozen=True, slots=True)
class _Task:
    """Features, how many of the last are categories, and labels of the rows that have one."""

    features: Floats
    categorical: int
    labels: Floats

    @classmethod
    def of(cls, table: Table, target: str, targets: Sequence[str]) -> "_Task":
        labels = table.features[:, table.feature_names.index(target)]
        kept = [j for j, name in enumerate(table.feature_names) if name not in {target, *targets}]
        categorical = sum(j >= len(table.numeric) for j in kept)
        known = ~np.isnan(labels)
        return cls(table.features[known][:, kept], categorical, labels[known])

    def draw(self, rows: int, seed: int) -> "_Task":
        order = np.random.default_rng([seed, 2]).permutation(len(self.labels))[:rows]
        chosen = np.sort(order)
        return _Task(self.features[chosen], self.categorical, self.labels[chosen])


def _is_binary(table: Table, target: str) -> bool:
    values = table.features[:, table.feature_names.index(target)]
    return np.unique(values[~np.isnan(values)]).size <= 2


def _why_not(real: _Task, test: _Task, fake: _Task, kind: str) -> str | None:
    """Why the target cannot be judged, or nothing."""
    what = "classes" if kind == "AUROC" else "values"
    if real.features.shape[1] == 0:
        return "there is no column to predict it from"
    for task, name in ((real, "training"), (fake, "synthetic"), (test, "held-out")):
        if np.unique(task.labels).size < 2:
            return f"the {name} rows hold fewer than two {what} of it"
    return None


def _bootstrap(task: _Task, test: _Task, kind: str, seed: int) -> Floats:
    """The score on the held-out rows, then on bootstrap samples of them; shape (1 + samples,)."""
    predict = _classes if kind == "AUROC" else _values
    score = _macro_auroc if kind == "AUROC" else r2_score
    labels, predicted = predict(task, test, seed)
    rng = np.random.default_rng([seed, 3])
    samples = [np.arange(len(labels)), *(_resample(labels, rng) for _ in range(_BOOTSTRAP))]
    return np.array([score(labels[rows], predicted[rows]) for rows in samples])


def _resample(labels: Floats | Codes, rng: np.random.Generator) -> Codes:
    """Rows drawn with replacement, again until two labels differ, which every score needs."""
    while True:
        rows = rng.integers(0, len(labels), len(labels))
        if np.ptp(labels[rows]) > 0:
            return rows


def _values(task: _Task, test: _Task, seed: int) -> tuple[Floats, Floats]:
    model = boosted(
        task.features, task.labels, task.categorical, seed, _ROUNDS, objective="regression", learning_rate=0.05,
        feature_fraction=0.5,
    )  # fmt: skip
    return test.labels, np.asarray(model.predict(test.features))


def _classes(task: _Task, test: _Task, seed: int) -> tuple[Codes, Floats]:
    """Class codes of the held-out rows and a score for each class; one never trained on has the score 0."""
    classes, labels = np.unique(task.labels, return_inverse=True)
    model = boosted(
        task.features, labels, task.categorical, seed, _ROUNDS, objective="multiclass", num_class=len(classes),
        learning_rate=0.05, feature_fraction=0.5,
    )  # fmt: skip
    known = np.union1d(classes, test.labels)
    scores = np.zeros((len(test.labels), len(known)))
    scores[:, np.searchsorted(known, classes)] = np.asarray(model.predict(test.features))
    return np.searchsorted(known, test.labels), scores


def _macro_auroc(labels: Codes, scores: Floats) -> float:
    """The mean over the classes that occur of the AUROC of each against the rest."""
    return float(np.mean([roc_auc_score(labels == label, scores[:, label]) for label in np.unique(labels)]))
