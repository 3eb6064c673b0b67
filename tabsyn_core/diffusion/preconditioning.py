"""EDM preconditioning (Karras et al. 2022, Table 1, column "Ours")."""

import torch
from torch import Tensor, nn


class EDMPreconditioning(nn.Module):
    """The denoiser D(x; σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x; c_noise(σ)), equation 7.

    Args:
        network: F, which takes (batch, dim) and the noise condition (batch,) and returns (batch, dim).
        sigma_data: Standard deviation of the data F is trained on; latents must be scaled to it.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise ``x`` of shape (batch, dim) at noise levels ``sigma`` of shape (batch,)."""
        sigma = sigma[:, None]
        total = (sigma**2 + self.sigma_data**2).sqrt()
        c_skip = self.sigma_data**2 / total**2
        c_out = sigma * self.sigma_data / total
        c_in = 1 / total
        c_noise = sigma.log()[:, 0] / 4
        denoised: Tensor = c_skip * x + c_out * self.network(c_in * x, c_noise)
        return denoised

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """λ(σ) = (σ² + σ_data²) / (σ σ_data)², which makes every noise level weigh the same at the start."""
        return (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2


def log_normal_sigma(batch: int, p_mean: float, p_std: float, generator: torch.Generator) -> Tensor:
    """Training noise levels: ln σ ~ N(P_mean, P_std²), shape (batch,)."""
    return (p_mean + p_std * torch.randn(batch, generator=generator)).exp()
