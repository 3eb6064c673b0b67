"""What a private fit may cost and how it is spent. Kept apart so that reading it imports neither torch nor opacus."""

from dataclasses import dataclass
from typing import Any, ClassVar

from tabsyn_core.errors import TabsynError


@dataclass(frozen=True, slots=True)
class PrivacyConfig:
    """(ε, δ)-differential privacy of one row, for everything that ends up in the model.

    Attributes:
        epsilon: ε of the whole fit.
        delta: δ of the whole fit; less than one in the number of rows.
        marginals: Share of the budget for the columns' distributions. Shares are of ρ = 1 / 2z² (z: noise multiplier),
            which adds up over Gaussian mechanisms.
        correlations: Share for the correlations of the ranks; training has what is left, if there is any.
        limit: Numbers without public bounds are cut off at this size.
        width: Size of the denoiser's hidden layers; small, because the noise grows with the number of weights.
        num_blocks: Residual blocks of the denoiser.
        num_updates: Updates of the denoiser by DP-SGD; 0 leaves it as it starts, which is a Gaussian copula, and spends
            its share on the others. Updates gained nothing on tables of up to 16,000 rows (docs/method.md).
        batch_size: Rows an update, on average.
        learning_rate: Peak of Adam's learning rate.
        max_grad_norm: Each row's gradient is clipped to this length.
        noise_levels: Noise levels a row is seen at in each visit, at no cost in privacy (noise multiplicity).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    epsilon: float
    delta: float = 1e-5
    marginals: float = 0.5
    correlations: float = 0.3
    limit: float = 1e6
    width: int = 64
    num_blocks: int = 1
    num_updates: int = 0
    batch_size: int = 256
    learning_rate: float = 1e-3
    max_grad_norm: float = 0.1
    noise_levels: int = 8

    def __post_init__(self) -> None:
        """Refuse what cannot be accounted for."""
        sizes = ("width", "num_blocks", "batch_size", "noise_levels")
        for name in (
            "epsilon",
            "delta",
            "marginals",
            "correlations",
            "limit",
            "learning_rate",
            "max_grad_norm",
            *sizes,
        ):
            if not getattr(self, name) > 0:
                raise TabsynError(f"privacy.{name} is {getattr(self, name)}; it must be more than 0.")
        if self.num_updates < 0:
            raise TabsynError(f"privacy.num_updates is {self.num_updates}; it must be at least 0.")
        if self.delta >= 1:
            raise TabsynError(f"privacy.delta is {self.delta}; it must be less than 1 and less than 1 / rows.")
        if self.marginals + self.correlations >= 1:
            raise TabsynError(
                f"privacy.marginals and privacy.correlations add up to {self.marginals + self.correlations:g}; they "
                "must leave something of 1 for training."
            )
