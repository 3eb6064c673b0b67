"""A method of the leaderboard in a process of its own: fit within a budget, draw rows, say what it took.

``python methods.py JOB`` is that process. It imports the method and nothing else, so that its memory is the method's.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabsyn_core.baselines import BASELINES
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, read_parquet, write_json, write_parquet
from tabsyn_core.schema import Kind, TableSchema

if TYPE_CHECKING:
    from cells import Fold, Step

OURS = "ours"
METHODS = (OURS, *BASELINES)

RECIPES = (
    "tvae",
    "ctgan",
    "ctab-gan",
    "ctab-gan+",
    "wgan-gp",
    "tabddpm",
    "tabsyn",
    "tabular-argn",
    "forest-diffusion",
)
"""Methods that a budget cuts short, and that can be trained as published instead."""

PUBLISHED = " as published"
"""Ends the name of such a line."""

BUDGETED: Mapping[str, Mapping[str, Any]] = {"tabsyn": {"steps": 20}}
"""Settings of methods with a budget; 50 steps of TabSyn take minutes on a CPU, and the paper finds no loss with 10."""

AIMED = ("ctab-gan", "ctab-gan+")
"""Methods that are told which column will be predicted, and learn a classifier of it beside the rows."""

_PR_SET_PDEATHSIG = 1

_GRACE = 1800.0
"""Seconds beyond three times the budget after which a method is stopped: sampling has no budget."""


def line(name: str, seconds: float | None, **changes: Any) -> "Step":
    """A line of the leaderboard: a method with its budget; without ``seconds`` its published recipe, if it has one.

    ``changes`` are settings of the baseline, beside those of :data:`BUDGETED`.
    """
    from cells import Step  # noqa: PLC0415  seconds of imports that the process below need not wait

    changes = changes if seconds is None else {**BUDGETED.get(name, {}), **changes}
    recipe = seconds is None and name in RECIPES
    about = "no budget" if seconds is None else f"{seconds:.0f} s"
    called = f"{name}{PUBLISHED}" if recipe else name
    settings = {"method": name, "seconds": seconds, **changes}
    modules = ("tabsyn_core.generator",) if name == OURS else BASELINES[name].modules

    def draw(fold: "Fold", _: float | None) -> Any:
        return _draw(fold, name, seconds, changes)

    return Step(called, about, settings, draw, modules=modules, script=Path(__file__).name)


def build(names: list[str]) -> list[str]:
    """Build the environments of the methods that need one; returns a sentence for each that could not be built."""
    faults = []
    for name in names:
        try:
            if name != OURS:
                BASELINES[name]().prepare()
        except TabsynError as error:
            faults.append(str(error))
    return faults


def _draw(fold: "Fold", name: str, seconds: float | None, changes: Mapping[str, Any]) -> Any:
    """Rows of a method, by way of a process.

    Raises:
        TabsynError: It failed, with its last words, or did not end.
    """
    from cells import Drawn  # noqa: PLC0415  as above

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        write_parquet(out / "train.parquet", fold.train)
        write_json(out / "schema.json", fold.schema.to_json())
        changes = {**changes, "target": aim(fold)} if name in AIMED else changes
        job = {"method": name, "changes": changes, "seed": fold.seed, "seconds": seconds, "folder": folder}
        job["parent"] = os.getpid()
        limit = None if seconds is None else 3 * seconds + _GRACE
        command = [sys.executable, __file__, json.dumps(job)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)  # noqa: S603  this file
        except subprocess.TimeoutExpired:
            raise TabsynError(f"stopped after {limit:.0f} s, its budget was {seconds:.0f} s.") from None
        if done.returncode:
            raise TabsynError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return Drawn(read_parquet(out / "rows.parquet"), **read_json(out / "told.json"))


def aim(fold: "Fold") -> str | None:
    """The target that is to be predicted, a category if there is one: CTAB-GAN has no other."""
    kinds = {name: fold.schema[name].kind for name in fold.real.targets}
    return next((name for name, kind in kinds.items() if kind is Kind.CATEGORICAL), next(iter(kinds), None))


def _fit_and_draw(job: Mapping[str, Any]) -> None:
    """Fit, sample as many rows as there are to learn from, and write both them and what it took."""
    folder, seed, seconds = Path(job["folder"]), job["seed"], job["seconds"]
    table = read_parquet(folder / "train.parquet")
    schema = TableSchema.from_json(read_json(folder / "schema.json"))
    if job["method"] == OURS:
        from tabsyn_core.generator import Generator  # noqa: PLC0415  nothing of ours beside a rival

        start = time.perf_counter()
        generator = Generator().fit(table, seed=seed, schema=schema, time_limit=seconds)
        fitted, effort = time.perf_counter(), {}
        rows = generator.sample(table.height, seed=seed)
    else:
        baseline = BASELINES[job["method"]](**job["changes"])
        if not baseline.prepared:
            raise TabsynError('its environment is not built (minutes, gigabytes): make benchmark ARGS="--build"')
        start = time.perf_counter()
        baseline.fit(table, schema, seed=seed, seconds=seconds)
        fitted = time.perf_counter()
        rows = baseline.sample(table.height, seed)
        effort = dict(baseline.effort)
    end = time.perf_counter()
    write_parquet(folder / "rows.parquet", rows.select(table.columns))
    peak = max(_peak_mib(), effort.pop("peak megabytes", 0.0))
    more = {"peak_mib": peak, "rows_a_second": table.height / max(end - fitted, 1e-9), **effort}
    write_json(folder / "told.json", {"fit_seconds": fitted - start, "sample_seconds": end - fitted, "more": more})


def _peak_mib() -> float:
    """The most memory that this process, or one it waited for, has held.

    ``ru_maxrss`` of a process begins at what its parent held, so this one's own is read from the kernel.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    own = [float(text.split()[1]) for text in lines if text.startswith("VmHWM")]
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(*(own or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]), others) / 1024


def _end_with(parent: int) -> None:
    """Let Linux kill this process with the one that started it, if that is still there: a recipe may take hours."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the benchmark has ended.")


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    _end_with(asked["parent"])
    try:
        _fit_and_draw(asked)
    except TabsynError as error:
        sys.exit(str(error))
