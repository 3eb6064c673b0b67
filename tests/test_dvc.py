"""What a scientist does with DVC: metrics, plots, experiments, remotes; in real clones of a real project."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from project import ROOT, Project, free_port, running, wait_for

TABLE = "data/synthetic/synthetic.parquet"


@pytest.fixture(scope="module")
def clone(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return reproduced.clone_with_cache(tmp_path_factory.mktemp("clone") / "admet")


def test_every_stage_output_is_ignored_by_git_so_dvc_adds_no_gitignore(reproduced: Project) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    kinds = [entry for stage in stages for kind in ("outs", "metrics", "plots") for entry in stage.get(kind, [])]
    outs = [entry if isinstance(entry, str) else next(iter(entry)) for entry in kinds]
    assert reproduced.git("check-ignore", *outs).split() == outs
    assert reproduced.git("status", "--porcelain") == ""
    assert reproduced.git("ls-files", "*.gitignore").split() == [".dvc/.gitignore", ".gitignore"]


def test_metrics_show_the_figures_and_plots_show_draws_them(clone: Project, tmp_path: Path) -> None:
    shown = json.loads(clone.dvc("metrics", "show", "--json"))
    figures = shown[""]["data"]["reports/metrics.json"]["data"]
    assert 0 <= figures["c2st"]["lightgbm"] <= 1
    page = clone.dvc("plots", "show", "--out", str(tmp_path)).strip()
    drawn = Path(page.removeprefix("file://")).read_text(encoding="utf-8")
    assert "Training loss" in drawn


def test_an_experiment_changes_params_and_runs_what_depends_on_them(clone: Project) -> None:
    said = clone.dvc("exp", "run", "--name", "longer", "--set-param", "train.num_updates=32", "train")
    assert "Stage 'fit_distributions' didn't change, skipping" in said
    assert "Running stage 'train'" in said
    changed = json.loads(clone.dvc("params", "diff", "--json"))
    assert changed == {"params.yaml": {"train.num_updates": {"old": 30, "new": 32, "diff": 2}}}
    assert clone.md5("models/generator") != committed_md5(clone, "models/generator")
    clone.git("checkout", "--quiet", "--force", ".")
    clone.dvc("checkout", "--quiet")


def committed_md5(project: Project, path: str) -> str:
    lock = yaml.safe_load(project.git("show", "HEAD:dvc.lock"))
    return next(out["md5"] for stage in lock["stages"].values() for out in stage["outs"] if out["path"] == path)


def test_a_temporary_experiment_leaves_the_workspace_alone_and_compares(clone: Project) -> None:
    before = (clone.root / "reports/metrics.json").read_bytes()
    clone.dvc("exp", "run", "--temp", "--name", "aside", "--set-param", "evaluate.c2st_folds=4")
    assert clone.git("status", "--porcelain") == ""
    assert (clone.root / "reports/metrics.json").read_bytes() == before
    differences = json.loads(clone.dvc("metrics", "diff", "--json", "HEAD", "aside"))
    assert "c2st.lightgbm" in differences["reports/metrics.json"]
    listed = clone.dvc("exp", "show", "--csv")
    assert "longer" in listed
    assert "aside" in listed


def test_a_local_remote_brings_the_table_to_another_clone(clone: Project, tmp_path: Path) -> None:
    clone.dvc("remote", "add", "--local", "--default", "--force", "store", str(tmp_path / "store"))
    clone.dvc("push", "--quiet")
    elsewhere = clone.clone(tmp_path / "elsewhere")
    elsewhere.dvc("remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    elsewhere.dvc("pull", "--quiet")
    assert "up to date" in elsewhere.dvc("status")
    assert pl.read_parquet(elsewhere.root / TABLE).equals(pl.read_parquet(clone.root / TABLE))


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """The endpoint of an S3 server on loopback with the bucket ``tables``."""
    import boto3

    port = free_port()
    with running(["moto_server", "--host", "127.0.0.1", "--port", str(port)], dict(os.environ), tmp_path):
        endpoint = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=endpoint, **keys)
        wait_for(lambda: _makes_bucket(client), seconds=60)
        yield endpoint


def _makes_bucket(client) -> bool:
    from botocore.exceptions import EndpointConnectionError

    try:
        client.create_bucket(Bucket="tables")
    except EndpointConnectionError:
        return False
    return True


def test_an_s3_remote_brings_the_table_to_another_clone(clone: Project, s3: str, tmp_path: Path) -> None:
    def connect(project: Project) -> None:
        project.dvc("remote", "add", "--local", "--default", "--force", "bucket", "s3://tables/admet")
        settings = {"endpointurl": s3, "region": "us-east-1", "access_key_id": "key", "secret_access_key": "secret"}
        for name, value in settings.items():
            project.dvc("remote", "modify", "--local", "bucket", name, value)

    connect(clone)
    clone.dvc("push", "--quiet")
    elsewhere = clone.clone(tmp_path / "elsewhere")
    connect(elsewhere)
    elsewhere.dvc("pull", "--quiet", TABLE)
    assert pl.read_parquet(elsewhere.root / TABLE).equals(pl.read_parquet(clone.root / TABLE))
