"""The tables and words of a run's artifacts; the server's side is in test_scheduled_runs.py."""

import pytest

from flows.artifacts import figures_beside_floors, summary
from flows.stage import Outcome, StepResult


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
