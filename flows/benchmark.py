"""The weekly benchmark: the figures of the newest table, judged again by today's code."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import publish_figures
from tabsyn_core.files import read_json
from tasks import paths
from tasks.params import load_params

OUT = paths.STATE / "benchmark"


@flow(name="weekly-benchmark")
def weekly_benchmark() -> dict[str, Any]:
    """Judge the synthetic table of this checkout and show its figures beside their floors.

    Returns:
        The figures, as ``metrics.json`` holds them. Files go to ``.admet/benchmark``; the pipeline's stay as they are.

    Raises:
        TabsynError: There is no synthetic table yet.
    """
    figures = judge(OUT)
    publish_figures(figures)
    return figures


@task(cache_policy=NO_CACHE)
def judge(out: Path) -> dict[str, Any]:
    """Evaluate the pipeline's newest table into ``out`` and return the figures."""
    from tasks.evaluate import evaluate_synthetic  # noqa: PLC0415 - seconds of imports that deploying need not wait

    metrics = out / paths.METRICS.name
    params = load_params(paths.PARAMS)
    evaluate_synthetic(params, metrics=metrics, plots=out / "plots", report=out / paths.REPORT.name)
    figures: dict[str, Any] = read_json(metrics)
    return figures


if __name__ == "__main__":
    weekly_benchmark()
