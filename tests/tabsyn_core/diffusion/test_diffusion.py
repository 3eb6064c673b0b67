import pytest
import torch
from torch import nn

from tabsyn_core.diffusion import EDMPreconditioning, edm_loss, heun_sampler
from tabsyn_core.diffusion.sampler import noise_levels


class Silent(nn.Module):
    def forward(self, x, _):
        return torch.zeros_like(x)


class GaussianOptimum(EDMPreconditioning):
    """The exact denoiser of data N(0, spread²): D(x; σ) = spread² / (spread² + σ²) x."""

    def __init__(self, spread):
        super().__init__(Silent(), spread)

    def forward(self, x, sigma):
        spread = torch.tensor(self.sigma_data)
        return spread**2 / (spread**2 + sigma[:, None] ** 2) * x


def test_a_silent_network_leaves_the_best_linear_denoiser():
    x, sigma = torch.randn(64, 3), torch.rand(64) * 5 + 0.01
    ours = EDMPreconditioning(Silent(), 0.5)(x, sigma)
    torch.testing.assert_close(ours, GaussianOptimum(0.5)(x, sigma))


def test_weighted_loss_of_a_silent_network_is_one_at_every_noise_level_for_matching_data():
    generator = torch.Generator().manual_seed(0)
    y = 0.5 * torch.randn(200_000, 1, generator=generator)
    for p_mean in (-3.0, 0.0, 3.0):
        loss = edm_loss(EDMPreconditioning(Silent(), 0.5), y, p_mean=p_mean, p_std=0.01, generator=generator)
        assert loss.item() == pytest.approx(1.0, abs=0.02)


def test_noise_levels_run_from_eighty_to_zero():
    levels = noise_levels(18)
    assert levels[0] == pytest.approx(80.0)
    assert levels[-2] == pytest.approx(0.002)
    assert levels[-1] == 0.0
    assert (levels.diff() < 0).all()


def test_heun_draws_the_gaussian_it_was_given_and_is_second_order():
    noise = torch.ones(1, 1)
    exact = 0.5 * 80 / (0.25 + 80**2) ** 0.5  # the ODE of a Gaussian has a closed form
    errors = [abs(heun_sampler(GaussianOptimum(0.5), noise, steps).item() - exact) for steps in (16, 32)]
    assert errors[1] < errors[0] / 3
    assert errors[1] < 0.01


def test_one_step_is_enough_to_return_something_finite():
    assert heun_sampler(GaussianOptimum(0.5), torch.randn(4, 2), 1).isfinite().all()
