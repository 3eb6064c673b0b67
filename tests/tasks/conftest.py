"""One small project for the tests of the registry: a git repository with a real DVC pipeline and a tiny model."""

import shutil

import pytest
from small_project import PARAMS, PIPELINE, ROOT, make_outputs, run


@pytest.fixture(scope="session")
def registered_project(tmp_path_factory):
    """A project whose ``dvc repro`` has registered version 1 of the model ``tiny``; tests leave it as it is."""
    base = tmp_path_factory.mktemp("registered")
    make_outputs(base / "made")
    project = base / "project"
    (project / "data/raw").mkdir(parents=True)
    shutil.copy(ROOT / "data/raw/solubility.csv", project / "data/raw")
    (project / "data/raw/LICENCE").write_text("test", encoding="utf-8")
    (project / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (project / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (project / ".gitignore").write_text(
        "/.admet/\n/mlflow.db*\n/mlartifacts/\n/data/interim/\n/data/processed/\n/models/\n/reports/\n"
    )
    run(project, "git", "init", "--quiet", "--initial-branch=main")
    run(project, "git", "config", "user.email", "test@example.org")
    run(project, "git", "config", "user.name", "Test")
    run(project, "git", "remote", "add", "origin", "https://writer:hunter2@example.org/project.git")
    run(project, "dvc", "init", "--quiet")
    run(project, "git", "add", ".")
    run(project, "git", "commit", "--quiet", "--message", "start")
    (base / "repro.txt").write_text(run(project, "dvc", "repro"), encoding="utf-8")
    return project
