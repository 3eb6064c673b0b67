from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from dependent import dependent_rows, dependent_table, fitted_generator
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.config import AdversarialConfig, ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import evaluate
from tabsyn_core.generator import Generator

TINY = GeneratorConfig(
    vae=VAEConfig(num_updates=2, width=4, batch_size=8),
    num_updates=3,
    diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=8),
    chain=ChainConfig(core=None),  # on tables this narrow the heads would draw every column
    proposals=2,
    margins=False,
    threads=1,
)
WITH_HEADS = replace(TINY, chain=ChainConfig(core=4))


@pytest.fixture(scope="module")
def rows():
    return fitted_generator().sample(1000, seed=1)


def random(seed=0):
    return np.random.default_rng(seed)


def test_rows_have_the_columns_dtypes_and_supports(rows):
    table = dependent_table()
    assert rows.schema == table.schema
    assert rows.height == 1000
    for name in ("rings", "bonds", "graph", "area"):
        assert rows[name].min() >= 0
    for name in ("rings", "class", "city", "country", "acid"):
        assert set(rows[name]) <= set(table[name])
    assert rows["slow"].drop_nulls().round(2).equals(rows["slow"].drop_nulls())  # two decimals, as it was measured


def test_every_column_is_distributed_as_in_the_table(rows):
    table = dependent_rows(20_000, seed=2)
    for name in ("size", "weight", "rings", "bonds", "graph", "slow", "fast"):
        assert rows[name].mean() == pytest.approx(table[name].mean(), abs=0.1 * table[name].std()), name
        assert rows[name].std() == pytest.approx(table[name].std(), rel=0.15), name
    assert (rows["area"] == 0).mean() == pytest.approx(0.5, abs=0.06)
    for name in ("class", "city", "country", "acid"):
        for level, share in table[name].value_counts(normalize=True).iter_rows():
            assert (rows[name] == level).mean() == pytest.approx(share, abs=0.05), level


def test_gaps_come_together_where_they_did(rows):
    gaps = rows["slow"].is_null()
    assert gaps.mean() == pytest.approx(dependent_table()["slow"].is_null().mean(), abs=0.05)
    assert (gaps == rows["fast"].is_null()).mean() > 0.98
    assert rows.filter(gaps)["size"].mean() > rows.filter(~gaps)["size"].mean() + 0.8


def test_every_row_obeys_the_identities(rows):
    assert (rows["graph"] == rows["rings"] + rows["bonds"]).all()
    assert fitted_generator().identities.obeyed(rows).mean() >= 0.999
    assert rows.group_by("city").agg(pl.col("country").n_unique())["country"].max() == 1


def test_dependence_is_learned_far_better_than_by_independent_columns(rows):
    judged = evaluate(dependent_table(), dependent_rows(400, seed=9), rows, targets=["slow"], seed=0, folds=3).to_json()
    assert judged["factorised"]["c2st"]["lightgbm"] > 0.95
    assert judged["c2st"]["lightgbm"] < 0.75
    assert np.corrcoef(rows["size"], rows["weight"])[0, 1] > 0.98


def test_a_seed_gives_the_same_rows_whatever_the_number_and_chunks():
    generator = fitted_generator()
    rows = generator.sample(600, seed=3, num_steps=5)
    assert generator.sample(200, seed=3, num_steps=5).equals(rows.head(200))
    chunks = [*generator.sample_chunks(600, seed=3, num_steps=5, chunk_size=256)]
    assert [chunk.height for chunk in chunks] == [256, 256, 88]
    assert pl.concat(chunks).equals(rows)
    assert not generator.sample(200, seed=4, num_steps=5).equals(rows.head(200))


@pytest.mark.parametrize("config", [TINY, WITH_HEADS], ids=["diffusion", "heads"])
def test_two_fits_are_equal_to_the_bit(config):
    table = dependent_rows(200, seed=0).select("area", "rings", "acid", "city", "country")
    one, other = (Generator(config).fit(table, seed=5).sample(50, seed=1, num_steps=3) for _ in range(2))
    assert one.equals(other)
    assert not Generator(config).fit(table, seed=6).sample(50, seed=1, num_steps=3).equals(one)


