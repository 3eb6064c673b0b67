"""The weekly benchmark: the figures of the newest table, judged again by today's code."""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows import keep_records_in_project
from flows.artifacts import publish_figures
from flows.checkout import BENCHMARKS, newest_results
from tabsyn_core.files import read_json
from tasks import paths
from tasks.params import load_params


@flow(name="weekly-benchmark")
def weekly_benchmark() -> dict[str, Any]:
    """Judge the newest synthetic table, this checkout's or a scheduled run's, and show figures beside their floors.

    Returns:
        The figures, as ``metrics.json`` holds them. Files go to ``.admet/benchmark/<flow run id>``; the pipeline's
        stay as they are.

    Raises:
        TabsynError: No table was evaluated yet.
    """
    figures = judge(Path.cwd(), BENCHMARKS / str(flow_run.get_id()))
    publish_figures(figures)
    return figures


@task(cache_policy=NO_CACHE)
def judge(root: Path, out: Path) -> dict[str, Any]:
    """Evaluate the newest table of the project at ``root`` into ``out`` and return the figures."""
    from tasks.evaluate import evaluate_synthetic  # noqa: PLC0415 - seconds of imports that deploying need not wait

    folder, (train, holdout, synthetic, realized, provenance) = newest_results(root)
    get_run_logger().info("judging %s", synthetic)
    metrics = out / paths.METRICS.name
    evaluate_synthetic(
        load_params(folder / paths.PARAMS),
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        realized=realized,
        provenance=provenance,
        distributions=None,
        metrics=metrics,
        plots=out / "plots",
        report=out / paths.REPORT.name,
        numbers=out / paths.REPORT_NUMBERS.name,
    )
    figures: dict[str, Any] = read_json(metrics)
    return figures


if __name__ == "__main__":
    keep_records_in_project(Path.cwd())
    weekly_benchmark()
