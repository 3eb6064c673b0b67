"""The benchmark's flow on a real Prefect server: a method that fails is alone with it, and nothing is run twice."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import requests
from project import Project

MOLECULES = 40
RIVALS = ["forest-diffusion", "bootstrap"]
UNBUILT = "its environment is not built"


@pytest.fixture(scope="module")
def benched(make_project: Callable[..., Project], prefect_server: str, tmp_path_factory: Any) -> Project:
    """A project in which the flow has run, on few molecules; the environment of the first rival is not there."""
    project = make_project(**{"benchmark.methods": RIVALS, "benchmark.seconds": 5})
    molecules = project.root / "data/raw/solubility.csv"
    lines = molecules.read_text(encoding="utf-8").splitlines(keepends=True)
    molecules.write_text("".join(lines[: MOLECULES + 1]), encoding="utf-8")
    empty = str(tmp_path_factory.mktemp("no environments"))
    project = replace(
        project, environment={**project.environment, "PREFECT_API_URL": prefect_server, "XDG_CACHE_HOME": empty}
    )
    said = project.run("python", "-m", "flows.benchmark").stdout
    (project.root / "said.txt").write_text(said, encoding="utf-8")
    return project


def test_a_method_that_fails_stands_with_its_reason_and_the_others_go_on(benched: Project, prefect_server: str) -> None:
    page = (benched.root / "out/benchmark/leaderboard.md").read_text(encoding="utf-8")
    assert "| bootstrap |" in page
    assert f"- forest-diffusion, seed 0: {UNBUILT}" in page
    states = task_states(prefect_server)
    assert states["solubility forest-diffusion 0"] == "FAILED"
    assert states["solubility bootstrap 0"] == "COMPLETED"
    html = (benched.root / "out/benchmark/leaderboard.html").read_text(encoding="utf-8")
    assert "<td>bootstrap</td>" in html


def test_each_cell_is_a_child_run_in_mlflow(benched: Project) -> None:
    with closing(sqlite3.connect(benched.root / "mlflow.db")) as store:
        parents = store.execute("select value from tags where key = 'mlflow.parentRunId'").fetchall()
        names = store.execute("select name from runs").fetchall()
        errors = store.execute("select value from tags where key = 'error'").fetchall()
        metrics = {key for (key,) in store.execute("select distinct key from metrics")}
    assert len(parents) == 2
    assert len(set(parents)) == 1
    assert {name for (name,) in names} == {"leaderboard", *(f"solubility {rival} 0" for rival in RIVALS)}
    assert [UNBUILT in value for (value,) in errors] == [True]
    assert {"shape", "trend", "fit_seconds", "peak_mib", "tstr logS"} <= metrics


def test_what_is_known_is_not_run_again_and_dvc_keeps_it(benched: Project) -> None:
    results = benched.root / "benchmarks/results"
    before = {file.name: file.stat().st_mtime_ns for file in results.iterdir()}
    (failed,) = [name for name in before if "error" in json.loads((results / name).read_text(encoding="utf-8"))]
    ask = "from flows.benchmark import benchmark; print(benchmark(methods=['bootstrap'], write=True))"
    said = benched.run("python", "-c", ask).stdout
    assert "bootstrap on solubility, seed 0: known" in said
    assert {file.name: file.stat().st_mtime_ns for file in results.iterdir()} == before
    assert "'cells': 1, 'failed': {}" in said
    assert "docs/benchmarks/leaderboard.html" in said

    kept = {file.name: file.read_bytes() for file in results.iterdir()}
    for file in results.iterdir():
        file.unlink()
    benched.dvc("--cd", "benchmarks", "checkout", "--quiet")
    assert {file.name: file.read_bytes() for file in results.iterdir()} == kept
    assert failed in kept
    assert "benchmarks" not in benched.dvc("status"), "the pipeline does not know of the benchmark"
    assert {line[3:] for line in benched.git("status", "--porcelain").splitlines()} <= {
        "benchmarks/results.dvc",
        "data/raw/solubility.csv",
        "docs/",
        "said.txt",
    }


def task_states(server: str) -> dict[str, str]:
    """The states of the tasks of the newest runs of the flow, by name."""
    only = {"flows": {"name": {"any_": ["benchmark"]}}, "sort": "EXPECTED_START_TIME_ASC"}
    answer = requests.post(f"{server}/task_runs/filter", json=only, timeout=30)
    answer.raise_for_status()
    return {task["name"]: task["state_type"] for task in answer.json()}
