"""The whole judgement of a synthetic table: every measure, a light a dimension, and what is most worth mending."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

import polars as pl

from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.molecules import MoleculeMeasures
from tabsyn_core.evaluation.page.content import Report, Rows
from tabsyn_core.evaluation.sections import (
    PrivacyFigures,
    chemistry_section,
    columns_section,
    molecules_section,
    pairs_section,
    utility_section,
    whole_section,
)
from tabsyn_core.evaluation.tables import subsample
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.evaluation.verdict import fixes_of, judge_dimensions, line_of, warnings_of
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.thresholds import Thresholds

_PACKAGES = ("admet-tabsyn", "lightgbm", "numpy", "polars", "rdkit", "scikit-learn", "scipy")


_SLOW = ("whole.projections", "utility", "utility.scores", "privacy.attacks")
"""Sections that only a thorough report has."""


@one_thread()
def full_report(
    evaluation: Evaluation,
    *,
    title: str,
    targets: Sequence[str] = (),
    thresholds: Thresholds | None = None,
    smiles: pl.Series | None = None,
    molecules: MoleculeMeasures | None = None,
    families: Mapping[str, str] | None = None,
    refitted: pl.DataFrame | None = None,
    thorough: bool = True,
    seed: int = 0,
    progress: ProgressCallback = silent,
) -> Report:
    """Everything there is to say about the synthetic rows of an evaluation.

    Args:
        evaluation: Its main figures, and the aligned tables.
        title: The headline.
        targets: Columns whose prediction is judged.
        thresholds: Of the lights.
        smiles: Of the training rows as given, to show real molecules beside the strangest rows.
        molecules: What was measured of the synthetic molecules, where the rows have SMILES.
        families: For each column the distribution fitted to it, in words.
        refitted: Folds of :func:`~.cross_validation.cross_validated`, with the generator fitted inside each.
        thorough: Whether to include what takes longest: projections, models trained on folds, and attacks.
        seed: Decides draws, folds and bootstrap samples.
        progress: Told after each section.
    """
    thresholds = thresholds or Thresholds()
    train, holdout, fake = (evaluation.tables[name] for name in ("training", "held-out", "synthetic"))
    steps = iter(range(1, 6))

    def step() -> None:
        progress(Progress(next(steps), 5, "sections", phase="report"))

    columns = columns_section(train, holdout, fake, families, seed)
    step()
    pairs = pairs_section(train, holdout, fake, seed)
    step()
    whole, absent = whole_section(evaluation, seed, thorough=thorough)
    step()
    learnt = utility_section(evaluation, targets, seed, refitted) if targets and thorough else None
    step()
    guarded = PrivacyFigures.of(evaluation, targets, seed, thorough=thorough)
    step()
    judged = judge_dimensions(evaluation, columns.table, guarded, thresholds, molecules)
    known = None if smiles is None else subsample(smiles.to_frame(), seed).to_series()
    chemistry = chemistry_section(evaluation, known)
    rows = evaluation.rows
    return Report(
        title=title,
        rows=Rows(training=rows["training"], held_out=rows["held-out"], synthetic=rows["synthetic"]),
        seed=seed,
        targets=tuple(targets),
        versions={name: version(name) for name in _PACKAGES},
        verdict=tuple(line_of(dimension, figures, evaluation) for dimension, figures in judged.items()),
        warnings=warnings_of(evaluation, thresholds),
        fixes=fixes_of(evaluation, judged, columns.table),
        columns=columns.table,
        densities=columns.densities,
        hypotheses=columns.hypotheses,
        tests=columns.tests,
        pairs=pairs,
        whole=whole,
        utility=learnt,
        privacy=guarded.section(evaluation),
        chemistry=chemistry,
        molecules=None if molecules is None else molecules_section(molecules, train, fake, targets),
        absent=absent | _absent(evaluation, targets, thorough=thorough),
    )


def _absent(evaluation: Evaluation, targets: Sequence[str], *, thorough: bool) -> dict[str, str]:
    why = {} if thorough else dict.fromkeys(_SLOW, "Left out: evaluate.thorough is false.")
    if not targets:
        why["utility"] = "No target was named, so nothing was predicted."
    if evaluation.figures.violated_share.value is None:
        why["chemistry"] = f"Not judged: {evaluation.figures.violated_share.why}."
    return why
