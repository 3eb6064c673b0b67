"""One pipeline step as a subprocess: DVC decides whether it runs, we hear what it says."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import Progress, ProgressCallback
from tasks.stage import PROGRESS_FILE_VARIABLE

_SECONDS_BETWEEN_LOOKS = 1.0
_LINES_TO_QUOTE = 12
_HINTS = (
    "To track the changes with git",
    "\tgit add ",
    "To enable auto staging",
    "\tdvc config core.autostage",
    "Use `dvc push`",
    "Data and pipelines are up to date",
    "Updating lock file",
    "Generating lock file",
)


class Outcome(StrEnum):
    """What DVC did about a step."""

    RAN = "ran"
    UNCHANGED = "unchanged"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class StepResult:
    """A finished step.

    Attributes:
        step: The stage's name in ``dvc.yaml``.
        outcome: Whether it ran, was unchanged, or came back from DVC's cache of earlier runs.
        seconds: Wall-clock time, DVC's own included.
    """

    step: str
    outcome: Outcome
    seconds: float


def reproduce(
    step: str,
    checkout: Path,
    *,
    on_line: Callable[[str], None],
    on_progress: ProgressCallback,
    force: bool = False,
    environment: dict[str, str] | None = None,
) -> StepResult:
    """Run ``dvc repro --single-item`` on one step of the pipeline.

    Progress bars go to standard error as they come; every other line goes to ``on_line``.

    Args:
        step: The stage's name in ``dvc.yaml``.
        checkout: The folder that holds ``dvc.yaml``.
        on_line: Hears each finished line of output.
        on_progress: Hears each report of the step's progress.
        force: Run it even if nothing changed.
        environment: Variables for the step, beside this process's own.

    Raises:
        TabsynError: The step failed; the message quotes the last lines it wrote.
    """
    start = time.monotonic()
    said: list[str] = []
    with TemporaryDirectory() as folder:
        progress_file = Path(folder) / "progress.json"
        variables = {**(environment or {}), PROGRESS_FILE_VARIABLE: str(progress_file)}
        with _dvc(["repro", "--single-item", *(["--force"] if force else []), step], checkout, variables) as process:
            for line in _lines(process, lambda: _report(progress_file, on_progress)):
                said.append(line)
                if not line.startswith(_HINTS):
                    on_line(line)
    if process.returncode:
        raise TabsynError(_failure(step, said))
    return StepResult(step, _outcome(step, said), time.monotonic() - start)


@contextmanager
def _dvc(arguments: list[str], checkout: Path, variables: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The ``dvc`` of this interpreter, in a session of its own that ends with the block, whatever ends the block."""
    # A stage's command says `python`: it must find the one that runs us. Bars need to know how wide they may be.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    columns = str(shutil.get_terminal_size().columns)
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
        [sys.executable, "-m", "dvc", *arguments],
        cwd=checkout,
        env={**os.environ, "COLUMNS": columns, **variables, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _lines(process: "subprocess.Popen[bytes]", look: Callable[[], None]) -> Iterator[str]:
    """Yield finished lines; pass progress bars (lines redrawn with a carriage return) straight through."""
    assert process.stdout is not None  # noqa: S101 - opened with a pipe above
    stream, pending = process.stdout.fileno(), b""
    while True:
        ready, _, _ = select.select([stream], [], [], _SECONDS_BETWEEN_LOOKS)
        look()
        if not ready:
            continue
        chunk = os.read(stream, 65536)
        *finished, pending = (pending + chunk).split(b"\n")
        for line in finished:
            text = line.decode(errors="replace").rstrip()
            if b"\r" in line:
                _show(text + "\n")
            elif text:
                yield text
        if b"\r" in pending:
            pending = b"\r" + pending.rpartition(b"\r")[2]
            _show(pending.decode(errors="replace"))
        if not chunk:
            return


def _show(text: str) -> None:
    # A worker's log is no place for bars; there the progress artifact says it.
    if "PREFECT__FLOW_RUN_ID" not in os.environ:
        sys.stderr.write(text)
        sys.stderr.flush()


def _report(progress_file: Path, on_progress: ProgressCallback) -> None:
    if progress_file.exists():
        said: dict[str, Any] = json.loads(progress_file.read_text(encoding="utf-8"))
        said.pop("step")
        on_progress(Progress(**said))


def _outcome(step: str, said: list[str]) -> Outcome:
    """Read DVC's own words."""
    if f"Stage '{step}' didn't change, skipping" in said:
        return Outcome.UNCHANGED
    if f"Stage '{step}' is cached - skipping run, checking out outputs" in said:
        return Outcome.RESTORED
    return Outcome.RAN


def _failure(step: str, said: list[str]) -> str:
    """The step's own error, or the end of its output if it did not get to say one."""
    own = "\n".join(said).partition(": error: ")[2].partition("\nERROR: ")[0]
    return f"step '{step}' failed: {own}" if own else "\n  ".join([f"step '{step}' failed:", *said[-_LINES_TO_QUOTE:]])
