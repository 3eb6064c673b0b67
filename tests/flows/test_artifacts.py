"""The tables and words of a run's artifacts; the server's side is in test_scheduled_runs.py."""

import pytest

import flows.artifacts
from flows.artifacts import ProgressArtifact, figures_beside_floors, summary
from flows.dvc_step import Outcome, StepResult
from tabsyn_core.progress import Progress


def test_each_figure_stands_beside_its_own_floor() -> None:
    metrics = {
        "shape": {"mean_error": 0.03},
        "tstr": {"logS": {"tstr": 0.7}},
        "only": {"here": 1},
        "floor": {"tstr": {"logS": {"tstr": 0.8}}, "shape": {"mean_error": 0.01}},
    }
    assert figures_beside_floors(metrics) == [
        {"figure": "shape.mean_error", "value": 0.03, "floor": 0.01},
        {"figure": "tstr.logS.tstr", "value": 0.7, "floor": 0.8},
        {"figure": "only.here", "value": 1, "floor": None},
    ]


@pytest.mark.parametrize("outcome", [Outcome.RAN, Outcome.RESTORED])
def test_a_summary_says_whether_anything_changed(outcome: Outcome) -> None:
    idle = [StepResult("ingest", Outcome.UNCHANGED, 0.5), StepResult("train", Outcome.UNCHANGED, 0.5)]
    assert summary(idle).startswith("Nothing changed")
    busy = [*idle, StepResult("sample", outcome, 61.25)]
    assert "Nothing changed" not in summary(busy)
    assert f"| sample | {outcome} | 61.2 |" in summary(busy)


def test_a_server_that_takes_no_progress_does_not_stop_the_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Exception | None] = [ConnectionError("gone"), None, RuntimeError("503")]
    shown: list[float] = []

    def server(percent: float, _description: str) -> str:
        if error := answers.pop(0):
            raise error
        shown.append(percent)
        return "an artifact"

    monkeypatch.setattr(flows.artifacts, "create_progress_artifact", lambda percent, _, text: server(percent, text))
    monkeypatch.setattr(flows.artifacts, "update_progress_artifact", lambda _, percent, text: server(percent, text))
    show = ProgressArtifact("train")
    for done in (1, 2, 3):
        show(Progress(done, 4, "updates"))
    assert shown == [50]
    assert [record.levelname for record in caplog.records if "train" in record.getMessage()] == ["WARNING"] * 2
