"""The whole pipeline as a Prefect flow: DVC says what has to run, Prefect retries, watches and shows it."""

from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from flows import keep_records_in_project
from flows.artifacts import ProgressArtifact, publish
from flows.checkout import isolated_checkout, python, run_folder
from flows.dvc_step import Outcome, StepResult, reproduce
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import write_json
from tabsyn_core.progress import silent
from tasks import paths
from tasks.params import load_params
from tasks.provenance import PREFECT_RUN_VARIABLE

STEPS = (
    "ingest",
    "featurize",
    "validate",
    "split",
    "fit_distributions",
    "train",
    "sample",
    "realize",
    "validate_synthetic",
    "evaluate",
    "register",
)
"""The stages of ``dvc.yaml``, in the order in which they can run."""

WATCHED = ("train", "sample", "realize")
"""Steps that take long enough to deserve a progress artifact."""

TRAINING_TAG = "admet-tabsyn-training"
"""Limit this tag's concurrency and no more trainings than that run at once."""

TIMINGS = "timings.json"

VALIDATIONS = ("validate", "validate_synthetic")
"""Steps that write Data Docs beside what DVC keeps."""

_BUILD_DATA_DOCS = """
from tasks import paths, params, validate
validate.build_data_docs(params.load_params(paths.PARAMS))
"""


@flow(name="admet-pipeline")
def admet_pipeline(
    *, isolated: bool = False, overrides: dict[str, Any] | None = None, refresh: bool = False
) -> dict[str, Any]:
    """Bring every step of the pipeline up to date, from the molecules to the registered model.

    Args:
        isolated: Work on the last commit in a git worktree instead of in this checkout, as scheduled runs do.
        overrides: Dotted keys of ``params.yaml`` and their values, such as ``{"train.vae.num_updates": 100}``; only
            with ``isolated``.
        refresh: Read a remote source again, where DVC cannot see a change.

    Returns:
        ``changed``: whether any step ran; ``steps``: the name, outcome and seconds of each.

    Raises:
        TabsynError: A step failed, or an override is not a valid key or value.
    """
    if overrides and not isolated:
        raise TabsynError("overrides need isolated: true; in your own checkout use `dvc exp run -S key=value`.")
    root, run_id = Path.cwd(), str(flow_run.get_id())
    own = isolated_checkout(root, run_id, overrides or {}) if isolated else nullcontext(root)
    with own as checkout:
        results = _bring_up_to_date(checkout, root / paths.STATE, refresh=refresh)
    folder = run_folder(root, run_id)
    _write_timings((folder if isolated else root / paths.STATE) / TIMINGS, results)
    publish(results, folder if isolated else root)
    changed = any(result.outcome is not Outcome.UNCHANGED for result in results)
    get_run_logger().info("Outputs are up to date." if changed else "Nothing changed: every step was up to date.")
    return {"changed": changed, "steps": [asdict(result) for result in results]}


def _bring_up_to_date(checkout: Path, state: Path, *, refresh: bool) -> list[StepResult]:
    data = load_params(checkout / paths.PARAMS).data
    remote = data.source != data.watch  # params.yaml is only valid so
    had_pages = (checkout / paths.DATA_DOCS / "index.html").exists()
    results = [_as_task(step, remote=remote)(step, checkout, state, force=refresh and remote and step == "ingest")
               for step in STEPS]  # fmt: skip
    made_pages = all(result.outcome is Outcome.RAN for result in results if result.step in VALIDATIONS)
    if not (had_pages or made_pages):  # DVC brings reports back, not pages
        python(checkout, "-c", _BUILD_DATA_DOCS)
    return results


def _write_timings(path: Path, results: list[StepResult]) -> None:
    timings = {}
    for result in results:
        timings[result.step] = {"outcome": result.outcome, "seconds": result.seconds}
    write_json(path, timings)


def _as_task(step: str, *, remote: bool) -> Any:
    """The step under its own name; with retries where another try can help: a source or a registry elsewhere."""
    tries_again = step == "register" or (step == "ingest" and remote)
    return run_step.with_options(
        name=step,
        task_run_name=step,
        tags=[TRAINING_TAG] if step == "train" else [],
        retries=3 if tries_again else 0,
        retry_delay_seconds=exponential_backoff(backoff_factor=5),
    )


@task(cache_policy=NO_CACHE)  # files belong to DVC; Prefect would hand back a path to a file that is gone
def run_step(step: str, checkout: Path, state: Path, *, force: bool = False) -> StepResult:
    """Let DVC bring one step up to date.

    Args:
        step: The stage's name in ``dvc.yaml``.
        checkout: The folder that holds ``dvc.yaml``.
        state: The main checkout's ``.admet``.
        force: Run it even if nothing changed.

    Raises:
        TabsynError: The step failed.
    """
    logger = get_run_logger()
    run = partial(
        reproduce,
        step,
        checkout,
        on_line=logger.info,
        on_progress=ProgressArtifact(step) if step in WATCHED else silent,
        environment={paths.STATE_VARIABLE: str(state), PREFECT_RUN_VARIABLE: str(flow_run.get_id())},
    )
    result = run(force=force)
    if step == "register" and result.outcome is not Outcome.RAN and not _is_registered(checkout):
        logger.info("register: this registry does not hold the version; registering it again")
        result = run(force=True)
    logger.info("%s: %s, %.1f s", step, result.outcome, result.seconds)
    return result


def _is_registered(checkout: Path) -> bool:
    """Whether the registry in use now holds what ``register`` wrote down: DVC cannot see that."""
    from tasks.register import find_version  # noqa: PLC0415 - imports MLflow: seconds that other steps need not wait

    name = load_params(checkout / paths.PARAMS).register_.model_name
    return find_version(name, checkout / paths.REGISTRATION, checkout) is not None


if __name__ == "__main__":
    keep_records_in_project(Path.cwd())
    admet_pipeline()
