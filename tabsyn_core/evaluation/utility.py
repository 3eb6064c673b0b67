"""What models learn from synthetic rows, beside what they learn from real ones (TSTR; Esteban et al., 2017)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import spearmanr
from sklearn.metrics import r2_score, roc_auc_score

from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.learners import (
    MAX_CLASSES,
    PROTOCOLS,
    Model,
    Task,
    gains,
    has_classes,
    learn,
    model_names,
    predictors,
    trainings,
    trees,
)
from tabsyn_core.evaluation.resampling import bootstrap_counts, interval, score_names, scores
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

MAX_TRAINING = 4_000
"""Rows of each kind that :func:`utility_scores` trains on, at most."""

MIN_IMPORTANCE_ROWS = 20
"""Trees of fewer rows split by chance; their importances are not compared."""

_BOOTSTRAP = 100
_HALVES, _HALF = 6, 500
_IMPORTANCE_ROWS = 2_000
_IMPORTANCE_ROUNDS = 50
_IMPORTANCE_DRAWS = 3
_TOP = 10
_AGREEMENT = ("spearman", "top_10_overlap", "spearman_floor", "top_10_overlap_floor")


@dataclass(frozen=True, slots=True)
class Utility:
    """How well a target is predicted on held-out real rows.

    Attributes:
        target: The predicted column.
        score: ``"R2"`` or ``"AUROC"`` (mean over classes, one against the rest).
        tstr: Trained on synthetic rows; spread over bootstrap samples of the held-out rows.
        trtr: Trained on as many real rows.
        difference: ``tstr`` minus ``trtr``; its spread is that of the same bootstrap samples of held-out rows for both,
            and of models of random halves of the training rows (the delete-half jackknife: Shao & Wu, Ann. Stat. 17,
            1176 (1989)), since other rows of the same distribution would have taught other models.
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
    real, test, fake = (Task.of(table, target, targets) for table in (train, holdout, synthetic))
    classes = has_classes(train, target)
    kind = "AUROC" if classes else "R2"
    why = _why_not(real, test, fake, classes=classes)
    if why:
        return Utility(target, kind, *[Figure.none(why)] * 3)
    rows = min(len(real), len(fake))
    found = [_bootstrap(_drawn(task, rows, seed), test, seed, classes=classes) for task in (fake, real)]
    tstr, trtr = (Figure(float(score[0]), float(score[1:].std())).between(*interval(score[1:])) for score in found)
    apart = found[0] - found[1]
    of_training = _training_std(fake, real, test, rows, seed, classes=classes)
    spread = float(np.hypot(apart[1:].std(), of_training))
    return Utility(target, kind, tstr, trtr, Figure(float(apart[0]), spread).within(spread, -np.inf, np.inf))


