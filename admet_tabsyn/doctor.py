"""What is missing or misconfigured on this machine, and how to put it right."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.requirements import Requirement

from tabsyn_core.errors import TabsynError
from tasks.params import DataParams, load_params
from tasks.paths import PARAMS
from tasks.provenance import redact
from tasks.telemetry import OFF

CONSTRAINTS = Path("constraints.txt")
INSTALL = 'pip install -c constraints.txt -e ".[dev]"'
_SECONDS_TO_ANSWER = 3
_GIB = 1024**3


class Verdict(StrEnum):
    """How a finding is marked; only :attr:`BAD` stops a run."""

    GOOD = "✓"
    BAD = "✗"
    NOTE = "–"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        verdict: Good, bad, or worth a note.
        subject: What was looked at.
        found: What was seen.
        remedy: What to do about it; empty when there is nothing to do.
    """

    verdict: Verdict
    subject: str
    found: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything a run needs, in the current folder, one finding at a time; nothing is changed."""
    if not Path("dvc.yaml").exists():
        yield Finding(Verdict.BAD, "folder", f"{Path.cwd()} holds no dvc.yaml", "run from the project's root")
        if not PARAMS.exists():
            return  # nothing else here would be about the project
    for subject, look in _LOOKS.items():
        try:
            yield from look()
        except Exception as error:  # noqa: BLE001 - a doctor that falls ill reports it and goes on
            yield Finding(Verdict.BAD, subject, f"{type(error).__name__}: {error}", f"reinstall: {INSTALL}")


def _python() -> Iterator[Finding]:
    yield Finding(Verdict.GOOD, "Python", f"{sys.version.split()[0]} at {sys.executable}")
    on_path, here = shutil.which("python"), Path(sys.executable).parent
    if on_path is None or Path(on_path).parent != here:
        remedy = f"before dvc repro in a shell: source {here / 'activate'}"
        yield Finding(Verdict.NOTE, "PATH", f"python means {on_path or 'nothing'}", remedy)


def _packages() -> Iterator[Finding]:
    wanted = [Requirement(line) for line in importlib.metadata.requires("admet-tabsyn") or []]
    needed = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    unfit = [f"{need} (found {_version(need.name)})" for need in needed if not _fits(need)]
    differing = [
        f"{name} {version} (pinned {pin})"
        for name, pin in _pins().items()
        if (version := _version(name)) and version.split("+")[0] != pin
    ]
    if unfit:
        yield Finding(Verdict.BAD, "packages", f"missing or unfit: {', '.join(unfit)}", INSTALL)
    if differing:
        shown = ", ".join(differing[:5]) + (" …" if len(differing) > 5 else "")
        yield Finding(Verdict.NOTE, "versions", f"{len(differing)} other than tested: {shown}", INSTALL)
    if not unfit and not differing:
        yield Finding(Verdict.GOOD, "packages", f"{len(needed)} direct dependencies, all at their pinned versions")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fits(need: Requirement) -> bool:
    version = _version(need.name)
    return version is not None and need.specifier.contains(version, prereleases=True)


def _pins() -> dict[str, str]:
    """Each package's pinned version."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines() if CONSTRAINTS.exists() else []
    pins = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip(): version.strip() for name, version in pins}


def _rdkit() -> Iterator[Finding]:
    from rdkit import rdBase  # noqa: PLC0415 - heavy, and its absence is a finding
    from rdkit.Chem import Descriptors  # noqa: PLC0415

    found = f"{rdBase.rdkitVersion}, {len(Descriptors.descList)} descriptors"
    if len(Descriptors.descList) == 217:
        yield Finding(Verdict.GOOD, "RDKit", found)
    else:
        yield Finding(Verdict.BAD, "RDKit", f"{found} instead of 217", INSTALL)


def _versioning() -> Iterator[Finding]:
    if _answer("git", "rev-parse", "--show-toplevel") is None:
        yield Finding(Verdict.BAD, "git", "this folder is not in a git repository", "git init, or clone the project")
        return
    yield Finding(Verdict.GOOD, "git", f"revision {_answer('git', 'rev-parse', '--short', 'HEAD') or 'none yet'}")
    if not Path(".dvc").is_dir():
        yield Finding(Verdict.BAD, "DVC", "not initialised here", "run from the project's root, or: dvc init")
        return
    yield Finding(Verdict.GOOD, "DVC", "initialised")
    remotes = _answer(sys.executable, "-m", "dvc", "remote", "list")
    if remotes:
        yield Finding(Verdict.GOOD, "DVC remote", remotes.replace("\t", " ").replace("\n", "; "))
    else:
        yield Finding(
            Verdict.NOTE,
            "DVC remote",
            "none: outputs stay on this machine",
            "dvc remote add -d store <folder or s3://…>",
        )


