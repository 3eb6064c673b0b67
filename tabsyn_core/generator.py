"""Fit on a table, sample rows like it: the library's front door."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tabsyn_core.codec import Codec, Encoded
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.diffusion import EDMPreconditioning, edm_loss, heun_sampler
from tabsyn_core.distributions import ColumnDistribution, fit_table
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_json
from tabsyn_core.identities import Identities
from tabsyn_core.latent import LatentScaling
from tabsyn_core.networks import ResidualDenoiser
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.schema import TableSchema
from tabsyn_core.training import Budget, Curve, train
from tabsyn_core.vae import VAE

FORMAT_VERSION = 1

_BLOCK = 256
"""Rows are always drawn in blocks of this size, each from its own seed, so that row i of a seed is the same row
whatever the number of rows, the chunk size or the number of workers."""

_LATENT_DRAWS = 20_000  # rows of the randomised latent kept in memory while the diffusion trains, at least


class Generator:
    """A generator of rows like those of one table.

    Every column passes through its own fitted distribution (:mod:`tabsyn_core.codec`), the rows through a
    transformer VAE, and a diffusion model draws new latents.

    >>> generator = Generator().fit(table, seed=0)  # doctest: +SKIP
    >>> rows = generator.sample(1000, seed=1)  # doctest: +SKIP
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        self.config = config or GeneratorConfig()
        self.curves: list[Curve] = []

    def fit(
        self,
        table: pl.DataFrame,
        *,
        seed: int = 0,
        schema: TableSchema | None = None,
        distributions: Mapping[str, ColumnDistribution] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int = 100,
        time_limit: float | None = None,
        progress: ProgressCallback = silent,
    ) -> "Generator":
        """Fit to a table.

        Args:
            table: At least one row; numbers, text, booleans, with gaps or without.
            seed: The same seed, table and machine give the same generator, bit for bit.
            schema: What is known about the columns; read off the table if not given.
            distributions: The columns' fitted distributions; fitted here if not given.
            checkpoint: A folder for checkpoints; a fit that was killed and is started again with the same
                arguments goes on from the last one and ends in the same bits.
            checkpoint_every: Updates between checkpoints.
            time_limit: Seconds after which training stops early, as it is; the result then depends on the machine.
            progress: Told about phases ``"vae"`` and ``"diffusion"`` in updates.

        Returns:
            Itself.

        Raises:
            TabsynError: The table cannot be modelled; the message names the column and the remedy.
        """
        schema = schema or TableSchema.infer(table)
        self.distributions = dict(distributions or fit_table(table, schema, seed=seed))
        self.identities = Identities.discover(table, schema)
        self.codec = self._new_codec()
        table = table.drop(self.identities.dependent)
        self.rows = table.height
        device = _device(self.config.device)
        deadline = time.monotonic() + time_limit if time_limit else None
        self.curves = []
        if not self.codec.columns:
            return self
        with _reproducible(self.config.threads), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # initial weights
            encoded = self.codec.encode(table, np.random.default_rng([seed, 0]))
            random = torch.Generator().manual_seed(seed)
            self.vae = self._new_vae().to(device)
            vae, diffusion = self.config.vae, self.config.diffusion
            first = Budget(
                num_updates=vae.num_updates,
                learning_rate=vae.learning_rate,
                checkpoint=checkpoint and checkpoint / "vae.safetensors",
                checkpoint_every=checkpoint_every,
                deadline=deadline and time.monotonic() + (deadline - time.monotonic()) / 2,
            )
            self.curves.append(self._train_vae(encoded, first, random, progress))
            latents = self._latents(encoded, random)
            self.scaling = LatentScaling.fit(latents, diffusion.sigma_data, diffusion.whitening)
            components = self.scaling.apply(latents)
            self.denoiser = self._new_denoiser(components.shape[1]).to(device)
            second = Budget(
                num_updates=self.config.num_updates,
                learning_rate=diffusion.learning_rate,
                ema_halflife=diffusion.ema_halflife,
                checkpoint=checkpoint and checkpoint / "diffusion.safetensors",
                checkpoint_every=checkpoint_every,
                deadline=deadline,
            )
            self.curves.append(self._train_diffusion(components, second, random, progress))
        self.vae.cpu().eval()
        self.denoiser.cpu().eval()
        return self

    def sample(
        self, n: int, *, seed: int = 0, num_steps: int = 50, progress: ProgressCallback = silent
    ) -> pl.DataFrame:
        """Draw exactly ``n`` rows.

        Args:
            n: Rows, 0 or more.
            seed: Row i of a seed is the same row whatever ``n``.
            num_steps: Steps of Heun's method.
            progress: Told in rows.

        Returns:
            A frame with the training table's columns, order and dtypes.

        Raises:
            TabsynError: An argument is out of range, or nothing was fitted.
        """
        chunks = [*self.sample_chunks(n, seed=seed, num_steps=num_steps, progress=progress)]
        return pl.concat(chunks) if chunks else self.schema.empty()

    def sample_chunks(
        self,
        n: int,
        *,
        seed: int = 0,
        num_steps: int = 50,
        chunk_size: int = 1000,
        progress: ProgressCallback = silent,
    ) -> Iterator[pl.DataFrame]:
        """Draw ``n`` rows in constant memory, as frames of whole blocks; see :meth:`sample`.

        A frame has at most ``chunk_size`` rows, or one block of 256 if that is more.
        """
        for name, value, least in (("n", n, 0), ("num_steps", num_steps, 1), ("chunk_size", chunk_size, 1)):
            if value < least:
                raise TabsynError(f"{name} is {value}; it must be at least {least}.")
        if seed < 0:
            raise TabsynError(f"seed is {seed}; it must be at least 0.")
        if not hasattr(self, "codec"):
            raise TabsynError("this generator has not been fitted; call fit or load first.")
        blocks_a_chunk = max(1, chunk_size // _BLOCK)
        pending: list[pl.DataFrame] = []
        for start in range(0, n, _BLOCK):
            pending.append(self._block(seed, start // _BLOCK, num_steps).head(n - start))
            done = min(start + _BLOCK, n)
            progress(Progress(done, n, "rows"))
            if len(pending) == blocks_a_chunk or done == n:
                yield pl.concat(pending)
                pending = []

    @property
    def schema(self) -> TableSchema:
        """The columns of the table it was fitted to."""
        return self.identities.schema

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights of both networks."""
        if self.codec.columns:
            yield from self.vae.parameters()
            yield from self.denoiser.parameters()

    def explain(self) -> pl.DataFrame:
        """One row a column: its kind, family, distribution in words, number of atoms, and identity if it has one."""
        fitted = [self.distributions[name] for name in self.schema.names]
        computed = self.identities.describe()
        return pl.DataFrame(
            {
                "column": self.schema.names,
                "kind": [str(distribution.kind) for distribution in fitted],
                "family": [distribution.family for distribution in fitted],
                "distribution": [distribution.describe() for distribution in fitted],
                "atoms": [len(distribution.atoms) for distribution in fitted],
                "identity": [computed.get(name) for name in self.schema.names],
            },
            schema_overrides={"identity": pl.String},
        )

    def save(self, path: Path) -> None:
        """Write the generator to a folder: JSON for what is known, safetensors for the weights.

        Raises:
            TabsynError: The folder cannot be written.
        """
        about = {"format_version": FORMAT_VERSION, "config": asdict(self.config), "rows": self.rows}
        with atomic_path(path) as temporary:
            temporary.mkdir()
            _dump(temporary / "config.json", about)
            fitted = {name: self.distributions[name].to_json() for name in self.schema.names}
            _dump(temporary / "columns.json", {"distributions": fitted, "identities": self.identities.to_json()})
            if self.codec.columns:
                save_file(_weights(self.vae), temporary / "vae.safetensors")
                save_file(_weights(self.denoiser), temporary / "denoiser.safetensors")
                scaling = {name: tensor.contiguous() for name, tensor in vars(self.scaling).items()}
                save_file(scaling, temporary / "scaling.safetensors")

    @classmethod
    def load(cls, path: Path) -> "Generator":
        """Read a generator that :meth:`save` wrote; nothing in it is executed.

        Raises:
            TabsynError: The folder is not a generator, is damaged, or was written by a later version.
        """
        try:
            return cls._load(path)
        except (KeyError, TypeError, FileNotFoundError, RuntimeError, SafetensorError) as error:
            raise TabsynError(f"{path} is not a complete generator ({error}); fit or restore it again.") from error

    @classmethod
    def _load(cls, path: Path) -> "Generator":
        about = read_json(path / "config.json")
        version = about["format_version"]
        if version > FORMAT_VERSION:
            raise TabsynError(f"{path} has format {version}, this version reads up to {FORMAT_VERSION}; upgrade it.")
        generator = cls(GeneratorConfig.from_json(about["config"]))
        generator.rows = about["rows"]
        columns = read_json(path / "columns.json")
        fitted = columns["distributions"]
        generator.distributions = {name: ColumnDistribution.from_json(fitted[name]) for name in fitted}
        generator.identities = Identities.from_json(columns["identities"])
        generator.codec = generator._new_codec()
        if generator.codec.columns:
            generator.scaling = LatentScaling(**load_file(path / "scaling.safetensors"))
            generator.vae = generator._new_vae()
            generator.vae.load_state_dict(load_file(path / "vae.safetensors"))
            generator.denoiser = generator._new_denoiser(generator.scaling.forward.shape[1])
            generator.denoiser.load_state_dict(load_file(path / "denoiser.safetensors"))
            generator.vae.eval()
            generator.denoiser.eval()
        return generator

    def _new_codec(self) -> Codec:
        return Codec(self.schema.without(self.identities.dependent), self.distributions)

    def _new_vae(self) -> VAE:
        low, high = self.codec.bounds()
        c = self.config.vae
        return VAE(low, high, d_token=c.d_token, width=c.width, num_layers=c.num_layers, num_heads=c.num_heads)

    def _new_denoiser(self, dim: int) -> EDMPreconditioning:
        c = self.config.diffusion
        return EDMPreconditioning(ResidualDenoiser(dim, c.width, c.num_blocks), c.sigma_data)

    def _train_vae(
        self, encoded: Encoded, budget: Budget, random: torch.Generator, progress: ProgressCallback
    ) -> Curve:
        """TabSyn's algorithm 1: β falls by ``beta_decay`` whenever the reconstruction has stopped improving."""
        c = self.config.vae
        device = next(self.vae.parameters()).device
        memory = {"beta": c.beta_max, "window": 0.0, "seen": 0.0, "best": float(np.finfo(np.float32).max)}

        def step(memory: dict[str, float]) -> Tensor:
            rows = torch.randint(len(encoded), (c.batch_size,), generator=random)
            states, ranks = encoded.batch(rows, random)
            with _mixed_precision(device):
                reconstruction, kl = self.vae.loss(states.to(device), ranks.to(device), random)
            _adapt_beta(memory, reconstruction.item(), c.beta_decay, c.beta_min)
            return reconstruction + memory["beta"] * kl

        return train(self.vae, step, budget, random, phase="vae", memory=memory, progress=progress)

    @torch.no_grad()
    def _latents(self, encoded: Encoded, random: torch.Generator) -> Tensor:
        """Posterior means of every row, drawn anew inside its atoms often enough, shape (draws · rows, latent)."""
        device = next(self.vae.parameters()).device
        draws = max(1, -(-_LATENT_DRAWS // len(encoded)))
        every_row = torch.arange(len(encoded)).repeat(draws)
        means = []
        for rows in torch.split(every_row, _BLOCK):
            states, ranks = encoded.batch(rows, random)
            means.append(self.vae.encode(states.to(device), ranks.to(device))[0].flatten(1).cpu())
        return torch.cat(means)

    def _train_diffusion(
        self, components: Tensor, budget: Budget, random: torch.Generator, progress: ProgressCallback
    ) -> Curve:
        c = self.config.diffusion
        device = next(self.denoiser.parameters()).device

        def step(_: dict[str, float]) -> Tensor:
            rows = torch.randint(len(components), (c.batch_size,), generator=random)
            with _mixed_precision(device):
                return edm_loss(
                    self.denoiser, components[rows].to(device), p_mean=c.p_mean, p_std=c.p_std, generator=random
                )

        return train(self.denoiser, step, budget, random, phase="diffusion", memory={}, progress=progress)

    @torch.no_grad()
    def _block(self, seed: int, number: int, num_steps: int) -> pl.DataFrame:
        """Rows ``number`` · _BLOCK to the next block of a seed."""
        if not self.codec.columns:
            return self.identities.complete(
                self.codec.decode(np.zeros((_BLOCK, 0), dtype=np.int64), np.zeros((_BLOCK, 0)))
            )
        rng = np.random.default_rng([seed, number])
        noise = torch.from_numpy(rng.standard_normal((_BLOCK, self.scaling.forward.shape[1]), dtype=np.float32))
        with _reproducible(self.config.threads):
            components = heun_sampler(self.denoiser, noise, num_steps)
            latent = self.scaling.invert(components).view(_BLOCK, len(self.codec.columns), -1)
            logits, ranks = self.vae.decode(latent)
        states = np.zeros(ranks.shape, dtype=np.int64)
        states[:] = self.vae.body_state.clamp(min=0).numpy()
        for columns, group in logits:
            states[:, columns] = group.argmax(-1).t().numpy()
        return self.identities.complete(self.codec.decode(states, ranks.double().numpy()))


def _adapt_beta(memory: dict[str, float], reconstruction: float, decay: float, least: float) -> None:
    memory["window"] += reconstruction
    memory["seen"] += 1
    if memory["seen"] == _BETA_WINDOW:
        mean = memory["window"] / _BETA_WINDOW
        if mean >= memory["best"]:
            memory["beta"] = max(memory["beta"] * decay, least)
        memory["best"] = min(memory["best"], mean)
        memory["window"] = memory["seen"] = 0.0


_BETA_WINDOW = 10  # updates over which the reconstruction is averaged before β may fall


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TabsynError("device is 'cuda' but this machine has none that torch can use; set device to 'cpu'.")
    return torch.device(name)


@contextmanager
def _mixed_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 on CUDA, where it is faster; float32 on a CPU, where it is not."""
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        yield


@contextmanager
def _reproducible(threads: int) -> Iterator[None]:
    """A fixed number of threads and deterministic kernels, as they were afterwards."""
    with _SETTINGS:  # they belong to the process: a server that samples in two threads takes turns
        before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])


_SETTINGS = RLock()


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
