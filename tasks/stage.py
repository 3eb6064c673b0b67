"""What every ``python -m tasks.<step>`` shares: params in, progress shown, errors in plain words."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tabsyn_core.progress import Progress
from tasks.params import Params, load_params
from tasks.paths import PARAMS

PROGRESS_FILE_VARIABLE = "ADMET_TABSYN_PROGRESS_FILE"
"""A flow that runs a step as a subprocess names a file here and reads the latest report from it."""

_SECONDS_BETWEEN_REPORTS = 0.5


class ProgressReporter:
    """Shows progress as a tqdm bar on standard error, and as JSON in a file when a flow asked for one."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._bar: tqdm[None] | None = None
        self._phase: str | None = None
        self._written = 0.0
        named = os.environ.get(PROGRESS_FILE_VARIABLE)
        self._file = Path(named) if named else None

    def __call__(self, progress: Progress) -> None:
        """Show one report."""
        if self._bar is None or progress.phase != self._phase:
            self.close()
            self._phase = progress.phase
            label = f"{self.step} {progress.phase}".strip()
            self._bar = tqdm(
                total=progress.total, unit=f" {progress.unit}", desc=label, file=sys.stderr, mininterval=0.5
            )
        self._bar.update(progress.done - self._bar.n)
        if progress.figures:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in progress.figures.items()}, refresh=False)
        finished = progress.done == progress.total
        if self._file and (finished or time.monotonic() - self._written > _SECONDS_BETWEEN_REPORTS):
            self._written = time.monotonic()
            report = {
                "step": self.step,
                "phase": progress.phase,
                "done": progress.done,
                "total": progress.total,
                "unit": progress.unit,
                "figures": dict(progress.figures),
            }
            with atomic_path(self._file) as temporary:
                temporary.write_text(json.dumps(report), encoding="utf-8")

    def close(self) -> None:
        """Finish the current bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def run_stage(step: str, work: Callable[[Params, ProgressReporter], str]) -> None:
    """Run one step as a program: exit 0 with its one-line result, or exit 1 with what the user can mend.

    Args:
        step: The step's name in ``dvc.yaml``.
        work: Does the step and returns the line to print.
    """
    reporter = ProgressReporter(step)
    try:
        line = work(load_params(PARAMS), reporter)
    except TabsynError as error:
        reporter.close()
        print(f"{step}: error: {error}", file=sys.stderr)
        sys.exit(1)
    reporter.close()
    print(f"{step}: {line}")
