import json

import numpy as np
import polars as pl
import pytest
import torch

from tabsyn_core.config import DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import evaluate
from tabsyn_core.generator import Generator

SMALL = GeneratorConfig(
    vae=VAEConfig(num_updates=30, width=8, batch_size=64),
    num_updates=400,
    diffusion=DiffusionConfig(width=64, num_blocks=2, batch_size=128, ema_halflife=50),
)
TINY = GeneratorConfig(
    vae=VAEConfig(num_updates=2, width=4, batch_size=8),
    num_updates=3,
    diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=8),
)


def dependent_table(n=600, seed=0):
    """Columns that hang together: a count, a zero-inflated area, a class and a gap, all read off one number."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    return pl.DataFrame(
        {
            "size": size,
            "weight": 100 + 30 * size + rng.normal(size=n),
            "rings": np.clip(np.round(2 + 1.5 * size), 0, None).astype(np.int64),
            "area": np.where(size < 0, 0.0, np.exp(size)),
            "class": np.where(size > 0.5, "large", np.where(size < -0.5, "small", "middle")),
            "assay": [None if value > 1 else value for value in size],
        }
    )


@pytest.fixture(scope="module")
def fitted():
    return Generator(SMALL).fit(dependent_table(), seed=0)


def test_rows_have_the_columns_dtypes_and_supports(fitted):
    table, rows = dependent_table(), fitted.sample(300, seed=1)
    assert rows.schema == table.schema
    assert rows.height == 300
    assert (rows["rings"] >= 0).all()
    assert (rows["area"] >= 0).all()
    assert set(rows["class"]) == {"large", "middle", "small"}
    assert 0 < rows["assay"].null_count() < 300


def test_dependence_is_learned_far_better_than_by_independent_columns(fitted):
    table = dependent_table()
    rows = fitted.sample(table.height, seed=1)
    judged = evaluate(table, dependent_table(300, seed=9), rows, targets=["assay"], seed=0, folds=3).to_json()
    assert judged["factorised"]["c2st"]["lightgbm"] > 0.95
    assert judged["c2st"]["lightgbm"] < judged["factorised"]["c2st"]["lightgbm"] - 0.05
    assert np.corrcoef(rows["size"], rows["weight"])[0, 1] > 0.9


def test_a_seed_gives_the_same_rows_whatever_the_number_and_chunks(fitted):
    rows = fitted.sample(600, seed=3, num_steps=5)
    assert fitted.sample(300, seed=3, num_steps=5).equals(rows.head(300))
    chunks = [*fitted.sample_chunks(600, seed=3, num_steps=5, chunk_size=256)]
    assert [chunk.height for chunk in chunks] == [256, 256, 88]
    assert pl.concat(chunks).equals(rows)
    assert not fitted.sample(600, seed=4, num_steps=5).equals(rows)


def test_two_fits_are_equal_to_the_bit():
    one, other = (Generator(TINY).fit(dependent_table(100), seed=5).sample(50, seed=1, num_steps=3) for _ in range(2))
    assert one.equals(other)


def test_a_saved_generator_is_the_same_generator(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    assert {file.suffix for file in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    again = Generator.load(tmp_path / "model")
    assert again.config == fitted.config
    assert again.sample(100, seed=2, num_steps=5).equals(fitted.sample(100, seed=2, num_steps=5))


def test_a_later_format_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    about = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(about | {"format_version": 99}))
    with pytest.raises(TabsynError, match="format 99"):
        Generator.load(tmp_path / "model")


def test_a_folder_that_is_no_generator_is_refused(tmp_path):
    with pytest.raises(TabsynError, match=r"config\.json does not exist"):
        Generator.load(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "n is -1"),
        ({"n": 1, "num_steps": 0}, "num_steps is 0"),
        ({"n": 1, "seed": -1}, "seed is -1"),
    ],
)
def test_arguments_out_of_range(fitted, arguments, message):
    with pytest.raises(TabsynError, match=message):
        fitted.sample(**arguments)


def test_no_rows(fitted):
    assert fitted.sample(0).schema == dependent_table().schema


def test_an_unfitted_generator_says_so():
    with pytest.raises(TabsynError, match="not been fitted"):
        Generator().sample(1)


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"x": [1.5], "label": ["a"]}),
        pl.DataFrame({"x": np.linspace(0, 1, 10) ** 2, "k": range(10)}),
        pl.DataFrame({"label": ["a", "b", "c"] * 20, "flag": [True, False] * 30}),
        pl.DataFrame({"x": np.random.default_rng(0).normal(size=50), "y": np.random.default_rng(1).normal(size=50)}),
        pl.DataFrame({"same": [3, 3, 3], "text": ["one", "one", "one"]}),
        pl.DataFrame({"empty": pl.Series([None] * 20, dtype=pl.Float64), "x": np.arange(20.0) / 7}),
    ],
    ids=["one row", "ten rows", "categorical only", "numeric only", "constant", "a column all missing"],
)
def test_small_and_odd_tables(table, tmp_path):
    generator = Generator(TINY).fit(table, seed=0)
    rows = generator.sample(20, seed=0, num_steps=2)
    assert rows.schema == table.schema
    assert rows.height == 20
    generator.save(tmp_path / "model")
    assert Generator.load(tmp_path / "model").sample(20, seed=0, num_steps=2).equals(rows)


@pytest.mark.parametrize("columns", [["size", "weight"], ["class"], ["size", "rings", "class", "assay"]])
def test_a_killed_fit_goes_on_to_the_same_rows(tmp_path, columns):
    table = dependent_table(100).select(columns)
    whole = Generator(TINY).fit(table, seed=5).sample(20, num_steps=3)

    def die(progress):
        if progress.phase == "diffusion":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Generator(TINY).fit(table, seed=5, checkpoint=tmp_path, checkpoint_every=1, progress=die)
    resumed = Generator(TINY).fit(table, seed=5, checkpoint=tmp_path, checkpoint_every=1)
    assert resumed.sample(20, num_steps=3).equals(whole)


def test_narrow_dtypes_are_not_overrun():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "small": rng.integers(60, 127, 300),
            "wide": np.minimum(rng.lognormal(75, 4, 300), 3e38),
            "u": rng.poisson(200, 300) % 256,
        },
        schema={"small": pl.Int8, "wide": pl.Float32, "u": pl.UInt8},
    )
    rows = Generator(TINY).fit(table, seed=0).sample(500, num_steps=3)
    assert rows.schema == table.schema
    assert rows["wide"].is_finite().all()


def test_fitting_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Generator(TINY).fit(dependent_table(60), seed=0)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("file", ["config.json", "columns.json", "vae.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", None])
def test_a_damaged_generator_is_refused(fitted, tmp_path, file, content):
    fitted.save(tmp_path / "model")
    (tmp_path / "model" / file).unlink()
    if content is not None:
        (tmp_path / "model" / file).write_bytes(content)
    with pytest.raises(TabsynError, match=r"not a complete generator|not valid JSON|does not exist"):
        Generator.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (VAEConfig, {"num_heads": 3}, r"vae\.width is 16; it must be a multiple of vae\.num_heads, 3"),
        (VAEConfig, {"batch_size": 0}, r"vae\.batch_size is 0"),
        (DiffusionConfig, {"sigma_data": -1.0}, r"diffusion\.sigma_data is -1\.0"),
        (DiffusionConfig, {"whitening": 2.0}, r"diffusion\.whitening is 2\.0"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(section, values, message):
    with pytest.raises(TabsynError, match=message):
        section(**values)


def test_identities_hold_on_every_row():
    table = dependent_table()
    table = table.with_columns(bonds=pl.col("rings") + pl.Series(np.random.default_rng(1).poisson(3, table.height)))
    table = table.with_columns(graph=pl.col("rings") + pl.col("bonds"))
    generator = Generator(TINY).fit(table, seed=0)
    rows = generator.sample(300, seed=0, num_steps=3)
    assert rows.schema == table.schema
    assert (rows["graph"] == rows["rings"] + rows["bonds"]).all()
    explained = generator.explain().filter(pl.col("column") == "graph")
    assert explained["identity"].item() == "graph = rings + bonds"


def test_explain_names_every_column(fitted):
    explained = fitted.explain()
    assert explained["column"].to_list() == dependent_table().columns
    assert explained.filter(pl.col("column") == "area")["distribution"].item().startswith("zero-inflated")


def test_progress_tells_both_phases():
    reports = []
    Generator(TINY).fit(dependent_table(60), progress=reports.append)
    assert [report.phase for report in reports] == ["vae", "diffusion"]
    assert all(report.done == report.total for report in reports)
