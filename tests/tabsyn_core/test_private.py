import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.codec import Codec
from tabsyn_core.config import DiffusionConfig, GeneratorConfig
from tabsyn_core.diffusion import EDMPreconditioning, heun_sampler
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.errors import TabsynError
from tabsyn_core.networks import ResidualDenoiser
from tabsyn_core.private import PrivacyConfig, accounting
from tabsyn_core.private.accounting import Mechanism, Plan, PrivacyStatement, epsilon_of, spent
from tabsyn_core.private.correlations import (
    clipped_scatter,
    denoised_correlations,
    noisy_scatter,
    private_scaling,
    square_bound,
)
from tabsyn_core.private.marginals import (
    Cells,
    Levels,
    first_edges,
    histograms,
    private_distributions,
    public_schema,
    sensitivity,
    states_at,
)
from tabsyn_core.private.training import row_gradients, train_privately
from tabsyn_core.schema import Kind
from tabsyn_core.tabsyn import TabSyn

ROWS = 2000


@pytest.fixture
def opacus():
    return pytest.importorskip("opacus", reason="opacus is not installed; pip install '.[dp]'")


def a_table(rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.lognormal(5, 0.5, rows)
    area = np.where(rng.random(rows) < 0.3, 0.0, rng.gamma(2, 30, rows))
    return pl.DataFrame(
        {
            "weight": pl.Series(weight),
            "area": pl.Series(np.where(rng.random(rows) < 0.1, np.nan, area)).fill_nan(None),
            "charge": rng.normal(-0.3, 0.1, rows) + weight / 1e3,
            "share": rng.beta(2, 5, rows),
            "rings": rng.poisson(2, rows),
            "grade": rng.choice(["low", "medium", "high"], rows, p=[0.2, 0.5, 0.3]),
            "active": rng.random(rows) < 0.4,
        }
    )


BOUNDS = {"weight": (0.0, None), "area": (0.0, None), "share": (0.0, 1.0), "rings": (0.0, None)}


def fitted(epsilon, table=None, seed=1, **levels):
    table = a_table() if table is None else table
    config = PrivacyConfig(epsilon=epsilon, num_updates=0)
    schema = public_schema(table, bounds=BOUNDS)
    plan = Plan.of(config, table.height)
    return private_distributions(table, schema, config, plan, np.random.default_rng(seed), levels=levels)


def shape_error(distributions, table):
    """The mean Kolmogorov-Smirnov distance of the columns of numbers."""
    rng = np.random.default_rng(9)
    errors = []
    for name in ("weight", "area", "charge", "share", "rings"):
        real = np.sort(table[name].drop_nulls().to_numpy())
        drawn = np.sort(distributions[name].sample(20_000, rng).drop_nulls().to_numpy())
        points = np.concatenate([real, drawn])
        gap = np.searchsorted(real, points, "right") / real.size - np.searchsorted(drawn, points, "right") / drawn.size
        errors.append(np.abs(gap).max())
    return float(np.mean(errors))


# Accounting


@pytest.mark.parametrize(("multiplier", "rate", "updates"), [(1.0, 1.0, 1), (3.0, 1.0, 4), (1.1, 0.01, 1000)])
def test_the_account_is_opacus_own(opacus, multiplier, rate, updates):
    accountant = opacus.accountants.RDPAccountant()
    accountant.history = [(multiplier, rate, updates)]
    ours = epsilon_of([Mechanism("any", multiplier, rate, updates)], 1e-5)
    assert ours == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-9)


def test_a_gaussian_mechanism_costs_at_least_its_exact_epsilon(opacus):
    """Balle & Wang (ICML 2018): delta = Phi(1/2z - eps z) - e^eps Phi(-1/2z - eps z) is 1e-5 at z = 1, eps = 4.377."""
    del opacus
    assert 4.377 < epsilon_of([Mechanism("any", 1.0)], 1e-5) < 1.1 * 4.377


def test_mechanisms_compose_in_any_order_and_split(opacus):
    del opacus
    one, two = Mechanism("one", 2.0), Mechanism("two", 1.5, 0.1, 50)
    assert epsilon_of([one, two], 1e-5) == pytest.approx(epsilon_of([two, one], 1e-5))
    halves = [Mechanism("half", 2.0 * math.sqrt(2))] * 2
    assert epsilon_of(halves, 1e-5) == pytest.approx(epsilon_of([one], 1e-5))


