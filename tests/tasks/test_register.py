"""Registering with a real SQLite store, a real git repository and a real DVC pipeline."""

import json
import shutil
import socket
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from small_project import METRICS, run

from tabsyn_core.config import DiffusionConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, write_json
from tasks.gate import flatten_figures, refusals
from tasks.params import GateParams, load_params
from tasks.provenance import dvc_md5, git_tags, locked_hashes, md5_tag, project_root, redact
from tasks.register import find_version, register
from tasks.registry import connect, registry_errors

SECRET = b"hunter2"


@pytest.fixture(autouse=True)
def _own_store_and_no_pickle(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


@pytest.fixture
def project(registered_project, tmp_path):
    """A copy that a test may change, with version 1 in a registry of its own."""
    return Path(shutil.copytree(registered_project, tmp_path / "project"))


def set_figure(project, c2st=METRICS["c2st"]["lightgbm"], r2=0.4):
    tstr = {"log S (pH 7.4), %": {"tstr": r2, "trtr": 0.6}}
    write_json(project / "reports/metrics.json", {**METRICS, "c2st": {"lightgbm": c2st}, "tstr": tstr})


def set_gate(project, **gate):
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["register"]["gate"] = gate
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def register_again(project):
    return register(project, load_params(project / "params.yaml"))


def versions(project):
    return sorted(connect(project).search_model_versions("name='tiny'"), key=lambda version: int(version.version))


def aliases(project):
    return {name: int(version) for name, version in connect(project).get_registered_model("tiny").aliases.items()}


def test_the_first_version_is_challenger_and_champion_and_the_stage_says_so_in_one_line(registered_project):
    printed = (registered_project.parent / "repro.txt").read_text()
    assert "register: tiny: registered version 1 (challenger), is the champion" in printed
    assert "alembic" not in printed
    assert "Traceback" not in printed
    assert aliases(registered_project) == {"challenger": 1, "champion": 1}


def test_a_version_and_its_run_lead_back_to_code_and_data(registered_project):
    version = versions(registered_project)[0]
    head = run(registered_project, "git", "rev-parse", "HEAD").strip()
    locked = locked_hashes(registered_project / "dvc.lock")
    run_tags = connect(registered_project).get_run(version.run_id).data.tags
    for tags in (version.tags, run_tags):
        assert tags["git.revision"] == head
        assert tags["git.dirty"] == "false"
        assert "dvc.not_in_lock" not in tags
        for path in ("data/raw", "data/processed/train.parquet", "data/processed/descriptors.parquet"):
            assert tags[f"dvc.md5.{path}"] == locked[path]
        assert tags["dvc.md5.models/generator"] == locked["models/generator"]
        assert locked["models/generator"].endswith(".dir")


def test_a_run_holds_params_figures_with_floors_and_files(registered_project):
    client = connect(registered_project)
    logged = client.get_run(versions(registered_project)[0].run_id)
    assert logged.data.params["seed"] == "7"
    assert logged.data.params["data.targets.1.kind"] == "categorical"
    assert logged.data.params["train.diffusion.width"] == str(DiffusionConfig().width)
    assert logged.data.metrics["c2st.lightgbm"] == METRICS["c2st"]["lightgbm"]
    assert logged.data.metrics["floor.c2st.lightgbm"] == METRICS["floor"]["c2st"]["lightgbm"]
    known = [value for value in flatten_figures(METRICS).values() if value is not None]
    assert len(logged.data.metrics) == len(known)
    root = Path(logged.info.artifact_uri.removeprefix("file://"))
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == {
        "metrics.json",
        "model_card.md",
        "report/report.html",
        "distributions/distributions.json",
        "plots/evaluation/shape.json",
        "pipeline/dvc.lock",
        "pipeline/dvc.yaml",
        "pipeline/params.yaml",
    }


def test_the_model_is_code_and_safetensors_with_pinned_requirements(registered_project):
    model = next(registered_project.glob("mlartifacts/tiny/models/*/artifacts"))
    names = {path.name for path in model.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".pyc", ".joblib"))]
    assert any(name.endswith(".safetensors") for name in names)
    description = yaml.safe_load((model / "MLmodel").read_text())
    assert "python_model" not in description["flavors"]["python_function"]
    params = {param["name"]: param["type"] for param in json.loads(description["signature"]["params"])}
    texts = {"where": "string", "realize": "string"}
    assert params == {"n_rows": "long", "seed": "long", "num_steps": "long", **texts, "impute": "boolean"}
    outputs = {column["name"]: column["type"] for column in json.loads(description["signature"]["outputs"])}
    assert outputs["RingCount"] == "long"
    assert "smiles" not in outputs
    for requirement in (model / "requirements.txt").read_text().split():
        assert "==" in requirement
        assert "+" not in requirement


