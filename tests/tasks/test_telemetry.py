"""Usage reports are off unless the user asks for them."""

import os
import subprocess
import sys

import pytest

from tasks.telemetry import OFF

ASK = "import os, {package}; print('\\n'.join(f'{{name}}={{value}}' for name, value in os.environ.items()))"


def environment_after_import(package, **chosen):
    environment = {name: value for name, value in os.environ.items() if name not in OFF}
    command = [sys.executable, "-c", ASK.format(package=package)]
    return subprocess.run(
        command, env={**environment, **chosen}, capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.parametrize("package", ["tasks", "flows", "admet_tabsyn"])
def test_importing_any_of_our_programs_switches_reports_off(package):
    assert {f"{name}={value}" for name, value in OFF.items()} <= set(environment_after_import(package))


def test_a_choice_of_the_user_stands():
    assert "DO_NOT_TRACK=0" in environment_after_import("tasks", DO_NOT_TRACK="0")


def test_the_libraries_read_these_names():
    asked = "from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    listened = "from prefect.settings import get_current_settings as s; print(not s().server.analytics_enabled)"
    for question in (asked, listened):
        command = [sys.executable, "-c", f"import tasks; {question}"]
        environment = {name: value for name, value in os.environ.items() if name not in OFF}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert said.strip() == "True", question
