"""Small copies of the project with real git, DVC and MLflow, and programs that run beside a test."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

ROOT = Path(__file__).parents[1]
MOLECULES = 110
POOL = "admet-tabsyn"

SMALL = {
    "data.source": "data/raw/small.csv",
    "data.watch": "data/raw/small.csv",
    "train.vae.num_updates": 12,
    "train.vae.batch_size": 32,
    "train.num_updates": 30,
    "train.diffusion.width": 64,
    "train.checkpoint_every": 3,
    "train.threads": 1,
    "sample.num_rows": 60,
    "realize.num_rows": 20,
    "realize.proposals": 1,
    "sample.num_steps": 5,
    "evaluate.c2st_folds": 2,
    "evaluate.thorough": False,
    "register.model_name": "small",
    "register.gate.max": {"c2st.lightgbm": 1.0},
}
"""What differs from ``params.yaml``, so that the whole pipeline takes seconds a step."""


@dataclass(frozen=True)
class Project:
    """A copy of the project in which nothing needs care."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; a failure shows what it said."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}"
        return done

    def dvc(self, *arguments: str) -> str:
        return self.run("python", "-m", "dvc", *arguments).stdout

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "state of a test")

    def set_params(self, changes: dict[str, Any]) -> None:
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *sections, name = key.split(".")
            section = params
            for part in sections:
                section = section[part]
            section[name] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def md5(self, path: str) -> str:
        """The hash of a stage's output, as ``dvc.lock`` has it."""
        stages = yaml.safe_load((self.root / "dvc.lock").read_text())["stages"].values()
        return next(out["md5"] for stage in stages for out in stage["outs"] if out["path"] == path)

    def clone(self, root: Path) -> "Project":
        """A fresh git clone, without DVC's cache."""
        self.git("clone", "--quiet", ".", str(root))
        environment = {**self.environment, "PYTHONPATH": str(root)}
        return with_identity(Project(root, environment))

    def clone_with_cache(self, root: Path) -> "Project":
        """A fresh git clone that shares this project's DVC cache and has the outputs of ``dvc.lock`` in place."""
        clone = self.clone(root)
        clone.dvc("cache", "dir", "--local", str(self.root / ".dvc" / "cache"))
        clone.dvc("checkout", "--quiet")
        return clone


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in the background until the block ends; its output goes to ``output.log`` in ``folder``."""
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(happened: Callable[[], Any], seconds: float) -> Any:
    """What ``happened`` returns once that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := happened():
            return result
        time.sleep(0.2)
    pytest.fail(f"{happened} did not happen within {seconds} s")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def clean_environment(root: Path) -> dict[str, str]:
    """This environment with our ``python`` first and no setting of a service that the person who tests uses."""
    foreign = ("PREFECT_", "MLFLOW_", "DVC_", "GIT_", "ADMET_TABSYN_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **kept,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(root),
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def with_identity(project: Project) -> Project:
    project.git("config", "user.name", "Test")
    project.git("config", "user.email", "test@example.org")
    return project
