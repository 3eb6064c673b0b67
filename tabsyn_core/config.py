"""The sizes and budgets of a generator. Kept apart from the networks so that reading them does not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from tabsyn_core.errors import TabsynError
from tabsyn_core.private.config import PrivacyConfig


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
        heads: What the decoder's heads are: ``"interval"``, a discretised logistic on each state's interval of ranks,
            or ``"family"``, the likelihood of the column's own family (:mod:`tabsyn_core.heads`).
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
    heads: Literal["interval", "family"] = "interval"

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
        validation_share: Share of the training rows that it does not train on but is validated on every 100 updates;
            the best weights are kept. 0 validates nothing and keeps the last.
        patience: Validations in a row without improvement after which training stops; 0 never stops early.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    width: int = 128
    num_blocks: int = 2
    batch_size: int = 256
    learning_rate: float = 1e-3
    ema_halflife: float = 200.0
    sigma_data: float = 0.5
    p_mean: float = -1.2
    p_std: float = 1.4
    whitening: float = 0.5
    validation_share: float = 0.1
    patience: int = 5

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        names = ("width", "num_blocks", "batch_size", "learning_rate", "sigma_data", "p_std")
        _check_positive("diffusion", self, names)
        if not 0 <= self.whitening <= 1:
            raise TabsynError(f"diffusion.whitening is {self.whitening}; it must lie between 0 and 1.")
        if not 0 <= self.validation_share < 1:
            raise TabsynError(
                f"diffusion.validation_share is {self.validation_share}; it must be at least 0 and less than 1."
            )
        if self.patience < 0:
            raise TabsynError(f"diffusion.patience is {self.patience}; it must be 0 or more.")


@dataclass(frozen=True, slots=True)
class AdversarialConfig:
    """The game between the diffusion model and a discriminator.

    Attributes:
        steps: k, ascents of the discriminator before each descent of the diffusion model; 0 plays no game.
        weight: Of the adversarial term beside the denoising loss.
        width: Size of the discriminator's hidden layers.
        learning_rate: Of the discriminator's AdamW.
        start: Share of the updates after which the game begins.
        ratio: ρ = τ / σ, how far one step of the flow carries.
        penalty: Weight of R₁, the squared gradient of the logit at real latents (Mescheder et al., ICML 2018).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    steps: int = 0
    weight: float = 0.05
    width: int = 256
    learning_rate: float = 5e-4
    start: float = 0.5
    ratio: float = 0.5
    penalty: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        for name, value in (("width", self.width), ("learning_rate", self.learning_rate)):
            if not value > 0:
                raise TabsynError(f"adversarial.{name} is {value}; it must be more than 0.")
        for name, least in (("steps", self.steps), ("weight", self.weight), ("penalty", self.penalty)):
            if not least >= 0:
                raise TabsynError(f"adversarial.{name} is {least}; it must be 0 or more.")
        if not 0 <= self.start <= 1:
            raise TabsynError(f"adversarial.start is {self.start}; it must lie between 0 and 1.")
        if not 0 < self.ratio < 1:
            raise TabsynError(f"adversarial.ratio is {self.ratio}; it must lie between 0 and 1.")


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """The autoregressive heads that draw what the diffusion model does not (:mod:`tabsyn_core.chain`).

    Attributes:
        core: Columns that the diffusion model draws, those with the fewest distinct values, but an eighth of all
            columns at most; ``None`` for all of them, which leaves nothing to the heads.
        min_leaf: Training rows in a leaf, at least.
        smoothing: How far a value may move towards another of its leaf, as a share of the way; 0 draws training values.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    core: int | None = 24
    min_leaf: int = 5
    smoothing: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted."""
        if self.core is not None and self.core < 0:
            raise TabsynError(f"chain.core is {self.core}; it must be at least 0, or null for all columns.")
        if self.min_leaf < 1:
            raise TabsynError(f"chain.min_leaf is {self.min_leaf}; it must be at least 1.")
        if not 0 <= self.smoothing <= 1:
            raise TabsynError(f"chain.smoothing is {self.smoothing}; it must lie between 0 and 1.")


