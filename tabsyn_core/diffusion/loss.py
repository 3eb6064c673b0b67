"""EDM training loss (Karras et al. 2022, equation 8)."""

import torch
from torch import Tensor

from tabsyn_core.diffusion.preconditioning import EDMPreconditioning, log_normal_sigma


def edm_loss(
    denoiser: EDMPreconditioning, y: Tensor, *, p_mean: float, p_std: float, generator: torch.Generator
) -> Tensor:
    """E_σ E_n [λ(σ) ‖D(y + n; σ) − y‖²] over one batch, averaged over dimensions.

    Args:
        denoiser: D.
        y: Clean latents, shape (batch, dim).
        p_mean: Mean of ln σ.
        p_std: Standard deviation of ln σ.
        generator: Source of the noise.

    Returns:
        A scalar.
    """
    sigma = log_normal_sigma(len(y), p_mean, p_std, generator).to(y.device)
    noise = torch.randn(y.shape, generator=generator).to(y.device) * sigma[:, None]
    error = denoiser(y + noise, sigma) - y
    loss: Tensor = (denoiser.loss_weight(sigma)[:, None] * error**2).mean()
    return loss
