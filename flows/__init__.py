"""What gets scheduled: thin Prefect flows over the steps of ``tasks``."""

import os
import sys
from pathlib import Path

# First of all: importing tasks switches telemetry off, and Prefect reads its settings when imported.
import tasks as tasks

_CHOSEN = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILES_PATH")


def keep_records_in_project(root: Path) -> None:
    """A run without a Prefect server of the user's keeps its records in the project, not in the home folder.

    For programs that run a flow; nothing is set or made by an import.
    """
    os.environ.setdefault(
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120"
    )  # 20 is too short on a busy machine
    chosen = any(name in os.environ for name in _CHOSEN) or (Path.home() / ".prefect" / "profiles.toml").exists()
    if not chosen and (root / "dvc.yaml").exists():
        home = root / ".admet" / "prefect"
        home.mkdir(parents=True, exist_ok=True)
        os.environ["PREFECT_HOME"] = str(home)
    if "prefect" in sys.modules:  # it has read its settings already
        from prefect.context import refresh_global_settings_context  # noqa: PLC0415 - not where it is not in use

        refresh_global_settings_context()
