"""Scores of what was learnt, fold by fold: what a paired test of a difference needs."""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import polars as pl

from tabsyn_core.chemistry.scaffolds import scaffold_groups
from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.learners import (
    MAX_CLASSES,
    PROTOCOLS,
    ROUNDS,
    Model,
    Task,
    has_classes,
    learn,
    model_names,
    trainings,
)
from tabsyn_core.evaluation.resampling import score_names, scores
from tabsyn_core.evaluation.tables import NOT_JUDGED, Codes, Table, align
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.progress import Progress, ProgressCallback, silent

Refit = Callable[[pl.DataFrame, int], pl.DataFrame]
"""Fit a generator to these rows with this seed, and return synthetic rows, as many as the real ones or more."""

Splits = Literal["random", "scaffold"]

MIN_TEST_ROWS = 10
"""A fold with fewer rows to test on has no score."""

_FOLDS = 5
_QUICK_ROWS = 2_000
_QUICK_ROUNDS = 50

_Score = tuple[str, str, str, int, int, str, float | None]
"""Model, rows trained on, rows tested on, how many of both, the score and its value."""


def cross_validated(
    real: pl.DataFrame,
    refit: Refit,
    targets: Sequence[str],
    *,
    splits: Splits = "random",
    smiles: Sequence[str | None] | None = None,
    repeats: int = 2,
    folds: int = 5,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> pl.DataFrame:
    """Repeated cross-validation with the generator fitted anew inside every training fold.

    All real rows may be given, those that some other generator was trained on too: none outside its training fold
    reaches the generator that is judged, so its luck is part of what varies. In each fold models are trained on the
    real rows, on as many synthetic rows and on both together; where there are fewer synthetic rows with a value of the
    target than real ones, the real ones are drawn down to their number.

    Args:
        real: Every real row; columns that name a molecule are left out.
        refit: Called once a fold with its training rows and a seed of its own.
        targets: Columns to predict, none from another.
        splits: ``random``, in proportion to the first target that is a class; or ``scaffold``, where molecules of the
            same framework (:func:`~.scaffolds.scaffold_groups`) are never on both sides.
        smiles: Of each row, for ``scaffold``.
        repeats: Times all rows are divided anew.
        folds: Parts they are divided into.
        seed: Decides splits, draws, models and the seeds that ``refit`` is given.
        progress: Told after each fold.

    Returns:
        One row for each ``split``, ``repeat``, ``fold``, ``target``, ``model``, ``training``, ``test`` and ``score``
        (the names of :func:`~.utility.utility_scores`): ``value``, null where the fold does not allow it (fewer than
        :data:`MIN_TEST_ROWS` rows or two values), and ``train_rows`` and ``test_rows``, how many had the target.

    Raises:
        TabsynError: There are fewer rows or scaffolds than folds, a target is no column, SMILES are lacking or cannot
            be read, or what ``refit`` returns does not match the real rows (see :func:`~.tables.align`).
    """
    real = real.drop(NOT_JUDGED, strict=False)
    _check(real, targets, repeats, folds)
    whole = align({"real": real}, seed)["real"]
    kinds = {target: has_classes(whole, target) for target in targets}
    groups = _groups(real, smiles, folds) if splits == "scaffold" else None
    strata = next(
        (real[target].rank("dense").fill_null(0).to_numpy() for target in targets if kinds[target]),
        None,
    )
    found: list[Any] = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, 64, repeat])
        parts = _parts(real.height, folds, rng, strata) if groups is None else _whole_groups(groups, folds, rng)
        for fold in range(folds):
            train, test = real.filter(parts != fold), real.filter(parts == fold)
            fake = refit(train, int(np.random.default_rng([seed, 65, repeat, fold]).integers(2**31)))
            fake = fake.drop(NOT_JUDGED, strict=False)
            tables = align({"training": train, "held-out": test, "synthetic": fake}, seed)
            for target in targets:
                found += (
                    (splits, repeat, fold, target, *score)
                    for score in _refitted(tables, target, targets, seed, classes=kinds[target])
                )
            progress(Progress(repeat * folds + fold + 1, repeats * folds, "folds", phase=f"refit, {splits} folds"))
    return _frame(found)


@one_thread()
def held_out_folds(
    train: Table, holdout: Table, fake: Table, target: str, *, targets: Sequence[str], seed: int
) -> pl.DataFrame:
    """Cross-validation with the synthetic rows as they are, for want of a generator to fit anew.

    Real, synthetic and held-out rows are each divided into five. Models are trained on four parts of the real or
    synthetic rows, at most 2,000 before the division and as many of either, and tested on one part of the held-out
    rows, which the generator never saw. The trees are fifty instead of 150. What varies is the rows, not the generator:
    another fit of it may differ by more than a test of these folds sees.

    Returns:
        As :func:`cross_validated`, with ``split`` ``held-out`` and ``repeat`` 0.
    """
    real, test, other = (Task.of(table, target, targets) for table in (train, holdout, fake))
    classes = has_classes(train, target)
    rows = min(len(real), len(other), _QUICK_ROWS)
    # The same draws and parts for both kinds of rows, so that equal tables give equal models.
    real, other = (task.draw(rows, np.random.default_rng([seed, 66])) for task in (real, other))
    parts = [
        _parts(len(task), _FOLDS, np.random.default_rng([seed, stream]), task.labels if classes else None)
        for task, stream in ((real, 67), (other, 67), (test, 68))
    ]
    return _frame(
        ("held-out", 0, fold, target, *score)
        for fold in range(_FOLDS)
        for score in _fold_scores(
            real.take(parts[0] != fold),
            other.take(parts[1] != fold),
            {"held-out": test.take(parts[2] == fold), "synthetic": other.take(parts[1] == fold)},
            seed,
            classes=classes,
            rounds=_QUICK_ROUNDS,
        )
    )


