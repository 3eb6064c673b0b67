"""TabSyn by its authors' recipe (Zhang et al., ICLR 2024), in our own code.

Theirs are the quantile front-end, the token size, the schedule of β, the constants of EDM, the sizes of both networks,
batches and epochs. Ours remain the VAE's start as the identity (``docs/method.md``, section 4), residual blocks in the
score model, the average of its weights that is sampled from, and a schedule of learning rates that ends with the
training, where theirs falls when the loss stands still.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline
from tabsyn_core.baselines.own import device_of, seeded
from tabsyn_core.codec import Codec
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.diffusion import EDMPreconditioning, edm_loss
from tabsyn_core.distributions.front_ends import front_end_distributions
from tabsyn_core.distributions.table import Distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, write_json
from tabsyn_core.generator import Generator
from tabsyn_core.networks import ResidualDenoiser
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import TableSchema
from tabsyn_core.vae import VAE

_TRAINED = "baseline.json"
_LEAST_SECONDS = 1e-3
_ENOUGH_UPDATES = 2000
_LEAST_BATCH = 256
_TIMED = 3  # updates at least, after a first one, which allocates,
_TIMING = 0.02  # and as many as this share of the budget is enough for: other work on a machine comes in bursts
_RESERVED = 0.9  # of what is left is spent on updates
_DECODED_AT_ONCE = 4096
_LATENT_ROWS = 20_000  # that the VAE encodes for the score model, at least, at a sixth of an update's cost each


@dataclass(eq=False, kw_only=True)
class PublishedTabSyn(Baseline):
    """:meth:`tabsyn_core.config.GeneratorConfig.published`, trained in epochs.

    An epoch is as many updates as fit into the table; a table shorter than the published batch of 4,096 rows is one
    batch. A budget in seconds makes the same share of both networks' published epochs, told by the time of a few
    updates, along a schedule of learning rates that ends with it; the VAE gets half of the seconds at most. Where that
    would be few updates, batches are smaller, down to 256 rows: on a CPU the seconds go with the rows, and one update
    of 4,096 rows teaches less than sixteen of 256.

    Attributes:
        vae_epochs: Published epochs of the VAE.
        epochs: Published epochs of the score model.
        steps: Steps of Heun's method, 50 in the authors' code; the paper finds no loss with 10 (section 4.4).
        config: What to train in place of the published recipe, in as many epochs.
    """

    vae_epochs: int = 4000
    epochs: int = 10_000
    steps: int = 50
    config: GeneratorConfig | None = None

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        distributions = front_end_distributions("quantile", table, schema, seed=seed)
        config = self._scaled(table.height, self._share(table, schema, distributions, seed, deadline))
        self.generator = Generator(config).fit(
            table,
            seed=seed,
            schema=schema,
            distributions=distributions,
            time_limit=deadline and max(deadline - time.monotonic(), _LEAST_SECONDS),
            progress=progress,
        )
        made = {curve.phase: max([0, *curve.updates]) for curve in self.generator.curves}
        batches = {"vae": config.vae.batch_size, "diffusion": config.diffusion.batch_size}
        published = {
            phase: epochs * -(-table.height // batches[phase])
            for phase, epochs in (("vae", self.vae_epochs), ("diffusion", self.epochs))
        }
        for phase, updates in made.items():
            self.effort |= {f"{phase} updates": updates, f"published {phase} updates": published[phase]}

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        return self.generator.sample(n, seed=seed, num_steps=self.steps)

    def reconstructed(self, table: pl.DataFrame, seed: int) -> pl.DataFrame:
        """Rows through the VAE and back: what of an error the score model cannot mend.

        Raises:
            TabsynError: Nothing was fitted, or no column of the table varied.
        """
        model = self.generator._model if hasattr(self, "generator") else None  # noqa: SLF001  inside is where the VAE is
        tabsyn = model.tabsyn if model else None
        if tabsyn is None or tabsyn.vae is None:
            raise TabsynError("there is no VAE; fit to a table with columns that vary first.")
        varying = tabsyn.codec.schema.names
        encoded = tabsyn.codec.encode(table.select(varying), np.random.default_rng([seed, 0]))
        random = torch.Generator().manual_seed(seed)
        decoded = []
        with torch.no_grad():
            for rows in torch.split(torch.arange(len(encoded)), _DECODED_AT_ONCE):
                latent = tabsyn.vae.encode(*encoded.batch(rows, random))[0]
                decoded.append(tabsyn.codec.decode(*tabsyn.vae.realise(latent)))
        return table.with_columns(pl.concat(decoded).select(varying)).select(table.columns)

    def save(self, path: Path) -> None:
        """Write the generator to a folder, see :meth:`tabsyn_core.generator.Generator.save`, and how it was trained."""
        self.generator.save(path)
        trained = {name: getattr(self, name) for name in ("vae_epochs", "epochs", "steps", "effort")}
        write_json(path / _TRAINED, trained)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        trained = read_json(path / _TRAINED)
        effort = trained.pop("effort")
        baseline = cls(**trained)
        baseline.generator, baseline.effort = Generator.load(path), effort
        baseline.config, baseline.schema = baseline.generator.config, baseline.generator.schema
        return baseline

    def _scaled(self, rows: int, share: float) -> GeneratorConfig:
        """The recipe with a share of its epochs, counted in updates, and batches no longer than the table."""
        config = self.config or GeneratorConfig.published()
        vae_batch, vae_updates = _batches(rows, config.vae.batch_size, self.vae_epochs, share)
        batch, updates = _batches(rows, config.diffusion.batch_size, self.epochs, share)
        return replace(
            config,
            vae=replace(config.vae, batch_size=vae_batch, num_updates=vae_updates),
            diffusion=replace(config.diffusion, batch_size=batch),
            num_updates=updates,
        )

    def _share(
        self, table: pl.DataFrame, schema: TableSchema, distributions: Distributions, seed: int, deadline: float | None
    ) -> float:
        """How much of the published epochs fits before a deadline; 1 without one."""
        codec = Codec(schema, dict(distributions))
        if deadline is None or not codec.columns:
            return 1.0
        config, rows = self.config or GeneratorConfig.published(), table.height
        timing = _TIMING * (deadline - time.monotonic())
        device = device_of(config.device)
        with seeded(seed, config.threads) as random:
            encoded = codec.encode(table.head(_LEAST_BATCH), np.random.default_rng([seed, 0]))
            states, ranks = (part.to(device) for part in encoded.batch(torch.arange(len(encoded)), random))
            c = config.vae
            vae = VAE(
                *codec.bounds(), d_token=c.d_token, width=c.width, num_layers=c.num_layers, num_heads=c.num_heads
            ).to(device)
            encoding = _seconds(vae, lambda: torch.stack(vae.loss(states, ranks, random)).sum(), timing) / len(encoded)
            latent = torch.randn(len(encoded), len(codec.columns) * c.d_token, device=device)
            network = ResidualDenoiser(latent.shape[1], config.diffusion.width, config.diffusion.num_blocks)
            score = EDMPreconditioning(network, config.diffusion.sigma_data).to(device)
            levels = {"p_mean": config.diffusion.p_mean, "p_std": config.diffusion.p_std}
            denoising = _seconds(score, lambda: edm_loss(score, latent, **levels, generator=random), timing)
            denoising /= len(encoded)
        left = deadline - time.monotonic() - max(rows, _LATENT_ROWS) * encoding / 6
        return _RESERVED * left / (rows * (self.vae_epochs * encoding + self.epochs * denoising))


def _batches(rows: int, published: int, epochs: int, share: float) -> tuple[int, int]:
    """Rows a batch and updates of a share of epochs, whose batches shrink where there would be few."""
    whole = min(published, rows)
    if share >= 1:
        return whole, epochs * -(-rows // whole)
    seen = max(0.0, share) * epochs * rows
    batch = int(np.clip(seen / _ENOUGH_UPDATES, min(_LEAST_BATCH, whole), whole))
    return batch, max(1, round(seen / batch))


def _seconds(network: nn.Module, loss: Callable[[], Tensor], timing: float) -> float:
    """Of an update of a network, which is not used again."""
    optimizer = torch.optim.AdamW(network.parameters())

    def update() -> None:
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    update()
    made, start = 0, time.monotonic()
    while made < _TIMED or time.monotonic() - start < timing:
        update()
        made += 1
    return (time.monotonic() - start) / made
