"""Fill in what is unknown of a row by a diffusion model that was never trained for it.

What is known of a row is a linear measurement y = A x₀ of its clean components. The denoiser's mean D of x₀ given x_t
is corrected by how far it misses y, as a Kalman filter would:

E[x₀ | x_t, y] ≈ D + V Aᵀ (A V Aᵀ)⁻¹ (y − A D),  V = (Λ⁻¹ + I / σ²)⁻¹,

with V the variance that x₀ given x_t would have were it Gaussian with variances Λ (moment matching posterior sampling:
Rozet et al., Learning Diffusion Priors from Observations by Expectation Maximization, NeurIPS 2024). It is exact for a
Gaussian; beyond, the denoiser itself says more and more of the shape as the noise falls. RePaint (Lugmayr et al., CVPR
2022) replaces known coordinates by noised truth instead, which takes the noise of coordinates for independent, and in a
whitened space it is not. Its steps back at middle levels (algorithm 1) are kept: they take out errors of higher noise.
"""

from itertools import pairwise

import torch
from torch import Tensor

from tabsyn_core.diffusion.preconditioning import EDMPreconditioning
from tabsyn_core.diffusion.sampler import heun_sampler, noise_levels
from tabsyn_core.latent import LatentScaling

_RESAMPLED = (0.05, 5.0)
"""Noise levels at which steps are taken back: where rows take their shape."""

_VISITS = 5  # of each such level; RePaint's r
_SPREAD_ROWS = 512  # drawn freely, for the components' variances
_LEAST_VARIANCE = 1e-6
_NUMBERS_AT_ONCE = 2**25  # of the gains of rows that are filled in together


@torch.no_grad()
def repaint_sampler(
    denoiser: EDMPreconditioning,
    scaling: LatentScaling,
    latent: Tensor,
    known: Tensor,
    *,
    random: torch.Generator,
    num_steps: int,
) -> Tensor:
    """Draw latents given some of their coordinates.

    Args:
        denoiser: D, in the space of ``scaling``'s components.
        scaling: Between latents and components.
        latent: Shape (rows, latent); looked at where known.
        known: Shape (rows, latent), Boolean.
        random: Source of all noise.
        num_steps: Steps of Heun's method.

    Returns:
        Latents of shape (rows, latent), as given where known.
    """
    freely = torch.randn((_SPREAD_ROWS, scaling.forward.shape[1]), generator=random)
    variance = heun_sampler(denoiser, freely, num_steps).var(0).clamp(min=_LEAST_VARIANCE)
    at_once = max(1, _NUMBERS_AT_ONCE // scaling.forward.numel())
    parts = [
        _inpainted(denoiser, scaling, variance, latent=some, known=where, random=random, num_steps=num_steps)
        for some, where in zip(torch.split(latent, at_once), torch.split(known, at_once), strict=True)
    ]
    return torch.where(known, latent, torch.cat(parts))


def _inpainted(
    denoiser: EDMPreconditioning,
    scaling: LatentScaling,
    variance: Tensor,
    *,
    latent: Tensor,
    known: Tensor,
    random: torch.Generator,
    num_steps: int,
) -> Tensor:
    """Latents given their known coordinates, which come out nearly as given."""
    t = noise_levels(num_steps)
    patterns, pattern = torch.unique(known, dim=0, return_inverse=True)
    measured = torch.where(known, latent - scaling.mean, 0.0)

    def slope(x: Tensor, sigma: Tensor, gains: Tensor) -> Tensor:
        mean: Tensor = denoiser(x, sigma.expand(len(x)))
        surprise = measured - torch.where(known, mean @ scaling.backward, 0.0)
        return (x - mean - torch.einsum("rcl,rl->rc", gains[pattern], surprise)) / sigma

    x = t[0] * torch.randn((len(latent), len(variance)), generator=random)
    gains = _gains(scaling.backward, variance, patterns, t[0])
    for now, after in pairwise(t):
        next_gains = _gains(scaling.backward, variance, patterns, after) if after > 0 else gains
        visits = _VISITS if _RESAMPLED[0] < now < _RESAMPLED[1] else 1
        for visit in range(visits):
            first = slope(x, now, gains)
            x = x + (after - now) * first
            if after > 0:
                x = x + (after - now) * (slope(x, after, next_gains) - first) / 2
            if visit < visits - 1:
                x = x + (now**2 - after**2).sqrt() * torch.randn(x.shape, generator=random)
        gains = next_gains
    return scaling.invert(x)


def _gains(backward: Tensor, variance: Tensor, patterns: Tensor, sigma: Tensor) -> Tensor:
    """V Aᵀ (A V Aᵀ)⁻¹ for each pattern of known coordinates, shape (patterns, components, latent); 0 where unknown."""
    posterior = (1 / (1 / variance + 1 / sigma**2)).double()
    mixed = posterior[:, None] * backward.double()
    covariance = backward.double().T @ mixed
    both = patterns[:, :, None] & patterns[:, None, :]
    inverse: Tensor = torch.linalg.pinv(torch.where(both, covariance, 0.0), hermitian=True, rtol=1e-7)
    gains: Tensor = (mixed @ inverse).float()
    return gains
