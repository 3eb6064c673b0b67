import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from tabsyn_core.distributions import fit_table, save_distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema
from tasks import evaluate, paths
from tasks.params import Params

ROOT = Path(__file__).parents[2]

PARAMS = {
    "seed": 1,
    "data": {
        "source": "x.csv",
        "watch": "x.csv",
        "targets": [{"name": "y", "kind": "numeric"}, {"name": "grade", "kind": "categorical"}],
    },
    "evaluate": {"c2st_folds": 3},
    "register": {"model_name": "m"},
}


def table(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return pl.DataFrame({"x": x, "y": x + rng.normal(size=rows), "grade": np.where(x > 0, "high", "low")})


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    sizes = {paths.TRAIN: 120, paths.HOLDOUT: 60, paths.SYNTHETIC: 100, paths.REALIZED: 0}
    for seed, (path, rows) in enumerate(sizes.items()):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = table(rows, seed)
        if path != paths.SYNTHETIC:
            names = pl.Series("smiles", ["C"] * rows)
            made = made.select(names, names.alias("inchikey"), pl.all())
        made.write_parquet(path)
    schema = TableSchema.infer(table(120, 0))
    save_distributions(paths.DISTRIBUTIONS, schema, fit_table(table(120, 0), schema, seed=0))
    return tmp_path


def contents(root):
    outputs = [paths.METRICS, paths.REPORT, paths.REPORT_NUMBERS, *sorted(paths.PLOTS.iterdir())]
    return {path: (root / path).read_bytes() for path in outputs}


def test_the_step_writes_what_dvc_yaml_declares_and_the_same_again(project, capsys):
    evaluate.main()
    assert "two-sample AUC" in capsys.readouterr().out
    first = contents(project)
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]
    declared = [*stage["outs"], *stage["metrics"], *stage["plots"]]
    names = {name if isinstance(name, str) else next(iter(name)) for name in declared}
    assert names == {str(path) for path in first}
    evaluate.main()
    assert contents(project) == first
    metrics = json.loads(first[paths.METRICS])
    assert set(metrics["tstr"]) == {"y", "grade"}
    assert str(project) not in first[paths.METRICS].decode() + first[paths.REPORT].decode()


@pytest.mark.usefixtures("project")
def test_rows_with_molecules_are_judged_beside_the_others_also_where_they_keep_their_molecules_back():
    table(40, 7).with_columns(acceptance_weight=pl.lit(1.0)).write_parquet(paths.REALIZED)
    pl.DataFrame({"smiles": [f"C{'C' * (row % 9)}O" for row in range(40)]}).write_parquet(paths.PROVENANCE)
    evaluate.main()
    metrics = json.loads(paths.METRICS.read_text())
    assert set(json.loads(paths.REPORT_NUMBERS.read_text())["reports"]) == {"synthetic", "molecules"}
    assert metrics["realized"]["shape"].keys() == metrics["shape"].keys()
    assert metrics["realized"]["molecules"]["validity"] == 1
    assert "molecules" not in metrics


@pytest.mark.usefixtures("project")
def test_the_seed_and_folds_come_from_params():
    params = Params.model_validate(PARAMS)
    first = evaluate.evaluate_synthetic(params).metrics()
    other = evaluate.evaluate_synthetic(params.model_copy(update={"seed": 2})).metrics()
    assert first["c2st"] != other["c2st"]
    assert first["rows"] == other["rows"] == {"training": 120, "held_out": 60, "synthetic": 100}


@pytest.mark.usefixtures("project")
def test_an_absent_table_is_named():
    paths.SYNTHETIC.unlink()
    with pytest.raises(TabsynError, match=r"synthetic.parquet does not exist"):
        evaluate.evaluate_synthetic(Params.model_validate(PARAMS))
