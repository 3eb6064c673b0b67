"""Log a run to MLflow, register its generator, and let the gate decide on ``@champion``."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

import tabsyn_core
from tabsyn_core.chemistry.descriptors import IDENTIFIERS
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, read_parquet, write_json
from tabsyn_core.generator import Generator
from tasks.gate import Figures, figure, figures_named, flatten_figures, refusals
from tasks.model_card import model_card
from tasks.params import GateParams, Params
from tasks.paths import (
    DISTRIBUTIONS,
    DISTRIBUTIONS_PAGE,
    GENERATOR,
    HOLDOUT,
    METRICS,
    PARAMS,
    PLOTS,
    REALIZER,
    REGISTRATION,
    REPORT,
    REPORT_NUMBERS,
    STATE,
    TRAIN,
    TRAINING_CURVE,
)
from tasks.provenance import ABSENT, LOCK, PIPELINE, dvc_md5, md5_tag, origin_url, provenance, redact
from tasks.registry import (
    CHALLENGER,
    CHAMPION,
    artifact_location,
    connect,
    one_at_a_time,
    registry_errors,
    tracking_uri,
)
from tasks.stage import ProgressReporter, run_stage

DIGEST_TAG = "digest"
PIPELINE_FOLDER = "pipeline"
MODEL_CARD = "model_card.md"
OUTCOME = STATE / REGISTRATION.name

REQUIREMENTS = (
    "lightgbm",
    "mlflow",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "rdkit",
    "safetensors",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
    "torch",
    "typing_extensions",
)
"""What ``generator_pyfunc.py`` and the parts of ``tabsyn_core`` that it loads import."""

_MODEL_CODE = Path(__file__).with_name("generator_pyfunc.py")
_CARD_BELOW = "\n\n---\n\n"
_DEFAULT_ROWS = 100
_DESCRIPTION = "Synthetic ADMET tables: predict samples rows, with the values given in its input, or fills in gaps."

_LOGGED = {
    METRICS: "",
    REPORT: "report",
    REPORT_NUMBERS: "report",
    DISTRIBUTIONS: "distributions",
    DISTRIBUTIONS_PAGE: "distributions",
    TRAINING_CURVE: "plots",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a registration; kept out of DVC, because it depends on what the registry held before.

    Attributes:
        model_name: The registered model.
        version: Its version.
        run_id: The MLflow run that holds params, metrics and artifacts.
        digest: What the version is made of; see :func:`registration_of`.
        reused: Whether that version was there already.
        champion: Whether it is now ``@champion``.
        refused: The gate's lines that did not hold, in words.
        passed_over: Why the lines that compare with the champion did not count, in words; empty if they did.
        tracking_uri: The registry, without credentials.
    """

    model_name: str
    version: int
    run_id: str
    digest: str
    reused: bool
    champion: bool
    refused: tuple[str, ...]
    passed_over: str
    tracking_uri: str

    def __str__(self) -> str:
        state = "unchanged, version" if self.reused else "registered version"
        verdict = "is the champion" if self.champion else "not promoted: " + "; ".join(self.refused)
        note = f" ({self.passed_over})" if self.passed_over else ""
        return f"{self.model_name}: {state} {self.version} (challenger), {verdict}{note}"


def register(checkout: Path, params: Params) -> Outcome:
    """Register what a checkout's pipeline made, once for each distinct content.

    A version whose content is registered already is used again: only the aliases are decided anew.

    Args:
        checkout: The directory that holds ``dvc.yaml`` and the pipeline's outputs.
        params: The parameters these outputs were made with.

    Returns:
        The outcome, also written to ``.admet/registration.json``; ``reports/registration.json`` gets the part that
        depends on the pipeline alone.

    Raises:
        TabsynError: An output is missing, the gate names an unknown figure, or the registry does not answer.
    """
    name, gate = params.register_.model_name, params.register_.gate
    figures = flatten_figures(read_json(checkout / METRICS))
    registration = registration_of(checkout, params, figures)
    uri = tracking_uri(checkout)
    with registry_errors(uri), one_at_a_time(uri):
        client = connect(checkout)
        found = _version_with(client, name, registration[DIGEST_TAG])
        version = found or _register_new(client, checkout, params, figures, registration[DIGEST_TAG])
        champion, refused, passed_over = _decide(client, version, gate, figures)
    write_json(checkout / REGISTRATION, registration)
    outcome = Outcome(
        model_name=name,
        version=int(version.version),
        run_id=str(version.run_id),
        digest=registration[DIGEST_TAG],
        reused=found is not None,
        champion=champion,
        refused=tuple(refused),
        passed_over=passed_over,
        tracking_uri=redact(uri),
    )
    write_json(checkout / OUTCOME, asdict(outcome))
    return outcome


def find_version(model_name: str, registration: Path, checkout: Path = Path()) -> ModelVersion | None:
    """The registered version that a ``reports/registration.json`` speaks of.

    Args:
        model_name: The registered model.
        registration: The file that :func:`register` wrote.
        checkout: Any checkout of the project.

    Returns:
        The version, or ``None`` if this registry does not hold it: it was lost, or another one is in use now.

    Raises:
        TabsynError: The registry does not answer, or the file is not there.
    """
    digest = read_json(registration)[DIGEST_TAG]
    client = connect(checkout)
    with registry_errors(tracking_uri(checkout)):
        return _version_with(client, model_name, digest)


