from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, INTEGER_DESCRIPTORS, compute_descriptors
from tabsyn_core.distributions import load_distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import write_parquet
from tabsyn_core.schema import Kind
from tasks.fit_distributions import fit_distributions
from tasks.params import ColumnParams

SOURCE = Path(__file__).parents[2] / "data/raw/solubility.csv"
COLUMNS = [ColumnParams(name="logS", kind=Kind.NUMERIC), ColumnParams(name="class", kind=Kind.CATEGORICAL)]


@pytest.fixture(scope="module")
def train():
    raw = pl.read_csv(SOURCE).gather_every(16)
    described, _ = compute_descriptors(raw["smiles"].to_list(), workers=1)
    identifiers = raw.select("smiles", inchikey=pl.col("smiles"))
    return pl.concat(
        [identifiers, described, raw.select("logS", pl.col("solubility_class").alias("class"))], how="horizontal"
    )


def fit(table, folder, **options):
    write_parquet(folder / "train.parquet", table)
    files = (folder / "train.parquet", folder / "distributions.json", folder / "distributions.html")
    return fit_distributions(*files, columns=COLUMNS, seed=0, **options)


@pytest.fixture(scope="module")
def run(train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributions")
    reports = []
    return folder, fit(train, folder, progress=reports.append), reports


def test_every_column_but_the_identifiers_gets_a_family(run, train):
    folder, line, reports = run
    schema, fitted = load_distributions(folder / "distributions.json")
    assert schema.names == train.columns[2:]
    assert list(fitted) == schema.names
    assert line.startswith(f"219 columns, {train.height} rows")
    assert reports[218].done == reports[218].total == 219


def test_kinds_come_from_rdkit_and_params_not_from_luck(run):
    schema, fitted = load_distributions(run[0] / "distributions.json")
    whole = {name for name in DESCRIPTOR_NAMES if schema[name].kind is Kind.INTEGER}
    assert whole == INTEGER_DESCRIPTORS
    assert schema["logS"].kind is Kind.NUMERIC
    assert schema["class"].kind is fitted["class"].kind is Kind.CATEGORICAL
    assert (schema["qed"].lower, schema["qed"].upper) == (0, 1)


def test_real_descriptors_come_back_exactly_and_samples_keep_their_support(run, train):
    schema, fitted = load_distributions(run[0] / "distributions.json")
    rng = np.random.default_rng(0)
    for column in schema.columns:
        distribution = fitted[column.name]
        back = distribution.decode(*distribution.encode(train[column.name], rng))
        assert back.cast(train.schema[column.name]).to_list() == train[column.name].to_list(), column.name
        drawn = distribution.sample(200, rng).cast(train.schema[column.name])
        if column.lower is not None:
            assert (drawn.drop_nulls() >= column.lower).all(), column.name
        if column.upper is not None:
            assert (drawn.drop_nulls() <= column.upper).all(), column.name


@pytest.mark.parametrize("criterion", ["heldout", "bic"])
def test_a_second_run_writes_the_same_bytes(train, tmp_path, criterion):
    some = train.select("smiles", "inchikey", *train.columns[2:-2:40], "logS", "class")
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        fit(some, folder, criterion=criterion)
    for name in ("distributions.json", "distributions.html"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_stated_column_that_is_missing_is_named(train, tmp_path):
    with pytest.raises(TabsynError, match="'class'"):
        fit(train.drop("class"), tmp_path)
    assert not (tmp_path / "distributions.json").exists()


def test_without_training_rows_the_error_says_what_to_run(tmp_path):
    with pytest.raises(TabsynError, match=r"train\.parquet does not exist"):
        fit_distributions(tmp_path / "train.parquet", tmp_path / "x.json", tmp_path / "x.html", columns=[], seed=0)
