import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dependent import dependent_rows, fitted_generator

from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import FORMAT_VERSION, Generator

DATA = Path(__file__).parent / "data"


@pytest.fixture
def folder(tmp_path):
    fitted_generator().save(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_generator_is_the_same_generator(folder):
    generator, again = fitted_generator(), Generator.load(folder)
    assert again.config == generator.config
    assert again.rows == generator.rows
    assert again.explain().equals(generator.explain())
    where = {"class": "large", "rings": [2, 4]}
    assert again.sample(300, seed=2).equals(generator.sample(300, seed=2))
    assert again.sample(20, seed=2, where=where).equals(generator.sample(20, seed=2, where=where))
    table = dependent_rows(20, seed=3).with_columns(weight=pl.lit(None, pl.Float64))
    assert again.impute(table)[0].equals(generator.impute(table)[0])


def test_a_loaded_generator_is_saved_in_the_same_bytes_and_learns_on(folder, tmp_path):
    again = Generator.load(folder)
    again.save(tmp_path / "again")
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name
    further = dependent_rows(100, seed=8)
    assert again.partial_fit(further).sample(50).schema == further.schema


def test_only_json_and_safetensors_are_written(folder):
    assert sorted(file.name for file in folder.iterdir()) == [
        "columns.json",
        "config.json",
        "denoiser.safetensors",
        "heads.safetensors",
        "rows.json",
        "scaling.safetensors",
        "vae.safetensors",
    ]
    for file in folder.glob("*.json"):
        json.loads(file.read_text())


def test_no_training_row_can_be_read_off_the_folder(folder):
    """Values that heads draw from are stored column by column, each in its own order."""
    from safetensors.numpy import load_file

    heads = load_file(folder / "heads.safetensors")
    columns = [values for name, values in heads.items() if name.endswith(".x") and len(np.unique(values)) > 500]
    table = dependent_rows(1000, seed=0)
    assert len(columns) >= 2
    pairs = set(zip(*(np.round(column, 9) for column in columns[:2]), strict=True))
    numeric = [table[name].to_numpy().round(9) for name in ("size", "weight", "area")]
    real = {pair for one in numeric for other in numeric for pair in zip(one, other, strict=True)}
    assert len(pairs & real) < 100  # of 1,000; both columns follow nearly the same order


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", None])
@pytest.mark.parametrize(
    "file", ["config.json", "columns.json", "rows.json", "heads.safetensors", "vae.safetensors", "denoiser.safetensors"]
)
def test_a_damaged_folder_is_refused(folder, file, content):
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(TabsynError, match=r"not a complete generator|not valid JSON|does not exist"):
        Generator.load(folder)


def test_a_later_format_is_refused(folder):
    about = json.loads((folder / "config.json").read_text())
    assert about["format_version"] == FORMAT_VERSION
    (folder / "config.json").write_text(json.dumps(about | {"format_version": 99}))
    with pytest.raises(TabsynError, match=r"format 99.*upgrade"):
        Generator.load(folder)


def test_a_generator_of_format_1_draws_the_rows_it_drew_then(tmp_path):
    generator = Generator.load(DATA / "generator_format_1")
    then = pl.read_csv(DATA / "generator_format_1.csv", schema=generator.schema.polars_dtypes())
    rows = generator.sample(40, seed=1, num_steps=10)
    assert rows.schema == then.schema
    for name in then.columns:  # what a network says differs in its last bits from one machine to another
        same = rows[name].eq_missing(then[name])
        assert same.mean() > 0.9, name
    generator.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["format_version"] == FORMAT_VERSION
    assert Generator.load(tmp_path / "model").sample(40, seed=1, num_steps=10).equals(rows)


def test_a_generator_of_format_2_draws_the_rows_it_drew_then(tmp_path):
    generator = Generator.load(DATA / "generator_format_2")
    then = pl.read_csv(DATA / "generator_format_2.csv", schema=generator.schema.polars_dtypes())
    rows = generator.sample(40, seed=1, num_steps=10)
    for name in then.columns:
        assert rows[name].eq_missing(then[name]).mean() > 0.9, name
    assert (rows["HeavyAtomMolWt"] <= rows["MolWt"]).all()
    generator.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["format_version"] == FORMAT_VERSION
    again = Generator.load(tmp_path / "model")
    assert again.sample(40, seed=1, num_steps=10).equals(rows)
    again.save(tmp_path / "again")
    kept = [(tmp_path / name / "columns.json").read_text() for name in ("model", "again")]
    assert kept[0] == kept[1]
    assert "HeavyAtomMolWt" in str(json.loads(kept[0])["rules"])


def test_a_generator_of_format_3_draws_the_rows_it_drew_then(tmp_path):
    """Its discriminator left margins as they came."""
    generator = Generator.load(DATA / "generator_format_3")
    assert not generator.config.margins
    then = pl.read_csv(DATA / "generator_format_3.csv", schema=generator.schema.polars_dtypes())
    rows = generator.sample(40, seed=1, num_steps=10)
    for name in then.columns:
        assert rows[name].eq_missing(then[name]).mean() > 0.9, name
    generator.save(tmp_path / "model")
    assert Generator.load(tmp_path / "model").sample(40, seed=1, num_steps=10).equals(rows)


def test_a_generator_of_format_1_takes_conditions_and_fills_gaps():
    generator = Generator.load(DATA / "generator_format_1")
    assert (generator.sample(30, where={"class": "large"})["class"] == "large").all()
    table = generator.sample(30, seed=2).with_columns(size=pl.lit(None, pl.Float64))
    rows = generator.impute(table)[0]
    assert rows["size"].null_count() == 0
    assert rows.drop("size", "assay").equals(table.drop("size", "assay"))
