"""What tests of the running pipeline share: one small project, run once, and one Prefect server."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from filelock import FileLock
from project import (
    MOLECULES,
    ROOT,
    SMALL,
    Project,
    answers,
    clean_environment,
    free_port,
    running,
    wait_for,
    with_identity,
)

_LONG = (
    "test_readme.py",
    "test_scheduled_runs.py",
    "test_entry_points.py",
    "test_cli.py",
    "test_dvc.py",
    "test_report.py",
)
"""Files that take minutes: they come first, or one worker would be busy with the last of them alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by file: the long ones first, the others as they were."""
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Makes a small project, committed, of the files git knows or would know, with nothing run yet."""

    def make(**changes: Any) -> Project:
        root = tmp_path_factory.mktemp("project") / "admet"
        known = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for name in known.split("\0"):
            if name and name != "dvc.lock" and not name.startswith(("tests/", "docs/")) and (ROOT / name).exists():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        project = Project(root, clean_environment(root))
        lines = (root / "data/raw/solubility.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        (root / "data/raw/small.csv").write_text("".join(lines[: MOLECULES + 1]), encoding="utf-8")
        project.set_params({**SMALL, **changes})
        project.git("init", "--quiet", "--initial-branch", "main")
        with_identity(project).commit()
        return project

    return make


@pytest.fixture(scope="session")
def reproduced(make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which ``dvc repro`` has run from the molecules to the registered model. Shared: leave it so.

    It takes a minute, so one worker makes it and the others copy it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reproduced"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            project = make_project()
            project.dvc("repro")
            project.commit()
            shared.symlink_to(project.root)
            return project
    root = tmp_path_factory.mktemp("project") / "admet"
    shutil.copytree(shared.resolve(), root, symlinks=True)
    return Project(root, clean_environment(root))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API address of a real Prefect server on loopback, one for the whole run."""
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    environment = {**clean_environment(home), "PREFECT_HOME": str(home)}
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with running(command, environment, home):
        url = f"http://127.0.0.1:{port}/api"
        wait_for(lambda: answers(f"{url}/health"), seconds=120)
        yield url
