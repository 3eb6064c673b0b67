"""Rows by heads, constraints and the discriminator: conditions, balance, imputation, further rows, saving."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dependent import dependent_rows

from tabsyn_core import Generator, GeneratorConfig
from tabsyn_core.config import ChainConfig, DiffusionConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.private import PrivacyConfig

SMALL = GeneratorConfig(
    vae=VAEConfig(num_updates=5, width=4, batch_size=16),
    diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=32),
    num_updates=30,
)


def measured(n=600, seed=0):
    """Ten columns: hard edges, a linear relation, a sum, a category cut from a number, gaps."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n))
    rings, chains = rng.poisson(2, n), rng.poisson(1, n)
    gap = rng.random(n) < 0.2
    return pl.DataFrame(
        {
            "x": x,
            "edge": (x > 0.5).astype(np.int64) * 3,
            "line": 2 * x + y + 0.01 * rng.normal(size=n),
            "y": y,
            "rings": rings,
            "chains": chains,
            "cycles": rings + chains,
            "potency": np.where(gap, np.nan, x + 0.3 * rng.normal(size=n)),
            "class": np.where(y < -0.7, "low", np.where(y < 1, "middle", "high")),
            "rare": np.where(rng.random(n) < 0.02, "yes", "no"),
        }
    ).with_columns(pl.col("potency").fill_nan(None))


@pytest.fixture(scope="module")
def table():
    return measured()


@pytest.fixture(scope="module")
def generator(table):
    return Generator(SMALL).fit(table, seed=0)


@pytest.fixture(scope="module")
def rows(generator):
    return generator.sample(600, seed=1)


def test_hard_edges_and_lines_are_learned(rows):
    assert ((rows["x"] > 0.5) == (rows["edge"] == 3)).mean() > 0.97
    residual = rows["line"] - 2 * rows["x"] - rows["y"]
    assert residual.std() < 0.5 * rows["line"].std()


def test_every_row_obeys_what_every_training_row_obeys(generator, rows):
    assert (rows["cycles"] == rows["rings"] + rows["chains"]).all()
    assert generator.identities.obeyed(rows).all()
    assert rows["rings"].min() >= 0


def test_gaps_are_as_frequent_as_in_the_table(table, rows):
    assert abs(rows["potency"].null_count() - table["potency"].null_count()) < 0.07 * 600


def test_values_between_those_of_the_table_are_drawn(table, rows):
    assert rows["x"].is_in(table["x"].to_list()).mean() < 0.5


def test_row_i_does_not_depend_on_how_many_are_drawn(generator, rows):
    assert generator.sample(10, seed=1).equals(rows.head(10))
    assert pl.concat([*generator.sample_chunks(600, seed=1, chunk_size=256)]).equals(rows)
    assert not generator.sample(10, seed=2).equals(rows.head(10))


def test_a_saved_generator_draws_the_same_rows(generator, rows, tmp_path):
    generator.save(tmp_path / "model")
    assert not list((tmp_path / "model").rglob("*.pkl"))
    assert Generator.load(tmp_path / "model").sample(600, seed=1).equals(rows)


@pytest.mark.parametrize("name", ["rows.json", "heads.safetensors"])
def test_a_damaged_generator_is_refused(generator, tmp_path, name):
    generator.save(tmp_path / "model")
    (tmp_path / "model" / name).unlink()
    with pytest.raises(TabsynError, match=r"not a complete generator|does not exist"):
        Generator.load(tmp_path / "model")


def test_a_generator_of_format_1_draws_the_rows_it_drew():
    folder = Path(__file__).parent / "data"
    generator = Generator.load(folder / "generator_format_1")
    rows = generator.sample(256, seed=1)
    assert rows.columns == generator.schema.names
    assert dict(rows.schema) == generator.schema.polars_dtypes()
    assert generator.explain()["drawn_by"].is_in(["diffusion", "identity", "constant"]).all()


