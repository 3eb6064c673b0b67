"""When drawing from the champion is tried again; the draw itself is in test_scheduled_runs.py."""

from pathlib import Path

import pytest
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from prefect.states import Failed

from flows.sampling import another_try_can_help
from tabsyn_core.errors import TabsynError
from tasks.registry import connect, registry_errors, version_of


def is_tried_again(error: BaseException) -> bool:
    return another_try_can_help(None, None, Failed(data=error))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (MlflowException("API request failed"), True),
        (ConnectionRefusedError("nobody listens"), True),
        (MlflowException("num_steps is no long", INVALID_PARAMETER_VALUE), False),
        (TabsynError("num_steps must be at least 1"), False),
    ],
)
def test_only_a_registry_that_fails_is_asked_again(error: Exception, *, again: bool) -> None:
    with pytest.raises(TabsynError) as caught, registry_errors("sqlite:///mlflow.db"):
        raise error
    assert is_tried_again(caught.value) is again


def test_a_champion_that_is_not_there_is_not_sought_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(TabsynError, match="there is no") as caught:
        version_of(connect(tmp_path), "models:/nobody@champion")
    assert not is_tried_again(caught.value)
