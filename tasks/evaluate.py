"""Judge the synthetic table: figures beside their floors, plots for DVC, a report for people."""

from pathlib import Path

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
    distributions: Path | None = paths.DISTRIBUTIONS,
    metrics: Path = paths.METRICS,
    plots: Path = paths.PLOTS,
    report: Path = paths.REPORT,
    numbers: Path = paths.REPORT_NUMBERS,
    progress: ProgressCallback = silent,
) -> Judgement:
    """Write ``metrics``, ``plots``, ``report`` and its ``numbers`` from the three tables.

    Raises:
        TabsynError: A table is absent, the tables do not match, or an output cannot be written.
    """
    judged = judge(
        *(read_parquet(path) for path in (train, holdout, synthetic)),
        targets=[target.name for target in params.data.targets],
        thresholds=params.evaluate.thresholds,
        families=_families(distributions),
        thorough=params.evaluate.thorough,
        seed=params.seed,
        folds=params.evaluate.c2st_folds,
        progress=progress,
    )
    write_json(metrics, judged.metrics())
    write_plots(plots, judged.report)
    write_reports(report, numbers, {synthetic.stem: judged.report})
    return judged


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
