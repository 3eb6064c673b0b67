"""A flow without deployments, and ``dvc repro``, lead to the same files."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from project import ROOT, Project, clean_environment

TABLE = "data/synthetic/synthetic.parquet"
FLOW = ["python", "-m", "flows.pipeline"]


def test_a_program_keeps_prefects_records_in_the_project_and_an_import_makes_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path, {**clean_environment(ROOT), "HOME": str(tmp_path / "home")})
    (tmp_path / "home").mkdir()
    (tmp_path / "dvc.yaml").touch()
    imports = "from pathlib import Path; import flows.pipeline; from prefect.settings import get_current_settings; "
    ask = "print(get_current_settings().home)"
    said = project.run("python", "-c", imports + ask).stdout
    assert said.split() == [str(tmp_path / "home/.prefect")]
    assert not (tmp_path / ".admet").exists()
    said = project.run("python", "-c", imports + "flows.keep_records_in_project(Path.cwd()); " + ask).stdout
    assert said.split() == [str(tmp_path / ".admet/prefect")]


@pytest.fixture(scope="module")
def flowed(make_project: Callable[..., Project], prefect_server: str) -> Project:
    """A project in which a flow has run, and never ``dvc repro``; one worker computed its descriptors."""
    project = make_project(**{"featurize.workers": 1})
    project = replace(project, environment={**project.environment, "PREFECT_API_URL": prefect_server})
    assert "Nothing changed" not in project.run(*FLOW).stdout
    return project


def test_a_flow_gives_the_table_of_dvc_repro(flowed: Project, reproduced: Project) -> None:
    assert flowed.md5(TABLE) == reproduced.md5(TABLE), "another entry point and number of workers, same table"


def test_after_a_flow_dvc_has_nothing_to_do_and_another_flow_leaves_a_clean_tree(flowed: Project) -> None:
    assert "up to date" in flowed.dvc("status")
    repeated = flowed.dvc("repro")
    assert "Running stage" not in repeated
    assert "Data and pipelines are up to date" in repeated
    flowed.commit()
    assert "Nothing changed" in flowed.run(*FLOW).stdout
    assert flowed.git("status", "--porcelain") == ""


def test_a_version_that_the_registry_lost_is_registered_again(flowed: Project) -> None:
    flowed.commit()
    (flowed.root / "mlflow.db").unlink()
    shutil.rmtree(flowed.root / "mlartifacts")
    said = flowed.run(*FLOW).stdout
    assert "registering it again" in said
    assert "Running stage 'register'" in said
    assert "Running stage 'evaluate'" not in said
    assert flowed.git("status", "--porcelain") == ""
    assert "Nothing changed" in flowed.run(*FLOW).stdout
