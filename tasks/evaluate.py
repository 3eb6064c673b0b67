"""Judge the synthetic table: figures beside their floors, plots for DVC, a report for people."""

from pathlib import Path

import polars as pl

from tabsyn_core.distributions import load_distributions
from tabsyn_core.evaluation import Evaluation, Judgement, judge
from tabsyn_core.evaluation.judge import write_reports
from tabsyn_core.evaluation.pictures import write_plots
from tabsyn_core.files import read_parquet, write_json
from tabsyn_core.progress import ProgressCallback, silent
from tasks import paths
from tasks.params import Params
from tasks.stage import run_stage


def evaluate_synthetic(
    params: Params,
    *,
    train: Path = paths.TRAIN,
    holdout: Path = paths.HOLDOUT,
    synthetic: Path = paths.SYNTHETIC,
    realized: Path | None = paths.REALIZED,
    provenance: Path | None = paths.PROVENANCE,
    distributions: Path | None = paths.DISTRIBUTIONS,
    metrics: Path = paths.METRICS,
    plots: Path = paths.PLOTS,
    report: Path = paths.REPORT,
    numbers: Path = paths.REPORT_NUMBERS,
    progress: ProgressCallback = silent,
) -> Judgement:
    """Write ``metrics``, ``plots``, ``report`` and its ``numbers`` from the three tables.

    Rows of ``realized``, if there are any, are judged beside those of ``synthetic`` in the same report, and their
    figures are in ``metrics`` under ``realized``; ``provenance`` has their molecules where they carry none themselves.

    Raises:
        TabsynError: A table is absent, the tables do not match, or an output cannot be written.
    """
    known, unseen = read_parquet(train), read_parquet(holdout)
    tables = {synthetic.stem: read_parquet(synthetic), **_realized(realized, provenance)}
    judged = {
        name: judge(
            known,
            unseen,
            table,
            targets=[target.name for target in params.data.targets],
            thresholds=params.evaluate.thresholds,
            families=_families(distributions),
            thorough=params.evaluate.thorough,
            seed=params.seed,
            folds=params.evaluate.c2st_folds,
            workers=params.featurize.workers,
            progress=progress,
        )
        for name, table in tables.items()
    }
    first, *further = judged.values()
    write_json(metrics, first.metrics() | ({"realized": further[0].metrics()} if further else {}))
    write_plots(plots, first.report)
    write_reports(report, numbers, {name: each.report for name, each in judged.items()})
    return first


def _realized(rows: Path | None, provenance: Path | None) -> dict[str, pl.DataFrame]:
    """Rows backed by molecules, with those molecules; nothing where there are none."""
    if rows is None or (table := read_parquet(rows)).is_empty():
        return {}
    if "smiles" not in table.columns and provenance is not None:
        table = table.with_columns(read_parquet(provenance)["smiles"])
    return {rows.stem: table}


def _families(distributions: Path | None) -> dict[str, str]:
    """Each column's fitted distribution in words; of none, where a run kept its tables only."""
    if distributions is None:
        return {}
    return {name: fitted.describe() for name, fitted in load_distributions(distributions)[1].items()}


def _summary(evaluation: Evaluation) -> str:
    found, floor = evaluation.figures.c2st["lightgbm"], evaluation.floor.c2st["lightgbm"].value
    if found.value is None:
        return f"not judged: {found.why}; report in {paths.REPORT}"
    beside = "" if floor is None else f" (floor {floor:.3f})"
    return f"two-sample AUC {found.value:.3f}{beside}, report in {paths.REPORT}"


def main() -> None:
    """``python -m tasks.evaluate``."""
    run_stage("evaluate", lambda params, progress: _summary(evaluate_synthetic(params, progress=progress).evaluation))


if __name__ == "__main__":
    main()
