"""What a run shows in Prefect's pages: progress, the figures beside their floors, a summary, links."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.dvc_step import Outcome, StepResult
from tabsyn_core.files import read_json
from tabsyn_core.progress import Progress
from tasks import paths
from tasks.gate import flatten_figures

if TYPE_CHECKING:
    from uuid import UUID


_LOG = logging.getLogger(__name__)


class ProgressArtifact:
    """A progress callback that keeps one Prefect progress artifact a phase up to date."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._artifact: UUID | None = None
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Show one report; a server that does not take it is noted, and never stops the step."""
        try:
            self._follow(progress)
        except Exception:  # noqa: BLE001 - whatever the server or the way to it may raise
            _LOG.warning("%s: its progress could not be shown", self.step, exc_info=True)

    def _follow(self, progress: Progress) -> None:
        if progress == self._last:
            return
        if self._last is not None and progress.phase != self._last.phase:
            self._show(replace(self._last, done=self._last.total))  # its last report was missed, but it is over
            self._artifact = None
        self._show(progress)
        self._last = progress

    def _show(self, progress: Progress) -> None:
        percent = 100 * progress.done / max(progress.total, 1)
        figures = "".join(f", {name} {value:.4g}" for name, value in progress.figures.items())
        description = f"{progress.done:,} of {progress.total:,} {progress.unit}{figures}"
        if self._artifact is None:
            key = "-".join(part for part in (self.step, progress.phase, "progress") if part).replace("_", "-").lower()
            self._artifact = cast("UUID", create_progress_artifact(percent, key, description))
        else:
            update_progress_artifact(self._artifact, percent, description)


def figures_beside_floors(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a figure of ``metrics.json``: its dotted name, its value, and its floor where there is one."""
    floors = flatten_figures(metrics.get("floor", {}))
    figures = flatten_figures({name: value for name, value in metrics.items() if name != "floor"})
    return [{"figure": name, "value": value, "floor": floors.get(name)} for name, value in figures.items()]


def summary(results: Sequence[StepResult]) -> str:
    """A run in a few lines of Markdown."""
    changed = any(result.outcome is not Outcome.UNCHANGED for result in results)
    verdict = "Outputs were brought up to date." if changed else "Nothing changed: every step was up to date."
    rows = "\n".join(f"| {result.step} | {result.outcome} | {result.seconds:.1f} |" for result in results)
    return f"{verdict}\n\n| step | outcome | seconds |\n|---|---|---|\n{rows}\n"


def publish(results: Sequence[StepResult], reports: Path) -> None:
    """Create the artifacts of a finished run.

    Args:
        results: Its steps.
        reports: The folder that holds ``reports`` and ``data_docs`` from now on.
    """
    create_markdown_artifact(summary(results), "run-summary", "What ran and what was up to date")
    publish_figures(read_json(reports / paths.METRICS))
    _link("report", "Quality report", reports / paths.REPORT)
    _link("data-docs", "Data Docs of the Great Expectations suites", reports / paths.DATA_DOCS / "index.html")


def publish_figures(metrics: dict[str, Any]) -> None:
    """Show ``metrics`` as a table of figures beside their floors."""
    note = "Each figure stands beside its floor: the same figure with real held-out rows in place of synthetic ones"
    create_table_artifact(figures_beside_floors(metrics), "figures", note)


def _link(key: str, text: str, page: Path) -> None:
    if page.exists():
        create_link_artifact(page.resolve().as_uri(), text, key, str(page.resolve()))