def registration_of(checkout: Path, params: Params, figures: Figures) -> dict[str, Any]:
    """What is registered, told by content alone, so that the same pipeline writes the same file anywhere.

    The digest covers the generator (and the realizer, if it is served), the table it was fitted on, its figures and
    the code that serves it. The gate is left out of it: another gate judges the same version anew.

    Raises:
        TabsynError: An output is missing, or the gate names a figure that ``metrics.json`` does not have.
    """
    parts = {
        "dataset_md5": _md5(checkout / TRAIN),
        **{f"{part}_md5": _md5(checkout / path) for part, path in _served(checkout, params).items()},
        "metrics_md5": _md5(checkout / METRICS),
        "code_md5": _code_md5(),
    }
    model_name, gate = params.register_.model_name, params.register_.gate
    digest = hashlib.sha256(json.dumps({"model_name": model_name, **parts}, sort_keys=True).encode()).hexdigest()
    used = {name: figure(figures, name) for name in figures_named(gate)}
    return {"model_name": model_name, DIGEST_TAG: digest, **parts, "gate": gate.model_dump(), "figures": used}


def _register_new(
    client: mlflow.MlflowClient, checkout: Path, params: Params, figures: Figures, digest: str
) -> ModelVersion:
    name = params.register_.model_name
    card = model_card(Generator.load(checkout / GENERATOR), molecules="realizer" in _served(checkout, params))
    tags = {**provenance(checkout, Path(params.data.watch)), DIGEST_TAG: digest}
    # MLflow reads these two from git itself, credentials in the URL included.
    git = {"mlflow.source.git.commit": tags["git.revision"], "mlflow.source.git.repoURL": origin_url(checkout)}
    with mlflow.start_run(
        experiment_id=_experiment(client, checkout, name), run_name=digest[:12], tags={**tags, **git}
    ):
        mlflow.log_params(dict(_flat_params(params.model_dump(mode="json", by_alias=True))))
        mlflow.log_metrics({_metric_key(name): value for name, value in figures.items() if value is not None})
        _log_files(checkout)
        mlflow.log_text(card, MODEL_CARD)
        model = _log_model(checkout, params)
    _see_that_it_answers(model.model_uri)
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name, description=_DESCRIPTION)
    return client.create_model_version(
        name, model.model_uri, run_id=model.run_id, model_id=model.model_id, tags=tags, description=card
    )


def _decide(
    client: mlflow.MlflowClient, version: ModelVersion, gate: GateParams, figures: Figures
) -> tuple[bool, list[str], str]:
    """Set the aliases and write the verdict on the version, above its model card.

    Returns:
        Whether it is the champion, what spoke against it, and why it was not compared with the champion, if it was not.
    """
    client.set_registered_model_alias(version.name, CHALLENGER, version.version)
    champion = _champion(client, version.name)
    if champion is not None and int(champion.version) == int(version.version):
        return True, [], ""
    comparable = champion is not None and _same_holdout(version, champion)
    rival = _logged_figures(client, champion, gate) if champion is not None and comparable else None
    refused = list(refusals(gate, figures, rival))
    if not refused:
        client.set_registered_model_alias(version.name, CHAMPION, version.version)
    against = f"version {champion.version}" if champion is not None else "no champion"
    passed_over = "" if champion is None or comparable else f"not comparable with {against}: another {HOLDOUT}"
    _write_verdict(client, version, against, refused, passed_over)
    return not refused, refused, passed_over


def _write_verdict(
    client: mlflow.MlflowClient, version: ModelVersion, against: str, refused: list[str], passed_over: str
) -> None:
    verdict = f"refused against {against}: {'; '.join(refused)}" if refused else f"passed against {against}"
    tags = {"gate": "refused" if refused else "passed", "gate.refused": "; ".join(refused) or "nothing"}
    for name, value in {**tags, "gate.passed_over": passed_over or "nothing"}.items():
        client.set_model_version_tag(version.name, version.version, name, value)
    decided = ". ".join(filter(None, [f"Gate {verdict}", passed_over.capitalize()]))
    card = (version.description or "").rpartition(_CARD_BELOW)[2]
    client.update_model_version(version.name, version.version, f"{decided}.{_CARD_BELOW}{card}")


def _champion(client: mlflow.MlflowClient, name: str) -> ModelVersion | None:
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if number is None else client.get_model_version(name, str(number))


