import json

import numpy as np
import polars as pl
import pytest
import torch
from known import known_table, schema_of

from tabsyn_core.baselines import BASELINES
from tabsyn_core.baselines.ctabgan.encoder import Encoder
from tabsyn_core.baselines.ctabgan.networks import (
    Auxiliary,
    Conditions,
    Critic,
    Generator,
    RowsByOption,
    activated,
    condition_loss,
    information_loss,
)
from tabsyn_core.baselines.ctabgan.private import row_gradients
from tabsyn_core.baselines.wgan_gp import gradient_penalty
from tabsyn_core.errors import TabsynError
from tabsyn_core.private.accounting import spent
from tabsyn_core.private.marginals import public_schema
from tabsyn_core.schema import TableSchema

SMALL = {"epochs": 2, "batch_size": 50, "channels": 4, "noise": 8, "threads": 1}


def mixed_table():
    rng = np.random.default_rng(0)
    spike = np.where(rng.random(500) < 0.4, 0.0, rng.gamma(2, size=500))
    return pl.DataFrame(
        {
            "spike": np.where(rng.random(500) < 0.1, np.nan, spike),
            "tail": np.exp(2 * rng.normal(size=500)),
            "loss": 3 - np.exp(2 * rng.normal(size=500)),  # a tail to the left is no long tail of the paper's
            "normal": rng.normal(size=500),
            "name": [f"level {place % 60}" for place in range(500)],
        }
    ).with_columns(pl.col("spike").fill_nan(None))


def encoder_of(table, *, plus, target=None):
    return Encoder.fit(table, TableSchema.infer(table), plus=plus, target=target, seed=0)


@pytest.mark.parametrize("plus", [False, True])
def test_a_code_is_read_back_as_the_row_it_stands_for(plus):
    for table in (mixed_table(), known_table().with_columns(pl.selectors.float().fill_nan(None))):
        encoder = encoder_of(table, plus=plus)
        codes = encoder.encode(table, seed=1)
        assert codes.shape == (table.height, sum(length for length, _ in encoder.spans))
        assert np.abs(codes).max() <= 1
        rows = encoder.decode(codes.astype(np.float64))
        assert rows.schema == table.schema
        for column in table:
            if column.dtype.is_float():
                assert rows[column.name].is_null().equals(column.is_null())
                # α is cut where a value lies beyond 4 standard deviations of its mode
                close = (rows[column.name] - column).abs() <= 1e-4 * column.abs() + 1e-4
                assert close.drop_nulls().mean() > 0.99, column.name
            else:
                assert rows[column.name].equals(column)


def test_columns_are_mixed_long_tailed_or_general_by_the_stated_rules():
    for plus in (False, True):
        columns = {column.name: column for column in encoder_of(mixed_table(), plus=plus).columns}
        assert columns["spike"].levels == (0.0, None)  # modal values, the commonest first
        assert columns["tail"].shift == 0.0
        assert columns["loss"].shift is None
        assert columns["normal"].shift is None
        assert columns["name"].ranked is plus
    target = {column.name: column for column in encoder_of(mixed_table(), plus=True, target="name").columns}
    assert len(target["name"].levels) == target["name"].spans[0][0] == 60


def test_a_value_is_standardised_in_its_mode():
    table = pl.DataFrame({"x": np.append(np.random.default_rng(0).normal(-5, 1, 300), np.full(3, -5.0))})
    encoder = encoder_of(table, plus=True, target="x")  # the general transform: one mode over the range
    low, high = table["x"].min(), table["x"].max()
    expected = 2 * (table["x"].to_numpy() - low) / (high - low) - 1
    assert encoder.encode(table, seed=0)[:, 0] == pytest.approx(expected, abs=1e-6)


def test_an_encoder_survives_json():
    for plus in (False, True):
        encoder = encoder_of(mixed_table(), plus=plus)
        assert Encoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


SPANS = [(1, False), (2, True), (3, True)]


def codes_of(first, second):
    return torch.cat([torch.zeros(len(first), 1), torch.eye(2)[first], torch.eye(3)[second]], dim=1)


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    return codes_of((rng.random(1000) < 0.02).astype(int), rng.choice(3, 1000, p=[0.6, 0.3, 0.1]))


