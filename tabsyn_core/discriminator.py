"""The discriminator: is this noisy latent one of the data's, at this noise level?"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Discriminator(nn.Module):
    """The logit of "real" for a latent at a noise level.

    Its input is scaled by 1 / √(σ² + σ_data²) as the denoiser's is (Karras et al. 2022, table 1), so that one network
    serves every level. The last layer starts at zero: it says one half of everything, and no generator is pushed by a
    discriminator that has not learned.

    Args:
        dim: Size of the latent.
        width: Size of the hidden layers.
        sigma_data: Standard deviation of the data.
    """

    frequencies: Tensor

    def __init__(self, dim: int, width: int, sigma_data: float) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, 3, 8)), persistent=False)
        sizes = (dim + 16, width, width, width)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.leave = nn.Linear(width, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Map latents (batch, dim) at noise levels (batch,) to logits (batch,)."""
        angles = sigma.clamp(min=1e-6).log()[:, None] / 4 * self.frequencies
        scaled = x / (sigma**2 + self.sigma_data**2).sqrt()[:, None]
        hidden = torch.cat([scaled, angles.sin(), angles.cos()], dim=1)
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), 0.2) * math.sqrt(2)
        logit: Tensor = self.leave(hidden)[:, 0]
        return logit
