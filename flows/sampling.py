"""Rows from the registered champion, on request."""

import json
from pathlib import Path
from typing import Any, Literal

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.tasks import exponential_backoff

from flows import keep_records_in_project
from flows.artifacts import ProgressArtifact
from tabsyn_core.files import write_parquet
from tabsyn_core.progress import Progress
from tasks import paths
from tasks.params import load_params

SAMPLES = paths.STATE / "samples"

_PREVIEW_ROWS, _PREVIEW_COLUMNS = 5, 12
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST")


@flow(name="sample-champion")
def sample_champion(
    model_name: str | None = None,
    n_rows: int = 1000,
    seed: int = 0,
    num_steps: int | None = None,
    out: str | None = None,
    *,
    where: dict[str, Any] | None = None,
    realize: Literal["", "molecules"] = "",
) -> str:
    """Write rows of ``models:/<model_name>@champion`` as Parquet; a preview of them is shown as an artifact.

    Args:
        model_name: A registered model; that of ``params.yaml`` by default.
        n_rows: How many rows.
        seed: The same seed gives the same rows.
        num_steps: Steps of the diffusion sampler; what the model was registered with by default.
        out: The Parquet file; ``.admet/samples/<flow run id>.parquet`` by default.
        where: Conditions that every row meets, such as ``{"MolWt": [200, 350], "RingCount": 2}``; none by default.
        realize: ``"molecules"`` for rows that are the descriptors of new molecules.

    Returns:
        Its path.

    Raises:
        TabsynError: The registry does not answer or has no champion, or ``out`` cannot be written.
    """
    name = model_name or load_params(paths.PARAMS).register_.model_name
    wanted: dict[str, Any] = {"n_rows": n_rows, "seed": seed, **({} if num_steps is None else {"num_steps": num_steps})}
    wanted |= {"where": json.dumps(where)} if where else {}
    wanted |= {"realize": realize} if realize else {}
    file = SAMPLES / f"{flow_run.get_id()}.parquet" if out is None else Path(out)
    table = draw(f"models:/{name}@champion", wanted, file)
    preview = table.head(_PREVIEW_ROWS).select(table.columns[-_PREVIEW_COLUMNS:])
    note = f"The first {preview.height} of {table.height:,} rows, the last {preview.width} of {table.width} columns"
    create_table_artifact(preview.to_dicts(), "preview", note)
    return str(file)


def another_try_can_help(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a draw failed because the registry did not answer, and not because of what was asked of it."""
    cause = getattr(state.data, "__cause__", None)
    return cause is not None and getattr(cause, "error_code", None) not in _REFUSALS


@task(
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=5),
    retry_condition_fn=another_try_can_help,
    cache_policy=NO_CACHE,
)
def draw(model_uri: str, wanted: dict[str, Any], out: Path) -> pl.DataFrame:
    """Let MLflow load a version and predict, and write what comes.

    Args:
        model_uri: ``models:/<name>@<alias>`` or ``models:/<name>/<number>``.
        wanted: The params of ``predict``.
        out: The Parquet file.

    Raises:
        TabsynError: The registry does not answer, has no such version or refuses ``wanted``.
    """
    import mlflow  # noqa: PLC0415 - seconds that deploying need not wait

    from tasks.registry import connect, registry_errors, tracking_uri, version_of  # noqa: PLC0415 - imports MLflow

    progress, n_rows = ProgressArtifact("sample"), wanted["n_rows"]
    progress(Progress(0, n_rows, "rows"))
    version = version_of(connect(), model_uri)
    with registry_errors(tracking_uri()):
        rows = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}").predict(None, params=wanted)
    table: pl.DataFrame = pl.from_pandas(rows)
    write_parquet(out, table)
    progress(Progress(n_rows, n_rows, "rows"))
    get_run_logger().info("%s, version %s: %s rows in %s", version.name, version.version, f"{table.height:,}", out)
    return table


if __name__ == "__main__":
    keep_records_in_project(Path.cwd())
    sample_champion()
