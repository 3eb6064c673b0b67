import pytest
import torch
from torch import nn

from tabsyn_core.diffusion import EDMPreconditioning, edm_loss, heun_sampler, validation_loss
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


def test_validation_loss_is_the_training_loss_without_its_chance():
    denoiser, law = GaussianOptimum(0.3), {"p_mean": -1.2, "p_std": 1.4}
    generator = torch.Generator().manual_seed(0)
    y = 0.5 * torch.randn(3000, 4, generator=generator)
    expected = torch.stack([edm_loss(denoiser, y, generator=generator, **law) for _ in range(100)])
    state = torch.get_rng_state()
    found = validation_loss(denoiser, y, **law)
    assert found == validation_loss(denoiser, y, **law)
    assert found == pytest.approx(expected.mean().item(), rel=0.03)
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_loss_meets_every_noise_level_in_few_rows():
    y = torch.ones(8, 1)
    seen = []

    class Watched(GaussianOptimum):
        def forward(self, x, sigma):
            seen.extend(sigma.tolist())
            return super().forward(x, sigma)

    validation_loss(Watched(0.5), y, p_mean=-1.2, p_std=1.4)
    eighths = (torch.special.ndtr((torch.tensor(seen).log() + 1.2) / 1.4) * 8).floor()
    assert len(eighths.unique()) >= 7


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_validation_loss_of_a_denoiser_that_is_off_is_known(shift):
    class Off(Silent):
        def forward(self, x, c_noise):
            return super().forward(x, c_noise) + shift

    y = 0.5 * torch.randn(5000, 4, generator=torch.Generator().manual_seed(0))
    loss = validation_loss(EDMPreconditioning(Off(), 0.5), y, p_mean=-1.2, p_std=1.4)
    assert loss == pytest.approx(1 + shift**2, rel=0.03)  # λ(σ) c_out(σ)² = 1


@pytest.mark.parametrize("rows", [1, 1024, 1025])
def test_validation_loss_of_any_number_of_rows_is_a_number(rows):
    assert validation_loss(GaussianOptimum(0.5), torch.ones(rows, 4), p_mean=-1.2, p_std=1.4) > 0


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
