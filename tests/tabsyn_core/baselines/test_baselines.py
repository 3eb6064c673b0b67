"""What holds for every baseline: same columns out as in, dependence learned, gaps, seeds, budgets, odd tables."""

import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from known import check_rows, dependence, known_table, schema_of

from tabsyn_core.baselines import BASELINES
from tabsyn_core.config import ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError

SMALL_TABSYN = GeneratorConfig(
    vae=VAEConfig(d_token=4, width=8, batch_size=64),
    diffusion=DiffusionConfig(width=64, num_blocks=2, batch_size=128, validation_share=0, whitening=0),
    chain=ChainConfig(core=None),
    front_end="quantile",
    identities=False,
    proposals=1,
    threads=1,
)
SMALL_GAN = {"generator_dim": (64, 64), "discriminator_dim": (64, 64), "pac": 1}
SMALL_GAN |= {"generator_lr": 2e-3, "discriminator_lr": 2e-3}
CONVOLUTIONS = {"batch_size": 100, "channels": 8, "noise": 16, "learning_rate": 1e-3, "threads": 1}
DIFFUSION = {"batch_size": 128, "width": 64, "num_blocks": 2, "timesteps": 30, "learning_rate": 3e-3, "threads": 1}
PERCEPTRONS = {"batch_size": 100, "width": 64, "noise": 16, "critic_steps": 2, "learning_rate": 1e-3, "threads": 1}

SMALL = {  # settings that learn the known table in seconds, and what makes the shortest training of each
    "bootstrap": ({}, {}),
    "factorised": ({}, {}),
    "smote": ({}, {}),
    "gaussian-copula": ({}, {}),
    "tvae": ({"epochs": 100, "batch_size": 100, "threads": 1}, {"epochs": 1}),
    "ctgan": ({"epochs": 150, "batch_size": 100, "threads": 1, "options": SMALL_GAN}, {"epochs": 1}),
    "ctab-gan": ({"epochs": 100, **CONVOLUTIONS}, {"epochs": 1}),
    "ctab-gan+": ({"epochs": 100, **CONVOLUTIONS}, {"epochs": 1}),
    "wgan-gp": ({"updates": 500, **PERCEPTRONS}, {"updates": 3}),
    "tabddpm": ({"updates": 300, "ema_halflife": 20, **DIFFUSION}, {"updates": 3}),
    "tabsyn": ({"vae_epochs": 15, "epochs": 100, "config": SMALL_TABSYN}, {"vae_epochs": 1, "epochs": 1}),
}
EXTRA = {"smote": "imblearn", "tvae": "ctgan", "ctgan": "ctgan"}
NAMES = pytest.mark.parametrize("name", SMALL)
LEARN = pytest.mark.parametrize("name", [name for name in SMALL if name != "factorised"])
TRAINED = pytest.mark.parametrize("name", ["tvae", "ctgan", "ctab-gan", "ctab-gan+", "wgan-gp", "tabddpm", "tabsyn"])


def make(name, *, short=False):
    if name in EXTRA and find_spec(EXTRA[name]) is None:
        pytest.skip(f'{EXTRA[name]} is not installed: pip install "admet-tabsyn[benchmark]"')
    settings, shortest = SMALL[name]
    return BASELINES[name](**(settings | shortest if short else settings))


@cache
def fitted(name):
    table = known_table()
    return make(name).fit(table, schema_of(table), seed=0)


@LEARN
def test_the_known_dependence_is_learned_better_than_by_independent_columns(name):
    correlation, between, gaps = dependence(fitted(name).sample(400, seed=1))
    by_itself = dependence(fitted("factorised").sample(400, seed=1))
    assert correlation > by_itself[0] + 0.4
    assert between > by_itself[1] + 0.1
    assert gaps > by_itself[2] + 0.05


@NAMES
def test_rows_have_the_names_dtypes_levels_and_gaps_of_the_table(name):
    rows = fitted(name).sample(400, seed=1)
    assert rows.height == 400
    check_rows(rows, known_table())


@NAMES
def test_a_seed_gives_the_same_rows_and_another_seed_others(name):
    baseline = fitted(name)
    rows = baseline.sample(50, seed=3)
    assert rows.equals(baseline.sample(50, seed=3))
    assert not rows.equals(baseline.sample(50, seed=4))


@NAMES
def test_a_fit_is_reproducible_by_its_seed(name):
    table = known_table(120)
    first, second = (make(name, short=True).fit(table, schema_of(table), seed=5).sample(20, 1) for _ in range(2))
    assert first.equals(second)


@NAMES
def test_no_rows_may_be_asked_for_but_not_fewer(name):
    assert fitted(name).sample(0, seed=0).equals(known_table().clear())
    with pytest.raises(TabsynError, match="n is -1"):
        fitted(name).sample(-1, seed=0)