@one_thread()
def utility_scores(
    train: Table, holdout: Table, fake: Table, target: str, *, targets: Sequence[str], seed: int
) -> pl.DataFrame:
    """TSTR, TRTR, TRTS (train on real, test on synthetic) and augmentation, by two models and every score.

    Models are those of :func:`~.learners.learn`, features as in :func:`utility`. As many synthetic as real rows are
    trained on, those that :func:`utility` draws but at most :data:`MAX_TRAINING` of each; ``real+synthetic`` is both
    together. Intervals are of the rows tested on (:func:`~.resampling.interval`) with the models as they are: they do
    not say how the figures would vary with other training rows, and two that overlap are no test of a difference. For
    that there is :func:`~.paired.paired_table`.

    Args:
        train: Real rows the generator saw.
        holdout: Real rows it did not see.
        fake: Its rows.
        target: The column to predict.
        targets: Columns that are no features.
        seed: Decides draws, columns that trees see and bootstrap samples.

    Returns:
        ``target``, ``model`` (``lightgbm``, ``ridge``, ``logistic``), ``training`` (``real``, ``synthetic``,
        ``real+synthetic``), ``test`` (``held-out``, ``synthetic``), ``rows`` trained on, ``score`` (``MAE``, ``R2``,
        ``Spearman``; ``AUROC``, ``AUPRC``), ``value``, its 95 % interval ``low`` and ``high``, and ``why`` there is
        no value.
    """
    real, test, other = (Task.of(table, target, targets) for table in (train, holdout, fake))
    classes = has_classes(train, target)
    why = _why_not(real, test, other, classes=classes) or _too_many_classes(real, other, classes=classes)
    if why:
        return _scores_frame(_unjudged(target, why, classes=classes))
    rows = min(len(real), len(other), MAX_TRAINING)
    taught = trainings(_drawn(real, rows, seed), _drawn(other, rows, seed))
    models = {training: learn(task, classes=classes, seed=seed) for training, task in taught.items()}
    tests = {"held-out": test, "synthetic": other}
    counts = {
        name: bootstrap_counts(len(task), np.random.default_rng([seed, stream]))
        for stream, (name, task) in enumerate(tests.items(), start=60)
    }
    return _scores_frame(
        [target, model, training, tested, len(taught[training]), score, *found, None]
        for training, tested in PROTOCOLS
        for model, fitted in models[training].items()
        for score, found in _with_intervals(fitted, tests[tested], counts[tested], classes=classes)
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether trees of real and of synthetic rows find the same columns important.

    Attributes:
        figures: ``spearman``, the rank correlation of importances over all columns, and ``top_10_overlap``, the share
            of the ten most important columns (of a third of the columns, where there are fewer than 30) that are so in
            both; each beside ``spearman_floor`` and ``top_10_overlap_floor``. Mean and spread over draws.
        columns: ``column``, ``real`` and ``synthetic``: each column's share of the loss taken away, the mean over draws
            and over the real halves, most important to the trees of real rows first; empty where nothing was ranked.
    """

    figures: dict[str, Figure]
    columns: pl.DataFrame

    @classmethod
    def none(cls, why: str) -> "Agreement":
        """Nothing was ranked, and why."""
        schema = {"column": pl.String, "real": pl.Float64, "synthetic": pl.Float64}
        return cls(dict.fromkeys(_AGREEMENT, Figure.none(why)), pl.DataFrame(schema=schema))


@one_thread()
def importance_agreement(train: Table, fake: Table, target: str, *, targets: Sequence[str], seed: int) -> Agreement:
    """Do trees find the same columns important in synthetic rows as in real ones?

    The importance of a column is the loss that its splits took away (LightGBM's gain). The real rows are halved; trees
    of each half are compared with trees of as many synthetic rows and, for the floor, with each other; at most 2,000
    rows each, three times. Among columns that say the same, chance decides which one a tree takes, so even two real
    halves agree in part only.
    """
    real, other = (Task.of(table, target, targets) for table in (train, fake))
    classes = has_classes(train, target)
    rows = min(len(real) // 2, len(other), _IMPORTANCE_ROWS)
    why = _why_not_ranked(real, other, rows, classes=classes)
    if why:
        return Agreement.none(why)
    found, shares = [], []
    for draw in range(_IMPORTANCE_DRAWS):
        rng = np.random.default_rng([seed, 62, draw])
        order, chosen = rng.permutation(len(real)), rng.permutation(len(other))[:rows]
        parts = (real.take(order[:rows]), real.take(order[rows : 2 * rows]), other.take(chosen))
        why = next((why for part in parts if (why := _why_no_gain(part, classes=classes))), None)
        if why:
            return Agreement.none(why)
        half, rest, invented = (gains(part, classes=classes, seed=seed, rounds=_IMPORTANCE_ROUNDS) for part in parts)
        if not all(np.ptp(each) > 0 for each in (half, rest, invented)):
            return Agreement.none("the trees found nothing to split on")
        compared = np.mean([_agreement(half, invented), _agreement(rest, invented)], axis=0)
        found.append([*compared, *_agreement(half, rest)])
        parts_of_loss = [each / each.sum() for each in (half, rest, invented)]
        shares.append([np.mean(parts_of_loss[:2], axis=0), parts_of_loss[2]])
    figures = {name: Figure.over(values) for name, values in zip(_AGREEMENT, np.array(found).T, strict=True)}
    return Agreement(figures, _ranked(predictors(train, target, targets), np.mean(shares, axis=0)))


def _ranked(names: Sequence[str], shares: Floats) -> pl.DataFrame:
    columns = pl.DataFrame({"column": names, "real": shares[0], "synthetic": shares[1]})
    return columns.sort("real", "synthetic", "column", descending=[True, True, False])


def _training_std(fake: Task, real: Task, test: Task, rows: int, seed: int, *, classes: bool) -> float:
    """How much the difference of scores varies with the rows that are learnt from, on the held-out rows as they are."""
    if rows < 2 * MIN_IMPORTANCE_ROWS:
        return 0.0
    half = min(rows // 2, _HALF)
    rng = np.random.default_rng([seed, 13])
    apart = []
    for _ in range(_HALVES):
        made, known = (_score(task.draw(half, rng), test, seed, classes=classes) for task in (fake, real))
        apart.append(made - known)
    return float(np.std(apart, ddof=1) * np.sqrt(half / (rows - half)))


def _score(task: Task, test: Task, seed: int, *, classes: bool) -> float:
    """Of a model of these rows; that of guessing where they hold one label only."""
    if np.ptp(task.labels) == 0:
        return 0.5 if classes else 0.0
    labels, predicted = trees(task, classes=classes, seed=seed).on(test)
    return float(_macro_auroc(labels.astype(np.int64), predicted) if classes else r2_score(labels, predicted))


def _drawn(task: Task, rows: int, seed: int) -> Task:
    # The same draw for both kinds of rows, so that equal tables give equal models.
    return task.draw(rows, np.random.default_rng([seed, 2]))


def _why_not(real: Task, test: Task, fake: Task, *, classes: bool) -> str | None:
    """Why the target cannot be judged, or nothing."""
    what = "classes" if classes else "values"
    if real.features.shape[1] == 0:
        return "there is no column to predict it from"
    for task, name in ((real, "training"), (fake, "synthetic"), (test, "held-out")):
        if np.unique(task.labels).size < 2:
            return f"the {name} rows hold fewer than two {what} of it"
    return None


def _too_many_classes(*tasks: Task, classes: bool) -> str | None:
    found = max(np.unique(task.labels).size for task in tasks)
    return f"it has {found} classes; at most {MAX_CLASSES} are judged" if classes and found > MAX_CLASSES else None


def _bootstrap(task: Task, test: Task, seed: int, *, classes: bool) -> Floats:
    """The score on the held-out rows, then on bootstrap samples of them; shape (1 + samples,)."""
    score = _macro_auroc if classes else r2_score
    labels, predicted = trees(task, classes=classes, seed=seed).on(test)
    rng = np.random.default_rng([seed, 3])
    samples = [np.arange(len(labels)), *(_resample(labels, rng) for _ in range(_BOOTSTRAP))]
    return np.array([score(labels[rows], predicted[rows]) for rows in samples])


def _resample(labels: Floats | Codes, rng: np.random.Generator) -> Codes:
    """Rows drawn with replacement, again until two labels differ, which every score needs."""
    while True:
        rows = rng.integers(0, len(labels), len(labels))
        if np.ptp(labels[rows]) > 0:
            return rows


def _macro_auroc(labels: Codes, predicted: Floats) -> float:
    """The mean over the classes that occur of the AUROC of each against the rest."""
    return float(np.mean([roc_auc_score(labels == label, predicted[:, label]) for label in np.unique(labels)]))


def _with_intervals(
    model: Model, test: Task, counts: Floats, *, classes: bool
) -> Iterator[tuple[str, tuple[float, float | None, float | None]]]:
    labels, predicted = model.on(test)
    for score, samples in scores(labels, predicted, counts, classes=classes).items():
        yield score, (float(samples[0]), *interval(samples[1:]))


def _unjudged(target: str, why: str, *, classes: bool) -> Iterator[list[Any]]:
    for training, tested in PROTOCOLS:
        for model in model_names(classes=classes):
            for score in score_names(classes=classes):
                yield [target, model, training, tested, None, score, None, None, None, why]


def _scores_frame(rows: Any) -> pl.DataFrame:
    schema: dict[str, Any] = dict.fromkeys(("target", "model", "training", "test"), pl.String)
    schema |= {"rows": pl.Int64, "score": pl.String}
    schema |= dict.fromkeys(("value", "low", "high"), pl.Float64) | {"why": pl.String}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def _why_not_ranked(real: Task, fake: Task, rows: int, *, classes: bool) -> str | None:
    if real.features.shape[1] < 2:
        return "there are fewer than two columns to predict it from"
    if rows < MIN_IMPORTANCE_ROWS:
        return (
            f"importances need at least {MIN_IMPORTANCE_ROWS} synthetic rows and twice as many real ones with a value; "
            f"there are {len(fake)} and {len(real)}"
        )
    # No hold-out takes part, so the real rows stand for it.
    return _why_not(real, real, fake, classes=classes) or _too_many_classes(real, fake, classes=classes)


def _why_no_gain(part: Task, *, classes: bool) -> str | None:
    what = "classes" if classes else "values"
    return f"a draw of the rows holds fewer than two {what} of it" if np.unique(part.labels).size < 2 else None


def _agreement(left: Floats, right: Floats) -> tuple[float, float]:
    """Rank correlation, and the share of the most important columns that are so in both."""
    top = max(1, min(_TOP, len(left) // 3))
    first, second = (
        {int(j) for j in np.argsort(-values, kind="stable")[:top] if values[j] > 0} for values in (left, right)
    )
    return float(spearmanr(left, right).statistic), len(first & second) / max(len(first), len(second))