def test_the_version_shows_the_verdict_above_its_model_card(registered_project):
    version = versions(registered_project)[0]
    verdict, _, card = version.description.partition("\n\n---\n\n")
    assert verdict == "Gate passed against no champion."
    root = Path(connect(registered_project).get_run(version.run_id).info.artifact_uri.removeprefix("file://"))
    assert card == (root / "model_card.md").read_text(encoding="utf-8")
    assert "Fitted to 48 rows." in card


def test_no_secret_reaches_the_store(registered_project):
    files = [path for path in (registered_project / "mlartifacts").rglob("*") if path.is_file()]
    stored = [*files, registered_project / "mlflow.db", registered_project / ".admet/registration.json"]
    assert SECRET in (registered_project / "params.yaml").read_bytes()
    assert [path for path in stored if SECRET in path.read_bytes()] == []
    params = connect(registered_project).get_run(versions(registered_project)[0].run_id).data.params
    assert params["data.source"] == "https://***@example.org/molecules.csv?token=***&format=csv"


def test_the_same_content_is_registered_once_and_written_down_alike(project):
    before = (project / "reports/registration.json").read_bytes()
    outcome = register_again(project)
    assert (outcome.version, outcome.reused, outcome.champion) == (1, True, True)
    assert "unchanged, version 1" in str(outcome)
    assert (project / "reports/registration.json").read_bytes() == before
    assert len(versions(project)) == 1
    assert read_json(project / ".admet/registration.json")["version"] == 1


def test_a_worse_version_is_refused_with_the_line_that_failed_and_a_wider_gate_lets_it_pass(project):
    set_figure(project, 0.85)
    outcome = register_again(project)
    line = "c2st.lightgbm is 0.85, above the champion's 0.8 + 0.01"
    assert (outcome.version, outcome.champion, outcome.refused) == (2, False, (line,))
    assert line in str(outcome)
    assert aliases(project) == {"challenger": 2, "champion": 1}
    version = versions(project)[1]
    assert version.tags["gate"] == "refused"
    assert version.tags["gate.refused"] == line
    assert line in version.description

    set_gate(project, at_most_champion_plus={"c2st.lightgbm": 0.1})
    outcome = register_again(project)
    assert (outcome.version, outcome.reused, outcome.champion) == (2, True, True)
    assert aliases(project) == {"challenger": 2, "champion": 2}
    version = versions(project)[1]
    assert version.tags["gate"] == "passed"
    assert version.description.startswith("Gate passed against version 1.")
    assert version.description.count("Fitted to") == 1


def test_where_more_is_better_the_worse_version_is_refused_and_the_better_one_promoted(project):
    name = "tstr.log S (pH 7.4), %.tstr"
    set_gate(project, at_least_champion_minus={name: 0.05})
    set_figure(project, r2=0.3)
    outcome = register_again(project)
    assert outcome.refused == (f"{name} is 0.3, below the champion's 0.4 - 0.05",)
    assert aliases(project) == {"challenger": 2, "champion": 1}
    set_figure(project, r2=0.9)
    assert register_again(project).champion
    assert aliases(project) == {"challenger": 3, "champion": 3}