@pytest.mark.parametrize(
    ("where", "met"),
    [
        ({"class": "high"}, pl.col("class") == "high"),
        ({"class": ["low", "high"]}, pl.col("class") != "middle"),
        ({"rare": "yes"}, pl.col("rare") == "yes"),
        ({"x": [0.2, None], "rings": {1, 2}}, (pl.col("x") >= 0.2) & pl.col("rings").is_in([1, 2])),
        ({"rings": {"in": [0]}}, pl.col("rings") == 0),
        ({"cycles": [5, 6]}, pl.col("cycles").is_between(5, 6)),
        ({"potency": {None}}, pl.col("potency").is_null()),
    ],
)
def test_conditions_are_met_by_every_row(generator, where, met):
    rows = generator.sample(80, where=where)
    assert rows.height == 80
    assert rows.select(met.fill_null(value=False)).to_series().all()
    assert generator.identities.obeyed(rows).all()


def test_what_depends_on_a_conditioned_column_follows(generator, table):
    rows = generator.sample(200, where={"x": [1, None]})
    real = table.filter(pl.col("x") >= 1)
    assert rows["edge"].mean() == pytest.approx(3)
    assert rows["potency"].mean() == pytest.approx(real["potency"].mean(), abs=0.35)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"clas": "high"}, "did you mean 'class'"),
        ({"class": "hihg"}, "did you mean 'high'"),
        ({"x": [2, 1]}, "is empty"),
        ({"x": [50, 60]}, "no training row meets x"),
        ({"x": "big"}, "'big' for column 'x'"),
        ({"x": [1, 2, 3]}, "is not a range"),
    ],
)
def test_conditions_that_cannot_be_met_say_why(generator, where, message):
    with pytest.raises(TabsynError, match=message):
        generator.sample(5, where=where)


def test_balance_gives_equal_shares(generator):
    assert sorted(generator.sample(100, balance="class")["class"].value_counts()["count"]) == [33, 33, 34]
    within = generator.sample(40, balance="class", where={"class": ["low", "high"]})
    assert sorted(within["class"].value_counts()["count"]) == [20, 20]
    with pytest.raises(TabsynError, match="no levels to balance"):
        generator.sample(5, balance="x")
    with pytest.raises(TabsynError, match="balance: column 'nothing'"):
        generator.sample(5, balance="nothing")


def test_imputation_fills_gaps_and_touches_nothing_else(generator):
    truth = measured(120, seed=9).filter(pl.col("potency").is_not_null())
    hidden = truth.with_columns(
        pl.lit(None, pl.Float64).alias("potency"), pl.when(pl.col("rings") > 2).then("chains").alias("chains")
    )
    first, second = generator.impute(hidden, draws=2, seed=4)
    assert first.null_count().sum_horizontal()[0] == 0
    assert first.drop("potency", "chains").equals(truth.drop("potency", "chains"))
    assert (first["chains"] == truth["chains"]).mean() > 0.8  # what is left of a known sum
    assert not first["potency"].equals(second["potency"])
    assert np.corrcoef(first["potency"], truth["potency"])[0, 1] > 0.7
    assert generator.impute(truth)[0].equals(truth)


def test_further_rows_are_learned(table):
    near, far = table.filter(pl.col("x") < 1), table.filter(pl.col("x") >= 1)
    generator = Generator(SMALL).fit(near, seed=0)
    before = generator.sample(500, seed=1)["edge"].mean()
    generator.partial_fit(pl.concat([far] * 3))
    after = generator.sample(500, seed=1)
    assert generator.rows == near.height + 3 * far.height
    assert after["edge"].mean() > before
    with pytest.raises(TabsynError, match="missing columns"):
        generator.partial_fit(far.drop("x"))
    with pytest.raises(TabsynError, match="no rows to learn from"):
        generator.partial_fit(far.clear())


