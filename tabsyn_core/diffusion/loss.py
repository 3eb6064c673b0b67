"""EDM training loss (Karras et al. 2022, equation 8), and the same without chance for validation."""

import torch
from torch import Tensor

from tabsyn_core.diffusion.preconditioning import EDMPreconditioning, log_normal_sigma

_GOLDEN = (5**0.5 - 1) / 2
_ROWS_AT_ONCE = 1024
_NOISE_SEED = 732_050_807  # like no seed that latents are drawn from, or noise and latents would be alike


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
    return _loss_at(denoiser, y, sigma, generator).mean()


@torch.no_grad()
def validation_loss(denoiser: EDMPreconditioning, y: Tensor, *, p_mean: float, p_std: float) -> float:
    """:func:`edm_loss` of held-out latents under noise that is the same in every call.

    Each row has one noise level, and the levels are quantiles of the log-normal in the order of the golden ratio
    (Weyl's sequence), so that any run of rows, and the many draws of one row, meet low and high levels alike. Two
    denoisers then differ by what they know and not by what they were asked.

    Args:
        denoiser: D.
        y: Clean latents, shape (rows, dim), on the denoiser's device.
        p_mean: Mean of ln σ.
        p_std: Standard deviation of ln σ.

    Returns:
        The mean over rows and dimensions.
    """
    noise = torch.Generator().manual_seed(_NOISE_SEED)
    quantiles = (torch.arange(1, len(y) + 1, dtype=torch.float64) * _GOLDEN).frac().clamp(1e-6, 1 - 1e-6)
    sigma = (p_mean + p_std * torch.special.ndtri(quantiles)).exp().float().to(y.device)
    parts = zip(torch.split(y, _ROWS_AT_ONCE), torch.split(sigma, _ROWS_AT_ONCE), strict=True)
    return torch.cat([_loss_at(denoiser, *part, noise) for part in parts]).mean().item()


def _loss_at(denoiser: EDMPreconditioning, y: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """λ(σ) (D(y + n; σ) − y)² for rows at their noise levels, shape (batch, dim)."""
    noise = torch.randn(y.shape, generator=generator).to(y.device) * sigma[:, None]
    error = denoiser(y + noise, sigma) - y
    loss: Tensor = denoiser.loss_weight(sigma)[:, None] * error**2
    return loss