def test_who_draws_a_column_is_said(rows):
    explained = fitted_generator().explain()
    assert explained["column"].to_list() == rows.columns
    drawn = dict(explained.select("column", "drawn_by").iter_rows())
    assert drawn["acid"] == "diffusion"
    assert drawn["weight"] == "guided tree"
    assert drawn["city"] == "tree"
    assert drawn["graph"] == drawn["country"] == "identity"
    assert explained.filter(pl.col("column") == "graph")["identity"].item() == "graph = rings + bonds"
    assert explained.filter(pl.col("column") == "area")["distribution"].item().startswith("zero-inflated")
    constant = Generator(TINY).fit(pl.DataFrame({"same": [3] * 5, "x": range(5)}), seed=0).explain()
    assert constant["drawn_by"].to_list() == ["constant", "diffusion"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "n is -1"),
        ({"n": 1, "num_steps": 0}, "num_steps is 0"),
        ({"n": 1, "seed": -1}, "seed is -1"),
        ({"n": "ten"}, "n is 'ten'; it must be a whole number"),
        ({"n": 10.0}, "n is 10.0"),
        ({"n": True}, "n is True"),
        ({"n": 1, "seed": None}, "seed is None"),
        ({"n": 1, "where": "size > 3"}, "where is 'size > 3'; give columns and what they must be"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(TabsynError, match=message):
        fitted_generator().sample(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"time_limit": 0}, "time_limit is 0; it must be seconds, more than 0"),
        ({"time_limit": "1 h"}, "time_limit is '1 h'"),
    ],
)
def test_a_fit_with_arguments_out_of_range(arguments, message):
    with pytest.raises(TabsynError, match=message):
        Generator(TINY).fit(dependent_rows(20, seed=0), **arguments)


def test_settings_of_another_kind():
    with pytest.raises(TabsynError, match=r"config is \{'threads': 1\}; give a GeneratorConfig"):
        Generator({"threads": 1})


def test_a_column_that_names_its_rows_is_warned_about():
    table = pl.DataFrame({"id": [f"CMPD-{k}" for k in range(40)], "x": range(40)})
    with pytest.warns(UserWarning, match=r"another value in \['id'\].*identifiers or structures"):
        Generator(TINY).fit(table, seed=0)


def test_no_rows():
    assert fitted_generator().sample(0).schema == dependent_table().schema


def test_an_unfitted_generator_says_so():
    table = dependent_rows(3, seed=0)
    for use in (lambda g: g.sample(1), lambda g: g.impute(table), lambda g: g.sample(1, balance="class")):
        with pytest.raises(TabsynError, match="not been fitted"):
            use(Generator())


def gappy(values, seed):
    return [
        None if gap else value
        for value, gap in zip(values.tolist(), random(seed).random(len(values)) < 0.3, strict=True)
    ]


ODD = {
    "one row": pl.DataFrame({"x": [1.5], "label": ["a"]}),
    "ten rows": pl.DataFrame({"x": np.linspace(0, 1, 10) ** 2, "k": range(10)}),
    "thirty rows": dependent_rows(30, seed=1).select("weight", "rings", "class", "slow"),
    "categorical only": pl.DataFrame({"label": ["a", "b", "c"] * 20, "flag": [True, False] * 30}),
    "numeric only": pl.DataFrame({"x": random(0).normal(size=50), "y": random(1).normal(size=50)}),
    "constant": pl.DataFrame({"same": [3, 3, 3], "text": ["one", "one", "one"]}),
    "a constant beside others": pl.DataFrame({"same": [2.5] * 60, "x": random(2).normal(size=60), "k": range(60)}),
    "a column all missing": pl.DataFrame({"empty": pl.Series([None] * 20, dtype=pl.Float64), "x": np.arange(20.0) / 7}),
    "gaps everywhere": pl.DataFrame(
        {
            "x": gappy(random(4).normal(size=60), 5),
            "label": gappy(random(6).choice(["a", "b"], 60), 7),
            "flag": gappy(random(8).random(60) < 0.5, 9),
            "kept": random(10).poisson(3, 60),
        }
    ),
    "dtypes": pl.DataFrame(
        {
            "colour": gappy(random(4).choice(["red", "blue"], 60), 5),
            "flag": random(6).random(60) < 0.5,
            "tiny": random(7).integers(1, 4, 60),
            "byte": gappy(random(8).choice([0, 255], 60), 9),
            "single": random(3).normal(size=60),
        },
        schema_overrides={"colour": pl.Categorical, "tiny": pl.Int8, "byte": pl.UInt8, "single": pl.Float32},
    ),
}