@pytest.mark.parametrize(("epsilon", "num_updates"), [(0.5, 0), (50.0, 0), (0.5, 20), (5.0, 20)])
def test_no_more_is_spent_than_was_asked_and_hardly_less(opacus, epsilon, num_updates):
    del opacus
    config = PrivacyConfig(epsilon=epsilon, num_updates=num_updates)
    found = spent(Plan.of(config, ROWS).mechanisms, config.delta)
    assert 0.999 * epsilon < found <= epsilon


def test_every_noise_falls_as_epsilon_grows(opacus):
    del opacus
    plans = [Plan.of(PrivacyConfig(epsilon=epsilon, num_updates=20), ROWS) for epsilon in (1, 4)]
    for falling in zip(*(plan.mechanisms for plan in plans), strict=True):
        multipliers = [mechanism.noise_multiplier for mechanism in falling]
        assert multipliers == sorted(multipliers, reverse=True)
        assert len(set(multipliers)) == len(multipliers)


def test_delta_must_be_small_for_the_rows(opacus):
    del opacus
    with pytest.raises(TabsynError, match=r"privacy\.delta is 0\.001 with 2000 rows"):
        Plan.of(PrivacyConfig(epsilon=1, delta=1e-3), 2000)


@pytest.mark.parametrize(
    "change", [{"epsilon": 0.0}, {"delta": 1.0}, {"num_updates": -1}, {"marginals": 0.7, "correlations": 0.3}]
)
def test_a_config_that_makes_no_sense_is_refused(change):
    with pytest.raises(TabsynError, match=rf"privacy\.{next(iter(change))}"):
        PrivacyConfig(**{"epsilon": 1.0, **change})


def test_the_statement_says_what_was_spent_and_comes_back_from_json(opacus):
    del opacus
    config = PrivacyConfig(epsilon=3.0, num_updates=20)
    plan = Plan.of(config, ROWS)
    statement = PrivacyStatement.of(config, plan, ROWS)
    content = json.loads(json.dumps(statement.to_json()))
    assert PrivacyStatement.from_json(content) == statement
    assert statement.epsilon <= 3.0
    assert "(3, 1e-05)-differentially private" in content["statement"]
    assert "2000 training rows" in content["statement"]
    assert all(mechanism.name in content["statement"] for mechanism in plan.mechanisms)
    assert content["statement"].count(". ") == 1  # two sentences


def test_without_opacus_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus.accountants.analysis.rdp", None)
    with pytest.raises(TabsynError, match=r"\.\[dp\]"):
        accounting.epsilon_of([Mechanism("any", 1.0)], 1e-5)


