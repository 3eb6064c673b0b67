"""The linear map between the VAE's latent and the space the diffusion works in.

EDM assumes data of one standard deviation σ_data in every direction; the latent of a descriptor table spans four
orders of magnitude, because columns that are nearly functions of each other leave directions with almost no spread.
Principal components scaled by a power of their variance keep those directions visible to the loss without giving
noise the weight of signal: power 0 is a rotation, 1 is full whitening.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_RELATIVE_VARIANCE = 1e-7
"""Components with a smaller share of the largest variance are rounding, and are dropped."""

_VARIANCE_FLOOR = 1e-4


@dataclass(frozen=True)
class LatentScaling:
    """z ↦ (z − mean) @ forward, and back.

    Attributes:
        mean: Mean of the latents, shape (latent,).
        forward: Shape (latent, components); the result has standard deviation σ_data over all components.
        backward: Shape (components, latent), the inverse on the kept components.
    """

    mean: Tensor
    forward: Tensor
    backward: Tensor

    @classmethod
    def fit(cls, latents: Tensor, sigma_data: float, whitening: float) -> "LatentScaling":
        """Fit to latents of shape (rows, latent)."""
        z = latents.double()
        mean = z.mean(0)
        covariance = (z - mean).T @ (z - mean) / max(len(z) - 1, 1)
        variance, axes = torch.linalg.eigh(covariance)
        kept = variance > _RELATIVE_VARIANCE * variance.max().clamp(min=1e-12)
        kept[-1] = True  # one row, or equal rows: a space of one dimension that does not vary
        variance, axes = variance[kept].clamp(min=_VARIANCE_FLOOR), axes[:, kept]
        scale = variance ** (-whitening / 2)
        spread = ((z - mean) @ (axes * scale)).std(correction=0).clamp(min=1e-6)
        scale = scale * sigma_data / spread
        return cls(mean.float(), (axes * scale).float(), (axes / scale).T.contiguous().float())

    def apply(self, latents: Tensor) -> Tensor:
        """Map (rows, latent) to (rows, components)."""
        return (latents - self.mean) @ self.forward

    def invert(self, components: Tensor) -> Tensor:
        """Map (rows, components) to (rows, latent)."""
        return components @ self.backward + self.mean
