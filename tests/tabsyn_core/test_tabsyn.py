import numpy as np
import polars as pl
import pytest
import torch

from tabsyn_core.codec import Codec
from tabsyn_core.config import AdversarialConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.distributions import fit_table
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema
from tabsyn_core.tabsyn import TabSyn

SMALL = GeneratorConfig(
    vae=VAEConfig(num_updates=30, width=8, batch_size=64),
    diffusion=DiffusionConfig(width=64, num_blocks=2, batch_size=128, ema_halflife=50),
    num_updates=400,
    threads=1,
)
TINY = GeneratorConfig(
    vae=VAEConfig(num_updates=2, width=4, batch_size=8),
    diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=8),
    num_updates=3,
    threads=1,
)


def related(n=800, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pl.DataFrame(
        {
            "x": x,
            "y": x + 0.3 * rng.normal(size=n),
            "group": np.where(x > 0.3, "high", "low"),
            "count": rng.poisson(np.exp(0.5 * x)),
        }
    )


def codec_of(table):
    schema = TableSchema.infer(table)
    return Codec(schema, fit_table(table, schema, seed=0))


@pytest.fixture(scope="module")
def codec():
    return codec_of(related())


@pytest.fixture(scope="module")
def model(codec):
    model = TabSyn(codec, SMALL)
    model.curves = model.fit(related(), seed=0)
    return model


def rng(seed=0):
    return np.random.default_rng(seed)


def test_rows_hang_together_as_the_tables_do(codec, model):
    rows = codec.decode(*model.draw(2000, rng(), 20))
    assert np.corrcoef(rows["x"], rows["y"])[0, 1] == pytest.approx(0.958, abs=0.05)
    assert ((rows["x"] > 0.3) == (rows["group"] == "high")).mean() > 0.75  # by chance 0.53
    assert (rows["count"] >= 0).all()
    assert np.corrcoef(rows["x"], rows["count"])[0, 1] > 0.25


def test_unknown_cells_are_filled_given_the_known(codec, model):
    table = related(500, seed=3)
    encoded = codec.encode(table, rng())
    ranks = torch.special.ndtri(((encoded.low + encoded.high) / 2).clamp(1e-9, 1 - 1e-9)).numpy()
    known = np.ones(ranks.shape, dtype=bool)
    known[:, 1:3] = False
    states, filled = model.inpaint(encoded.states.numpy(), ranks, known, rng(), 20)
    assert np.array_equal(states[known], encoded.states.numpy()[known])
    assert np.array_equal(filled[known], ranks[known])
    rows = codec.decode(states, filled)
    assert np.corrcoef(rows["y"], table["y"])[0, 1] > 0.85
    assert (rows["group"] == table["group"]).mean() > 0.72


def test_draws_are_decided_by_the_random_numbers(model):
    one, same, other = (model.draw(20, rng(seed), 5)[1] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_weights_read_back_draw_the_same(codec, model):
    again = TabSyn(codec, SMALL)
    again.load(model.weights())
    assert np.array_equal(again.draw(30, rng(), 5)[1], model.draw(30, rng(), 5)[1])
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters()) > 0


def test_loading_leaves_the_callers_random_numbers_alone(codec, model):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    TabSyn(codec, SMALL).load(model.weights())
    assert torch.equal(torch.rand(2), expected)


def test_a_warm_fit_goes_on_from_the_weights_it_has(codec):
    model = TabSyn(codec, TINY)
    curves = model.fit(related(), seed=0)
    before = {name: tensor.clone() for name, tensor in model.weights()["vae"].items()}
    scaling = model.scaling
    assert [curve.phase for curve in curves] == ["vae", "diffusion"]
    assert [curve.phase for curve in model.fit(related(seed=5), seed=1, warm=True)] == ["diffusion"]
    assert model.scaling is scaling
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.weights()["vae"].items())


def test_training_lowers_both_losses_and_is_validated(model):
    vae, diffusion = model.curves
    assert vae.losses[-1] < vae.losses[0]
    assert diffusion.validation[-1] < diffusion.validation[0]


@pytest.mark.parametrize(
    "config",
    [
        GeneratorConfig(vae=VAEConfig(num_updates=2, width=4, batch_size=8, d_token=3), diffusion=TINY.diffusion),
        GeneratorConfig(vae=VAEConfig(num_updates=2, width=4, batch_size=8, heads="family"), diffusion=TINY.diffusion),
        GeneratorConfig(vae=TINY.vae, diffusion=TINY.diffusion, adversarial=AdversarialConfig(steps=2, width=8)),
        GeneratorConfig(vae=TINY.vae, diffusion=DiffusionConfig(width=16, num_blocks=1, validation_share=0.0)),
    ],
    ids=["wide tokens", "family heads", "discriminator in training", "nothing validated"],
)
def test_every_part_draws_fills_and_reads_back(codec, config):
    config = GeneratorConfig(
        **{n: getattr(config, n) for n in ("vae", "diffusion", "adversarial")}, num_updates=3, threads=1
    )
    model, table = TabSyn(codec, config), related()
    model.fit(table, seed=0)
    states, ranks = model.draw(7, rng(), 3)
    assert codec.decode(states, ranks).schema == table.schema
    known = np.zeros(states.shape, dtype=bool)
    known[:, 0] = True
    assert np.array_equal(model.inpaint(states, ranks, known, rng(), 2)[1][:, 0], ranks[:, 0])
    again = TabSyn(codec, config)
    again.load(model.weights())
    assert np.array_equal(again.draw(7, rng(), 3)[1], ranks)


def test_a_device_that_is_not_there_is_refused(codec):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(TabsynError, match="device is 'cuda'"):
        TabSyn(codec, GeneratorConfig(device="cuda")).fit(related(), seed=0)


@pytest.mark.parametrize("columns", [["x", "y"], ["group"], ["count"]])
def test_one_kind_of_column_is_enough(columns):
    table = related().select(columns)
    codec = codec_of(table)
    model = TabSyn(codec, TINY)
    model.fit(table, seed=0)
    assert codec.decode(*model.draw(9, rng(), 2)).schema == table.schema