def test_opacus_is_imported_only_when_it_is_used():
    code = (
        "import sys, tabsyn_core.generator, tabsyn_core.private.marginals, tabsyn_core.private.correlations, "
        "tabsyn_core.private.training; sys.exit('opacus' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Column distributions


@settings(max_examples=25, deadline=None)
@given(row=st.integers(0, 199), seed=st.integers(0, 5), cells=st.integers(12, 64))
def test_a_row_moves_the_counts_exactly_as_far_as_is_claimed(row, seed, cells):
    table = a_table(200, seed)
    schema = public_schema(table, bounds=BOUNDS)
    numbers = [column for column in schema.columns if column.kind is not Kind.CATEGORICAL]
    asked = [Cells(column, np.array([0.0]), first_edges(column, 1e6, cells)) for column in numbers]
    asked.append(Levels.of(table["grade"], schema["grade"], ["high", "low", "medium"]))
    asked.append(Levels.of(table["active"], schema["active"], None))
    without = table.with_row_index("row").filter(pl.col("row") != row).drop("row")
    other = a_table(200, seed + 100)
    replaced = pl.concat([without, other[row : row + 1]])
    whole, less, changed = (np.concatenate(histograms(rows, asked)) for rows in (table, without, replaced))
    assert np.linalg.norm(whole - less) == pytest.approx(sensitivity(len(asked)))
    assert np.linalg.norm(whole - changed) <= math.sqrt(2) * sensitivity(len(asked)) + 1e-9


def test_noise_is_as_large_as_the_sensitivity_asks(opacus):
    """Many draws of the whole codec: the share of a public level has the standard deviation that the plan promises."""
    del opacus
    table = a_table(400).select("active", *(pl.col("active").alias(f"copy{k}") for k in range(3)))
    config = PrivacyConfig(epsilon=2.0, num_updates=0)
    plan, schema = Plan.of(config, table.height), public_schema(table)
    true = table["active"].sum()
    found = []
    for seed in range(300):
        fit = private_distributions(table, schema, config, plan, np.random.default_rng(seed))["active"]
        share = dict(zip(fit.levels, fit.level_probabilities, strict=True))
        found.append(share[True])
    sigma = plan.counts.noise_multiplier * math.sqrt(4)
    expected = sigma * math.hypot(true, 400 - true) / 400**2  # of a / (a + b), to first order
    assert np.std(found) == pytest.approx(expected, rel=0.15)


def test_much_budget_recovers_the_columns_and_less_recovers_less(opacus):
    del opacus
    table = a_table()
    errors = [shape_error(fitted(epsilon, table), table) for epsilon in (1000.0, 3.0, 0.5)]
    assert errors[0] < 0.025
    assert errors == sorted(errors)
    fit = fitted(1000.0, table)
    shares = dict(zip(fit["area"].atoms, fit["area"].atom_probabilities, strict=True))
    assert shares[None] == pytest.approx(table["area"].null_count() / ROWS, abs=0.005)
    assert shares[0.0] == pytest.approx((table["area"] == 0).sum() / ROWS, abs=0.005)
    levels = dict(zip(fit["grade"].levels, fit["grade"].level_probabilities, strict=True))
    assert levels == {
        level: pytest.approx((table["grade"] == level).mean(), abs=0.005) for level in ("low", "medium", "high")
    }


def test_values_stay_within_public_bounds_and_whole(opacus):
    del opacus
    rng = np.random.default_rng(0)
    for epsilon in (0.5, 5.0):
        fit = fitted(epsilon)
        assert fit["share"].sample(5000, rng).drop_nulls().is_between(0, 1).all()
        assert (fit["weight"].sample(5000, rng).drop_nulls() >= 0).all()
        assert fit["rings"].sample(10, rng).dtype == pl.Int64
        assert (fit["rings"].sample(5000, rng).drop_nulls() >= 0).all()


def test_what_comes_out_is_an_ordinary_codec(opacus):
    del opacus
    table = a_table()
    schema = public_schema(table, bounds=BOUNDS)
    fit = fitted(20.0, table)
    again = {name: ColumnDistribution.from_json(json.loads(json.dumps(one.to_json()))) for name, one in fit.items()}
    codec = Codec(schema, again)
    encoded = codec.encode(table, np.random.default_rng(0))
    states, ranks = encoded.batch(torch.arange(ROWS), torch.Generator().manual_seed(0))
    assert abs(ranks.mean()) < 0.2
    assert 0.8 < ranks.std() < 1.2
    decoded = codec.decode(states.numpy(), ranks.double().numpy())
    assert decoded.schema == table.schema
    assert (decoded["grade"] == table["grade"]).mean() > 0.99
    assert (states_at(codec, ranks.double().numpy()) == states.numpy()).mean() > 0.9999


def test_no_value_of_a_row_is_kept(opacus):
    del opacus
    table = a_table()
    content = json.dumps({name: one.to_json() for name, one in fitted(1000.0, table).items()})
    assert not any(repr(value) in content for value in table["weight"].to_list())


def test_a_level_of_one_row_is_never_published(opacus):
    del opacus
    table = a_table()
    rare = table.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("Ann")).otherwise("grade").alias("grade")
    )
    assert all("Ann" not in fitted(10.0, rare, seed=seed)["grade"].levels for seed in range(30))
    assert {"low", "medium", "high"} == set(fitted(10.0, rare)["grade"].levels)


def test_levels_too_rare_to_publish_are_an_error_that_says_so(opacus):
    del opacus
    table = a_table().with_columns(pl.int_range(pl.len()).cast(pl.String).alias("grade"))
    with pytest.raises(TabsynError, match="column 'grade': no level is common enough"):
        fitted(5.0, table)


