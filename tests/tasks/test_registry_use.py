"""What a downstream modeller does: load the champion elsewhere, serve it over HTTP, restore its data."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from importlib.metadata import packages_distributions
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from small_project import run

from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator
from tasks.params import load_params
from tasks.provenance import dvc_md5, locked_hashes
from tasks.register import register
from tasks.restore import restore

RESTORED = (
    "data/interim/molecules.parquet",
    "data/processed/descriptors.parquet",
    "data/processed/train.parquet",
    "data/processed/holdout.parquet",
    "models/generator",
)

ELSEWHERE = """
import ast, json, sys

class Nothing:  # this project is not installed where the model is used
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tasks", "flows", "admet_tabsyn"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
import mlflow

model = mlflow.pyfunc.load_model("models:/tiny@champion")
rows = model.predict(None, params={"n_rows": 20, "seed": 3})
rows.to_json("rows.json", orient="records")
ours = lambda name, module: name.split(".")[0] == "tabsyn_core" or "GeneratorModel" in vars(module)
code = [module for name, module in sys.modules.items() if ours(name, module)]
imported = set()
for path in {module.__file__ for module in code if module.__file__}:
    for node in ast.walk(ast.parse(open(path).read())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module.partition(".")[0])
json.dump({
    "dtypes": {name: str(dtype) for name, dtype in rows.dtypes.items()},
    "code": [module.__file__ for module in code if module.__name__ == "tabsyn_core"],
    "imported": sorted(imported - set(sys.stdlib_module_names)),
    "example": len(model.predict(model.input_example)),
}, open("told.json", "w"))
"""


@pytest.fixture(autouse=True)
def _own_store_and_no_pickle(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


@pytest.fixture(scope="module")
def uri(registered_project):
    return f"sqlite:///{registered_project / 'mlflow.db'}"


@pytest.fixture(scope="module")
def champion(uri):
    """The model, loaded in this process."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return mlflow.pyfunc.load_model("models:/tiny@champion")


