"""The sizes and budgets of a generator. Kept apart from the networks so that reading them does not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tabsyn_core.errors import TabsynError


@dataclass(frozen=True, slots=True)
class VAEConfig:
    """The transformer VAE (TabSyn, Zhang et al., ICLR 2024, §3.2).

    Attributes:
        d_token: Latent numbers a column.
        width: Size of the transformer's tokens.
        num_layers: Blocks in the encoder, and again in the decoder.
        num_heads: Attention heads.
        num_updates: Updates, whatever the number of rows.
        batch_size: Rows an update.
        learning_rate: Peak of AdamW's learning rate.
        beta_max: β starts here,
        beta_min: falls to this at least,
        beta_decay: by this factor whenever the reconstruction has stopped improving.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    d_token: int = 1
    width: int = 16
    num_layers: int = 1
    num_heads: int = 1
    num_updates: int = 300
    batch_size: int = 128
    learning_rate: float = 2e-3
    beta_max: float = 1e-2
    beta_min: float = 1e-5
    beta_decay: float = 0.7

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        sizes = ("d_token", "width", "num_layers", "num_heads", "num_updates", "batch_size")
        _check_positive("vae", self, (*sizes, "learning_rate", "beta_max", "beta_min", "beta_decay"))
        if self.width % self.num_heads:
            raise TabsynError(f"vae.width is {self.width}; it must be a multiple of vae.num_heads, {self.num_heads}.")


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """The score model in the latent space (EDM, Karras et al., NeurIPS 2022).

    Attributes:
        width: Size of the denoiser's hidden layers.
        num_blocks: Residual blocks.
        batch_size: Rows an update.
        learning_rate: Peak of AdamW's learning rate.
        ema_halflife: Updates after which a weight's share in the average has halved.
        sigma_data: Standard deviation the latents are scaled to.
        p_mean: Mean of ln σ in training.
        p_std: Standard deviation of ln σ in training.
        whitening: Power of the latent's variances that is taken out, 0 (none) to 1 (all).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    width: int = 512
    num_blocks: int = 4
    batch_size: int = 256
    learning_rate: float = 1e-3
    ema_halflife: float = 200.0
    sigma_data: float = 0.5
    p_mean: float = -1.2
    p_std: float = 1.4
    whitening: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        names = ("width", "num_blocks", "batch_size", "learning_rate", "sigma_data", "p_std")
        _check_positive("diffusion", self, names)
        if not 0 <= self.whitening <= 1:
            raise TabsynError(f"diffusion.whitening is {self.whitening}; it must lie between 0 and 1.")


def _check_positive(section: str, config: object, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise TabsynError(f"{section}.{name} is {getattr(config, name)}; it must be more than 0.")


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Everything about a generator but its data and seed.

    Attributes:
        vae: The transformer VAE.
        diffusion: The score model.
        num_updates: Updates of the score model, whatever the number of rows.
        threads: CPU threads; fixed, because their number changes the last bits of a sum.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one.
    """

    vae: VAEConfig = field(default_factory=VAEConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    num_updates: int = 1500
    threads: int = 2
    device: str = "auto"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "GeneratorConfig":
        """The inverse of ``dataclasses.asdict``."""
        parts = {"vae": VAEConfig(**content["vae"]), "diffusion": DiffusionConfig(**content["diffusion"])}
        return cls(**{**content, **parts})