def _check_positive(section: str, config: object, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(config, name) > 0:
            raise TabsynError(f"{section}.{name} is {getattr(config, name)}; it must be more than 0.")


FrontEnd = Literal["families", "families without atoms", "quantile", "gaussian"]


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Everything about a generator but its data and seed.

    Attributes:
        vae: The transformer VAE.
        diffusion: The score model.
        adversarial: The game between the score model and a discriminator, off by default.
        chain: The autoregressive heads.
        privacy: Differential privacy, off by default; it does without VAE, heads and discriminators.
        front_end: How columns become ranks: ``"families"`` is the product; the others are what peers do.
        identities: Whether columns that are functions of others are recomputed and constraints are kept.
        proposals: Rows drawn for each row that is kept by the density-ratio discriminator; 1 does without.
        margins: Whether its choice is corrected so that single columns are those of the training rows.
        num_updates: Updates of the score model, whatever the number of rows.
        threads: CPU threads; fixed, because their number changes the last bits of a sum.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one.
    """

    vae: VAEConfig = field(default_factory=VAEConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    chain: ChainConfig = field(default_factory=ChainConfig)
    privacy: PrivacyConfig | None = None
    front_end: FrontEnd = "families"
    identities: bool = True
    proposals: int = 4
    margins: bool = True
    num_updates: int = 400
    threads: int = 2
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.proposals < 1:
            raise TabsynError(f"proposals is {self.proposals}; it must be at least 1.")
        if self.threads < 1:
            raise TabsynError(f"threads is {self.threads}; it must be at least 1.")
        if self.front_end not in get_args(FrontEnd):
            raise TabsynError(f"front_end is '{self.front_end}'; it must be one of {', '.join(get_args(FrontEnd))}.")

    @classmethod
    def published(cls, *, vae_updates: int = 4000, num_updates: int = 10_000) -> "GeneratorConfig":
        """TabSyn as its authors published it (Zhang et al., ICLR 2024, appendix D).

        The published recipe counts epochs, 4,000 of the VAE and 10,000 of the score model; here the budget is in
        updates and explicit. Their schedule of β, token size, constants of EDM and quantile front-end are kept, and the
        score model is of their size: 10 million weights for 15 columns.
        """
        return cls(
            vae=VAEConfig(
                d_token=4, width=32, num_layers=2, num_updates=vae_updates, batch_size=4096, learning_rate=1e-3
            ),
            diffusion=DiffusionConfig(
                width=1024, num_blocks=2, batch_size=4096, p_std=1.2, whitening=0.0, validation_share=0.0
            ),
            chain=ChainConfig(core=None),
            front_end="quantile",
            identities=False,
            proposals=1,
            num_updates=num_updates,
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "GeneratorConfig":
        """The inverse of ``dataclasses.asdict``; what older versions did not know is as it was for them."""
        content = {**_BEFORE, **content, "diffusion": {**_BEFORE_VALIDATION, **content["diffusion"]}}
        known = {name: part(**content[name]) for name, part in _PARTS.items() if content.get(name) is not None}
        return cls(**{**content, **known})


_PARTS: dict[str, Any] = {
    "vae": VAEConfig,
    "diffusion": DiffusionConfig,
    "adversarial": AdversarialConfig,
    "chain": ChainConfig,
    "privacy": PrivacyConfig,
}
_BEFORE: dict[str, Any] = {"chain": {"core": None}, "proposals": 1, "margins": False}
"""Format 1 drew every column by diffusion and kept every row; up to format 3, margins were left as they came."""

_BEFORE_VALIDATION: dict[str, Any] = {"validation_share": 0.0}
"""Format 1 trained on all rows to the end."""