def test_the_public_schema_looks_at_no_row():
    table = a_table()
    assert public_schema(table, bounds=BOUNDS) == public_schema(table.clear(), bounds=BOUNDS)
    assert public_schema(table)["charge"].lower is None
    assert public_schema(table, kinds={"rings": Kind.CATEGORICAL})["rings"].kind is Kind.CATEGORICAL
    with pytest.raises(TabsynError, match="column 'day' is Date"):
        public_schema(pl.DataFrame({"day": []}, schema={"day": pl.Date}))


def test_too_few_rows_for_the_noise_are_an_error_with_a_remedy(opacus):
    del opacus
    with pytest.raises(TabsynError, match=r"would be pure noise. Raise privacy\.epsilon"):
        fitted(0.5, a_table(60))


def test_the_seed_decides_the_noise(opacus):
    del opacus
    first, second, other = ({name: one.to_json() for name, one in fitted(5.0, seed=seed).items()} for seed in (1, 1, 2))
    assert first == second
    assert first != other


# Correlations


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), columns=st.integers(1, 12), size=st.floats(0.1, 30))
def test_a_row_moves_the_scatter_matrix_by_the_bound_at_most(seed, columns, size):
    random = torch.Generator().manual_seed(seed)
    ranks = torch.randn(20, columns, generator=random) * size
    moved = (clipped_scatter(ranks, 7.0) - clipped_scatter(ranks[1:], 7.0)).norm()
    assert moved <= 7.0 * (1 + 1e-9)
    far = torch.full((1, columns), 6.0)
    assert clipped_scatter(far, 7.0).norm() == pytest.approx(7.0)


def test_the_noise_of_the_scatter_matrix_is_as_wide_in_every_direction():
    columns, zero = 30, torch.zeros(1, 30)
    noise, width = noisy_scatter(zero, Mechanism("correlations", 2.0), np.random.default_rng(0))
    assert torch.equal(noise, noise.T)
    off = noise[torch.triu(torch.ones(columns, columns), 1).bool()]
    assert off.std() == pytest.approx(width, rel=0.1)
    bound = square_bound(Mechanism("correlations", 2.0), 1, columns)
    assert bound == columns
    assert noise.diagonal().std() == pytest.approx(2.0 * bound, rel=0.3)
    assert torch.equal(denoised_correlations(torch.eye(3).double(), 5.0), torch.eye(3).double())


def test_correlations_are_recovered_and_whitened_away():
    random = torch.Generator().manual_seed(0)
    factor = torch.randn(5000, 1, generator=random)
    ranks = 0.8 * factor + 0.6 * torch.randn(5000, 10, generator=random)
    noisy, noise = noisy_scatter(ranks, Mechanism("correlations", 1.0), np.random.default_rng(0))
    found = denoised_correlations(noisy, noise)
    assert torch.allclose(found.diagonal(), torch.ones(10).double())
    assert found[0, 1] == pytest.approx(0.64, abs=0.05)
    scaling = private_scaling(ranks, Mechanism("correlations", 1.0), 0.5, np.random.default_rng(0))
    white = scaling.apply(ranks)
    assert white.std(0).mean() == pytest.approx(0.5, abs=0.05)
    assert torch.allclose(scaling.invert(white), ranks, atol=1e-3)


def test_noise_depends_on_all_bits_of_its_seed():
    table = pl.DataFrame(
        {"x": np.random.default_rng(0).normal(size=300), "y": np.random.default_rng(1).normal(size=300)}
    )
    scalings = []
    for noise in (5, 5 + (7 << 32), 5 + (7 << 100)):
        config = PrivacyConfig(epsilon=3.0)
        plan = Plan.of(config, table.height)
        schema = public_schema(table)
        found = private_distributions(table, schema, config, plan, np.random.default_rng([0, 1]))
        core = TabSyn(Codec(schema, dict(found)), GeneratorConfig(privacy=config))
        core.fit_privately(table, plan, noise)
        scalings.append(core.scaling.forward)
    assert not torch.allclose(scalings[0], scalings[1])
    assert not torch.allclose(scalings[0], scalings[2])


def test_an_untrained_denoiser_draws_a_gaussian_copula():
    random = torch.Generator().manual_seed(0)
    ranks = 0.8 * torch.randn(4000, 1, generator=random) + 0.6 * torch.randn(4000, 4, generator=random)
    scaling = private_scaling(ranks, Mechanism("correlations", 0.5), 0.5, np.random.default_rng(0))
    drawn = scaling.invert(heun_sampler(a_denoiser(4), torch.randn(4000, 4, generator=random), 30))
    assert torch.corrcoef(drawn.T)[0, 1] == pytest.approx(0.64, abs=0.06)
    assert drawn.std(0).mean() == pytest.approx(1.0, abs=0.05)


