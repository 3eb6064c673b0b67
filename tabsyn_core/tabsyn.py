"""TabSyn: a transformer VAE over the columns of a codec, and a diffusion model in its latent space.

Zhang et al., Mixed-Type Tabular Data Synthesis with Score-based Diffusion in Latent Space, ICLR 2024.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tabsyn_core.adversarial import Game
from tabsyn_core.codec import Codec, Encoded
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.diffusion import EDMPreconditioning, edm_loss, heun_sampler, validation_loss
from tabsyn_core.diffusion.inpainting import repaint_sampler
from tabsyn_core.errors import TabsynError
from tabsyn_core.heads import Measured, families_of
from tabsyn_core.latent import LatentScaling
from tabsyn_core.networks import ResidualDenoiser
from tabsyn_core.private.accounting import Plan
from tabsyn_core.private.correlations import private_scaling
from tabsyn_core.private.marginals import states_at
from tabsyn_core.private.training import train_privately
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.reproducible import reproducible
from tabsyn_core.training import Budget, Curve, train
from tabsyn_core.vae import VAE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

_LATENT_DRAWS = 20_000  # rows of the randomised latent kept in memory while the diffusion trains, at least
_ENCODED_AT_ONCE = 256
_MOST_VALIDATED = 4096  # rows: a validation must stay cheap beside the updates before it
_BETA_WINDOW = 10  # updates over which the reconstruction is averaged before β may fall


class TabSyn:
    """Rows of (state, rank) from noise.

    Args:
        codec: The columns, at least one of which varies.
        config: Sizes and budgets.
    """

    def __init__(self, codec: Codec, config: GeneratorConfig) -> None:
        self.codec, self.config = codec, config
        self.vae: VAE | None = None

    def fit(
        self,
        table: pl.DataFrame,
        *,
        seed: int,
        checkpoint: Path | None = None,
        checkpoint_every: int = 100,
        deadline: float | None = None,
        warm: float = 0.0,
        progress: ProgressCallback = silent,
    ) -> list[Curve]:
        """Train both networks on a table with the codec's columns.

        Args:
            table: The rows.
            seed: Of everything.
            checkpoint: A folder for checkpoints.
            checkpoint_every: Updates between them.
            deadline: By ``time.monotonic``.
            warm: The share of all rows so far that these are, if more than 0: the score model goes on from its weights
                for that share of its updates, so that few new rows do not displace the others.
            progress: Told in updates.

        Returns:
            The training losses of the VAE and of the diffusion model.
        """
        device = _device(self.config.device)
        vae, diffusion = self.config.vae, self.config.diffusion
        with reproducible(self.config.threads), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # initial weights
            rows = self._measure(table, seed)
            random = torch.Generator().manual_seed(seed)
            self.vae = (self.vae if warm and self.vae else self._new_vae()).to(device)
            first = Budget(
                num_updates=vae.num_updates,
                learning_rate=vae.learning_rate,
                checkpoint=checkpoint and checkpoint / "vae.safetensors",
                checkpoint_every=checkpoint_every,
                deadline=deadline and time.monotonic() + (deadline - time.monotonic()) / 2,
            )
            curves = [] if warm else [self._train_vae(self.vae, rows, first, random, progress)]
            latents = self._latents(self.vae, rows.encoded, random)
            if not warm:
                self.scaling = LatentScaling.fit(latents, diffusion.sigma_data, diffusion.whitening)
            components = self.scaling.apply(latents)
            if not warm:
                self.denoiser = self._new_denoiser(components.shape[1])
            self.denoiser.to(device)
            second = Budget(
                num_updates=math.ceil((warm or 1.0) * self.config.num_updates),
                learning_rate=diffusion.learning_rate,
                ema_halflife=diffusion.ema_halflife,
                checkpoint=checkpoint and checkpoint / "diffusion.safetensors",
                checkpoint_every=checkpoint_every,
                deadline=deadline,
                patience=diffusion.patience,
            )
            held = self._held_out(len(rows), seed).repeat(len(components) // len(rows))
            curves.append(self._train_diffusion(components[~held], components[held], second, random, progress))
        self.vae.cpu().eval()
        self.denoiser.cpu().eval()
        return curves

    def fit_privately(
        self, table: pl.DataFrame, plan: Plan, noise: int, *, progress: ProgressCallback = silent
    ) -> None:
        """Fit under differential privacy: correlations, and the denoiser if the plan leaves something for it.

        Args:
            table: The training rows.
            plan: Which noise each mechanism adds.
            noise: The seed of the noise; it must stay secret.
            progress: Told in updates.
        """
        config = self.config.privacy
        if config is None:
            raise TabsynError("privacy is not set in the configuration; set it before fitting privately.")
        encoded = self.codec.encode(table, np.random.default_rng([noise, 0]))
        random = torch.Generator().manual_seed(noise % 2**63)
        with reproducible(self.config.threads), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # initial weights are published: they must say nothing about the noise
            ranks = encoded.batch(torch.arange(len(encoded)), random)[1]
            rng = np.random.default_rng([noise, 2])
            self.scaling = private_scaling(ranks, plan.correlations, self.config.diffusion.sigma_data, rng)
            self.denoiser = self._new_denoiser(len(self.codec.columns))
            if plan.training:
                train_privately(
                    self.denoiser,
                    lambda rows, generator: self.scaling.apply(encoded.batch(rows, generator)[1]),
                    len(encoded),
                    mechanism=plan.training,
                    config=config,
                    diffusion=self.config.diffusion,
                    generator=random,
                    progress=progress,
                )
        self.denoiser.eval()

    @torch.no_grad()
    def draw(self, n: int, rng: np.random.Generator, num_steps: int) -> tuple[Integers, Floats]:
        """States and ranks of ``n`` new rows, each (n, columns)."""
        noise = self._noise(n, rng)
        with reproducible(self.config.threads):
            return self._realise(self.scaling.invert(heun_sampler(self.denoiser, noise, num_steps)))

    @torch.no_grad()
    def inpaint(
        self, states: Integers, ranks: Floats, known: Masks, rng: np.random.Generator, num_steps: int
    ) -> tuple[Integers, Floats]:
        """Fill in the cells of (n, columns) that are not known, given those that are, which come back as given."""
        with reproducible(self.config.threads):
            given = torch.from_numpy(states), torch.from_numpy(ranks).float()
            latent = given[1] if self.vae is None else self.vae.encode(*given)[0].flatten(1)
            tokens = latent.shape[1] // known.shape[1]
            found = repaint_sampler(
                self.denoiser,
                self.scaling,
                latent,
                torch.from_numpy(known).repeat_interleave(tokens, dim=1),
                random=torch.Generator().manual_seed(int(rng.integers(2**31))),
                num_steps=num_steps,
            )
            new_states, new_ranks = self._realise(found)
        return np.where(known, states, new_states), np.where(known, ranks, new_ranks)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights of both networks."""
        if self.vae is not None:
            yield from self.vae.parameters()
        yield from self.denoiser.parameters()

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """All tensors by network, for safetensors files."""
        networks = {"denoiser": self.denoiser} | ({"vae": self.vae} if self.vae is not None else {})
        found = {
            name: {key: tensor.detach().contiguous() for key, tensor in network.state_dict().items()}
            for name, network in networks.items()
        }
        return found | {"scaling": {name: tensor.contiguous() for name, tensor in vars(self.scaling).items()}}

    def load(self, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """The inverse of :meth:`weights`."""
        self.scaling = LatentScaling(**weights["scaling"])
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are overwritten
            self.denoiser = self._new_denoiser(self.scaling.forward.shape[1])
            self.vae = None if self.config.privacy else self._new_vae()
        self.denoiser.load_state_dict(weights["denoiser"])
        self.denoiser.eval()
        if self.vae is not None:
            self.vae.load_state_dict(weights["vae"])
            self.vae.eval()

    def _realise(self, latent: Tensor) -> tuple[Integers, Floats]:
        if self.vae is None:
            ranks = latent.double().numpy()
            return states_at(self.codec, ranks), ranks
        return self.vae.realise(latent.view(len(latent), len(self.codec.columns), -1))

    def _noise(self, n: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.standard_normal((n, self.scaling.forward.shape[1]), dtype=np.float32))

    def _measure(self, table: pl.DataFrame, seed: int) -> Measured:
        encoded = self.codec.encode(table, np.random.default_rng([seed, 0]))
        return Measured.of(table, self.codec, encoded, families_of(self.codec))

    def _new_vae(self) -> VAE:
        c = self.config.vae
        families = families_of(self.codec) if c.heads == "family" else None
        low, high = self.codec.bounds()
        return VAE(
            low,
            high,
            d_token=c.d_token,
            width=c.width,
            num_layers=c.num_layers,
            num_heads=c.num_heads,
            families=families,
        )

    def _new_denoiser(self, dim: int) -> EDMPreconditioning:
        size = self.config.privacy or self.config.diffusion
        network = ResidualDenoiser(dim, size.width, size.num_blocks)
        return EDMPreconditioning(network, self.config.diffusion.sigma_data)

    def _train_vae(
        self, vae: VAE, rows: Measured, budget: Budget, random: torch.Generator, progress: ProgressCallback
    ) -> Curve:
        """TabSyn's algorithm 1: β falls by ``beta_decay`` whenever the reconstruction has stopped improving."""
        c = self.config.vae
        device = next(vae.parameters()).device
        memory = {"beta": c.beta_max, "window": 0.0, "seen": 0.0, "best": float(np.finfo(np.float32).max)}

        def step(memory: dict[str, float]) -> Tensor:
            batch = torch.randint(len(rows), (c.batch_size,), generator=random)
            states, ranks, ends = (part.to(device) for part in rows.batch(batch, random))
            with _mixed_precision(device):
                reconstruction, kl = vae.loss(states, ranks, random, ends)
            _adapt_beta(memory, reconstruction.item(), c.beta_decay, c.beta_min)
            return reconstruction + memory["beta"] * kl

        return train(vae, step, budget, random, phase="vae", memory=memory, progress=progress)

    @torch.no_grad()
    def _latents(self, vae: VAE, encoded: Encoded, random: torch.Generator) -> Tensor:
        """Posterior means of every row, drawn anew inside its atoms often enough, shape (draws · rows, latent)."""
        device = next(vae.parameters()).device
        draws = max(1, -(-_LATENT_DRAWS // len(encoded)))
        every_row = torch.arange(len(encoded)).repeat(draws)
        means = []
        for rows in torch.split(every_row, _ENCODED_AT_ONCE):
            states, ranks = encoded.batch(rows, random)
            means.append(vae.encode(states.to(device), ranks.to(device))[0].flatten(1).cpu())
        return torch.cat(means)

    def _held_out(self, rows: int, seed: int) -> Tensor:
        """Which training rows the denoiser is validated on, with all their draws: shape (rows,), Boolean."""
        held = torch.zeros(rows, dtype=torch.bool)
        wanted = min(round(self.config.diffusion.validation_share * rows), _MOST_VALIDATED)
        held[torch.from_numpy(np.random.default_rng([seed, 1]).permutation(rows)[:wanted])] = True
        return held

    def _train_diffusion(
        self, components: Tensor, held_out: Tensor, budget: Budget, random: torch.Generator, progress: ProgressCallback
    ) -> Curve:
        c, game = self.config.diffusion, None
        device = next(self.denoiser.parameters()).device
        if self.config.adversarial.steps:
            game = Game(
                self.denoiser,
                components.shape[1],
                self.config.adversarial,
                num_updates=budget.num_updates,
                p_mean=c.p_mean,
                p_std=c.p_std,
                generator=random,
            )

        def draw() -> Tensor:
            return components[torch.randint(len(components), (c.batch_size,), generator=random)].to(device)

        def step(memory: dict[str, float]) -> Tensor:
            with _mixed_precision(device):
                loss = edm_loss(self.denoiser, draw(), p_mean=c.p_mean, p_std=c.p_std, generator=random)
            return loss + game.play(draw, memory) if game else loss

        def validate() -> float:
            return validation_loss(self.denoiser, held_out.to(device), p_mean=c.p_mean, p_std=c.p_std)

        return train(
            self.denoiser,
            step,
            budget,
            random,
            phase="diffusion",
            memory={},
            progress=progress,
            rival=game.rival if game else None,
            # The denoising loss alone would stop the game, or undo what it gained.
            validate=validate if len(held_out) and not game else None,
        )


def _adapt_beta(memory: dict[str, float], reconstruction: float, decay: float, least: float) -> None:
    memory["window"] += reconstruction
    memory["seen"] += 1
    if memory["seen"] == _BETA_WINDOW:
        mean = memory["window"] / _BETA_WINDOW
        if mean >= memory["best"]:
            memory["beta"] = max(memory["beta"] * decay, least)
        memory["best"] = min(memory["best"], mean)
        memory["window"] = memory["seen"] = 0.0


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
