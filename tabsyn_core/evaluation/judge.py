"""Tables in, report out: judge any synthetic table, also one that lies in a Parquet or CSV file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.cross_validation import Refit, Splits, check_scaffolds, cross_validated
from tabsyn_core.evaluation.evaluation import Evaluation, evaluate
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.given import read_tables
from tabsyn_core.evaluation.molecules import MoleculeMeasures, molecule_measures
from tabsyn_core.evaluation.page import Report, write_page
from tabsyn_core.evaluation.report import full_report
from tabsyn_core.evaluation.tables import MAX_ROWS, NOT_JUDGED, align, subsample
from tabsyn_core.files import write_json
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.thresholds import Thresholds


@dataclass(frozen=True)
class Judgement:
    """What was found of one synthetic table.

    Attributes:
        evaluation: The main figures.
        report: Everything, as the page shows it.
        molecules: What was found of the synthetic molecules, where all three tables have SMILES.
    """

    evaluation: Evaluation
    report: Report
    molecules: MoleculeMeasures | None = None

    def metrics(self) -> dict[str, Any]:
        """The main figures, the risk of each attack (``attacks``) and the lights, the layout of ``metrics.json``.

        Where there are molecules, ``molecules`` has their figures, and ``floor.molecules`` the floor of each.
        """
        attacks = self.report.privacy.attacks if self.report.privacy else ()
        content = self.evaluation.to_json()
        if self.molecules is not None:
            content["molecules"] = _values(self.molecules.figures)
            content["floor"]["molecules"] = _values(self.molecules.floor)
        return content | {
            "attacks": {
                each.name.replace(" ", "_"): None if each.risk is None else round(each.risk, 4) for each in attacks
            },
            "lights": {line.dimension: line.light for line in self.report.verdict},
        }


def _values(figures: Mapping[str, Figure]) -> dict[str, float | None]:
    return {name: None if each.value is None else round(each.value, 4) for name, each in figures.items()}


def judge(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    synthetic: pl.DataFrame,
    *,
    title: str = "How good are the synthetic rows?",
    targets: Sequence[str] = (),
    thresholds: Thresholds | None = None,
    families: Mapping[str, str] | None = None,
    refit: Refit | None = None,
    thorough: bool = True,
    seed: int = 0,
    folds: int = 5,
    workers: int = 1,
    progress: ProgressCallback = silent,
) -> Judgement:
    """Judge synthetic rows by every measure; arguments and errors as for :func:`evaluate`.

    A column ``smiles`` is not judged as a column. That of the training rows draws the strangest rows' neighbours; where
    all three tables have one, the synthetic molecules are judged (:mod:`~.molecules`), by so many ``workers`` (0 is one
    a core), on whose number nothing depends.
    ``refit`` fits the generator to some rows with a seed and returns its rows: it is then fitted inside every fold of a
    repeated cross-validation of all real rows, at random and, with SMILES, by scaffold, and the paired tests rest on
    those folds too.
    """
    evaluation = evaluate(train, holdout, synthetic, targets=targets, seed=seed, folds=folds, progress=progress)
    refitted, missing = _refitted(pl.concat([train, holdout], how="diagonal_relaxed"), refit, targets, seed, progress)
    tables = {"training": train, "held-out": holdout, "synthetic": synthetic}
    molecules, why = _molecules(tables, seed, workers, progress)
    report = full_report(
        evaluation,
        title=title,
        targets=targets,
        thresholds=thresholds,
        smiles=train["smiles"] if "smiles" in train.columns else None,
        molecules=molecules,
        families=families,
        refitted=refitted,
        thorough=thorough,
        seed=seed,
        progress=progress,
    )
    return Judgement(evaluation, replace(report, absent={**report.absent, **missing, **why}), molecules)


def _molecules(
    tables: Mapping[str, pl.DataFrame], seed: int, workers: int, progress: ProgressCallback
) -> tuple[MoleculeMeasures | None, dict[str, str]]:
    """What is measured of the synthetic molecules; or why they are not judged, if they are there."""
    if "smiles" not in tables["synthetic"].columns:
        return None, {}
    lacking = [name for name, table in tables.items() if "smiles" not in table.columns]
    if lacking:
        said = f"The molecules of the synthetic rows were not judged: the {lacking[0]} table has no column 'smiles'."
        return None, {"molecules": said}
    # The rows that the tables are drawn down to.
    drawn = (subsample(table.select("smiles"), seed) for table in tables.values())
    train, holdout, synthetic = (table["smiles"].cast(pl.String).to_list() for table in drawn)
    return molecule_measures(train, holdout, synthetic, seed=seed, workers=workers, progress=progress), {}


def _refitted(
    real: pl.DataFrame, refit: Refit | None, targets: Sequence[str], seed: int, progress: ProgressCallback
) -> tuple[pl.DataFrame | None, dict[str, str]]:
    """Folds with the generator fitted anew, and why there are none by scaffold where there are SMILES."""
    if refit is None or not targets:
        return None, {}
    smiles = real["smiles"].to_list() if "smiles" in real.columns else None
    splits: tuple[Splits, ...] = ("random",)
    why = {}
    if smiles is not None:
        try:
            check_scaffolds(smiles)
            splits = ("random", "scaffold")
        except TabsynError as error:
            why["utility.scaffold"] = f"No folds by scaffold: {error}"
    folds = [
        cross_validated(real, refit, targets, splits=split, smiles=smiles, seed=seed, progress=progress)
        for split in splits
    ]
    return pl.concat(folds), why


def evaluate_files(
    real: Path,
    holdout: Path,
    synthetic: Sequence[Path],
    targets: Sequence[str],
    out: Path,
    *,
    thresholds: Thresholds | None = None,
    refit: Refit | None = None,
    seed: int = 0,
    folds: int = 5,
    workers: int = 1,
    progress: ProgressCallback = silent,
) -> dict[str, Judgement]:
    """Judge files and write ``out/report.html`` (one self-contained page) and ``out/report.json``.

    ``.csv`` and ``.csv.gz`` are CSV, everything else is Parquet. A CSV says nothing of dtypes: beside Parquet training
    rows its columns get theirs, beside CSV training rows they are what all their values allow.

    Args:
        real: Rows the generator saw.
        holdout: Real rows it did not see.
        synthetic: One file, or several to be shown side by side.
        targets: Columns whose prediction is judged.
        out: The folder.
        thresholds: Of the traffic lights.
        refit: As for :func:`judge`.
        seed: Decides draws, folds and bootstrap samples.
        folds: Of the two-sample tests.
        workers: Processes that read molecules; 0 is one a core.
        progress: Told after each measure, for each file.

    Returns:
        What was found, by the name of the file without its ending, or by its whole path where two names are equal.

    Raises:
        TabsynError: A file cannot be read or written, a CSV value is none of its column's dtype, or as
            :func:`evaluate`.
    """
    if not synthetic:
        raise TabsynError("there is no synthetic table to judge; give at least one file.")
    tables = read_tables([real, holdout, *synthetic])
    for path in synthetic:  # before minutes of work on the first
        _check_match(tables[real], tables[holdout], tables[path], path if len(synthetic) > 1 else None)
    judged = {
        name: judge(
            tables[real],
            tables[holdout],
            tables[path],
            title=f"How good are the rows of {path.name}?",
            targets=targets,
            thresholds=thresholds,
            refit=refit,
            seed=seed,
            folds=folds,
            workers=workers,
            progress=progress,
        )
        for name, path in _named(synthetic).items()
    }
    write_reports(out / "report.html", out / "report.json", {name: each.report for name, each in judged.items()})
    return judged


def _check_match(train: pl.DataFrame, holdout: pl.DataFrame, synthetic: pl.DataFrame, path: Path | None) -> None:
    """See that the tables can be compared; of several synthetic ones, ``path`` is told."""
    given = {"training": train, "held-out": holdout, "synthetic": synthetic}
    try:
        align({name: table.head(MAX_ROWS).drop(NOT_JUDGED, strict=False) for name, table in given.items()}, 0)
    except TabsynError as error:
        if path is None:
            raise
        raise TabsynError(f"{path}: {error}") from error


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    names = [path.name.split(".")[0] for path in paths]
    return {name if names.count(name) == 1 else str(path): path for name, path in zip(names, paths, strict=True)}


def write_reports(page: Path, content: Path, reports: Mapping[str, Report]) -> None:
    """Write the page, and all its numbers as JSON: ``reports``, by name, each as ``report.schema.json`` has it.

    Raises:
        TabsynError: A file cannot be written.
    """
    write_json(content, {"reports": {name: report.to_json() for name, report in reports.items()}})
    write_page(page, reports)