# Training


def a_denoiser(dim, seed=0):
    torch.manual_seed(seed)
    return EDMPreconditioning(ResidualDenoiser(dim, 16, 1), 0.5)


def trained(noise, *, seed=0, updates=60, rate=0.25, levels=4):
    """Two points at ±0.5, which no Gaussian is like."""
    data = torch.where(torch.arange(400)[:, None] % 2 == 0, 0.5, -0.5).expand(-1, 2)
    config = PrivacyConfig(epsilon=1.0, learning_rate=1e-2, max_grad_norm=1.0, noise_levels=levels)
    network = a_denoiser(2)
    train_privately(
        network,
        lambda rows, _: data[rows],
        len(data),
        mechanism=Mechanism("training", noise, rate, updates),
        config=config,
        diffusion=DiffusionConfig(ema_halflife=10),
        generator=torch.Generator().manual_seed(seed),
    )
    return network


def weights(network):
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_gradients_of_rows_are_those_of_autograd(opacus):
    """What is clipped must be one row's own gradient, whoever else is in the batch."""
    del opacus
    network, data = a_denoiser(3), torch.randn(5, 3)
    with torch.no_grad():
        for weight in network.parameters():  # leave the zeros it starts from
            weight.add_(0.1 * torch.randn(weight.shape))

    def gradients(rows):
        random = torch.Generator().manual_seed(3)
        return row_gradients(
            network, lambda r, _: data[r], rows, noise_levels=1, diffusion=DiffusionConfig(), generator=random
        )

    random = torch.Generator().manual_seed(3)
    sigma = (-1.2 + 1.4 * torch.randn(2, generator=random)).exp()
    noisy = data[[4, 1]] + torch.randn(2, 3, generator=random) * sigma[:, None]
    found = gradients(torch.tensor([4, 1]))
    for k, row in enumerate((4, 1)):
        error = network(noisy[k : k + 1], sigma[k : k + 1]) - data[row]
        loss = (network.loss_weight(sigma[k : k + 1])[:, None] * error**2).mean()
        expected = torch.autograd.grad(loss, [*network.parameters()])
        for name, gradient in zip(dict(network.named_parameters()), expected, strict=True):
            assert torch.allclose(found[name][k], gradient, rtol=1e-4, atol=1e-6), name
    assert all(len(gradient) == 0 for gradient in gradients(torch.tensor([], dtype=torch.long)).values())


def test_training_learns_what_a_copula_cannot(opacus):
    del opacus
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))

    def away(network):
        return (heun_sampler(network.eval(), noise, 20).abs() - 0.5).abs().mean().item()

    assert away(trained(0.3)) < 0.7 * away(a_denoiser(2))


def test_noise_of_one_update_is_what_the_mechanism_says(opacus):
    """With one row drawn with probability near 0 the update is noise alone; plain SGD would be z C / (q n)."""
    network = a_denoiser(2)
    before = weights(network)
    noise = opacus.optimizers.DPOptimizer(
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=3.0,
        max_grad_norm=0.5,
        expected_batch_size=10,
        generator=torch.Generator().manual_seed(0),
    )
    nobody = row_gradients(
        network,
        lambda rows, _: rows,
        torch.tensor([], dtype=torch.long),
        noise_levels=2,
        diffusion=DiffusionConfig(),
        generator=torch.Generator(),
    )
    for name, weight in network.named_parameters():
        weight.grad_sample = nobody[name]
    noise.step()
    assert (weights(network) - before).std() == pytest.approx(3.0 * 0.5 / 10, rel=0.05)


def test_the_same_seed_trains_the_same_weights(opacus):
    del opacus
    one, same, other = (weights(trained(1.0, seed=seed, updates=5)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_training_survives_batches_nobody_is_in(opacus):
    del opacus
    assert torch.isfinite(weights(trained(1.0, updates=5, rate=1e-6))).all()


def test_the_config_travels_as_plain_data():
    config = PrivacyConfig(epsilon=2.0)
    assert PrivacyConfig(**dataclasses.asdict(config)) == config
