"""A flow without a server of the user's, and ``dvc repro``, lead to the same files."""

from collections.abc import Callable

from project import Project

TABLE = "data/synthetic/synthetic.parquet"


def test_a_flow_gives_the_table_of_dvc_repro_and_leaves_nothing_to_do(
    make_project: Callable[..., Project], reproduced: Project, prefect_server: str
) -> None:
    project = make_project(**{"featurize.workers": 1})
    said = project.run("python", "-m", "flows.pipeline", PREFECT_API_URL=prefect_server).stdout
    assert "Nothing changed" not in said
    assert project.md5(TABLE) == reproduced.md5(TABLE), "another entry point and number of workers, same table"
    assert "up to date" in project.dvc("status")
    repeated = project.dvc("repro")
    assert "Running stage" not in repeated
    assert "Data and pipelines are up to date" in repeated
    project.commit()
    assert "Nothing changed" in project.run("python", "-m", "flows.pipeline", PREFECT_API_URL=prefect_server).stdout
    assert project.git("status", "--porcelain") == "", "a run leaves a clean tree"
