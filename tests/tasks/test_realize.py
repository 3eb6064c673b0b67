"""Rows backed by molecules, as the pipeline, the registered model and the command line give them."""

import shutil
from types import SimpleNamespace

import pandas as pd
import polars as pl
import pytest
import yaml
from mlflow.exceptions import MlflowException
from small_project import ROOT, run, tiny_generator

from tabsyn_core.chemistry.descriptors import IDENTIFIERS, compute_descriptors
from tabsyn_core.chemistry.standardize import standardize
from tabsyn_core.files import read_json, write_parquet

NAMES = ["MolWt", "TPSA", "NumHDonors", "NumHAcceptors", "RingCount", "qed"]
REALIZE = {"num_rows": 12, "proposals": 2, "min_steps": 2, "max_steps": 4, "apart": False}
CALL = {"n_rows": 5, "seed": 1, "num_steps": 4, "where": "", "realize": "molecules", "impute": False}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Training rows of real molecules, a tiny generator of them, and params that ask for molecules."""
    folder = tmp_path_factory.mktemp("project")
    source = pl.read_csv(ROOT / "data/raw/solubility.csv").head(160)
    molecules = standardize(source["smiles"].to_list(), workers=1)
    smiles = [molecule.smiles for molecule in molecules]
    descriptors = compute_descriptors(smiles, workers=1)[0].select(NAMES)
    names = pl.DataFrame({"smiles": smiles, "inchikey": [molecule.inchikey for molecule in molecules]})
    endpoints = source.select("logS", "solubility_class")
    table = pl.concat([names, descriptors, endpoints], how="horizontal").unique("inchikey", maintain_order=True)
    write_parquet(folder / "data/processed/train.parquet", table)
    tiny_generator(table.drop(IDENTIFIERS)).save(folder / "models/generator")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"realize": REALIZE, "featurize": {"workers": 1}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


@pytest.fixture(scope="module")
def realized(project):
    """The project after the stage, and what the stage said."""
    said = run(project, "python", "-m", "tasks.realize", PYTHONPATH=str(ROOT))
    return SimpleNamespace(folder=project, said=said)


@pytest.fixture(scope="module")
def model(realized):
    from tasks.generator_pyfunc import GeneratorModel

    model = GeneratorModel()
    parts = {part: str(realized.folder / "models" / part) for part in ("generator", "realizer")}
    model.load_context(SimpleNamespace(artifacts=parts))
    return model


def test_the_stage_writes_rows_of_new_molecules_and_apart_from_them_where_they_come_from(realized):
    rows = pl.read_parquet(realized.folder / "data/synthetic/molecules.parquet")
    train = pl.read_parquet(realized.folder / "data/processed/train.parquet")
    assert "12 rows" in realized.said
    assert rows.columns == ["smiles", *NAMES, "logS", "solubility_class", "acceptance_weight"]
    assert rows.height == 12
    assert rows.select(NAMES).equals(compute_descriptors(rows["smiles"].to_list(), workers=1)[0].select(NAMES))
    assert not set(rows["smiles"]) & set(train["smiles"])
    provenance = pl.read_parquet(realized.folder / "data/synthetic/provenance.parquet")
    assert provenance["smiles"].equals(rows["smiles"])
    assert "parents" in provenance.columns
    assert not list((realized.folder / "models/realizer").rglob("*.pkl"))


def test_the_realizer_keeps_to_what_the_parameters_say(realized):
    config = read_json(realized.folder / "models/realizer/realizer.json")["config"]
    limits = {name: value for name, value in REALIZE.items() if name != "num_rows"}
    assert {name: config[name] for name in limits} == limits


def test_the_same_seed_gives_the_same_bytes(realized, tmp_path):
    again = shutil.copytree(realized.folder, tmp_path / "again")
    outputs = ("data/synthetic/molecules.parquet", "data/synthetic/provenance.parquet")
    for output in outputs:
        (again / output).unlink()
    run(again, "python", "-m", "tasks.realize", PYTHONPATH=str(ROOT))
    assert [(again / output).read_bytes() for output in outputs] == [
        (realized.folder / output).read_bytes() for output in outputs
    ]


def test_no_rows_wanted_leave_a_table_without_rows_and_no_training_molecule(project, tmp_path):
    folder = tmp_path / "none"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("realizer", "synthetic"))
    params = yaml.safe_load((folder / "params.yaml").read_text()) | {"realize": {"num_rows": 0}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert "realize.num_rows is 0" in run(folder, "python", "-m", "tasks.realize", PYTHONPATH=str(ROOT))
    assert pl.read_parquet(folder / "data/synthetic/molecules.parquet").height == 0
    assert [path.name for path in (folder / "models/realizer").iterdir()] == ["README.md"]


def test_a_table_without_molecules_is_refused_with_the_remedy(project, tmp_path):
    folder = shutil.copytree(project, tmp_path / "project")
    train = folder / "data/processed/train.parquet"
    write_parquet(train, pl.read_parquet(train).drop(IDENTIFIERS))
    with pytest.raises(AssertionError, match=r"no column smiles.*set realize\.num_rows to 0"):
        run(folder, "python", "-m", "tasks.realize", PYTHONPATH=str(ROOT))


def test_the_registered_model_draws_molecules_on_request(model):
    rows = model.predict(None, None, CALL)
    assert [*rows.columns] == ["smiles", *NAMES, "logS", "solubility_class", "acceptance_weight"]
    assert len(rows) == 5
    assert [*model.predict(None, None, CALL | {"realize": ""}).columns] == [*NAMES, "logS", "solubility_class"]


def test_conditions_hold_on_the_descriptors_of_the_molecules(model):
    rows = model.predict(None, pd.DataFrame({"RingCount": [1]}), CALL | {"where": '{"MolWt": [80, 200]}'})
    assert set(rows["RingCount"]) == {1}
    assert rows["MolWt"].between(80, 200).all()


def test_a_wrong_mode_and_a_model_without_molecules_say_what_to_do(model, project):
    from tasks.generator_pyfunc import GeneratorModel

    with pytest.raises(MlflowException, match="realize is 'rows'; it must be \"molecules\""):
        model.predict(None, None, CALL | {"realize": "rows"})
    without = GeneratorModel()
    without.load_context(SimpleNamespace(artifacts={"generator": str(project / "models/generator")}))
    with pytest.raises(MlflowException, match=r"registered without molecules; set realize\.num_rows"):
        without.predict(None, None, CALL)


def test_the_command_line_draws_molecules(realized, tmp_path):
    out = tmp_path / "molecules.csv"
    folder = str(realized.folder / "models/realizer")
    said = run(ROOT, "admet-tabsyn", "sample", folder, "--realize", "molecules", "-n", "5", "-o", str(out))
    assert "5 rows" in said
    rows = pl.read_csv(out)
    assert rows.height == 5
    assert rows["smiles"].n_unique() == 5