@one_thread()
def _refitted(
    tables: dict[str, Table], target: str, targets: Sequence[str], seed: int, *, classes: bool
) -> list[_Score]:
    real, test, fake = (Task.of(table, target, targets) for table in tables.values())
    rows = min(len(real), len(fake))
    drawn = [task.draw(rows, np.random.default_rng([seed, 69])) for task in (real, fake)]
    tests = {"held-out": test, "synthetic": fake}
    return list(_fold_scores(drawn[0], drawn[1], tests, seed, classes=classes, rounds=ROUNDS))


def _fold_scores(
    real: Task, fake: Task, tests: dict[str, Task], seed: int, *, classes: bool, rounds: int
) -> Iterator[_Score]:
    """Every protocol of one fold."""
    taught = trainings(real, fake)
    models = {
        training: learn(task, classes=classes, seed=seed, rounds=rounds)
        for training, task in taught.items()
        if _teaches(task, classes=classes)
    }
    for training, tested in PROTOCOLS:
        test = tests[tested]
        for name in model_names(classes=classes):
            model = models[training][name] if training in models else None
            for score, value in _values(model, test, classes=classes).items():
                yield name, training, tested, len(taught[training]), len(test), score, value


def _values(model: Model | None, test: Task, *, classes: bool) -> dict[str, float | None]:
    if model is None or len(test) < MIN_TEST_ROWS:
        return dict.fromkeys(score_names(classes=classes))
    labels, predicted = model.on(test)
    found = scores(labels, predicted, np.ones((1, len(test))), classes=classes)
    return {score: float(values[0]) if np.isfinite(values[0]) else None for score, values in found.items()}


def _teaches(task: Task, *, classes: bool) -> bool:
    found = np.unique(task.labels).size
    return task.features.shape[1] > 0 and 2 <= found <= (MAX_CLASSES if classes else found)


def _parts(rows: int, folds: int, rng: np.random.Generator, strata: Any = None) -> Codes:
    """The part of each row: sizes differ by one row at most, and so do those of each stratum."""
    order = rng.permutation(rows)
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    parts = np.empty(rows, dtype=np.int64)
    parts[order] = np.arange(rows) % folds
    return parts


def _whole_groups(groups: Codes, folds: int, rng: np.random.Generator) -> Codes:
    """The part of each row: groups from the largest down, equal ones in random order, go to the smallest part."""
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    filled = np.zeros(folds, dtype=np.int64)
    part_of = np.empty(len(sizes), dtype=np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        part_of[group] = np.argmin(filled)
        filled[part_of[group]] += sizes[group]
    return part_of[groups]


def _groups(real: pl.DataFrame, smiles: Sequence[str | None] | None, folds: int) -> Codes:
    if smiles is None or len(smiles) != real.height:
        given = "none are given" if smiles is None else f"{len(smiles)} are given"
        raise TabsynError(f"a scaffold split needs a SMILES for each of the {real.height} rows; {given}.")
    return check_scaffolds(smiles, folds)


def check_scaffolds(smiles: Sequence[str | None], folds: int = _FOLDS) -> Codes:
    """The scaffold of each molecule, by number.

    Raises:
        TabsynError: A SMILES is missing or cannot be read, or there are fewer scaffolds than folds.
    """
    known = [text for text in smiles if text is not None]
    if len(known) < len(smiles):
        raise TabsynError(f"row {smiles.index(None)} has no SMILES; add it, or remove the row.")
    groups = scaffold_groups(known)
    found = int(groups.max()) + 1
    if found < folds:
        raise TabsynError(f"{found} scaffolds cannot be divided into {folds} folds; ask for fewer, or a random split.")
    return groups


def _check(real: pl.DataFrame, targets: Sequence[str], repeats: int, folds: int) -> None:
    if not targets:
        raise TabsynError("cross-validation needs at least one target to predict.")
    for target in targets:
        if target not in real.columns:
            nearest = get_close_matches(target, real.columns, n=1, cutoff=0)
            raise TabsynError(f"target '{target}' is not a column of the real rows; did you mean {nearest[0]}?")
    if folds < 2 or repeats < 1:
        raise TabsynError(f"cross-validation needs at least 2 folds and 1 repeat; {folds} and {repeats} are asked for.")
    if real.height < folds:
        raise TabsynError(f"{real.height} rows cannot be divided into {folds} folds; ask for fewer or add rows.")


def _frame(rows: Any) -> pl.DataFrame:
    schema: dict[str, Any] = {"split": pl.String, "repeat": pl.Int64, "fold": pl.Int64}
    schema |= dict.fromkeys(("target", "model", "training", "test"), pl.String)
    schema |= {"train_rows": pl.Int64, "test_rows": pl.Int64, "score": pl.String, "value": pl.Float64}
    return pl.DataFrame(list(rows), schema=schema, orient="row")