def test_rare_options_are_trained_on_more_often_than_they_are_sampled(codes):
    torch.manual_seed(0)
    conditions = Conditions.of(codes, SPANS)
    rare = float(codes[:, 2].mean())
    choice, option = conditions.draw(20_000, logarithmic=None)
    assert float((choice == 0).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(option[choice == 0].float().mean()) == pytest.approx(rare, abs=0.01)
    choice, option = conditions.draw(20_000, logarithmic=len(codes))
    counts = np.log(np.array([1 - rare, rare]) * 1000 + 1)
    assert float(option[choice == 0].float().mean()) == pytest.approx(counts[1] / counts.sum(), abs=0.02)


def test_real_rows_have_the_option_that_is_asked_for_and_all_of_them_may_come(codes):
    torch.manual_seed(0)
    conditions, rows = Conditions.of(codes, SPANS), RowsByOption(codes, SPANS)
    choice, option = conditions.draw(5000, logarithmic=len(codes))
    found = codes[rows.find(choice, option)]
    assert (conditions.vector(choice, option) * found[:, 1:]).sum(1).eq(1).all()
    asked = torch.zeros(3000, dtype=torch.int64)
    rare = torch.ones_like(asked)
    assert set(rows.find(asked, rare).tolist()) == set(codes[:, 2].nonzero()[:, 0].tolist())


def test_a_vector_says_one_option_of_one_column():
    conditions = Conditions([[0.5, 0.5], [0.2, 0.3, 0.5]])
    vector = conditions.vector(torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert vector.tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]


def test_the_condition_loss_is_the_cross_entropy_of_the_column_that_was_asked_for():
    logits = torch.tensor([[0.3, 1.0, -1.0, 0.0, 0.0, 0.0], [0.3, 0.0, 0.0, 2.0, 0.0, 0.0]])
    found = condition_loss(logits, SPANS, torch.tensor([0, 1]), torch.tensor([0, 2]))
    expected = -(logits[0, 1:3].log_softmax(0)[0] + logits[1, 3:].log_softmax(0)[2]) / 2
    assert found.item() == pytest.approx(expected.item())


def test_the_information_loss_compares_means_and_spreads():
    real = torch.randn(200, 5)
    assert information_loss(real, real[torch.randperm(200)]).item() == pytest.approx(0, abs=1e-5)
    assert information_loss(real, real + torch.tensor([3.0, 4.0, 0, 0, 0])).item() == pytest.approx(5, abs=1e-4)
    expected = real.std(0).norm() + real.mean(0).norm()
    assert information_loss(real, 2 * real).item() == pytest.approx(expected.item(), abs=1e-4)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("size", [3, 16, 17, 300, 1500])
def test_the_players_take_rows_of_any_length(size, plus):
    generator, critic = Generator(5, 2, size, 4, plus=plus), Critic(size + 2, 4, plus=plus)
    logits = generator(torch.randn(6, 5), torch.zeros(6, 2))
    assert logits.shape == (6, size)
    rows = torch.cat([activated(logits, [(size, True)]), torch.zeros(6, 2)], dim=1)
    assert torch.allclose(rows[:, :size].sum(1), torch.ones(6), atol=1e-4)
    assert critic(rows).shape == (6,)


def test_a_row_that_is_too_long_is_refused_in_words():
    with pytest.raises(TabsynError, match="columns of many levels"):
        Critic(5000, 4, plus=True)


def test_the_auxiliary_network_does_not_see_what_it_predicts():
    torch.manual_seed(0)
    network = Auxiliary(6, slice(1, 3), 8).eval()
    rows = codes_of(torch.zeros(4, dtype=torch.int64), torch.arange(4) % 3)
    swapped = rows.clone()
    swapped[:, 1:3] = rows[:, 1:3].flip(1)
    logits = network.layers(torch.cat([rows[:, :1], rows[:, 3:]], dim=1))
    cross_entropy = torch.nn.functional.cross_entropy
    assert network(rows).item() == pytest.approx(cross_entropy(logits, torch.zeros(4).long()).item(), abs=1e-6)
    assert network(swapped).item() == pytest.approx(cross_entropy(logits, torch.ones(4).long()).item(), abs=1e-6)


@pytest.mark.parametrize(
    ("plus", "target"), [(False, "group"), (False, "w"), (True, "flag"), (True, "z"), (True, "same")]
)
def test_a_target_of_any_kind_is_trained_with(plus, target):
    table = known_table(100)
    name = "ctab-gan+" if plus else "ctab-gan"
    plain = BASELINES[name](**SMALL).fit(table, schema_of(table), seed=0).sample(20, 0)
    aimed = BASELINES[name](**SMALL, target=target).fit(table, schema_of(table), seed=0).sample(20, 0)
    assert aimed.schema == table.schema
    nothing_to_predict = target == "same" or (target in "wz" and name == "ctab-gan")  # which only classifies
    assert aimed.equals(plain) is nothing_to_predict


def test_a_target_that_is_no_column_is_refused():
    table = known_table(50)
    with pytest.raises(TabsynError, match="target 'income'"):
        BASELINES["ctab-gan"](**SMALL, target="income").fit(table, schema_of(table), seed=0)


def test_the_gradient_of_a_row_is_what_it_is_alone():
    torch.manual_seed(0)
    critic = Critic(20, 4, plus=True)
    real, fake = torch.randn(3, 20), torch.randn(3, 20)
    found = row_gradients(critic, real, fake, torch.ones(3), 10.0)  # slopes at the real rows
    for row in range(3):
        x, made = real[row : row + 1], fake[row : row + 1]
        critic.zero_grad()
        loss = critic(made).sum() - critic(x).sum() + gradient_penalty(critic, x, x, 10.0)
        loss.backward()
        for name, weight in critic.named_parameters():
            expected = torch.zeros_like(weight) if weight.grad is None else weight.grad
            assert torch.allclose(found[name][row], expected, atol=1e-4), name
    assert found["leave.weight"].shape[0] == 3
    nobody = row_gradients(critic, real[:0], fake[:0], torch.ones(0), 10.0)
    assert all(len(gradient) == 0 for gradient in nobody.values())


def test_a_private_fit_spends_no_more_than_it_may_and_says_what_it_spent(tmp_path):
    table = known_table(2000).select("x", "y", "group", "flag")
    schema = public_schema(table)
    baseline = BASELINES["ctab-gan+"](**{**SMALL, "batch_size": 400}, epsilon=3.0, delta=1e-5)
    rows = baseline.fit(table, schema, seed=0).sample(50, seed=0)
    assert rows.schema == table.schema
    assert baseline.effort["updates"] == 10
    assert 2 < baseline.effort["epsilon"] <= 3
    assert baseline.effort["delta"] == 1e-5
    training = baseline.privacy.mechanisms[-1]
    assert (training.name, training.num_updates, training.sampling_rate) == ("training", 10, 0.2)
    assert spent(baseline.privacy.mechanisms, 1e-5) == baseline.effort["epsilon"]
    baseline.save(tmp_path / "model")
    loaded = type(baseline).load(tmp_path / "model")
    assert loaded.privacy == baseline.privacy
    assert loaded.sample(50, seed=0).equals(rows)


def test_a_private_fit_that_stops_early_spends_less_and_is_not_repeated_by_its_seed():
    table = known_table(1000).select("x", "group")
    schema = public_schema(table)
    fits = [
        BASELINES["ctab-gan+"](**{**SMALL, "epochs": 50}, epsilon=5.0).fit(table, schema, seed=0, seconds=1)
        for _ in range(2)
    ]
    assert all(fit.effort["updates"] < fit.effort["published updates"] for fit in fits)
    assert all(fit.effort["epsilon"] < 5 for fit in fits)
    assert not fits[0].sample(50, seed=0).equals(fits[1].sample(50, seed=0))


def test_what_an_account_would_not_cover_is_refused():
    with pytest.raises(TabsynError, match="batch norm"):
        BASELINES["ctab-gan"](epsilon=1.0)
    with pytest.raises(TabsynError, match="leave out target"):
        BASELINES["ctab-gan+"](epsilon=1.0, target="x")