def test_another_holdout_is_not_compared_with_but_the_limits_still_count(project):
    shutil.copy(project / "data/processed/train.parquet", project / "data/processed/holdout.parquet")
    set_figure(project, 0.95)
    outcome = register_again(project)
    assert outcome.refused == ("c2st.lightgbm is 0.95, above the 0.9 allowed",)
    assert aliases(project)["champion"] == 1

    set_figure(project, 0.85)
    outcome = register_again(project)
    note = "not comparable with version 1: another data/processed/holdout.parquet"
    assert (outcome.champion, outcome.passed_over) == (True, note)
    assert note in str(outcome)
    version = versions(project)[2]
    assert version.tags["gate.passed_over"] == note
    assert note.capitalize() in version.description
    assert aliases(project) == {"challenger": 3, "champion": 3}


def test_untracked_code_makes_the_tree_dirty_and_untracked_notes_do_not(project):
    (project / "notes.txt").write_text("")
    (project / "tasks").mkdir()
    (project / "tasks/notes.txt").write_text("")
    assert git_tags(project)["git.dirty"] == "false"
    (project / "tasks/more").mkdir()
    (project / "tasks/more/step.py").write_text("")
    assert git_tags(project)["git.dirty"] == "true"


def test_changed_files_are_tagged_as_not_in_the_lock_and_the_tree_as_dirty(project, monkeypatch):
    monkeypatch.setenv("ADMET_TABSYN_PREFECT_RUN_ID", "0198a1c2-flow")
    set_figure(project, 0.79)
    shutil.copy(project / "data/processed/holdout.parquet", project / "data/processed/train.parquet")
    set_gate(project)
    register_again(project)
    tags = versions(project)[1].tags
    assert tags["dvc.not_in_lock"] == "data/processed/train.parquet"
    assert tags["dvc.md5.data/processed/train.parquet"] == dvc_md5(project / "data/processed/train.parquet")
    assert tags["git.dirty"] == "true"
    assert tags["prefect.flow_run_id"] == "0198a1c2-flow"


def test_registering_reaches_for_no_network(project, monkeypatch):
    def refuse(_, address):
        raise AssertionError(f"reached for {address}")

    set_figure(project, 0.1)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert register_again(project).version == 2


def test_a_gate_on_an_unknown_figure_names_the_nearest(project):
    set_gate(project, max={"c2st.lightgmb": 0.9})
    with pytest.raises(TabsynError, match=r"no figure 'c2st\.lightgmb'; did you mean 'c2st\.lightgbm'"):
        register_again(project)


def test_a_missing_output_is_named(project):
    shutil.rmtree(project / "models/generator")
    with pytest.raises(TabsynError, match=r"models/generator does not exist; run the step that makes it"):
        register_again(project)


def test_a_registry_that_lost_the_version_is_noticed(project):
    written = project / "reports/registration.json"
    assert int(find_version("tiny", written, project).version) == 1
    connect(project).delete_registered_model("tiny")
    assert find_version("tiny", written, project) is None
    assert register_again(project).version == 1


