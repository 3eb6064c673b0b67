"""The k-step adversarial game: discriminator steps that ascend, then one step of the diffusion model that descends.

Goodfellow et al. (NeurIPS 2014), algorithm 1, with the diffusion model as generator. A mini-batch x₀ of the data is
diffused to x_σ = x₀ + σ n (the encoder) and carried down to a lower noise level τ = ρ σ by one Heun step of the
probability-flow equation with the denoiser D (the decoder). The discriminator d(x; τ) tells the result from the data's
own latents at that level, x₀' + τ n'.

The comparison is made at τ and not at 0 because D(x_σ; σ) itself is a mean over all rows that x_σ may have come from:
it is blurred when it is right, and a discriminator that sees it would pull the denoiser away from the score. The flow
carries the data's distribution at σ exactly to that at τ when D is exact, so the game and the denoising loss have the
same optimum. Noise on both sides also keeps their supports overlapping, as in Denoising Diffusion GANs (Xiao et al.,
ICLR 2022) and Diffusion-GAN (Wang et al., ICLR 2023).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from tabsyn_core.config import AdversarialConfig
from tabsyn_core.diffusion import EDMPreconditioning
from tabsyn_core.diffusion.preconditioning import log_normal_sigma
from tabsyn_core.discriminator import Discriminator
from tabsyn_core.training import Learner

_BETAS = (0.0, 0.99)  # no momentum in a game (StyleGAN, Karras et al., CVPR 2019)
_MEMORY = 0.98  # of the running share that the discriminator tells apart


class Game:
    """One denoiser against one discriminator, played update by update.

    Args:
        denoiser: D, trained by the caller with :func:`tabsyn_core.training.train`.
        dim: Size of the latent.
        config: The rules.
        num_updates: Updates of the denoiser in all.
        p_mean: Mean of ln σ.
        p_std: Standard deviation of ln σ.
        generator: The only source of randomness but for the discriminator's first weights.
    """

    def __init__(
        self,
        denoiser: EDMPreconditioning,
        dim: int,
        config: AdversarialConfig,
        *,
        num_updates: int,
        p_mean: float,
        p_std: float,
        generator: torch.Generator,
    ) -> None:
        self.denoiser, self.config, self.generator = denoiser, config, generator
        self.begins = config.start * num_updates
        self.p_mean, self.p_std = p_mean, p_std
        device = next(denoiser.parameters()).device
        network = Discriminator(dim, config.width, denoiser.sigma_data).to(device)
        self.rival = Learner.adamw(network, config.learning_rate, _BETAS)
        """The discriminator; hand it to :func:`tabsyn_core.training.train` so that checkpoints hold it."""

    def play(self, draw: Callable[[], Tensor], memory: dict[str, float]) -> Tensor | float:
        """Let the discriminator ascend k times and return what the denoiser must add to its loss.

        Args:
            draw: Draws a fresh mini-batch of real latents, (batch, dim), on the denoiser's device.
            memory: Counts updates and keeps ``told``, the running share of rows that the discriminator tells apart,
                from update to update; see :func:`tabsyn_core.training.train`.

        Returns:
            weight · E[−ln d(fake)] with the denoiser's gradient; 0 before the game begins.
        """
        memory["updates"] = memory.get("updates", 0.0) + 1
        if not self.config.steps or memory["updates"] <= self.begins:
            return 0.0
        for _ in range(self.config.steps):
            self.rival.descend(-self.objective(draw(), draw(), memory))
        return self.config.weight * self.deception(draw())

    def objective(self, real: Tensor, source: Tensor, memory: dict[str, float]) -> Tensor:
        """E ln d(real) + E ln(1 − d(fake)) − R₁, what the discriminator ascends; real and source are (batch, dim)."""
        with torch.no_grad():
            fake, tau = self.fake(source)
        noisy = (real + self._noise(real) * tau[:, None]).requires_grad_()
        d = self.rival.network
        on_real, on_fake = d(noisy, tau), d(fake, tau)
        told = ((on_real > 0).float().mean() + (on_fake < 0).float().mean()).item() / 2
        memory["told"] = _MEMORY * memory.get("told", 0.5) + (1 - _MEMORY) * told
        (slope,) = torch.autograd.grad(on_real.sum(), noisy, create_graph=True)
        r1 = (slope**2).sum(1).mean() * self.denoiser.sigma_data**2
        likelihood = functional.logsigmoid(on_real).mean() + functional.logsigmoid(-on_fake).mean()
        return likelihood - self.config.penalty / 2 * r1

    def deception(self, source: Tensor) -> Tensor:
        """E[−ln d(fake)], the generator's non-saturating loss, over a batch (batch, dim)."""
        fake, tau = self.fake(source)
        with _frozen(self.rival.network):
            return functional.softplus(-self.rival.network(fake, tau)).mean()

    def fake(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Diffuse latents (batch, dim) to σ and carry them down to τ = ρσ by one Heun step; also return τ, (batch,)."""
        sigma = log_normal_sigma(len(source), self.p_mean, self.p_std, self.generator).to(source.device)
        tau = self.config.ratio * sigma
        now, after = sigma[:, None], tau[:, None]
        x = source + self._noise(source) * now
        slope = (x - self.denoiser(x, sigma)) / now
        euler = x + (after - now) * slope
        slope_after = (euler - self.denoiser(euler, tau)) / after
        return x + (after - now) * (slope + slope_after) / 2, tau

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like.device)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradient reaches the weights, only what comes through them."""
    network.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        network.requires_grad_(requires_grad=True)
