"""Deployments on a real Prefect server with a real worker: what a platform engineer gets."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from project import POOL, Project, running, wait_for
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from flows.checkout import newest_results

STAGES = {
    "ingest", "featurize", "validate", "split", "fit_distributions",
    "train", "sample", "realize", "validate_synthetic", "evaluate", "register",
}  # fmt: skip


class Api:
    """The few calls to Prefect's REST API that a trigger and its observer need."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        # Prefect says 503 while SQLite is busy; its own client tries again, too.
        patience = Retry(total=8, backoff_factor=0.5, status_forcelist=[503], allowed_methods=None)
        self.session.mount("http://", HTTPAdapter(max_retries=patience))

    def get(self, path: str) -> Any:
        answer = self.session.get(f"{self.url}{path}", timeout=30)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.session.post(f"{self.url}{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def trigger(self, deployment: str, **parameters: Any) -> str:
        found = self.get(f"/deployments/name/{deployment}")
        run = self.post(f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def state(self, run: str) -> str:
        return str(self.get(f"/flow_runs/{run}")["state"]["type"])

    def finish(self, run: str) -> str:
        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        return str(wait_for(lambda: (state := self.state(run)) in ends and state, seconds=400))

    def artifacts(self, run: str) -> dict[str, Any]:
        only = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        return {artifact["key"]: artifact for artifact in self.post("/artifacts/filter", only)}

    def tasks(self, run: str) -> dict[str, str]:
        only = {"flow_runs": {"id": {"any_": [run]}}}
        return {task["name"]: task["state_type"] for task in self.post("/task_runs/filter", only)}

    def logs(self, run: str) -> str:
        only = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self.post("/logs/filter", only))


@pytest.fixture(scope="session")
def deployed(reproduced: Project, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the reproduced project with its deployments on the server and a worker that serves them."""
    root = Path(shutil.copytree(reproduced.root, tmp_path_factory.mktemp("deployed") / "admet", symlinks=True))
    environment = {**reproduced.environment, "PREFECT_API_URL": prefect_server, "PYTHONPATH": str(root)}
    project = Project(root, environment)
    project.run("prefect", "work-pool", "create", POOL, "--type", "process")
    project.run("prefect", "deploy", "--all")
    folder = tmp_path_factory.mktemp("worker")
    command = ["prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    with running(command, {**environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}, folder):
        yield project


@pytest.fixture(scope="session")
def api(prefect_server: str) -> Api:
    return Api(prefect_server)


def test_after_dvc_repro_a_flow_run_recomputes_nothing_and_says_so(deployed: Project, api: Api) -> None:
    run = api.trigger("admet-pipeline/nightly-retrain")
    assert api.finish(run) == "COMPLETED", api.logs(run)
    assert api.tasks(run) == dict.fromkeys(STAGES, "COMPLETED")
    artifacts = api.artifacts(run)
    assert {"run-summary", "figures", "report", "data-docs"} <= artifacts.keys()
    assert "Nothing changed" in artifacts["run-summary"]["data"]
    assert "Running stage" not in api.logs(run)
    assert "c2st.lightgbm" in str(artifacts["figures"]["data"])
    assert linked(artifacts["report"]).read_bytes() == (deployed.root / "reports/report.html").read_bytes()
    pages = linked(artifacts["data-docs"]).parent
    assert pages.is_relative_to(deployed.root / ".admet/runs" / run)
    for suite in ("molecules", "descriptors", "synthetic"):
        assert list(pages.rglob(f"validations/{suite}/**/*.html")), f"DVC took it from its cache: pages of {suite}"


def linked(artifact: dict[str, Any]) -> Path:
    text = artifact["data"]
    return Path(text[text.index("file://") + 7 : text.index(")")])


def test_two_runs_at_once_finish_and_leave_the_working_tree_alone(deployed: Project, api: Api) -> None:
    scribble = deployed.root / "params.yaml"
    before = scribble.read_text()
    try:
        scribble.write_text(before + "# half an edit: [\n")
        status = deployed.git("status", "--porcelain")
        lock = (deployed.root / "dvc.lock").read_bytes()
        runs = [
            api.trigger("admet-pipeline/nightly-retrain", overrides={"train.num_updates": 31}),
            api.trigger("admet-pipeline/nightly-retrain", overrides={"evaluate.c2st_folds": 3}),
        ]
        ends = [api.finish(run) for run in runs]
        assert ends == ["COMPLETED", "COMPLETED"], "\n".join(map(api.logs, runs))
        assert deployed.git("status", "--porcelain") == status
        assert (deployed.root / "dvc.lock").read_bytes() == lock
    finally:
        scribble.write_text(before)
    training, judging = map(api.artifacts, runs)
    assert {key for key in training if key.startswith("train-")}, "training has a progress artifact"
    assert all(artifact["data"] == 100 for key, artifact in training.items() if key.endswith("-progress"))
    assert "| train | ran |" in training["run-summary"]["data"]
    assert "| sample | unchanged |" in judging["run-summary"]["data"]
    assert "| evaluate | ran |" in judging["run-summary"]["data"]
    assert len(deployed.git("worktree", "list").splitlines()) == 1, "finished runs leave no worktree"


def test_a_wrong_override_fails_with_the_nearest_key(deployed: Project, api: Api) -> None:
    run = api.trigger("admet-pipeline/nightly-retrain", overrides={"sample.num_rowz": 1})
    assert api.finish(run) == "FAILED"
    wait_for(lambda: "did you mean sample.num_rows?" in api.logs(run), seconds=30)  # logs come in after the state
    assert len(deployed.git("worktree", "list").splitlines()) == 1


def test_the_champion_is_sampled_on_request(deployed: Project, api: Api) -> None:
    import polars as pl

    run = api.trigger("sample-champion/sample-champion", n_rows=7, seed=3, num_steps=4)
    assert api.finish(run) == "COMPLETED", api.logs(run)
    out = deployed.root / f".admet/samples/{run}.parquet"
    rows, table = pl.read_parquet(out), pl.read_parquet(deployed.root / "data/synthetic/synthetic.parquet")
    assert rows.height == 7
    assert rows.schema == table.schema
    artifacts = api.artifacts(run)
    assert artifacts["sample-progress"]["data"] == 100
    assert "preview" in artifacts


@pytest.mark.usefixtures("deployed")
def test_what_the_champion_refuses_is_not_asked_again(api: Api) -> None:
    run = api.trigger("sample-champion/sample-champion", n_rows=7, num_steps=0)
    assert api.finish(run) == "FAILED"
    only = {"flow_runs": {"id": {"any_": [run]}}}
    assert [task["run_count"] for task in api.post("/task_runs/filter", only)] == [1]


def test_the_weekly_benchmark_shows_the_figures_of_the_newest_table(deployed: Project, api: Api) -> None:
    _, tables = newest_results(deployed.root)
    run = api.trigger("weekly-benchmark/weekly-benchmark")
    assert api.finish(run) == "COMPLETED", api.logs(run)
    assert "c2st.lightgbm" in str(api.artifacts(run)["figures"]["data"])
    assert (deployed.root / f".admet/benchmark/{run}/metrics.json").exists()
    wait_for(lambda: f"judging {tables[2]}" in api.logs(run), seconds=30)