def test_one_further_row_does_not_displace_the_others():
    generator = Generator(SMALL).fit(dependent_rows(600, seed=0), seed=0)
    before = generator.sample(500, seed=1)["class"].value_counts(normalize=True)
    generator.partial_fit(dependent_rows(600, seed=0).filter(pl.col("class") == "small").head(1))
    after = generator.sample(500, seed=1)["class"].value_counts(normalize=True)
    both = before.join(after, on="class")
    assert both.height == before.height == 3
    assert (both["proportion"] - both["proportion_right"]).abs().max() < 0.1


def test_a_new_level_is_refused_by_name():
    table = dependent_rows(200, seed=0)
    generator = Generator(SMALL).fit(table, seed=0)
    with pytest.raises(TabsynError, match="column 'class' has the new level 'huge'"):
        generator.partial_fit(table.head(20).with_columns(pl.lit("huge").alias("class")))


@pytest.mark.parametrize(
    ("strange", "remedy"), [(lambda t: t.to_pandas(), "from_pandas"), (pl.DataFrame.lazy, "collect")]
)
def test_what_is_no_polars_table_is_refused_with_the_remedy(table, strange, remedy):
    for takes in (Generator(SMALL).fit, Generator(SMALL).partial_fit):
        with pytest.raises(TabsynError, match=remedy):
            takes(strange(table))


def test_a_folder_may_be_named_by_text(tmp_path):
    generator = Generator(SMALL).fit(dependent_rows(60, seed=0), seed=0)
    generator.save(f"{tmp_path}/model")
    assert Generator.load(f"{tmp_path}/model").sample(5).equals(generator.sample(5))
    with pytest.raises(TabsynError, match="no folder of a saved generator"):
        Generator.load(f"{tmp_path}/absent")


def test_settings_are_read_and_written_as_in_scikit_learn():
    generator = Generator().set_params(chain__min_leaf=7, proposals=2)
    assert generator.get_params()["chain__min_leaf"] == 7
    assert generator.config.proposals == 2
    with pytest.raises(TabsynError, match="no setting 'leaf'"):
        generator.set_params(leaf=3)


def test_proposals_are_chosen_by_the_discriminator(table):
    """Columns drawn on their own break every dependence; the discriminator keeps the rows that look whole."""
    blind = GeneratorConfig(**{**vars_of(SMALL), "chain": ChainConfig(core=0, min_leaf=600), "identities": False})
    one, eight = (
        Generator(GeneratorConfig(**{**vars_of(blind), "proposals": n})).fit(table, seed=0).sample(600, seed=1)
        for n in (1, 8)
    )
    broken = [((r["x"] > 0.5) != (r["edge"] == 3)).mean() for r in (one, eight)]
    assert broken[1] < 0.6 * broken[0]


def vars_of(config):
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


def test_a_private_generator_states_what_it_guarantees(table, tmp_path):
    pytest.importorskip("opacus")
    config = GeneratorConfig(privacy=PrivacyConfig(epsilon=20.0))
    generator = Generator(config).fit(table.drop("rare"), seed=0)
    rows = generator.sample(50, seed=1)
    assert rows.schema == table.drop("rare").schema
    assert "(20, 1e-05)-differentially private" in str(generator.privacy)
    generator.save(tmp_path / "model")
    loaded = Generator.load(tmp_path / "model")
    assert str(loaded.privacy) == str(generator.privacy)
    assert loaded.sample(50, seed=1).equals(rows)
    with pytest.raises(TabsynError, match="budget is spent"):
        loaded.partial_fit(table)
    with pytest.raises(TabsynError, match="accounted"):
        Generator(config).fit(table, checkpoint=tmp_path)


def test_wide_tables_have_a_core_drawn_by_diffusion():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"c{j}": rng.normal(size=200) + j for j in range(24)})
    drawn = Generator(SMALL).fit(table, seed=0).explain()["drawn_by"]
    assert (drawn == "diffusion").sum() == 3