@pytest.fixture(scope="module")
def server(uri, tmp_path_factory):
    """``mlflow models serve`` on a free loopback port; its /invocations."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "models:/tiny@champion"]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*serve, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)],
            cwd=log.parent,
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": uri,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _answers(f"{address}/ping"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"{address}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _answers(address):
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def ask(server, body):
    """Status and JSON of one request."""
    request = urllib.request.Request(server, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def train_rows(project):
    return pl.read_parquet(project / "data/processed/train.parquet").drop("smiles", "inchikey")


def test_another_process_with_only_the_tracking_uri_gets_rows(registered_project, uri, tmp_path):
    run(tmp_path, sys.executable, "-c", ELSEWHERE, MLFLOW_TRACKING_URI=uri)
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["dtypes"] == {
        "MolWt": "float64",
        "NumHDonors": "Int64",
        "RingCount": "Int64",
        "logS": "float64",
        "solubility_class": "object",
    }
    assert told["example"] == 100
    assert all("/artifacts/code/tabsyn_core/" in file for file in told["code"])
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 20
    table = train_rows(registered_project)
    assert {row["solubility_class"] for row in rows} <= set(table["solubility_class"])
    assert all(row["NumHDonors"] == int(row["NumHDonors"]) >= 0 for row in rows)

    requirements = next(registered_project.glob("mlartifacts/tiny/models/*/artifacts/requirements.txt")).read_text()
    named = {line.partition("==")[0] for line in requirements.split()}
    distributions = packages_distributions()
    needed = [name for name in told["imported"] if name != "tabsyn_core"]
    assert {"mlflow", "polars", "safetensors"} <= set(needed)
    assert [name for name in needed if not named & set(distributions[name])] == []


def test_the_model_gives_the_rows_the_generator_gives(registered_project, champion):
    from tasks.generator_pyfunc import to_pandas

    generator = Generator.load(registered_project / "models/generator")
    expected = to_pandas(generator.sample(30, seed=11, num_steps=4))
    given = champion.predict(None, params={"n_rows": 30, "seed": 11, "num_steps": 4})
    pd.testing.assert_frame_equal(given, expected)
    assert given["RingCount"].dtype == pd.Int64Dtype()
    assert not given.equals(champion.predict(None, params={"n_rows": 30, "seed": 12, "num_steps": 4}))


def test_gaps_in_integers_stay_gaps(champion):
    rows = champion.predict(None, params={"n_rows": 300})
    assert 0 < rows["RingCount"].isna().sum() < 300


@pytest.mark.parametrize("empty", [None, pd.DataFrame(), pd.DataFrame({"logS": []}), [], {}])
def test_an_empty_input_asks_for_rows_without_conditions(champion, empty):
    assert len(champion.predict(empty, params={"n_rows": 2})) == 2
    assert len(champion.predict(empty)) == 100


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"n_row": 3}, "unknown: 'n_row'"),
        ({"n_rows": 3, "temperature": 1.0}, "unknown: 'temperature'"),
        ({"n_rows": 0}, "n_rows is 0; it must be a whole number between 1 and"),
        ({"n_rows": 10**12}, "n_rows is 1000000000000"),
        ({"n_rows": None}, "n_rows is None"),
        ({"n_rows": 2.5}, "n_rows"),
        ({"n_rows": "5"}, "n_rows"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"num_steps": 0}, "num_steps is 0"),
    ],
)
def test_a_wrong_param_is_an_error_even_where_mlflow_is_told_to_be_quiet(champion, params, told, caplog):
    from mlflow.exceptions import MlflowException

    caplog.set_level("CRITICAL", logger="mlflow")
    with pytest.raises(MlflowException, match=told) as caught:
        champion.predict(None, params=params)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_each_row_of_the_input_is_a_request_for_rows_with_its_values(registered_project, champion):
    from tasks.generator_pyfunc import to_pandas

    asked = pd.DataFrame({"solubility_class": ["(A) low", None, "(B) medium"], "RingCount": [None, 1.0, 0.0]})
    rows = champion.predict(asked, params={"n_rows": 20, "seed": 3})
    assert len(rows) == 60
    low, one, medium = (rows.iloc[start : start + 20] for start in (0, 20, 40))
    assert set(low["solubility_class"]) == {"(A) low"}
    assert set(one["RingCount"]) == {1}
    assert (set(medium["solubility_class"]), set(medium["RingCount"])) == ({"(B) medium"}, {0})
    generator = Generator.load(registered_project / "models/generator")
    expected = generator.sample(20, seed=3, where={"solubility_class": "(A) low"}, num_steps=4)
    pd.testing.assert_frame_equal(low, to_pandas(expected))
    assert rows.dtypes.equals(champion.predict(None).dtypes)


@pytest.mark.parametrize("given", [[{"solubility_class": "(A) low"}], {"solubility_class": "(A) low"}])
def test_conditions_may_be_records_and_where_adds_ranges_and_sets(champion, given):
    where = json.dumps({"MolWt": [100, 120], "RingCount": [None, 0]})
    rows = champion.predict(given, params={"n_rows": 10, "where": where})
    assert set(rows["solubility_class"]) == {"(A) low"}
    assert rows["MolWt"].between(100, 120).all()
    assert set(rows["RingCount"]) == {0}


@pytest.mark.parametrize(
    ("given", "params", "told"),
    [
        (pd.DataFrame({"logs": [-3.0]}), {}, r"columns \['logs'\] are not in the table"),
        (pd.DataFrame({"NumHDonors": [1.5]}), {}, "row 1: 1.5 in column 'NumHDonors' is not Int64"),
        (pd.DataFrame({"logS": ["soluble"]}), {}, "'soluble' in column 'logS' is not Float64"),
        ([{"MolWt": [200, 350]}], {}, "column 'MolWt' .* cannot be read as Float64"),
        ("high", {}, "the input is no table"),
        (None, {"where": "logS > 3"}, "which is not JSON"),
        (None, {"where": "[1]"}, "no JSON object"),
        (None, {"where": '{"logs": 1}'}, "did you mean 'logS'"),
        (None, {"where": '{"MolWt": [350, 200]}'}, "is empty"),
        ([{"logS": -3.0}], {"where": '{"logS": [-4, -2]}'}, "name each in one of them"),
        ([{"logS": -3.0}] * 2, {"n_rows": 600_000}, "more than 1,000,000"),
        (None, {"impute": True}, "pass at least one"),
        (None, {"impute": "yes"}, "impute"),
    ],
)
def test_what_cannot_be_asked_for_is_an_error_that_says_why(champion, given, params, told):
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=told) as caught:
        champion.predict(given, params={"n_rows": 1, **params})
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_gaps_are_filled_in_and_known_cells_kept(registered_project, champion):
    known = train_rows(registered_project).drop_nulls()[:3].drop("logS", "solubility_class").to_pandas()
    given = known.assign(MolWt=known["MolWt"].where(known.index != 1))
    rows = champion.predict(given, params={"impute": True, "seed": 5})
    assert len(rows) == 3
    assert rows[["MolWt", "logS", "solubility_class"]].notna().all(axis=None)
    assert rows["NumHDonors"].tolist() == known["NumHDonors"].tolist()
    assert rows["MolWt"].tolist()[::2] == known["MolWt"].tolist()[::2]
    pd.testing.assert_frame_equal(rows, champion.predict(given, params={"impute": True, "seed": 5}))


@pytest.mark.parametrize("given", [{"inputs": []}, {"dataframe_split": {"columns": [], "data": []}}])
def test_serve_answers_over_http_with_the_rows_of_a_local_predict(server, champion, given):
    params = {"n_rows": 25, "seed": 5}
    status, answer = ask(server, {**given, "params": params})
    assert status == 200
    expected = champion.predict(None, params=params)
    assert answer["predictions"] == json.loads(expected.to_json(orient="records", double_precision=15))
    assert any(row["RingCount"] is None for row in answer["predictions"])


@pytest.mark.parametrize(
    "asked",
    [
        {"dataframe_records": [{"solubility_class": "(A) low"}, {"solubility_class": "(B) medium"}]},
        {"inputs": {"solubility_class": ["(A) low", "(B) medium"]}},
    ],
)
def test_serve_takes_conditions(server, asked):
    status, answer = ask(server, {**asked, "params": {"n_rows": 3, "where": '{"MolWt": [100, 120]}'}})
    assert status == 200, answer
    assert [row["solubility_class"] for row in answer["predictions"]] == ["(A) low"] * 3 + ["(B) medium"] * 3
    assert all(100 <= row["MolWt"] <= 120 for row in answer["predictions"])


def test_serve_fills_in_gaps(server):
    rows = [{"MolWt": 180.0, "RingCount": None}]
    status, answer = ask(server, {"dataframe_records": rows, "params": {"impute": True}})
    assert status == 200, answer
    [row] = answer["predictions"]
    assert row["MolWt"] == 180.0
    assert row["logS"] is not None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"inputs": [], "params": {"n_row": 3}}, "unknown: 'n_row'"),
        ({"inputs": [], "params": {"n_rows": 0}}, "n_rows is 0"),
        ({"dataframe_split": {"columns": ["logs"], "data": [[-3.0]]}}, "columns ['logs'] are not in the table"),
        ({"dataframe_records": [{"solubility_class": "soluble"}]}, "solubility_class"),
    ],
)
def test_serve_answers_a_wrong_request_with_status_400_and_the_reason(server, body, told):
    status, answer = ask(server, body)
    assert status == 400
    assert told in answer["message"]


def test_restore_brings_back_a_versions_data_and_leaves_the_working_tree_alone(registered_project, tmp_path):
    project = Path(shutil.copytree(registered_project, tmp_path / "project"))
    locked = locked_hashes(project / "dvc.lock")
    for lost in ("data/processed/train.parquet", "dvc.lock"):
        (project / lost).unlink()
    tree = sorted(str(path) for path in project.rglob("*") if ".dvc/tmp" not in str(path))
    files = restore("models:/tiny@champion", tmp_path / "out", project)
    assert files == [tmp_path / "out" / path for path in RESTORED]
    assert {path: dvc_md5(tmp_path / "out" / path) for path in RESTORED} == {path: locked[path] for path in RESTORED}
    assert sorted(str(path) for path in project.rglob("*") if ".dvc/tmp" not in str(path)) == tree
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data", "models"]
    with pytest.raises(TabsynError, match="would be overwritten"):
        restore("models:/tiny/1", tmp_path / "out", project)


def test_restore_takes_from_a_remote_what_the_cache_has_lost(registered_project, tmp_path):
    project = Path(shutil.copytree(registered_project, tmp_path / "project"))
    run(project, "dvc", "remote", "add", "--default", "store", "../store")
    run(project, "dvc", "push", "--quiet")
    shutil.rmtree(project / ".dvc/cache")
    restore("models:/tiny/1", tmp_path / "out", project)
    assert dvc_md5(tmp_path / "out/models/generator") == locked_hashes(project / "dvc.lock")["models/generator"]


def test_restore_says_what_it_cannot_find(registered_project, tmp_path):
    project = Path(shutil.copytree(registered_project, tmp_path / "project"))
    shutil.rmtree(project / ".dvc/cache")
    with pytest.raises(TabsynError, match=r"neither in DVC's cache nor in a remote"):
        restore("models:/tiny/1", tmp_path / "out", project)
    with pytest.raises(TabsynError, match="there is no models:/tiny@champoin"):
        restore("models:/tiny@champoin", tmp_path / "out", project)
    with pytest.raises(TabsynError, match="write models:/<name>@champion"):
        restore("tiny", tmp_path / "out", project)


def test_restore_refuses_data_that_dvc_does_not_know(registered_project, tmp_path):
    project = Path(shutil.copytree(registered_project, tmp_path / "project"))
    shutil.copy(project / "data/processed/holdout.parquet", project / "data/processed/train.parquet")
    assert register(project, load_params(project / "params.yaml")).version == 2
    with pytest.raises(TabsynError, match="changed outside DVC"):
        restore("models:/tiny/2", project / "out", project)
    assert list((project / "out").iterdir()) == []

    shutil.copy(project / "data/processed/descriptors.parquet", project / "data/processed/train.parquet")
    (project / "dvc.lock").unlink()
    assert register(project, load_params(project / "params.yaml")).version == 3
    with pytest.raises(TabsynError, match=r"holds no dvc\.lock: it was not registered by the DVC pipeline"):
        restore("models:/tiny/3", project / "out", project)