@pytest.mark.parametrize("config", [TINY, replace(TINY, chain=ChainConfig(core=0))], ids=["diffusion", "heads"])
@pytest.mark.parametrize("table", ODD.values(), ids=ODD.keys())
def test_small_and_odd_tables(table, config, tmp_path):
    generator = Generator(config).fit(table, seed=0)
    rows = generator.sample(40, seed=0, num_steps=2)
    assert rows.schema == table.schema
    assert rows.height == 40
    for name in table.columns:
        if table[name].null_count() == 0:
            assert rows[name].null_count() == 0
        if table[name].n_unique() == 1:
            assert rows[name].n_unique() == 1
        if not table[name].dtype.is_numeric():
            assert set(rows[name]) <= set(table[name])
    generator.save(tmp_path / "model")
    assert Generator.load(tmp_path / "model").sample(40, seed=0, num_steps=2).equals(rows)
    filled = generator.impute(table, num_steps=2, proposals=3)[0]
    assert filled.schema == table.schema
    assert all(filled[name].null_count() in (0, table.height) for name in table.columns)


@pytest.mark.parametrize("config", [TINY, WITH_HEADS], ids=["diffusion", "heads"])
def test_a_category_of_thousands_of_levels(config):
    levels = [f"level {k}" for k in range(5000)]
    table = pl.DataFrame({"name": random().permutation(levels + levels[:1000]), "x": random(1).normal(size=6000)})
    rows = Generator(config).fit(table, seed=0).sample(300, num_steps=2)
    assert rows["name"].is_in(levels).all()
    assert rows["name"].n_unique() > 10


@pytest.mark.slow
def test_hundreds_of_columns_keep_their_place():
    hidden = random(0).normal(size=(120, 5))
    mixed = hidden @ random(1).normal(size=(5, 200)) + 0.1 * random(2).normal(size=(120, 200))
    table = pl.DataFrame({f"c{j}": mixed[:, j] + j for j in range(200)})
    rows = (
        Generator(replace(WITH_HEADS, chain=ChainConfig(core=1), front_end="quantile", proposals=1))
        .fit(table, seed=0)
        .sample(200, num_steps=2)
    )
    assert rows.columns == table.columns
    away = (rows.mean().to_numpy() - table.mean().to_numpy()) / table.select(pl.all().std()).to_numpy()
    assert np.quantile(np.abs(away), 0.99) < 1  # but for the core, which was hardly trained
    assert rows.null_count().sum_horizontal()[0] == 0


@settings(max_examples=12, deadline=None)
@given(
    columns=st.lists(
        st.sampled_from(["float", "count", "code", "flag", "text", "lattice", "gappy"]), min_size=1, max_size=5
    ),
    rows=st.integers(1, 60),
    core=st.sampled_from([0, 2, None]),
)
def test_any_mixture_of_columns_comes_back_in_its_dtypes(columns, rows, core):
    rng = random(rows)
    made = {
        "float": lambda: rng.normal(size=rows),
        "count": lambda: rng.poisson(3, rows),
        "code": lambda: rng.integers(-3, 3, rows).astype(np.int16),
        "flag": lambda: rng.random(rows) < 0.5,
        "text": lambda: rng.choice(["a", "b", "c"], rows),
        "lattice": lambda: rng.choice([0.0, 1.25, 2.5], rows),
        "gappy": lambda: pl.Series(rng.normal(size=rows)).set(pl.Series(rng.random(rows) < 0.4), None),
    }
    table = pl.DataFrame({f"{kind}{place}": made[kind]() for place, kind in enumerate(columns)})
    drawn = Generator(replace(TINY, chain=ChainConfig(core=core))).fit(table, seed=0).sample(30, num_steps=2)
    assert drawn.schema == table.schema
    for name in table.columns:
        if name.startswith(("flag", "text")) or (name.startswith("lattice") and rows >= 40):
            assert set(drawn[name]) <= set(table[name])
        if name.startswith("count"):
            assert drawn[name].min() >= 0


