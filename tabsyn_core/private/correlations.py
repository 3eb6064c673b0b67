"""The correlations of the ranks under differential privacy, as the scaling of the latent.

Under EDM's preconditioning a denoiser that has learned nothing, F = 0, is the exact denoiser of N(0, σ_data² I)
(c_skip is the posterior mean's coefficient). Ranks whitened by their covariance therefore start the diffusion as a
Gaussian copula with these correlations: what DP-SGD adds is what is not Gaussian. Means need no noise: ranks are
centred by design.
"""

import math

import numpy as np
import torch
from torch import Tensor

from tabsyn_core.latent import LatentScaling
from tabsyn_core.private.accounting import Mechanism

_WANTED_EDGE = 0.25
_MOST_LENGTHS = 4.0
_LEAST_OWN = 1e-3
"""A column keeps at least this share of its variance for itself, so that no direction is without spread."""


def private_scaling(ranks: Tensor, mechanism: Mechanism, sigma_data: float, rng: np.random.Generator) -> LatentScaling:
    """A full whitening of the ranks by their noisy correlations.

    Args:
        ranks: One drawing of every row's ranks, shape (rows, columns).
        mechanism: Which noise to add.
        sigma_data: Standard deviation of the result.
        rng: The noise; its seed must stay secret. NumPy's keeps all bits of a seed, torch's the lowest 32 only, which
            can be tried.
    """
    noisy, noise = noisy_scatter(ranks, mechanism, rng)
    variance, axes = torch.linalg.eigh(denoised_correlations(noisy, noise))
    scale = variance.rsqrt() * sigma_data
    backward = (axes / scale).T.contiguous()
    return LatentScaling(torch.zeros(len(noisy)), (axes * scale).float(), backward.float())


def square_bound(mechanism: Mechanism, rows: int, columns: int) -> float:
    """The squared length that rows are cut to, from ``columns``, their mean, to four times that.

    A longer row costs more noise and a shorter one flattens strong factors, which are long rows; no more is allowed
    than leaves the noise's largest eigenvalue at a quarter of a column's variance. Nothing here depends on the rows.
    """
    edge = math.sqrt(2) * mechanism.noise_multiplier * columns * math.sqrt(columns) / rows
    return columns * min(max(_WANTED_EDGE / edge, 1.0), _MOST_LENGTHS)


def clipped_scatter(ranks: Tensor, bound: float) -> Tensor:
    """Σ r rᵀ over rows whose squared length is cut to ``bound``, by which a row moves it at most (Frobenius norm)."""
    r = ranks.double()
    length = r.norm(dim=1, keepdim=True).clamp(min=1e-12)
    r = r * (math.sqrt(bound) / length).clamp(max=1.0)
    scatter: Tensor = r.T @ r
    return scatter


def noisy_scatter(ranks: Tensor, mechanism: Mechanism, rng: np.random.Generator) -> tuple[Tensor, float]:
    """The scatter matrix with symmetric Gaussian noise, and the standard deviation of its entries off the diagonal.

    Noise of standard deviation τ along every direction of the space of symmetric matrices, where lengths are Frobenius
    norms, has τ on the diagonal and τ/√2 elsewhere.
    """
    rows, columns = ranks.shape
    bound = square_bound(mechanism, rows, columns)
    tau = mechanism.noise_multiplier * bound
    draw = torch.from_numpy(rng.standard_normal((columns, columns)))
    return clipped_scatter(ranks, bound) + tau * (draw + draw.T) / 2, tau / math.sqrt(2)


def denoised_correlations(scatter: Tensor, noise: float) -> Tensor:
    """A correlation matrix: the factors that stand out from the noise, and what each column has for itself.

    Eigenvalues of the noise alone fill [-2 noise √columns, 2 noise √columns] (Wigner); those beyond are shrunk to
    √(λ² - edge²), the best in Frobenius norm (Gavish & Donoho, IEEE Trans. Inf. Theory 2017, for square matrices).

    Args:
        scatter: A symmetric matrix, shape (columns, columns).
        noise: Standard deviation of its entries off the diagonal.
    """
    columns = len(scatter)
    size = scatter.trace() / columns  # every column has the same variance by design
    if size <= 0:
        return torch.eye(columns, dtype=scatter.dtype)
    found, axes = torch.linalg.eigh(scatter / size)
    edge = 2 * noise * math.sqrt(columns) / size
    factors = axes * (found.clamp(min=0) ** 2 - edge**2).clamp(min=0).sqrt().sqrt()
    common = factors @ factors.T
    own = (1 - common.diagonal()).clamp(min=_LEAST_OWN)
    covariance = common + own.diag()
    spread = covariance.diagonal().rsqrt()
    correlations: Tensor = spread[:, None] * covariance * spread
    return correlations
