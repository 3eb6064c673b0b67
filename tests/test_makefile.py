"""The Makefile as a newcomer meets it."""

import os
import re
import subprocess
from pathlib import Path

from tasks.telemetry import OFF

ROOT = Path(__file__).parent.parent


def make(*arguments: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in OFF and "MAKE" not in name}
    command = ["make", "-f", str(ROOT / "Makefile"), "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_target_has_one_line_of_help():
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    described = {line.split()[1] for line in make().stdout.splitlines()}
    assert described == set(phony[1].split())
    assert {"demo", "test", "lint", "format", "docs", "serve-mlflow", "clean"} <= described


def test_a_python_that_is_too_old_is_named_with_the_remedy(tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("demo", f"PYTHON={old}", folder=tmp_path)
    assert done.returncode != 0
    assert "Python 3.11 or later is needed" in done.stderr
    assert str(old) in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_installation_happens_again_only_when_a_pin_changes(tmp_path):
    (tmp_path / ".venv").mkdir()
    for age, name in ((3, "pyproject.toml"), (2, "constraints.txt"), (1, ".venv/.installed")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert "pip install" not in make("-n", "demo", folder=tmp_path).stdout
    (tmp_path / "constraints.txt").touch()
    assert "pip install" in make("-n", "demo", folder=tmp_path).stdout


def test_clean_removes_what_runs_made_and_never_the_data(tmp_path):
    made = [
        "data/interim",
        "data/processed",
        "data/synthetic",
        "models",
        "reports",
        "mlartifacts",
        ".admet",
        ".dvc/cache",
    ]
    for name in [*made, "data/raw", ".venv", ".dvc"]:
        (tmp_path / name / "content").mkdir(parents=True)
    (tmp_path / "mlflow.db").touch()
    assert make("clean", folder=tmp_path).returncode == 0
    assert not [name for name in [*made, "mlflow.db"] if (tmp_path / name).exists()]
    assert (tmp_path / "data/raw/content").exists()
    assert (tmp_path / ".venv/content").exists()


def test_telemetry_is_off_in_every_shell_make_starts(tmp_path):
    (tmp_path / "more.mk").write_text("environment:\n\t@env\n")
    printed = make("-f", "more.mk", "environment", folder=tmp_path).stdout.splitlines()
    assert {f"{name}={value}" for name, value in OFF.items()} <= set(printed)


def test_ci_runs_the_test_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"
    assert "\nmake test " in (ROOT / "README.md").read_text(encoding="utf-8")