@pytest.mark.parametrize("columns", [["size", "weight"], ["class"], ["size", "rings", "class", "slow"]])
def test_a_killed_fit_goes_on_to_the_same_rows(tmp_path, columns):
    table = dependent_rows(100, seed=0).select(columns)
    whole = Generator(TINY).fit(table, seed=5).sample(20, num_steps=3)

    def die(progress):
        if progress.phase == "diffusion":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Generator(TINY).fit(table, seed=5, checkpoint=tmp_path, checkpoint_every=1, progress=die)
    resumed = Generator(TINY).fit(table, seed=5, checkpoint=tmp_path, checkpoint_every=1)
    assert resumed.sample(20, num_steps=3).equals(whole)


def test_narrow_dtypes_are_not_overrun():
    rng = random()
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
    np.random.seed(3)  # noqa: NPY002  # the legacy state is the one that could be touched
    expected = torch.rand(2), np.random.get_state()[1].copy()  # noqa: NPY002  # as above
    torch.manual_seed(3)
    Generator(WITH_HEADS).fit(dependent_rows(150, seed=0), seed=0).sample(5)
    assert torch.equal(torch.rand(2), expected[0])
    assert np.array_equal(np.random.get_state()[1], expected[1])  # noqa: NPY002  # as above


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


def test_progress_tells_every_phase():
    reports = []
    Generator(replace(TINY, chain=ChainConfig(core=0))).fit(dependent_rows(60, seed=0), progress=reports.append)
    assert {report.phase for report in reports} == {"heads"}
    assert reports[-1].done == reports[-1].total
    reports.clear()
    Generator(TINY).fit(dependent_rows(60, seed=0), progress=reports.append)
    assert [report.phase for report in reports] == ["vae", "diffusion"]
    assert all(report.done == report.total for report in reports)
    reports.clear()
    fitted_generator().sample(300, num_steps=2, progress=reports.append)
    assert [(report.done, report.total) for report in reports] == [(256, 300), (300, 300)]


def test_settings_are_read_and_written_as_scikit_learn_does():
    generator = Generator(replace(TINY, adversarial=AdversarialConfig(width=99)))
    settings_ = generator.get_params()
    assert settings_["adversarial__width"] == 99
    assert Generator().set_params(**settings_).config == generator.config  # what sklearn.base.clone does
    assert type(generator)(config=generator.config).get_params() == settings_
    assert generator.set_params(chain__core=3, proposals=5) is generator
    assert (generator.config.chain.core, generator.config.proposals) == (3, 5)
    with pytest.raises(TabsynError, match="no setting 'chain__depth'"):
        generator.set_params(chain__depth=3)
    with pytest.raises(TabsynError, match=r"chain\.min_leaf is 0"):
        generator.set_params(chain__min_leaf=0)


def test_a_first_partial_fit_is_a_fit_and_a_later_one_goes_on():
    table = dependent_rows(300, seed=0).select("size", "weight", "rings", "bonds", "graph", "city", "country")
    config = replace(WITH_HEADS, front_end="quantile")
    near = table.filter(pl.col("size") < 0.5)
    generator = Generator(config).partial_fit(near, seed=5)
    before = generator.sample(300, seed=1, num_steps=3)
    assert before.equals(Generator(config).fit(near, seed=5).sample(300, seed=1, num_steps=3))
    generator.partial_fit(table.filter(pl.col("size") >= 0.5), seed=6)
    after = generator.sample(300, seed=1, num_steps=3)
    assert generator.rows == table.height
    assert after.schema == before.schema
    assert generator.identities.obeyed(after).mean() > 0.99
    assert after["weight"].max() > before["weight"].max()
    with pytest.raises(TabsynError, match=r"missing columns \['size'\]"):
        generator.partial_fit(table.drop("size"))
