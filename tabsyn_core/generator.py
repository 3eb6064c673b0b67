"""Fit on a table, sample rows like it: the library's front door."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class VAEConfig:
    """The transformer VAE (TabSyn, Zhang et al., ICLR 2024, §3.2)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    d_token: int = 4
    num_layers: int = 1
    num_heads: int = 2
    num_updates: int = 600
    batch_size: int = 128
    learning_rate: float = 2e-3
    beta_max: float = 1e-2
    beta_min: float = 1e-5


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """The score model in the latent space (EDM, Karras et al., NeurIPS 2022)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    width: int = 512
    num_blocks: int = 3
    num_updates: int = 1500
    batch_size: int = 256
    learning_rate: float = 1e-3
    ema_halflife: float = 200.0
    sigma_data: float = 0.5
    p_mean: float = -1.2
    p_std: float = 1.2
