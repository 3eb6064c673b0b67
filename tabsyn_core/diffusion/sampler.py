"""Heun's deterministic sampler (Karras et al. 2022, algorithm 1 with σ(t) = t, s(t) = 1)."""

from itertools import pairwise

import torch
from torch import Tensor

from tabsyn_core.diffusion.preconditioning import EDMPreconditioning


def noise_levels(num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Tensor:
    """The decreasing noise levels t_0 ... t_N of equation 5, with t_N = 0, shape (num_steps + 1,)."""
    i = torch.arange(num_steps, dtype=torch.float64) / max(num_steps - 1, 1)
    levels = (sigma_max ** (1 / rho) + i * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)]).float()


@torch.no_grad()
def heun_sampler(denoiser: EDMPreconditioning, noise: Tensor, num_steps: int) -> Tensor:
    """Integrate dx/dt = (x − D(x; t)) / t from t_0 to 0 with the trapezoidal rule.

    Args:
        denoiser: D.
        noise: Standard normal noise, shape (batch, dim); it fixes the result.
        num_steps: N; the network is evaluated 2N − 1 times.

    Returns:
        Latents of shape (batch, dim).
    """
    t = noise_levels(num_steps).to(noise.device)
    x = noise * t[0]
    for now, after in pairwise(t):
        slope = (x - denoiser(x, now.expand(len(x)))) / now
        euler = x + (after - now) * slope
        if after > 0:
            slope_after = (euler - denoiser(euler, after.expand(len(x)))) / after
            euler = x + (after - now) * (slope + slope_after) / 2
        x = euler
    return x
