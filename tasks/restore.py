"""Bring back the exact data and generator of a registered version."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow

from tabsyn_core.errors import TabsynError
from tasks.paths import GENERATOR, PARAMS
from tasks.provenance import DATASET, LOCK, PIPELINE, locked_hashes, md5_or_absent, md5_tag
from tasks.register import PIPELINE_FOLDER
from tasks.registry import connect, registry_errors, tracking_uri, version_of


def restore(model_uri: str, out: Path, checkout: Path = Path()) -> list[Path]:
    """Restore the molecules, descriptors, training and held-out rows and generator of a version.

    The version's own ``dvc.lock`` says which files they are; DVC takes them from the project's cache, or from its
    remote. It works in a temporary DVC project, so neither the working tree nor a running pipeline notices.

    Args:
        model_uri: ``models:/<name>@champion`` or ``models:/<name>/<number>``.
        out: Where the files go, under the names they have in the project; made if need be.
        checkout: A checkout of the project, for its DVC cache and remotes.

    Returns:
        The restored paths.

    Raises:
        TabsynError: No such version, a file would be overwritten, or the data is neither in the cache nor in a
            remote, or is no longer what the version was registered with.
    """
    client = connect(checkout)
    version = version_of(client, model_uri)
    wanted = [*DATASET, GENERATOR]
    present = [str(out / path) for path in wanted if (out / path).exists()]
    if present:
        raise TabsynError(f"{', '.join(present)} would be overwritten; choose an empty folder for --out.")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=out) as holder:
        project = Path(holder)
        _make_project(project, str(version.run_id), checkout)
        locked = locked_hashes(project / LOCK)
        targets = [path for path in wanted if path.as_posix() in locked]
        if not targets:
            raise TabsynError(
                f"{model_uri} was registered without a {LOCK} that names its data; it cannot be restored."
            )
        _check_out(project, targets)
        for path in targets:
            _check_content(project / path, version.tags.get(md5_tag(path)), model_uri)
        return [_move(project / path, out / path) for path in targets]


def _make_project(project: Path, run_id: str, checkout: Path) -> None:
    """A DVC project of the version's ``dvc.yaml``, ``dvc.lock`` and ``params.yaml`` with the project's cache."""
    _dvc(project, "init", "--no-scm", "--quiet")
    settings = {**_remotes(checkout), "cache.dir": _cache(checkout), "cache.type": "copy"}
    config = project / ".dvc" / "config.local"
    config.touch(mode=0o600)  # a local configuration may hold the remote's credentials
    config.write_text(_as_config(settings), encoding="utf-8")
    with registry_errors(tracking_uri(checkout)):
        logged = [
            Path(file.path).name
            for file in mlflow.artifacts.list_artifacts(run_id=run_id, artifact_path=PIPELINE_FOLDER)
        ]
        for path in (LOCK, PIPELINE, PARAMS):
            if path.name not in logged:
                raise TabsynError(f"MLflow run {run_id} holds no {path}: it was not registered by the DVC pipeline.")
            text = mlflow.artifacts.load_text(f"runs:/{run_id}/{PIPELINE_FOLDER}/{path.name}")
            (project / path).write_text(text, encoding="utf-8")


def _cache(checkout: Path) -> str:
    try:
        return _dvc(checkout, "cache", "dir").strip()
    except TabsynError as error:
        raise TabsynError(f"{checkout.resolve()} is no DVC project; run this in a checkout of the project.") from error


def _remotes(checkout: Path) -> dict[str, str]:
    """The remotes and the default one, as DVC prints them: paths absolute, the nearest level last."""
    listed = (line.partition("=") for line in _dvc(checkout, "config", "--list").splitlines())
    return {name: value for name, _, value in listed if name.startswith("remote.") or name == "core.remote"}


def _as_config(settings: Mapping[str, str]) -> str:
    """``remote.<name>.<option>`` and ``<section>.<option>`` as a DVC configuration file."""
    sections: dict[str, list[str]] = {}
    for setting, value in settings.items():
        section, _, option = setting.rpartition(".")
        kind, _, name = section.partition(".")
        header = f"['{kind} \"{name}\"']" if name else f"[{kind}]"
        sections.setdefault(header, [header]).append(f"{option} = {_quoted(value)}")
    return "\n".join(line for lines in sections.values() for line in lines) + "\n"


def _quoted(value: str) -> str:
    return f"'{value}'" if '"' in value else f'"{value}"'


def _check_out(project: Path, targets: list[Path]) -> None:
    names = [path.as_posix() for path in targets]
    try:
        _dvc(project, "checkout", "--quiet", *names)
    except TabsynError:
        try:
            _dvc(project, "pull", "--quiet", *names)
        except TabsynError as error:
            raise TabsynError(f"the version's data is neither in DVC's cache nor in a remote: {error}") from error


def _check_content(path: Path, registered: str | None, model_uri: str) -> None:
    found = md5_or_absent(path)
    if registered not in (None, found):
        raise TabsynError(
            f"{model_uri} was registered with a {path.name} of MD5 {registered}, but its {LOCK} leads to {found}: the "
            "file was changed outside DVC before it was registered, and cannot be restored."
        )


def _move(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return source.rename(target)


def _dvc(directory: Path, *arguments: str) -> str:
    """What a DVC command prints.

    Raises:
        TabsynError: It failed; the message holds DVC's own last lines.
    """
    run = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [sys.executable, "-m", "dvc", *arguments],
        cwd=directory,
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        told = " ".join(line.strip() for line in run.stderr.splitlines() if line.strip())
        raise TabsynError(f"dvc {arguments[0]} failed in {directory.resolve()}: {told}")
    return run.stdout