def _same_holdout(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether both were judged on the same rows: figures from different hold-outs differ by chance alone."""
    md5s = {version.tags.get(md5_tag(HOLDOUT), ABSENT) for version in (one, other)}
    return len(md5s) == 1 and ABSENT not in md5s


def _logged_figures(client: mlflow.MlflowClient, version: ModelVersion, gate: GateParams) -> Figures:
    """What the gate compares with, from the metrics of the version's run."""
    logged = client.get_run(str(version.run_id)).data.metrics
    return {name: logged.get(_metric_key(name)) for name in figures_named(gate)}


def _version_with(client: mlflow.MlflowClient, name: str, digest: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name='{name}' and tags.{DIGEST_TAG}='{digest}'")
    return max(found, key=lambda version: int(version.version), default=None)


def _experiment(client: mlflow.MlflowClient, checkout: Path, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return str(client.create_experiment(name, artifact_location(checkout, name)))
    if experiment.lifecycle_stage == "deleted":
        raise TabsynError(
            f"MLflow experiment '{name}' was deleted; mlflow experiments restore -x {experiment.experiment_id} brings "
            "it back, or choose another register.model_name."
        )
    return str(experiment.experiment_id)


def _log_files(checkout: Path) -> None:
    for path, folder in _LOGGED.items():
        if (checkout / path).exists():
            mlflow.log_artifact(str(checkout / path), folder)
    if (checkout / PLOTS).exists():
        mlflow.log_artifacts(str(checkout / PLOTS), f"plots/{PLOTS.name}")
    for path in (LOCK, PIPELINE, PARAMS):
        if (checkout / path).exists():
            text = redact((checkout / path).read_text(encoding="utf-8"))
            mlflow.log_text(text, f"{PIPELINE_FOLDER}/{path.name}")


def _log_model(checkout: Path, params: Params) -> Any:
    return mlflow.pyfunc.log_model(
        name="generator",
        python_model=str(_MODEL_CODE),
        artifacts={name: str((checkout / path).resolve()) for name, path in _served(checkout, params).items()},
        code_paths=[str(Path(tabsyn_core.__file__).parent)],
        pip_requirements=[f"{package}=={installed(package).partition('+')[0]}" for package in REQUIREMENTS],
        signature=_signature(read_parquet(checkout / TRAIN).drop(IDENTIFIERS, strict=False), params),
        input_example=(pd.DataFrame(), {"n_rows": 5, "seed": params.seed, "num_steps": params.sample.num_steps}),
    )


def _served(checkout: Path, params: Params) -> dict[str, Path]:
    """What the model is made of, by the name of each part."""
    realizes = params.register_.molecules and (checkout / REALIZER / "realizer.json").exists()
    return {"generator": GENERATOR, **({"realizer": REALIZER} if realizes else {})}


def _signature(table: pl.DataFrame, params: Params) -> ModelSignature:
    """No schema for the input, of which MLflow would drop misspelt columns; the table's columns as output; params."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(_mlflow_type(column.dtype), column.name, required=column.null_count() == 0) for column in table
    ]
    numbers = {"n_rows": _DEFAULT_ROWS, "seed": params.seed, "num_steps": params.sample.num_steps}
    specs = [ParamSpec(name, DataType.long, value) for name, value in numbers.items()]
    specs += [ParamSpec("where", DataType.string, ""), ParamSpec("realize", DataType.string, "")]
    specs += [ParamSpec("impute", DataType.boolean, default=False)]
    return ModelSignature(outputs=Schema(columns), params=ParamSchema(specs))


def _mlflow_type(dtype: pl.DataType) -> DataType:
    if dtype.is_integer():
        return DataType.long
    if dtype.is_float():
        return DataType.double
    return DataType.boolean if dtype == pl.Boolean else DataType.string


def _see_that_it_answers(model_uri: str) -> None:
    """A model that cannot give one row must not become a version."""
    rows = mlflow.pyfunc.load_model(model_uri).predict(None, params={"n_rows": 1})
    if len(rows) != 1:
        raise TabsynError(f"the logged model gave {len(rows)} rows for n_rows=1; it was not registered.")


def _flat_params(content: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and value of every leaf, without credentials in URLs."""
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in items:
        name = f"{prefix}{key}"
        if isinstance(value, Mapping | list) and value:
            yield from _flat_params(value, f"{name}.")
        else:
            yield _metric_key(name), redact(str(value))


def _metric_key(name: str) -> str:
    """``name`` with characters that MLflow refuses in a key (and ``/``, which makes folders) as ``_<hex>_``."""
    return re.sub(r"[^\w\-. :]", lambda found: f"_{ord(found[0]):x}_", name)


def _md5(path: Path) -> str:
    if not path.exists():
        raise TabsynError(f"{path} does not exist; run the step that makes it (dvc repro) first.")
    return dvc_md5(path)


def _code_md5() -> str:
    """A hash of the Python files that go into the model."""
    package = Path(tabsyn_core.__file__).parent
    files = {file.relative_to(package).as_posix(): dvc_md5(file) for file in package.rglob("*.py")}
    return hashlib.md5(
        json.dumps({**files, _MODEL_CODE.name: dvc_md5(_MODEL_CODE)}, sort_keys=True).encode(), usedforsecurity=False
    ).hexdigest()


def main() -> None:
    """Run the step in the current directory."""

    def work(params: Params, _: ProgressReporter) -> str:
        return str(register(Path(), params))

    run_stage("register", work)


if __name__ == "__main__":
    main()
