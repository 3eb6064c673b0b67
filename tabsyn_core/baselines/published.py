"""TabSyn as its authors published it (Zhang et al., ICLR 2024): our own code with their recipe."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import polars as pl
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.distributions.front_ends import front_end_distributions
from tabsyn_core.generator import Generator
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import TableSchema

_LEAST_SECONDS = 1e-3


@dataclass(eq=False, kw_only=True)
class PublishedTabSyn(Baseline):
    """:meth:`tabsyn_core.config.GeneratorConfig.published`, trained in epochs.

    An epoch is as many updates as fit into the table; a table shorter than the published batch of 4,096 rows is one
    batch. A budget in seconds goes to the VAE for one half at most and to the score model for the rest; what stops
    early stops at a high learning rate, as the published training, whose rate is constant, would.

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
        config = self._scaled(table.height)
        distributions = front_end_distributions("quantile", table, schema, seed=seed)
        self.generator = Generator(config).fit(
            table,
            seed=seed,
            schema=schema,
            distributions=distributions,
            time_limit=deadline and max(deadline - time.monotonic(), _LEAST_SECONDS),
            progress=progress,
        )
        made = {curve.phase: max([0, *curve.updates]) for curve in self.generator.curves}
        published = {"vae": config.vae.num_updates, "diffusion": config.num_updates}
        for phase, updates in made.items():
            self.effort |= {f"{phase} updates": updates, f"published {phase} updates": published[phase]}

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        return self.generator.sample(n, seed=seed, num_steps=self.steps)

    def save(self, path: Path) -> None:
        """Write the generator to a folder; see :meth:`tabsyn_core.generator.Generator.save`."""
        self.generator.save(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        baseline = cls()
        baseline.generator = Generator.load(path)
        baseline.config, baseline.schema = baseline.generator.config, baseline.generator.schema
        baseline.effort = {}
        return baseline

    def _scaled(self, rows: int) -> GeneratorConfig:
        """The recipe with batches no longer than the table and epochs counted in updates."""
        config = self.config or GeneratorConfig.published()
        vae = replace(config.vae, batch_size=min(config.vae.batch_size, rows))
        diffusion = replace(config.diffusion, batch_size=min(config.diffusion.batch_size, rows))
        return replace(
            config,
            vae=replace(vae, num_updates=self.vae_epochs * -(-rows // vae.batch_size)),
            diffusion=diffusion,
            num_updates=self.epochs * -(-rows // diffusion.batch_size),
        )
