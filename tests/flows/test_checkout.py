"""A scheduled run's own checkout: real git worktrees with a shared DVC cache."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project

from flows.checkout import KEEP_DAYS, TABLES, isolated_checkout, newest_results, run_folder
from flows.dvc_step import Outcome, reproduce
from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import silent


def ingest(checkout: Path) -> Outcome:
    return reproduce("ingest", checkout, on_line=print, on_progress=silent).outcome


@pytest.fixture(scope="module")
def project(make_project: Callable[..., Project]) -> Project:
    """A project whose data lies beside it, and in which ingest has run."""
    project = make_project(**{"data.source": "../shared/small.csv", "data.watch": "../shared/small.csv"})
    (project.root.parent / "shared").mkdir()
    shutil.move(project.root / "data/raw/small.csv", project.root.parent / "shared/small.csv")
    assert ingest(project.root) is Outcome.RAN
    project.commit()
    return project


def worktrees(project: Project) -> int:
    return len(project.git("worktree", "list").splitlines()) - 1


def test_nothing_is_computed_again_where_data_lies_outside_the_project(project: Project) -> None:
    with isolated_checkout(project.root, "same", {}) as checkout:
        assert checkout != project.root
        assert ingest(checkout) is Outcome.UNCHANGED
        assert (checkout / "dvc.lock").read_bytes() == (project.root / "dvc.lock").read_bytes()
    assert worktrees(project) == 0
    assert {"dvc.lock", "params.yaml"} <= {path.name for path in run_folder(project.root, "same").iterdir()}


def test_overrides_change_the_run_and_not_the_project(project: Project) -> None:
    committed = (project.root / "params.yaml").read_bytes()
    with isolated_checkout(project.root, "other", {"data.max_smiles_length": 30}) as checkout:
        assert ingest(checkout) is Outcome.RAN
    assert (project.root / "params.yaml").read_bytes() == committed
    assert project.git("status", "--porcelain") == ""
    assert ingest(project.root) is Outcome.UNCHANGED


def test_after_a_failure_the_same_run_continues_where_it_was(project: Project) -> None:
    def fail() -> None:
        with isolated_checkout(project.root, "retried", {}) as checkout:
            (checkout / "half-done").touch()
            raise KeyError("a step failed")

    with pytest.raises(KeyError):
        fail()
    assert worktrees(project) == 1
    with isolated_checkout(project.root, "retried", {}) as checkout:
        assert (checkout / "half-done").exists()
    assert worktrees(project) == 0


def test_a_retry_redoes_a_checkout_that_was_not_completed(project: Project) -> None:
    lock = project.root / "dvc.lock"
    good = lock.read_text()
    lock.write_text("stages: [\n")
    project.commit()
    with pytest.raises(TabsynError, match="dvc"), isolated_checkout(project.root, "broken", {}):
        pytest.fail("a checkout without its files was handed out")
    lock.write_text(good)
    project.commit()
    with isolated_checkout(project.root, "broken", {}) as checkout:
        assert (checkout / "data/interim/molecules.parquet").exists()
    assert worktrees(project) == 0


def test_results_of_a_run_that_finishes_twice_replace_the_first(project: Project) -> None:
    for text in ("first", "second"):
        with isolated_checkout(project.root, "twice", {}) as checkout:
            (checkout / "reports").mkdir(exist_ok=True)
            (checkout / "reports/report.html").write_text(text)
    kept = run_folder(project.root, "twice") / "reports"
    assert not (kept / "reports").exists()
    assert (kept / "report.html").read_text() == "second"


def test_the_newest_figures_are_a_scheduled_runs_or_the_projects_own(tmp_path: Path) -> None:
    with pytest.raises(TabsynError, match="evaluated"):
        newest_results(tmp_path)
    run, failed = run_folder(tmp_path, "a"), run_folder(tmp_path, "b")
    own_tables, runs_tables = [tmp_path / table for table in TABLES], [run / table.name for table in TABLES]
    figures = {folder: folder / "reports/metrics.json" for folder in (tmp_path, run, failed)}
    for path in (*figures.values(), *own_tables, *runs_tables):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.utime(figures[tmp_path], (1000, 1000))
    assert newest_results(tmp_path) == (run, runs_tables), "and the run that left no tables is passed over"
    os.utime(figures[run], (500, 500))
    assert newest_results(tmp_path) == (tmp_path, own_tables)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"sample.num_rowz": 3}, "did you mean sample.num_rows"),
        ({"sample.num_rows": "many"}, "sample.num_rows"),
        ({"seed.sub": 1}, "'seed' holds a value"),
    ],
)
def test_a_wrong_override_is_refused_before_anything_is_made(project: Project, override, message) -> None:
    with pytest.raises(TabsynError, match=message), isolated_checkout(project.root, "wrong", override):
        pytest.fail("a checkout was made")
    assert worktrees(project) == 0


def test_data_that_is_not_committed_is_named(project: Project) -> None:
    mine = "data/raw/mine.csv"
    shutil.copy(project.root.parent / "shared/small.csv", project.root / mine)
    try:
        overrides = {"data.source": mine, "data.watch": mine}
        with (
            pytest.raises(TabsynError, match=r"mine\.csv is not part of the last commit"),
            isolated_checkout(project.root, "uncommitted", overrides),
        ):
            pytest.fail("a checkout was made")
    finally:
        (project.root / mine).unlink()
    assert worktrees(project) == 0


def test_old_runs_are_forgotten(project: Project) -> None:
    old, recent = run_folder(project.root, "old"), run_folder(project.root, "recent")
    for folder in (old, recent):
        folder.mkdir(parents=True)
    long_ago = time.time() - (KEEP_DAYS + 1) * 86400
    os.utime(old, (long_ago, long_ago))
    with isolated_checkout(project.root, "new", {}):
        assert recent.exists()
        assert not old.exists()


def test_outside_git_the_remedy_is_said(tmp_path: Path) -> None:
    with pytest.raises(TabsynError, match="last commit of a git repository"), isolated_checkout(tmp_path, "run", {}):
        pytest.fail("a checkout was made")
