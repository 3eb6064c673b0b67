"""WGAN-GP (Gulrajani et al., NeurIPS 2017) with perceptrons: the plainest adversarial rival."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from tabsyn_core.baselines.own import OwnBaseline, device_of, seeded
from tabsyn_core.baselines.quantile import QuantileCodec
from tabsyn_core.progress import Progress, ProgressCallback
from tabsyn_core.schema import TableSchema

_REPORT_EVERY = 10
_DRAWN_AT_ONCE = 4096


@dataclass(eq=False, kw_only=True)
class WGANGP(OwnBaseline):
    """Noise through a perceptron to a row; a perceptron with a penalised slope says how far rows are from real ones.

    Numbers are normal scores of their quantiles, categories leave the generator as Gumbel-softmax vectors (Jang et al.,
    ICLR 2017) and meet real one-hot vectors at the critic, as in CTGAN. λ, the critic's steps and Adam's constants
    are the paper's (algorithm 1).

    Attributes:
        noise: Size of the noise.
        width: Size of the two hidden layers of both networks.
        updates: Of the generator; a budget in seconds makes fewer.
        critic_steps: Updates of the critic before each of the generator, n_critic.
        batch_size: Rows an update.
        learning_rate: Of Adam, with β₁ = 0 and β₂ = 0.9.
        penalty: λ.
        temperature: τ of the Gumbel-softmax.
    """

    noise: int = 128
    width: int = 256
    updates: int = 20_000
    critic_steps: int = 5
    batch_size: int = 256
    learning_rate: float = 1e-4
    penalty: float = 10.0
    temperature: float = 0.2

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        self.front = QuantileCodec.fit(table, schema, seed)
        if not self.front.codec.columns:
            return
        device, done = device_of(self.device), 0
        with seeded(seed, self.threads) as random:
            encoded = self.front.encode(table, seed)
            generator, critic = self._generator().to(device), _perceptron(self._row, self.width, 1).to(device)
            optimizers = [
                torch.optim.Adam(player.parameters(), lr=self.learning_rate, betas=(0.0, 0.9))
                for player in (generator, critic)
            ]

            def real() -> Tensor:
                rows = torch.randint(len(encoded), (self.batch_size,), generator=random)
                scores, states = self.front.batch(encoded, rows, random)
                return _one_hot_rows(scores, states, self.front.sizes).to(device)

            def fake() -> Tensor:
                return self._rows(generator, self.batch_size, device)

            while done < self.updates and (deadline is None or not done or time.monotonic() < deadline):
                for _ in range(self.critic_steps):
                    x, made = real(), fake().detach()
                    distance = critic(x).mean() - critic(made).mean()
                    descend(optimizers[1], gradient_penalty(critic, x, made, self.penalty) - distance)
                descend(optimizers[0], -critic(fake()).mean())
                done += 1
                if done % _REPORT_EVERY == 0 or done == self.updates:
                    progress(Progress(done, self.updates, "updates", "gan", {"distance": distance.item()}))
        self.generator = generator.cpu().eval()
        self.effort = {"updates": done, "published updates": self.updates}

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        if not self.front.codec.columns:
            return self.front.decode(torch.empty(n, 0), torch.empty(n, 0))
        with seeded(seed, self.threads), torch.no_grad():
            sizes = [min(_DRAWN_AT_ONCE, n - start) for start in range(0, n, _DRAWN_AT_ONCE)]
            rows = torch.cat([self._rows(self.generator, size, torch.device("cpu")) for size in sizes])
        scores, *parts = torch.split(rows, [len(self.front.numeric), *self.front.sizes], dim=1)
        states = torch.stack([part.argmax(1) for part in parts], dim=1) if parts else torch.empty(n, 0)
        return self.front.decode(scores, states)

    @override
    def _known(self) -> dict[str, Any]:
        return self.front.to_json()

    @override
    def _weights(self) -> Mapping[str, Tensor]:
        return self.generator.state_dict() if self.front.codec.columns else {}

    @override
    def _rebuild(self, known: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        self.front = QuantileCodec.from_json(known)
        if self.front.codec.columns:
            self.generator = self._generator().eval()
            self.generator.load_state_dict(weights)

    @property
    def _row(self) -> int:
        return len(self.front.numeric) + sum(self.front.sizes)

    def _generator(self) -> nn.Sequential:
        return _perceptron(self.noise, self.width, self._row)

    def _rows(self, generator: nn.Module, rows: int, device: torch.device) -> Tensor:
        """Soft rows, (rows, numbers + all levels)."""
        out = generator(torch.randn(rows, self.noise).to(device))
        scores, *parts = torch.split(out, [len(self.front.numeric), *self.front.sizes], dim=1)
        return torch.cat([scores, *(functional.gumbel_softmax(part, self.temperature) for part in parts)], dim=1)


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, weight: float) -> Tensor:
    """λ E[(‖∇ D(x̂)‖₂ - 1)²], x̂ uniform on the line between a real and a fake row (Gulrajani et al., equation 3)."""
    share = torch.rand(len(real), *[1] * (real.dim() - 1)).to(real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = weight * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return penalty


def _perceptron(enter: int, width: int, leave: int) -> nn.Sequential:
    sizes = (enter, width, width)
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers, nn.Linear(width, leave))


def _one_hot_rows(scores: Tensor, states: Tensor, sizes: list[int]) -> Tensor:
    parts = [functional.one_hot(states[:, place], size).float() for place, size in enumerate(sizes)]
    return torch.cat([scores, *parts], dim=1)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One update against the gradient of a loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