@pytest.mark.parametrize("answer", ["refuses", "is silent"])
def test_a_server_that_does_not_answer_is_an_error_within_20_seconds(project, monkeypatch, answer):
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        if answer == "is silent":
            server.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@127.0.0.1:{server.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(TabsynError, match="MLFLOW_TRACKING_URI") as caught:
            register_again(project)
        assert time.monotonic() - started < 20
    assert SECRET.decode() not in str(caught.value)


@pytest.mark.parametrize("uri", ["sqlite:////proc/nowhere/mlflow.db", "postgresql://me:hunter2@127.0.0.1:1/mlflow"])
def test_a_database_that_cannot_be_opened_is_an_error_at_once(project, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started = time.monotonic()
    with pytest.raises(TabsynError, match="registry at") as caught:
        register_again(project)
    assert time.monotonic() - started < 5
    assert SECRET.decode() not in str(caught.value)


def test_a_worktree_and_a_temporary_experiment_share_the_registry_of_the_main_checkout(project, tmp_path):
    run(project, "git", "worktree", "add", "--quiet", "--detach", str(tmp_path / "worktree"))
    assert project_root(tmp_path / "worktree") == project.resolve()
    run(project, "git", "add", "dvc.lock")
    run(project, "git", "commit", "--quiet", "--message", "lock")
    printed = run(project, "dvc", "exp", "run", "--temp", "-S", "register.gate.max={c2st.lightgbm: 0.7}")
    assert "tiny: unchanged, version 1" in printed
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        assert database.execute("select count(*) from model_versions").fetchone() == (1,)
    assert run(project, "git", "status", "--porcelain") == ""


def test_two_runs_at_once_on_a_registry_that_is_not_there_yet_both_finish(project):
    for old in project.glob("mlflow.db*"):
        old.unlink()
    with ThreadPoolExecutor() as pool:
        printed = list(pool.map(lambda _: run(project, sys.executable, "-m", "tasks.register"), range(2)))
    assert sorted("unchanged" in line for line in printed) == [False, True]
    assert len(versions(project)) == 1


def test_a_value_that_mlflow_refuses_is_told_in_its_own_words(project):
    client = connect(project)
    with pytest.raises(TabsynError, match="alias") as caught, registry_errors("sqlite:///mlflow.db"):
        client.set_registered_model_alias("tiny", "latest", "1")
    assert "serve-mlflow" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("read s3://me:hunter2@host/a.csv now", "read s3://***@host/a.csv now"),
        ("https://me:hun@ter2@host/a", "https://***@host/a"),
        ("https://host/a?pwd=hunter2&format=csv", "https://host/a?pwd=***&format=csv"),
        ("mail me@host, see https://host/a@b", "mail me@host, see https://host/a@b"),
    ],
)
def test_credentials_are_taken_out_and_nothing_else(text, shown):
    assert redact(text) == shown


figures = st.dictionaries(st.sampled_from("abcd"), st.floats(-10, 10), min_size=4)


@given(st.tuples(*[figures] * 6))
def test_a_gate_passes_exactly_when_every_line_holds(drawn):
    candidate, champion, most, least, above, below = drawn
    gate = GateParams(max=most, min=least, at_most_champion_plus=above, at_least_champion_minus=below)
    broken = sum(candidate[name] > most[name] for name in most)
    broken += sum(candidate[name] < least[name] for name in least)
    assert len(list(refusals(gate, candidate, None))) == broken
    broken += sum(candidate[name] > champion[name] + above[name] for name in above)
    broken += sum(candidate[name] < champion[name] - below[name] for name in below)
    assert len(list(refusals(gate, candidate, champion))) == broken


def test_a_figure_the_champion_lacks_is_refused_not_passed_over():
    gate = GateParams(at_most_champion_plus={"new": 0.1})
    assert list(refusals(gate, {"new": 0.0}, {"old": 1.0})) == [
        "new cannot be compared: the champion's run has no such figure"
    ]


def test_a_figure_that_could_not_be_computed_passes_no_line():
    figures = flatten_figures(METRICS)
    line = "dcr.share is not known (reports/metrics.json says why) and counts as above the 0.6 allowed"
    assert list(refusals(GateParams(max={"dcr.share": 0.6}), figures, None)) == [line]
    assert len(list(refusals(GateParams(min={"dcr.share": 0.4}), figures, None))) == 1
    assert len(list(refusals(GateParams(at_most_champion_plus={"dcr.share": 0.4}), figures, figures))) == 1
    assert len(list(refusals(GateParams(at_least_champion_minus={"dcr.share": 0.4}), figures, {"dcr.share": 0.5}))) == 1


def test_a_source_outside_the_project_has_a_tag_that_mlflow_takes():
    assert md5_tag("../shared/data/clearance.csv") == "dvc.md5.shared/data/clearance.csv"
    assert md5_tag("/data/clearance.csv") == "dvc.md5.data/clearance.csv"
    assert md5_tag("data/processed/train.parquet") == "dvc.md5.data/processed/train.parquet"
