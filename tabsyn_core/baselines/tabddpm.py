"""TabDDPM (Kotelnikov, Baranchuk, Rubachev & Babenko, ICML 2023): Gaussian and multinomial diffusion side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tabsyn_core.baselines.own import OwnBaseline, affordable, device_of, seeded
from tabsyn_core.baselines.quantile import QuantileCodec
from tabsyn_core.codec import MAX_RANK
from tabsyn_core.networks import ResidualDenoiser
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import TableSchema
from tabsyn_core.training import Budget, train

_DRAWN_AT_ONCE = 4096


@dataclass(eq=False, kw_only=True)
class TabDDPM(OwnBaseline):
    """One denoiser for the numbers' noise and the categories' levels.

    Numbers are quantile-transformed, categories one-hot (section 3.2). All columns are modelled together, without the
    condition on a class that the paper adds where a table has one. The defaults lie inside the space that the paper
    tunes over (table 6); the denoiser is the residual MLP of our own score model instead of a plain MLP.

    Attributes:
        timesteps: T, steps of the diffusion; 100 or 1,000 in the paper, which sampling takes in proportion.
        width: Size of the hidden layers.
        num_blocks: Residual blocks.
        updates: Published updates; a budget in seconds makes fewer.
        batch_size: Rows an update; fewer if the table has fewer.
        learning_rate: Peak of AdamW's learning rate.
        ema_halflife: Updates after which a weight's share in the average has halved; 0.999 an update in the paper.
    """

    timesteps: int = 100
    width: int = 256
    num_blocks: int = 3
    updates: int = 20_000
    batch_size: int = 1024
    learning_rate: float = 1e-3
    ema_halflife: float = 693.0

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        self.front = QuantileCodec.fit(table, schema, seed)
        if not self.front.codec.columns:
            return
        device = device_of(self.device)
        with seeded(seed, self.threads) as random:
            encoded = self.front.encode(table, seed)
            network = self._network().to(device)

            def loss(network: nn.Module) -> Tensor:
                rows = torch.randint(len(encoded), (min(self.batch_size, len(encoded)),), generator=random)
                scores, states = self.front.batch(encoded, rows, random)
                found: Tensor = network(scores.to(device), states.to(device), random)
                return found

            updates = affordable(network, loss, self.updates, deadline)
            budget = Budget(updates, self.learning_rate, ema_halflife=self.ema_halflife, deadline=deadline)
            curve = train(
                network, lambda _: loss(network), budget, random, phase="diffusion", memory={}, progress=progress
            )
        self.network = network.cpu().eval()
        self.effort = {"updates": max([0, *curve.updates]), "published updates": self.updates}

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        if not self.front.codec.columns:
            return self.front.decode(torch.empty(n, 0), torch.empty(n, 0))
        device = device_of(self.device)
        network = self.network.to(device)
        with seeded(seed, self.threads) as random:
            sizes = [min(_DRAWN_AT_ONCE, n - start) for start in range(0, n, _DRAWN_AT_ONCE)]
            drawn = [network.draw(size, random) for size in sizes]
        network.cpu()
        return self.front.decode(torch.cat([scores for scores, _ in drawn]), torch.cat([states for _, states in drawn]))

    @override
    def _known(self) -> dict[str, Any]:
        return self.front.to_json()

    @override
    def _weights(self) -> Mapping[str, Tensor]:
        return self.network.state_dict() if self.front.codec.columns else {}

    @override
    def _rebuild(self, known: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        self.front = QuantileCodec.from_json(known)
        if self.front.codec.columns:
            self.network = self._network().eval()
            self.network.load_state_dict(weights)

    def _network(self) -> "MixedDiffusion":
        return MixedDiffusion(
            len(self.front.numeric), self.front.sizes, self.timesteps, width=self.width, num_blocks=self.num_blocks
        )


class MixedDiffusion(nn.Module):
    """Both diffusions on the cosine schedule (Nichol & Dhariwal, ICML 2021), and their denoiser.

    Args:
        numbers: Numbers of a row.
        sizes: K of each category of a row.
        timesteps: T.
        width: Size of the denoiser's hidden layers.
        num_blocks: Its residual blocks.
    """

    alpha: Tensor
    alpha_bar: Tensor
    offset: Tensor
    levels: Tensor

    def __init__(self, numbers: int, sizes: Sequence[int], timesteps: int, *, width: int, num_blocks: int) -> None:
        super().__init__()
        self.numbers, self.sizes, self.timesteps = numbers, list(sizes), timesteps
        angle = (torch.arange(timesteps + 1, dtype=torch.float64) / timesteps + 0.008) / 1.008 * math.pi / 2
        ratio = angle.cos()[1:] ** 2 / angle.cos()[:-1] ** 2
        alpha = torch.cat([torch.ones(1, dtype=torch.float64), ratio.clamp(min=0.001)])  # β at most 0.999
        self.register_buffer("alpha", alpha.float(), persistent=False)
        self.register_buffer("alpha_bar", alpha.cumprod(0).float(), persistent=False)
        levels = torch.tensor(self.sizes, dtype=torch.int64)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("offset", levels.cumsum(0) - levels, persistent=False)
        self.denoiser = ResidualDenoiser(numbers + sum(self.sizes), width, num_blocks)

    def forward(self, x: Tensor, codes: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of one random step: equation 8, L_simple + Σ L_multinomial / C.

        The multinomial terms are the bound's at step t; times T, they estimate its sum over steps, as in the authors'
        code, without which they would not count beside the numbers.

        Args:
            x: Numbers, shape (rows, numbers).
            codes: Categories, shape (rows, len(sizes)).
            generator: Draws steps and noise.
        """
        rows = len(x)
        t = torch.randint(1, self.timesteps + 1, (rows,), generator=generator).to(x.device)
        kept = self.alpha_bar[t][:, None]
        noise = torch.randn(x.shape, generator=generator).to(x.device)
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise  # q(x_t | x_0), equation 1
        stays = torch.rand(codes.shape, generator=generator).to(x.device) < kept  # equation 3: ᾱ x_0 + (1 - ᾱ) / K
        changed = torch.where(stays, codes, self._uniform(rows, generator))
        found, logits = self._denoise(noisy, changed, t)
        loss = ((found - noise) ** 2).mean(1) if self.numbers else torch.zeros(rows, device=x.device)
        for place, size in enumerate(self.sizes):
            now = functional.one_hot(changed[:, place], size).float()
            true = self.posterior(functional.one_hot(codes[:, place], size).float(), now, t)
            guess = self.posterior(logits[place].softmax(1), now, t)
            divergence = torch.xlogy(true, true) - true * guess.clamp(min=1e-30).log()
            loss = loss + divergence.sum(1) * self.timesteps / len(self.sizes)
        return loss.mean()

    @torch.no_grad()
    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """New rows: numbers (rows, numbers) and codes (rows, len(sizes)), by ancestral sampling."""
        device = self.alpha.device
        x = torch.randn(rows, self.numbers, generator=generator).to(device)
        codes = self._uniform(rows, generator)
        for step in range(self.timesteps, 0, -1):
            t = torch.full((rows,), step, device=device)
            found, logits = self._denoise(x, codes, t)
            alpha, kept, before = self.alpha[step], self.alpha_bar[step], self.alpha_bar[step - 1]
            start = ((x - (1 - kept).sqrt() * found) / kept.sqrt()).clamp(-MAX_RANK, MAX_RANK)  # where scores lie
            mean = (before.sqrt() * (1 - alpha) * start + alpha.sqrt() * (1 - before) * x) / (1 - kept)
            spread = ((1 - alpha) * (1 - before) / (1 - kept)).sqrt()  # 0 at the last step
            x = mean + spread * torch.randn(x.shape, generator=generator).to(device)
            for place, size in enumerate(self.sizes):
                now = functional.one_hot(codes[:, place], size).float()
                chances = self.posterior(logits[place].softmax(1), now, t)
                clocks = -torch.rand(rows, size, generator=generator).to(device).log()
                codes[:, place] = (chances / clocks).argmax(1)  # of exponential clocks, the first to ring
        return x, codes

    def _denoise(self, x: Tensor, codes: Tensor, t: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The predicted noise of the numbers, and the logits of every category's first state."""
        one_hot = torch.zeros(len(x), sum(self.sizes), device=x.device).scatter_(1, codes + self.offset, 1.0)
        out = self.denoiser(torch.cat([x, one_hot], dim=1), t / self.timesteps)
        return out[:, : self.numbers], out[:, self.numbers :].split(self.sizes, dim=1)

    def posterior(self, start: Tensor, now: Tensor, t: Tensor) -> Tensor:
        """q(x_{t-1} | x_t, x_0) ∝ [α_t x_t + (1 - α_t) / K] ⊙ [ᾱ_{t-1} x_0 + (1 - ᾱ_{t-1}) / K] (equation 5)."""
        alpha, before, size = self.alpha[t][:, None], self.alpha_bar[t - 1][:, None], start.shape[1]
        joint = (alpha * now + (1 - alpha) / size) * (before * start + (1 - before) / size)
        return joint / joint.sum(1, keepdim=True)

    def _uniform(self, rows: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(rows, len(self.sizes), generator=generator).to(self.alpha.device)
        return (u * self.levels).long()
