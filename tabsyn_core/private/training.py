"""DP-SGD for the denoiser (Abadi et al., CCS 2016) with noise multiplicity (Dockhorn et al., TMLR 2023).

opacus's optimizer clips, adds noise and steps; the gradients of single rows come from ``torch.func``, which asks
nothing of the network. A row that is drawn is seen at several noise levels and with several draws of its ranks, and
the mean of their gradients is clipped once: better gradients for the same privacy.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from tabsyn_core.config import DiffusionConfig
from tabsyn_core.diffusion import EDMPreconditioning
from tabsyn_core.diffusion.preconditioning import log_normal_sigma
from tabsyn_core.private.accounting import Mechanism, opacus
from tabsyn_core.private.config import PrivacyConfig
from tabsyn_core.progress import Progress, ProgressCallback, silent

_REPORT_EVERY = 10


def train_privately(
    denoiser: EDMPreconditioning,
    draw: Callable[[Tensor, torch.Generator], Tensor],
    rows: int,
    *,
    mechanism: Mechanism,
    config: PrivacyConfig,
    diffusion: DiffusionConfig,
    generator: torch.Generator,
    progress: ProgressCallback = silent,
) -> None:
    """Train the denoiser on rows drawn at random, and leave the moving average of its weights in place.

    No loss is reported: it would tell about the rows and is no part of the account.

    Args:
        denoiser: On the CPU; changed in place.
        draw: Maps row numbers of shape (batch,), repeats among them, to components (batch, dim). What it makes of a
            row must not depend on other rows, except through what is private already (codec, scaling).
        rows: Number of training rows.
        mechanism: The plan's training: sampling rate, noise and updates.
        config: Clipping, learning rate and noise levels.
        diffusion: Noise levels in training and the half-life of the average.
        generator: The draws and the noise; its seed must stay secret.
        progress: Told in updates.

    Raises:
        TabsynError: opacus is not installed.
    """
    weights = dict(denoiser.named_parameters())
    average = {name: weight.detach().clone() for name, weight in weights.items()}
    adam = torch.optim.Adam(denoiser.parameters(), lr=config.learning_rate)
    optimizer = opacus("optimizers").DPOptimizer(
        adam,
        noise_multiplier=mechanism.noise_multiplier,
        max_grad_norm=config.max_grad_norm,
        expected_batch_size=mechanism.sampling_rate * rows,
        generator=generator,
    )
    total = mechanism.num_updates
    for done in range(1, total + 1):
        for group in adam.param_groups:
            group["lr"] = config.learning_rate * (1 + math.cos(math.pi * (done - 1) / total)) / 2
        chosen = (torch.rand(rows, generator=generator) < mechanism.sampling_rate).nonzero()[:, 0]
        gradients = row_gradients(
            denoiser, draw, chosen, noise_levels=config.noise_levels, diffusion=diffusion, generator=generator
        )
        for name, weight in weights.items():
            weight.grad_sample = gradients[name]  # type: ignore[attr-defined]  # where opacus looks for it
        optimizer.step()
        optimizer.zero_grad()
        keep = 0.5 ** (1 / max(min(diffusion.ema_halflife, done / 10), 1e-8))
        with torch.no_grad():
            for name, weight in weights.items():
                average[name].lerp_(weight, 1 - keep)
        if done % _REPORT_EVERY == 0 or done == total:
            progress(Progress(done, total, "updates", "diffusion"))
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(average[name])
            del weight.grad_sample, weight.summed_grad  # type: ignore[attr-defined]


def row_gradients(
    denoiser: EDMPreconditioning,
    draw: Callable[[Tensor, torch.Generator], Tensor],
    chosen: Tensor,
    *,
    noise_levels: int,
    diffusion: DiffusionConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The gradient of EDM's loss (equation 8) for each chosen row, a mean over noise levels.

    Returns:
        For each weight, shape (rows, *weight).
    """
    weights = {name: weight.detach() for name, weight in denoiser.named_parameters()}
    if not len(chosen):  # Poisson sampling may draw nobody: the update is noise alone
        return {name: weight.new_zeros(0, *weight.shape) for name, weight in weights.items()}

    def loss(weights: dict[str, Tensor], y: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        error = functional_call(denoiser, weights, (y + noise, sigma)) - y
        weighted: Tensor = (denoiser.loss_weight(sigma)[:, None] * error**2).mean()
        return weighted

    y = draw(chosen.repeat_interleave(noise_levels), generator)
    sigma = log_normal_sigma(len(y), diffusion.p_mean, diffusion.p_std, generator)
    noise = torch.randn(y.shape, generator=generator) * sigma[:, None]
    shape = (len(chosen), noise_levels)
    by_row = vmap(grad(loss), in_dims=(None, 0, 0, 0))
    found: dict[str, Tensor] = by_row(weights, y.view(*shape, -1), noise.view(*shape, -1), sigma.view(shape))
    return found
