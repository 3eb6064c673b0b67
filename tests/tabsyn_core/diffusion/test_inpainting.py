import pytest
import torch
from torch import nn

from tabsyn_core.diffusion.inpainting import repaint_sampler
from tabsyn_core.latent import LatentScaling

WHITENING = pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])


class ExactGaussian(nn.Module):
    """E[x₀ | x₀ + σ n] of x₀ ~ N(0, covariance)."""

    def __init__(self, covariance):
        super().__init__()
        self.covariance = covariance

    def forward(self, x, sigma):
        noisy = self.covariance + sigma[0] ** 2 * torch.eye(len(self.covariance))
        return x @ torch.linalg.solve(noisy, self.covariance)


class ExactPoints(nn.Module):
    """E[x₀ | x₀ + σ n] of points blurred by 0.03."""

    def __init__(self, points):
        super().__init__()
        self.points, self.variance = points, 0.03**2

    def forward(self, x, sigma):
        variance = sigma[0] ** 2
        nearness = -(torch.cdist(x, self.points) ** 2) / 2 / (variance + self.variance)
        return (self.variance * x + variance * nearness.softmax(1) @ self.points) / (self.variance + variance)


def gaussian(covariance, whitening):
    random = torch.Generator().manual_seed(0)
    latents = torch.randn(100_000, len(covariance), generator=random) @ torch.linalg.cholesky(covariance).T
    scaling = LatentScaling.fit(latents, 0.5, whitening)
    return ExactGaussian(scaling.apply(latents).T.cov()), scaling


def correlation(columns):
    mixed = torch.randn(columns, columns, generator=torch.Generator().manual_seed(1))
    covariance = mixed @ mixed.T + 0.1 * torch.eye(columns)
    return covariance / covariance.diag().sqrt().outer(covariance.diag().sqrt())


def filled(denoiser, scaling, known, values, *, rows=4000, num_steps=25):
    latent = torch.full((rows, len(scaling.mean)), torch.nan)  # what is not known must not be looked at
    latent[:, known] = torch.tensor(values)
    where = torch.zeros(latent.shape, dtype=torch.bool)
    where[:, known] = True
    random = torch.Generator().manual_seed(2)
    return repaint_sampler(denoiser, scaling, latent, where, random=random, num_steps=num_steps)


@WHITENING
@pytest.mark.parametrize(
    ("covariance", "known", "values"),
    [
        (torch.tensor([[1.0, 0.9], [0.9, 1.0]]), [0], [1.5]),
        (torch.tensor([[1.0, 0.3], [0.3, 1.0]]), [1], [-2.0]),
        (correlation(5), [0, 3], [1.0, -1.0]),
        (correlation(5), [0, 1, 2, 3], [1.0, -1.0, 0.5, 0.0]),
    ],
)
def test_the_unknown_follow_their_conditional_gaussian(whitening, covariance, known, values):
    denoiser, scaling = gaussian(covariance, whitening)
    rows = filled(denoiser, scaling, known, values)
    unknown = [j for j in range(len(covariance)) if j not in known]
    gain = covariance[unknown][:, known] @ torch.linalg.inv(covariance[known][:, known])
    mean = gain @ torch.tensor(values)
    spread = (covariance[unknown][:, unknown] - gain @ covariance[known][:, unknown]).diag().sqrt()
    assert (rows[:, known] == torch.tensor(values)).all()
    torch.testing.assert_close(rows[:, unknown].mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(rows[:, unknown].std(0), spread, atol=0.02, rtol=0.03)


@WHITENING
def test_rows_with_different_gaps_are_filled_together(whitening):
    denoiser, scaling = gaussian(torch.tensor([[1.0, 0.9], [0.9, 1.0]]), whitening)
    latent = torch.tensor([[1.0, -1.0]]).repeat(6000, 1)
    known = torch.tensor([[True, False], [False, True], [False, False]]).repeat_interleave(2000, dim=0)
    rows = repaint_sampler(denoiser, scaling, latent, known, random=torch.Generator().manual_seed(0), num_steps=20)
    first, second, neither = rows.split(2000)
    assert first[:, 1].mean().item() == pytest.approx(0.9, abs=0.05)
    assert second[:, 0].mean().item() == pytest.approx(-0.9, abs=0.05)
    assert neither.mean().item() == pytest.approx(0, abs=0.05)
    assert neither.T.corrcoef()[0, 1].item() == pytest.approx(0.9, abs=0.02)


def test_what_is_known_altogether_comes_back():
    denoiser, scaling = gaussian(correlation(3), 0.5)
    rows = filled(denoiser, scaling, [0, 1, 2], [0.1, 0.2, 0.3], rows=5, num_steps=3)
    assert torch.equal(rows, torch.tensor([[0.1, 0.2, 0.3]]).repeat(5, 1))


def test_columns_that_repeat_one_another_are_no_obstacle():
    shared = torch.randn(5000, 1, generator=torch.Generator().manual_seed(0))
    scaling = LatentScaling.fit(shared.repeat(1, 3), 0.5, 0.5)
    assert scaling.forward.shape == (3, 1)
    denoiser = ExactGaussian(scaling.apply(shared.repeat(1, 3)).T.cov().view(1, 1))
    rows = filled(denoiser, scaling, [0, 1], [0.7, 0.7], rows=10)
    torch.testing.assert_close(rows[:, 2], torch.full((10,), 0.7), atol=0.01, rtol=0)


def test_both_branches_of_a_circle_are_found():
    angle = torch.linspace(0, 2 * torch.pi, 401)[:-1]
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    scaling = LatentScaling.fit(circle, 0.5, 0.5)
    y = filled(ExactPoints(scaling.apply(circle)), scaling, [0], [0.6], rows=1000)[:, 1]
    assert (y > 0).float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert ((y.abs() - 0.8).abs() < 0.2).float().mean() > 0.9


def test_the_same_random_numbers_give_the_same_rows():
    denoiser, scaling = gaussian(correlation(4), 0.5)
    one, other = (filled(denoiser, scaling, [1], [0.5], rows=7, num_steps=4) for _ in range(2))
    assert torch.equal(one, other)