def _answer(*command: str) -> str | None:
    """What ``command`` prints; ``None`` when it fails or does not exist."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - ours
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _params() -> Iterator[Finding]:
    try:
        params = load_params(PARAMS)
    except TabsynError as error:
        yield Finding(Verdict.BAD, "params.yaml", str(error), "mend the keys named here")
        return
    yield Finding(Verdict.GOOD, "params.yaml", f"valid; targets {', '.join(t.name for t in params.data.targets)}")
    yield _data(params.data)


def _data(data: DataParams) -> Finding:
    from tasks.ingest import open_source  # noqa: PLC0415 - imports RDKit, whose absence is a finding

    try:
        require_data(data)
        if _is_remote(data.source):
            return Finding(Verdict.NOTE, "data", f"{redact(data.source)} is read when ingest runs")
        source = open_source(data, Path())
    except TabsynError as error:
        return Finding(Verdict.BAD, "data", str(error), "change the file, or the data section of params.yaml")
    return Finding(Verdict.GOOD, "data", f"{data.source}: {len(source.records):,} records, all columns named are there")


def require_data(data: DataParams) -> None:
    """See that the files which the params name are there: DVC would only say that one is missing.

    Raises:
        TabsynError: ``data.source`` (if it is a local path) or ``data.watch`` does not exist.
    """
    places = {"source": data.source, "watch": data.watch}
    for key, place in places.items():
        if not _is_remote(place) and not Path(place).exists():
            raise TabsynError(f"{place} does not exist; put the file there or change data.{key} in params.yaml.")


def _is_remote(source: str) -> bool:
    return source.startswith("tdc:") or "://" in source


def _mlflow() -> Iterator[Finding]:
    from tasks.registry import connect, tracking_uri  # noqa: PLC0415 - heavy, and its absence is a finding

    uri = tracking_uri()
    shown = redact(uri)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        yield Finding(Verdict.GOOD, "MLflow", f"{shown}: the first run makes it")
        return
    try:
        models = connect().search_registered_models()
    except TabsynError as error:
        yield Finding(Verdict.BAD, "MLflow", str(error), "start it, or unset MLFLOW_TRACKING_URI to use mlflow.db here")
        return
    names = ", ".join(sorted(model.name for model in models)) or "none yet"
    yield Finding(Verdict.GOOD, "MLflow", f"{shown}; models: {names}")


def _prefect() -> Iterator[Finding]:
    from prefect.settings import get_current_settings  # noqa: PLC0415 - heavy, and its absence is a finding

    url = get_current_settings().api.url
    if url is None:
        yield Finding(Verdict.GOOD, "Prefect", "no API named: each run starts its own for as long as it lasts")
    else:
        yield _answers(url)


def _answers(url: str) -> Finding:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_SECONDS_TO_ANSWER):  # noqa: S310 - the user's own
            return Finding(Verdict.GOOD, "Prefect", f"{redact(url)} answers")
    except (OSError, ValueError) as error:
        remedy = "start it (prefect server start --host 127.0.0.1) or unset PREFECT_API_URL"
        reason = getattr(error, "reason", error)
        return Finding(Verdict.BAD, "Prefect", f"{redact(url)} does not answer: {reason}", remedy)


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(".").free / _GIB
    verdict = Verdict.GOOD if free >= 2 else Verdict.BAD if free < 0.5 else Verdict.NOTE
    yield Finding(
        verdict, "disk", f"{free:.1f} GiB free here", "" if free >= 2 else "a run needs about 1 GiB; free some"
    )


def _device() -> Iterator[Finding]:
    import torch  # noqa: PLC0415 - heavy, and its absence is a finding

    if torch.cuda.is_available():
        yield Finding(Verdict.GOOD, "device", f"CUDA: {torch.cuda.get_device_name(0)}")
    else:
        yield Finding(Verdict.NOTE, "device", f"CPU with {os.cpu_count()} cores; no CUDA device, none needed")


def _extras() -> Iterator[Finding]:
    if importlib.util.find_spec("tdc"):
        yield Finding(Verdict.GOOD, "PyTDC", "installed: data.source may be tdc:<name>")
    else:
        yield Finding(
            Verdict.NOTE,
            "PyTDC",
            "not installed, optional",
            'for tdc:<name> sources: pip install -c constraints.txt -e ".[tdc]"',
        )


def _telemetry() -> Iterator[Finding]:
    on = [f"{name}={os.environ.get(name)}" for name, off in OFF.items() if os.environ.get(name) != off]
    if on:
        wanted = " ".join(f"{name}={OFF[name]}" for name in (setting.split("=")[0] for setting in on))
        yield Finding(Verdict.NOTE, "telemetry", f"perhaps on: {', '.join(on)}", f"export {wanted}")
    else:
        yield Finding(Verdict.GOOD, "telemetry", "off for Prefect, DVC, Great Expectations and MLflow")


_LOOKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "Python": _python,
    "packages": _packages,
    "RDKit": _rdkit,
    "git and DVC": _versioning,
    "params.yaml": _params,
    "MLflow": _mlflow,
    "Prefect": _prefect,
    "disk": _disk,
    "device": _device,
    "extras": _extras,
    "telemetry": _telemetry,
}
