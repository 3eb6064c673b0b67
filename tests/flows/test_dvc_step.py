"""One step through real DVC: what it did, what it said, and what a failure tells."""

import shutil
from collections.abc import Callable

import pytest
from project import Project

from flows.dvc_step import Outcome, StepResult, reproduce
from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import Progress, silent


@pytest.fixture(scope="module")
def project(make_project: Callable[..., Project]) -> Project:
    return make_project()


def ingest(project: Project, lines: list[str] | None = None) -> StepResult:
    return reproduce("ingest", project.root, on_line=(lines if lines is not None else []).append, on_progress=silent)


def test_a_step_runs_then_is_unchanged_then_comes_back_from_the_cache(project: Project) -> None:
    said: list[str] = []
    assert ingest(project, said).outcome is Outcome.RAN
    assert [line for line in said if line.startswith("ingest: ")], "the step's own line"
    assert not [line for line in said if "git add" in line or "%|" in line], "neither DVC's hints nor bars"
    assert ingest(project).outcome is Outcome.UNCHANGED
    shutil.rmtree(project.root / "data/interim")
    (project.root / "dvc.lock").unlink()
    assert ingest(project).outcome is Outcome.RESTORED
    assert (project.root / "data/interim/molecules.parquet").exists()


def test_a_forced_step_runs_and_reports_progress(project: Project) -> None:
    ingest(project)
    heard: list[Progress] = []
    result = reproduce("featurize", project.root, on_line=print, on_progress=heard.append, force=True)
    assert result.outcome is Outcome.RAN
    assert heard[-1].done == heard[-1].total > 0
    assert heard[-1].unit == "molecules"


def test_a_failed_step_tells_its_own_error(project: Project) -> None:
    project.set_params({"data.smiles_column": "smilez"})
    with pytest.raises(TabsynError, match="smilez") as caught:
        ingest(project)
    assert str(caught.value).startswith("step 'ingest' failed: ")
    assert "dvc" not in str(caught.value).lower()
    project.set_params({"data.smiles_column": "smiles"})


def test_a_step_that_dvc_does_not_know_quotes_dvc(project: Project) -> None:
    with pytest.raises(TabsynError, match="'ingst'"):
        reproduce("ingst", project.root, on_line=print, on_progress=silent)
