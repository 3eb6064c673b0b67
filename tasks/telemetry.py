"""No dependency phones home unless the user asks for it: imported before any of them.

The ``Makefile`` exports the same names, for the tools that a shell starts.
"""

import os

OFF = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""What switches the usage reports of Prefect, DVC, Great Expectations and MLflow off."""


def switch_off() -> None:
    """Set each variable of :data:`OFF` that the user has not set."""
    for name, value in OFF.items():
        os.environ.setdefault(name, value)
