import math

import pytest
import torch

from tabsyn_core.adversarial import Game
from tabsyn_core.config import AdversarialConfig
from tabsyn_core.diffusion import EDMPreconditioning, edm_loss, heun_sampler
from tabsyn_core.errors import TabsynError
from tabsyn_core.networks import ResidualDenoiser
from tabsyn_core.progress import silent
from tabsyn_core.training import Budget, train

RULES = {"p_mean": -1.2, "p_std": 1.0}


def ring(rows, generator, blur=0.0):
    """Five tight clusters on a circle, standard deviation about 0.5."""
    angle = torch.randint(5, (rows,), generator=generator) * (2 * math.pi / 5)
    centre = 0.7 * torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + (0.03**2 + blur**2) ** 0.5 * torch.randn(rows, 2, generator=generator)


def new_denoiser():
    torch.manual_seed(0)
    return EDMPreconditioning(ResidualDenoiser(2, 64, 2), 0.5)


def blurred_denoiser(generator):
    """Trained on a blurred ring: what it draws lies between the clusters of the true one."""
    denoiser = new_denoiser()

    def step(_):
        return edm_loss(denoiser, ring(256, generator, blur=0.2), generator=generator, **RULES)

    train(
        denoiser,
        step,
        Budget(400, 3e-3, ema_halflife=50),
        generator,
        phase="blurred",
        memory={},
        progress=silent,
    )
    return denoiser


def distance_to_clusters(denoiser):
    angle = torch.arange(5) * (2 * math.pi / 5)
    centres = 0.7 * torch.stack([angle.cos(), angle.sin()], dim=1)
    noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(7))
    return torch.cdist(heun_sampler(denoiser, noise, 18), centres).min(dim=1).values.mean().item()


def told_apart(denoiser):
    """The share of rows that a fresh discriminator learns to tell apart from those of a denoiser that holds still."""
    torch.manual_seed(1)
    generator, memory = torch.Generator().manual_seed(1), {}
    game = Game(denoiser, 2, RULES_OF_PLAY, num_updates=150, generator=generator, **RULES)
    for _ in range(150):
        game.rival.descend(-game.objective(ring(256, generator), ring(256, generator), memory))
    return memory["told"]


RULES_OF_PLAY = AdversarialConfig(
    steps=3, weight=1.0, width=64, learning_rate=2e-3, start=0.0, ratio=0.25, penalty=0.02
)


@pytest.mark.slow
def test_it_sharpens_a_blurred_denoiser_until_it_is_harder_to_tell():
    generator = torch.Generator().manual_seed(0)
    denoiser = blurred_denoiser(generator)
    before, told_before = distance_to_clusters(denoiser), told_apart(denoiser)
    game = Game(denoiser, 2, RULES_OF_PLAY, num_updates=300, generator=generator, **RULES)

    def step(memory):
        return game.play(lambda: ring(256, generator), memory)

    budget = Budget(300, 5e-4, ema_halflife=50)
    train(denoiser, step, budget, generator, phase="game", memory={}, progress=silent, rival=game.rival)
    assert distance_to_clusters(denoiser) < 0.6 * before
    assert told_before > 0.55
    assert told_apart(denoiser) < told_before - 0.02


class Shifted(torch.nn.Module):
    """F = 0 is exact for N(0, σ_data²), where c_skip alone denoises; any shift is wrong."""

    def __init__(self, shift):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.full((2,), shift))

    def forward(self, x, c_noise):
        del c_noise
        return 0 * x + self.shift


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_it_pulls_a_denoiser_to_the_exact_one_and_leaves_it_there(shift):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    denoiser = EDMPreconditioning(Shifted(shift), 0.5)
    config = AdversarialConfig(steps=2, weight=1.0, width=32, start=0.0, learning_rate=2e-3)
    game = Game(denoiser, 2, config, num_updates=200, generator=generator, **RULES)

    def step(memory):
        return game.play(lambda: 0.5 * torch.randn(256, 2, generator=generator), memory)

    budget, memory = Budget(200, 0.01, ema_halflife=20), {}
    train(denoiser, step, budget, generator, phase="game", memory=memory, progress=silent, rival=game.rival)
    assert memory["told"] == pytest.approx(0.5, abs=0.04)
    assert denoiser.network.shift.abs().max() < 0.15


def run(path, *, stop_at=None):
    denoiser, generator = new_denoiser(), torch.Generator().manual_seed(3)
    config = AdversarialConfig(steps=2, width=16, start=0.25)
    game = Game(denoiser, 2, config, num_updates=40, generator=generator, **RULES)

    def step(memory):
        if memory.get("updates", 0) == stop_at:
            raise KeyboardInterrupt
        loss = edm_loss(denoiser, ring(32, generator), generator=generator, **RULES)
        return loss + game.play(lambda: ring(32, generator), memory)

    budget = Budget(40, 1e-3, ema_halflife=10, checkpoint=path, checkpoint_every=7)
    memory = {}
    train(denoiser, step, budget, generator, phase="game", memory=memory, progress=silent, rival=game.rival)
    return denoiser, game.rival.network, memory


@pytest.mark.parametrize("stop_at", [9, 30])  # before the game begins, and after
def test_a_killed_game_goes_on_to_the_same_bits(tmp_path, stop_at):
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop_at=stop_at)
    resumed = run(tmp_path / "killed")
    for network, again in zip(whole[:2], resumed[:2], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert whole[2] == resumed[2]
    assert whole[2]["updates"] == 40
    assert whole[2]["told"] != 0.5


def test_no_game_draws_nothing_and_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    state = generator.get_state()
    game = Game(new_denoiser(), 2, AdversarialConfig(), num_updates=10, generator=generator, **RULES)
    assert game.play(lambda: pytest.fail("drew a batch"), {}) == 0
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": -1}, "steps"),
        ({"weight": -0.1}, "weight"),
        ({"weight": math.nan}, "weight"),
        ({"width": 0}, "width"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"start": 1.5}, "start"),
        ({"ratio": 1}, "ratio"),
        ({"penalty": -1}, "penalty"),
    ],
)
def test_rules_that_cannot_be_played_are_refused(changes, named):
    with pytest.raises(TabsynError, match=named):
        AdversarialConfig(**changes)