@TRAINED
def test_a_budget_ends_training_before_the_published_end(name):
    table = known_table()
    endless = {"tabsyn": {"vae_epochs": 10**6, "epochs": 10**6}, "wgan-gp": {"updates": 10**6}}
    endless |= {"tabddpm": {"updates": 10**6}}
    settings = SMALL[name][0] | endless.get(name, {"epochs": 10**6})
    make(name)
    start = time.monotonic()
    baseline = BASELINES[name](**settings).fit(table, schema_of(table), seed=0, seconds=1)
    assert time.monotonic() - start < 60  # a machine that is busy with other things is slow
    unit = {"tabsyn": "diffusion updates", "tvae": "epochs", "ctgan": "epochs"}.get(name, "updates")
    assert baseline.effort[unit] < baseline.effort[f"published {unit}"]
    assert baseline.sample(3, seed=0).schema == table.schema


def odd_tables():
    rng = np.random.default_rng(0)
    numbers, levels = rng.normal(size=30), rng.choice(["a", "b"], 30)
    empty = pl.Series(np.full(30, None).tolist(), dtype=pl.Float64)
    return {
        "a column of gaps": pl.DataFrame({"x": numbers, "none": empty, "level": levels}),
        "numbers only": pl.DataFrame({"x": numbers, "y": numbers**3, "count": rng.integers(0, 3, 30)}),
        "categories only": pl.DataFrame({"level": levels, "flag": rng.random(30) < 0.5}),
        "constants only": pl.DataFrame({"x": np.ones(30), "level": np.full(30, "a")}),
        "three rows": pl.DataFrame({"x": numbers[:3], "level": levels[:3]}),
        "a spike and a tail": pl.DataFrame({"x": np.where(numbers > 0, 0.0, np.exp(-5 * numbers)), "level": levels}),
    }


@NAMES
@pytest.mark.parametrize("kind", odd_tables())
def test_odd_tables_are_modelled_or_refused_in_words(name, kind):
    table = odd_tables()[kind]
    baseline = make(name, short=True)
    if name == "smote" and kind in ("categories only", "constants only"):
        with pytest.raises(TabsynError, match="no number column"):
            baseline.fit(table, schema_of(table), seed=0)
        return
    rows = baseline.fit(table, schema_of(table), seed=0).sample(20, seed=0)
    assert rows.height == 20
    assert rows.schema == table.schema
    for column in table.select(pl.selectors.string() | pl.selectors.boolean()):
        assert set(rows[column.name]) <= set(column)
    for column in table:
        if column.drop_nulls().n_unique() <= 1:
            assert rows[column.name].equals(pl.Series(column.name, [column[0]] * 20, dtype=column.dtype))


def test_a_schema_that_does_not_fit_and_a_sample_without_fit_are_refused():
    table = known_table(20)
    with pytest.raises(TabsynError, match="missing columns"):
        make("bootstrap").fit(table.drop("x"), schema_of(table), seed=0)
    with pytest.raises(TabsynError, match="no rows"):
        make("bootstrap").fit(table.clear(), schema_of(table), seed=0)
    with pytest.raises(TabsynError, match="seconds is 0"):
        make("bootstrap").fit(table, schema_of(table), seed=0, seconds=0)
    with pytest.raises(TabsynError, match="has not been fitted"):
        make("bootstrap").sample(1, seed=0)


@pytest.mark.parametrize(("name", "package"), [("smote", "imblearn"), ("ctgan", "ctgan"), ("tvae", "ctgan")])
def test_a_missing_extra_is_named(name, package, monkeypatch):
    for module in [package, *(known for known in sys.modules if known.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, module, None)  # what python itself takes for not installed
    table = known_table(20)
    with pytest.raises(TabsynError, match=r'pip install "admet-tabsyn\[benchmark\]"'):
        BASELINES[name]().fit(table, schema_of(table), seed=0)


def test_asking_which_baselines_there_are_imports_neither_torch_nor_an_extra():
    code = (
        "import sys; from tabsyn_core.baselines import BASELINES; BASELINES['bootstrap'](); "
        "print([name for name in ('torch', 'ctgan', 'imblearn', 'copulas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["ctab-gan", "ctab-gan+", "wgan-gp", "tabddpm", "tabsyn"])
def test_what_is_saved_draws_the_same_rows_and_holds_nothing_to_execute(name, tmp_path):
    baseline = fitted(name)
    baseline.save(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    loaded = type(baseline).load(tmp_path / "model")
    assert loaded.sample(30, seed=2).equals(baseline.sample(30, seed=2))


def test_a_folder_that_is_something_else_is_refused(tmp_path):
    fitted("wgan-gp").save(tmp_path / "model")
    with pytest.raises(TabsynError, match="holds a WGANGP"):
        type(fitted("tabddpm")).load(tmp_path / "model")
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"half")
    with pytest.raises(TabsynError, match="not a complete baseline"):
        type(fitted("wgan-gp")).load(tmp_path / "model")
    with pytest.raises(TabsynError, match="does not exist"):
        type(fitted("wgan-gp")).load(tmp_path / "nothing")


def test_a_setting_that_cannot_be_trained_is_refused():
    with pytest.raises(TabsynError, match="timesteps is 0"):
        BASELINES["tabddpm"](timesteps=0)
