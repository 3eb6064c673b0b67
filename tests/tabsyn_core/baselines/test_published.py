"""The preset of TabSyn: sizes and constants of its authors' code, and what a budget makes of the recipe."""

from dataclasses import replace

import polars as pl
import pytest
import torch
from known import known_table, schema_of

from tabsyn_core.baselines import BASELINES
from tabsyn_core.config import ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.networks import ResidualDenoiser

SMALL = GeneratorConfig(
    vae=VAEConfig(d_token=4, width=8, batch_size=4096),
    diffusion=DiffusionConfig(width=32, num_blocks=1, batch_size=4096, validation_share=0, whitening=0),
    chain=ChainConfig(core=None),
    front_end="quantile",
    identities=False,
    proposals=1,
    threads=1,
)


@pytest.fixture(scope="module")
def table():
    return pl.concat([known_table(3000, seed) for seed in range(2)])


def test_constants_and_size_are_those_of_the_authors():
    config = GeneratorConfig.published()
    score, vae = config.diffusion, config.vae
    assert (score.p_mean, score.p_std, score.sigma_data) == (-1.2, 1.2, 0.5)  # EDM's, table 1
    assert (score.batch_size, score.learning_rate, score.whitening, score.validation_share) == (4096, 1e-3, 0, 0)
    assert (vae.d_token, vae.num_layers, vae.num_heads, vae.batch_size, vae.learning_rate) == (4, 2, 1, 4096, 1e-3)
    assert (vae.beta_max, vae.beta_min, vae.beta_decay) == (1e-2, 1e-5, 0.7)
    assert (config.chain.core, config.front_end, config.identities, config.proposals) == (None, "quantile", False, 1)
    weights = sum(weight.numel() for weight in ResidualDenoiser(60, score.width, score.num_blocks).parameters())
    assert weights == pytest.approx(10.5e6, rel=0.1)  # of their MLP for the 15 columns of adult


def test_without_a_budget_all_epochs_are_made_in_batches_no_longer_than_the_table(table):
    fit = BASELINES["tabsyn"](vae_epochs=2, epochs=3, config=SMALL).fit(table, schema_of(table), seed=0)
    made = {"vae updates": 4, "published vae updates": 4, "diffusion updates": 6, "published diffusion updates": 6}
    assert fit.effort == made
    few = table.head(100)
    fit = BASELINES["tabsyn"](vae_epochs=2, epochs=3, config=SMALL).fit(few, schema_of(few), seed=0)
    assert fit.generator.config.vae.batch_size == 100
    assert fit.effort["diffusion updates"] == 3


@pytest.mark.slow
def test_a_budget_makes_the_same_share_of_both_networks_epochs_in_smaller_batches(table):
    baseline = BASELINES["tabsyn"](vae_epochs=4000, epochs=10_000, config=replace(SMALL, num_updates=7), steps=5)
    fit = baseline.fit(table, schema_of(table), seed=0, seconds=15)
    config, effort = fit.generator.config, fit.effort
    batches = {"vae": config.vae.batch_size, "diffusion": config.diffusion.batch_size}
    assert all(256 <= batch < 4096 for batch in batches.values())
    planned = {"vae": config.vae.num_updates, "diffusion": config.num_updates}
    rows = {phase: updates * batches[phase] for phase, updates in planned.items()}
    assert rows["diffusion"] / rows["vae"] == pytest.approx(2.5, rel=0.2)
    assert effort["published diffusion updates"] == 10_000 * -(-6000 // batches["diffusion"])
    assert 0 < planned["diffusion"] < effort["published diffusion updates"]
    assert effort["vae updates"] > 0
    assert fit.sample(20, seed=0).schema == table.schema


@pytest.mark.slow
def test_a_share_is_measured_without_touching_the_random_state(table):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    BASELINES["tabsyn"](vae_epochs=1, epochs=1, config=SMALL).fit(table, schema_of(table), seed=0, seconds=600)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_saved_draws_in_as_many_steps(table, tmp_path):
    fit = BASELINES["tabsyn"](vae_epochs=1, epochs=1, config=SMALL, steps=3).fit(table, schema_of(table), seed=0)
    fit.save(tmp_path / "model")
    loaded = type(fit).load(tmp_path / "model")
    assert (loaded.steps, loaded.epochs, loaded.effort) == (3, 1, fit.effort)
    assert loaded.sample(20, seed=1).equals(fit.sample(20, seed=1))


def test_the_vae_alone_gives_rows_back(table):
    fit = BASELINES["tabsyn"](vae_epochs=5, epochs=1, config=SMALL).fit(table, schema_of(table), seed=0)
    rows = fit.reconstructed(table.head(500), seed=0)
    assert rows.schema == table.schema
    x, found = (each["x"].to_numpy() for each in (table.head(500), rows))
    assert abs(found - x).mean() < 0.2
    assert (rows["flag"] == table["flag"].head(500)).mean() > 0.95
    with pytest.raises(TabsynError, match="no VAE"):
        BASELINES["tabsyn"]().reconstructed(table, seed=0)
