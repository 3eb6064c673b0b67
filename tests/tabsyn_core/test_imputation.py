import numpy as np
import polars as pl
import pytest
from dependent import dependent_rows, dependent_table, fitted_generator

from tabsyn_core.config import ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator

HIDDEN = ("weight", "rings", "class", "acid", "area", "slow")


def hidden(table, columns=HIDDEN, share=0.3, seed=5):
    """The table with a share of the cells of some columns taken out, and where."""
    rng = np.random.default_rng(seed)
    gaps = {name: pl.Series(rng.random(table.height) < share) for name in columns}
    return table.with_columns(
        pl.when(gap).then(None).otherwise(pl.col(name)).alias(name) for name, gap in gaps.items()
    ), gaps


@pytest.fixture(scope="module")
def truth():
    return dependent_rows(250, seed=7).filter(pl.col("slow").is_not_null())


@pytest.fixture(scope="module")
def filled(truth):
    return fitted_generator().impute(hidden(truth)[0], seed=3, draws=2)


def test_known_cells_stay_and_gaps_are_filled(truth, filled):
    table, gaps = hidden(truth)
    for rows in filled:
        assert rows.schema == truth.schema
        assert rows.null_count().sum_horizontal()[0] == 0
        for name in truth.columns:
            known = ~gaps[name] if name in gaps else pl.Series([True] * truth.height)
            assert rows.filter(known)[name].equals(table.filter(known)[name])


def test_filled_cells_are_close_to_what_was_hidden(truth, filled):
    _, gaps = hidden(truth)
    for name, least in {"weight": 0.97, "rings": 0.8, "slow": 0.7, "area": 0.9}.items():
        found, real = filled[0].filter(gaps[name])[name], truth.filter(gaps[name])[name]
        assert np.corrcoef(found, real)[0, 1] > least, name
        assert (found - real).std() < real.std(), name  # what the mean would miss by
    for name, least in {"class": 0.97, "acid": 0.75}.items():
        assert (filled[0].filter(gaps[name])[name] == truth.filter(gaps[name])[name]).mean() > least, name


def test_draws_differ_where_something_is_unknown_as_much_as_is_unknown(truth, filled):
    _, gaps = hidden(truth)
    one, other = (rows.filter(gaps["slow"])["slow"] for rows in filled)
    assert not one.equals(other)
    assert (one - other).std() == pytest.approx(0.5 * 2**0.5, rel=0.35)  # its noise has a standard deviation of 0.5
    one, other = (rows.filter(gaps["weight"])["weight"] for rows in filled)
    assert (one - other).std() < 0.3 * truth["weight"].std()


def test_a_seed_decides_the_draws(truth):
    generator, table = fitted_generator(), hidden(truth)[0].head(40)
    first, second = generator.impute(table, seed=3, draws=2)
    assert generator.impute(table, seed=3)[0].equals(first)
    assert not generator.impute(table, seed=4)[0].equals(first)
    assert not second.equals(first)


def test_rows_without_anything_known_are_rows_like_any(truth):
    nothing = truth.clear(300)
    rows = fitted_generator().impute(nothing, seed=1)[0]
    assert rows.null_count().sum_horizontal()[0] == 0
    assert fitted_generator().identities.obeyed(rows).mean() > 0.99
    assert rows["weight"].mean() == pytest.approx(dependent_table()["weight"].mean(), abs=8)
    assert np.corrcoef(rows["size"], rows["weight"])[0, 1] > 0.98


def test_a_table_without_gaps_comes_back(truth):
    assert all(rows.equals(truth) for rows in fitted_generator().impute(truth, draws=2))
    assert fitted_generator().impute(truth.clear())[0].equals(truth.clear())


def test_a_number_that_is_none_is_a_gap(truth):
    table = truth.head(20).with_columns(weight=pl.lit(float("nan")))
    rows = fitted_generator().impute(table)[0]
    assert rows["weight"].is_finite().all()
    assert np.corrcoef(rows["weight"], rows["size"])[0, 1] > 0.97


def test_columns_may_come_in_any_order_and_what_is_not_there_is_all_gaps(truth):
    table = hidden(truth.head(30))[0]
    generator = fitted_generator()
    assert generator.impute(table.select(reversed(table.columns)))[0].equals(generator.impute(table)[0])
    gaps = generator.impute(table.with_columns(weight=pl.lit(None, pl.Float64)))[0]
    assert generator.impute(table.drop("weight"))[0].equals(gaps)
    assert generator.impute(table.with_columns(weight=pl.lit(None)))[0].equals(gaps)
    with pytest.raises(TabsynError, match=r"unknown \['wait'\]"):
        generator.impute(table.rename({"weight": "wait"}))
    with pytest.raises(TabsynError, match="draws is 0"):
        generator.impute(table, draws=0)


def test_no_gap_is_left_in_a_column_that_diffusion_draws_however_rare_its_values():
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b"], 400)
    rare = pl.Series(np.where(rng.random(400) < 0.05, kind, None).tolist(), dtype=pl.String)
    config = GeneratorConfig(
        vae=VAEConfig(num_updates=5, width=4, batch_size=32),
        diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=32),
        chain=ChainConfig(core=None),
        num_updates=30,
        threads=1,
    )
    table = pl.DataFrame({"kind": kind, "rare": rare, "x": rng.normal(size=400)})
    generator = Generator(config).fit(table, seed=0)
    assert 0.8 < generator.sample(300)["rare"].null_count() / 300 < 1
    rows = generator.impute(table, seed=0, proposals=2)[0]
    assert rows.null_count().sum_horizontal()[0] == 0
    assert rows.filter(rare.is_not_null())["rare"].equals(rare.drop_nulls().alias("rare"))
    assert set(rows["rare"]) == {"a", "b"}


def test_columns_that_diffusion_draws_are_filled_given_the_others():
    rng = np.random.default_rng(0)
    x = rng.normal(size=800)
    table = pl.DataFrame({"x": x, "y": x + 0.3 * rng.normal(size=800), "z": rng.normal(size=800)})
    config = GeneratorConfig(
        vae=VAEConfig(num_updates=20, width=8, batch_size=64),
        diffusion=DiffusionConfig(width=64, num_blocks=2, batch_size=128, ema_halflife=50),
        chain=ChainConfig(core=None),
        num_updates=600,
        threads=1,
    )
    generator = Generator(config).fit(table, seed=0)
    assert set(generator.explain()["drawn_by"]) == {"diffusion"}
    rows = generator.impute(table.with_columns(y=pl.lit(None, pl.Float64)), seed=0)[0]
    assert np.corrcoef(rows["y"], table["y"])[0, 1] > 0.8
    assert (rows["y"] - rows["x"]).std() < 0.5
