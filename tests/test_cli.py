"""The command line as a user meets it."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml
from polars.testing import assert_frame_equal
from prefect.settings import PREFECT_API_URL, temporary_settings
from project import MOLECULES
from typer.testing import CliRunner

from admet_tabsyn.cli import app
from admet_tabsyn.doctor import Verdict, examine
from tabsyn_core.chemistry.descriptors import IDENTIFIERS

ROOT = Path(__file__).parent.parent
COMMANDS = ["run", "sample", "impute", "evaluate", "report", "show-distributions", "restore", "doctor"]
SEED = "--seed=3"


def call(*arguments):
    """What a command printed, and its exit code; wide enough that no line is folded."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "250"})


@pytest.fixture
def inside(reproduced, monkeypatch):
    """The current folder is a small project in which the pipeline has run; it is left as it is."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "PREFECT_API")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(reproduced.root)
    return reproduced.root


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_its_version():
    assert call("--version").output == "admet-tabsyn 0.1.0\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(command):
    shown = call(command, "--help")
    assert shown.exit_code == 0
    assert f"admet-tabsyn {command}" in shown.output.partition("Examples:")[2]


def test_every_command_is_listed():
    assert [command for command in COMMANDS if command not in call("--help").output] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "holds no dvc.yaml"),
        (["report"], "make it with: admet-tabsyn run"),
        (["show-distributions"], "models/distributions.json does not exist"),
        (["sample", "nowhere"], "folder does not exist: nowhere"),
        (["sample"], "folder does not exist: models/generator; make it with: admet-tabsyn run"),
        (["doctor"], "would stop a run"),
        (["sample", "models:/champion"], "write models:/<name>@champion"),
        (["sample", "-o", "rows.xlsx"], "rows.xlsx should end in .parquet or .csv"),
        (["sample", "--where", "logS > -3"], "--where is not JSON"),
        (["sample", "--where", "[1]"], "--where is no JSON object"),
        (["impute", "rows.csv", "--out=o"], "folder does not exist: models/generator; make it with: admet-tabsyn run"),
        (["impute", "absent.csv", "--generator=.", "--out=o"], "absent.csv does not exist"),
        (
            ["evaluate", "--real=r.parquet", "--holdout=h.parquet", "--synthetic=s.parquet", "--out=o"],
            "r.parquet does not",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_message_without_a_traceback(empty, arguments, told):
    script = Path(sys.executable).with_name("admet-tabsyn")
    done = subprocess.run([script, *arguments], cwd=empty, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_sample_writes_exactly_the_rows_asked_for_as_parquet_and_as_csv(inside, tmp_path):
    table = pl.read_parquet(inside / "data/processed/train.parquet").drop(IDENTIFIERS)
    shown = call("sample", "-n", 23, SEED, "--num-steps=4", "--chunk-size=10", "-o", tmp_path / "rows.parquet")
    assert shown.exit_code == 0, shown.output
    assert call("sample", "-n", 23, SEED, "--num-steps=4", "-o", tmp_path / "rows.csv").exit_code == 0
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert rows.height == 23
    assert rows.schema == table.schema
    assert_frame_equal(pl.read_csv(tmp_path / "rows.csv", schema=rows.schema), rows)


def test_sample_gives_the_same_rows_from_the_registry(inside, tmp_path):
    for model, name in ((inside / "models/generator", "a"), ("models:/small@champion", "b"), ("models:/small/1", "c")):
        shown = call("sample", model, "-n", 5, SEED, "--num-steps=4", "-o", tmp_path / f"{name}.parquet")
        assert shown.exit_code == 0, shown.output
    from_folder, *registered = [(tmp_path / f"{name}.parquet").read_bytes() for name in "abc"]
    assert registered == [from_folder, from_folder]


def test_sample_draws_such_rows_as_are_asked_for(inside, tmp_path):
    where = '{"solubility_class": ["(A) low", "(B) medium"], "MolWt": [60, 120], "RingCount": {"in": [0, 1]}}'
    drawing = ["--num-steps=2", "-n", 24, "-o", tmp_path / "rows.parquet"]
    shown = call("sample", *drawing, "--where", where)
    assert shown.exit_code == 0, shown.output
    rows = pl.read_parquet(tmp_path / "rows.parquet")
    assert set(rows["solubility_class"]) <= {"(A) low", "(B) medium"}
    assert rows["MolWt"].is_between(60, 120).all()
    assert set(rows["RingCount"]) <= {0, 1}
    assert call("sample", *drawing, "--balance", "solubility_class").exit_code == 0
    levels = pl.read_parquet(inside / "data/processed/train.parquet")["solubility_class"].n_unique()
    counts = pl.read_parquet(tmp_path / "rows.parquet")["solubility_class"].value_counts()["count"]
    assert counts.to_list() == [24 // levels] * levels
    misspelt = call("sample", *drawing, "--where", '{"MolWeight": [60, 120]}')
    assert misspelt.exit_code == 1
    assert "column 'MolWeight' is not in the table; did you mean" in misspelt.output


def test_impute_fills_in_each_gap_differently_in_each_file(inside, tmp_path):
    real = pl.read_parquet(inside / "data/processed/holdout.parquet").head(6)
    real.with_columns(logS=pl.lit(None, pl.Float64)).write_parquet(tmp_path / "rows.parquet")
    shown = call("impute", tmp_path / "rows.parquet", "--draws", 2, "--num-steps=2", "--out", tmp_path / "out")
    assert shown.exit_code == 0, shown.output
    files = [Path(line) for line in shown.output.split()]
    assert [file.name for file in files] == ["rows-1.parquet", "rows-2.parquet"]
    one, other = (pl.read_parquet(file) for file in files)
    assert one.drop("logS").equals(real.drop("logS"))
    assert one["logS"].null_count() == 0
    assert not one["logS"].equals(other["logS"])
    real.with_columns(logS=pl.lit("good")).write_parquet(tmp_path / "rows.parquet")
    wrong = call("impute", tmp_path / "rows.parquet", "--out", tmp_path / "out")
    assert wrong.exit_code == 1
    assert "rows.parquet, row 1: 'good' in column 'logS' is not Float64" in wrong.output


def test_evaluate_judges_any_table_beside_its_floor(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = pl.read_csv(ROOT / "data/raw/solubility.csv").select("logS", "solubility_class")
    for name, part in {"r": real.head(300), "h": real.slice(300, 300), "s": real.slice(600, 300)}.items():
        part.write_parquet(f"{name}.parquet")
    tables = ["--real=r.parquet", "--holdout=h.parquet", "--synthetic=s.parquet"]
    shown = call("evaluate", *tables, "--targets=logS, solubility_class", "--out=judged")
    assert shown.exit_code == 0, shown.output
    for figure in ("shape.mean_error", "c2st.lightgbm", "tstr.logS", "floor"):
        assert figure in shown.output
    assert (tmp_path / "judged/report.html").exists()
    assert "AUROC" in shown.output
    unknown = call("evaluate", *tables, "--targets=logP", "--out=judged")
    assert unknown.exit_code == 1
    assert "target 'logP'" in unknown.output
    pl.read_parquet("h.parquet").with_columns(pl.col("logS") + 5).write_parquet("far.parquet")
    far = call("evaluate", "--real=r.parquet", "--holdout=far.parquet", "--synthetic=s.parquet", "--out=judged")
    assert "The held-out rows are unlike the training rows" in " ".join(far.output.split())


def csv_rows():
    return list(csv.DictReader(io.StringIO(call("show-distributions", "--csv").output)))


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("width", [40, 80, 120])
def test_show_distributions_never_shortens_a_name(width):
    script = Path(sys.executable).with_name("admet-tabsyn")
    wide = {**os.environ, "COLUMNS": str(width)}
    shown = subprocess.run([script, "show-distributions"], env=wide, capture_output=True, text=True, check=True).stdout
    names = pl.read_parquet("data/processed/train.parquet").drop(IDENTIFIERS).columns
    assert [row["column"] for row in csv_rows()] == names
    assert [name for name in names if f" {name} " not in shown] == []
    assert "…" not in shown


@pytest.mark.usefixtures("inside")
def test_show_distributions_filters_and_puts_the_worst_first():
    assert "219 of 219 columns" in call("show-distributions").output
    rings = call("show-distributions", "--column=ring").output
    assert "RingCount" in rings
    assert "MolWt" not in rings
    assert "categorical" in call("show-distributions", "--column=solubility_class").output
    worst = call("show-distributions", "--worst=3").output
    p_values = [float(line.split()[-1]) for line in worst.splitlines() if "KS" in line or "chi-square" in line]
    assert len(p_values) == 3
    assert p_values == sorted(p_values)
    assert max(p_values) <= min(float(row["p"]) for row in csv_rows() if row["column"] not in worst and row["p"])
    nothing = call("show-distributions", "--family=cauchy")
    assert nothing.exit_code == 1
    assert "no column" in nothing.output


def test_report_prints_a_path_for_the_shell(inside):
    assert Path(call("report").output.strip()) == (inside / "reports/report.html").resolve()


def test_run_ends_with_counts_figures_seconds_and_places_and_says_that_nothing_changed(
    reproduced, prefect_server, tmp_path
):
    root = Path(shutil.copytree(reproduced.root, tmp_path / "project", symlinks=True))
    project = replace(reproduced, root=root, environment={**reproduced.environment, "PYTHONPATH": str(root)})
    done = project.run("admet-tabsyn", "run", PREFECT_API_URL=prefect_server, COLUMNS="200")
    ended = done.stdout.partition("records in")[2]
    for said in ("rejected", str(MOLECULES), "c2st.lightgbm", "floor", "fit_distributions", "seconds"):
        assert said in ended, said
    for place in ("reports/report.html", "data_docs/index.html", "data/synthetic/synthetic.parquet"):
        assert place in ended
        assert (root / place).exists()
    assert "models:/small/1" in ended
    assert "@challenger" in ended
    assert "Nothing changed: every step was up to date." in ended
    assert "ingest: unchanged" in done.stdout
    for noise in (" | INFO", " | WARNING", "alembic", "Beginning flow run", "Warning:"):
        assert noise not in done.stdout
    assert project.git("status", "--porcelain") == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_in_seconds_with_one_line(make_project, number):
    project = make_project()
    project.set_params({"train.num_updates": 10_000_000})
    running = subprocess.Popen(
        ["admet-tabsyn", "run"],
        cwd=project.root,
        env={**project.environment, "PYTHONPATH": str(project.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert any(line.startswith("ingest: ") for line in running.stdout)
    os.killpg(running.pid, number)  # as a terminal does: to Prefect's server too
    said, _ = running.communicate(timeout=20)
    assert running.returncode == 128 + number
    assert said.strip().endswith("interrupted; run again to resume from the last checkpoint")
    assert "Traceback" not in said
    assert [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(project.root)] == []


def test_run_names_a_source_that_is_not_there_and_an_error_once(make_project):
    project = make_project()
    kept = project.root / "data/raw/small.csv"
    for column, told in (("Smilez", "did you mean 'smiles'"), ("smiles", "data/raw/small.csv does not exist")):
        project.set_params({"data.smiles_column": column})
        done = project.run("admet-tabsyn", "run", check=False, PYTHONPATH=str(project.root), COLUMNS="200")
        assert done.returncode == 1
        assert done.stdout.count("error: ") == 1, done.stdout
        assert told in done.stdout
        kept.unlink(missing_ok=True)


@pytest.mark.usefixtures("inside")
def test_an_unknown_model_is_answered_with_those_there_are():
    for command in (["sample", "models:/smal@champion"], ["restore", "models:/small/99"]):
        shown = call(*command)
        assert shown.exit_code == 1
        assert "mlflow.db holds models:/small/1" in shown.output


def found(**expected):
    """The verdicts of the subjects named, by subject."""
    seen = {finding.subject: finding for finding in examine()}
    assert {name: seen[name].verdict for name in expected} == expected
    return seen


@pytest.mark.usefixtures("inside")
def test_doctor_finds_nothing_bad_in_a_project_that_ran():
    shown = call("doctor")
    assert shown.exit_code == 0, shown.output
    assert "✗" not in shown.output
    assert "217 descriptors" in shown.output
    assert "models: small" in shown.output


def test_doctor_leaves_no_trace(empty):
    list(examine())
    assert list(empty.iterdir()) == []


@pytest.mark.usefixtures("empty")
def test_doctor_says_what_is_wrong_and_how_to_mend_it(monkeypatch):
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["sampel"] = params.pop("sample")
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    Path("constraints.txt").write_text("numpy==1.0\nrdkit==1.0\n", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    bad, note = Verdict.BAD, Verdict.NOTE
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        seen = found(git=bad, MLflow=bad, Prefect=bad, versions=note, telemetry=note, **{"params.yaml": bad})
    assert "did you mean sample?" in seen["params.yaml"].found
    assert "numpy" in seen["versions"].found
    assert "pinned 1.0" in seen["versions"].found
    assert "prefect server start" in seen["Prefect"].remedy
    assert "DO_NOT_TRACK=1" in seen["telemetry"].remedy
    assert all(finding.remedy for finding in seen.values() if finding.verdict is bad)
    shown = call("doctor")
    assert shown.exit_code == 1
    assert "✗" in shown.output


@pytest.mark.usefixtures("empty")
def test_doctor_shows_no_password_of_the_source():
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"] |= {"source": "https://me:hunter2@example.org/a.csv", "watch": "."}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    assert found(data=Verdict.NOTE)["data"].found == "https://***@example.org/a.csv is read when ingest runs"


@pytest.mark.usefixtures("empty")
def test_doctor_misses_data_that_is_not_there():
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    assert "data/raw/solubility.csv does not exist" in found(data=Verdict.BAD)["data"].found


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("absent", ["smiles", "name", "logS", "solubility_class"])
def test_doctor_misses_a_column_that_is_not_in_the_data(absent):
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path("data/raw").mkdir(parents=True)
    table = pl.read_csv(ROOT / "data/raw/solubility.csv", n_rows=20)
    table.write_csv("data/raw/solubility.csv")
    assert "20 records" in found(data=Verdict.GOOD)["data"].found
    table.drop(absent).write_csv("data/raw/solubility.csv")
    assert f"no column '{absent}'" in found(data=Verdict.BAD)["data"].found


@pytest.mark.usefixtures("empty")
def test_doctor_elsewhere_says_to_go_to_the_project():
    [finding] = examine()
    assert finding.remedy == "run from the project's root"
