"""Files in, report out: judge any synthetic table that lies in a Parquet file."""

from collections.abc import Sequence
from pathlib import Path

from tabsyn_core.evaluation.evaluation import Evaluation, evaluate
from tabsyn_core.evaluation.report import write_report
from tabsyn_core.files import read_parquet, write_json
from tabsyn_core.progress import ProgressCallback, silent


def evaluate_files(
    real: Path,
    holdout: Path,
    synthetic: Path,
    targets: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    folds: int = 5,
    progress: ProgressCallback = silent,
) -> Evaluation:
    """Judge Parquet files and write ``out/report.html`` (one self-contained page) and ``out/report.json``.

    Raises:
        TabsynError: A file cannot be read or written, or as :func:`evaluate`.
    """
    tables = [read_parquet(path) for path in (real, holdout, synthetic)]
    evaluation = evaluate(*tables, targets=targets, seed=seed, folds=folds, progress=progress)
    write_json(out / "report.json", evaluation.details())
    write_report(out / "report.html", evaluation)
    return evaluation
