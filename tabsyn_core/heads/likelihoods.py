"""The standard forms of the families: log densities around a place with a spread, masses of intervals, draws."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch.nn import functional

from tabsyn_core.heads.column_family import KNOTS, ColumnFamily, Floats, Kind

NOTHING = -1e4
"""A log weight; finite, so that no gradient is NaN."""

OVERFLOW = 20.0
"""Nothing is so far from its median; exp stays finite."""


def constants_of(kind: Kind, families: Sequence[ColumnFamily]) -> Tensor:
    """What the densities of one kind need of each column: its median, or how far the mean lies from it, and shapes."""
    parameters = [np.array(family.parameters) for family in families]
    if kind == "mixture":
        return _padded_components(parameters)
    middle = np.array([family.place[len(KNOTS) // 2] for family in families])
    shapes = np.array(parameters).T.reshape(-1, len(families))
    if kind == "gamma":
        middle = np.log(shapes[0]) - middle
    elif kind == "beta":
        middle = special.logit(shapes[0] / shapes.sum(0)) - middle
    return torch.from_numpy(np.vstack([middle, shapes])).float()


def _padded_components(parameters: Sequence[Floats]) -> Tensor:
    """Log weights, means and variances, (3, mixtures, components); a component that is not there weighs nothing."""
    most = max(len(own) // 3 for own in parameters)
    table = np.tile(np.array([NOTHING, 0.0, 1.0])[:, None, None], (1, len(parameters), most))
    for row, own in enumerate(parameters):
        weights, means, stds = own.reshape(3, -1)
        table[:, row, : len(weights)] = np.log(np.maximum(weights, 1e-12)), means, stds**2
    return torch.from_numpy(table).float()


def standard(kind: Kind, w: Tensor, constants: Tensor) -> Tensor:
    """Log density of a family's standard form at w, shape (batch, columns)."""
    match kind:
        case "logistic":
            return functional.logsigmoid(w) + functional.logsigmoid(-w)
        case "gumbel":
            return -w - (-w).clamp(max=OVERFLOW).exp()
        case "left gumbel":
            return w - w.clamp(max=OVERFLOW).exp()
        case "student-t":
            df = constants[1]
            log_norm = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * (df * math.pi).log()
            log_density: Tensor = log_norm - (df + 1) / 2 * torch.log1p(w**2 / df)
            return log_density
        case _:
            log_normal: Tensor = -(w**2) / 2 - math.log(2 * math.pi) / 2
            return log_normal


def gamma(y: Tensor, place: Tensor, spread: Tensor, constants: Tensor) -> Tensor:
    """Log density of the logarithm of a gamma variable by log mean and shape, which is the inverse of the spread²."""
    shape = constants[1] / spread**2
    d = (y - place - constants[0] * spread**2).clamp(max=OVERFLOW)
    return shape * (1 + d - d.exp()) + shape * shape.log() - shape - torch.lgamma(shape)


def beta(y: Tensor, place: Tensor, spread: Tensor, constants: Tensor) -> Tensor:
    """Log density of the logit of a beta variable by mean and concentration."""
    a, b = _beta_shapes(place, spread, constants)
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return a * functional.logsigmoid(y) + b * functional.logsigmoid(-y) - log_beta


def _beta_shapes(place: Tensor, spread: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """The concentration follows the spread on the logit axis, where a beta variable's variance is 1 / (c μ (1 − μ))."""
    gap, a, b = constants.double()
    eta = (place + gap * spread**2).clamp(-OVERFLOW, OVERFLOW)
    mean, rest = eta.sigmoid(), (-eta).sigmoid()
    concentration = a * b / (a + b) / (mean * rest * spread**2)
    return mean * concentration, rest * concentration


def interval(ends: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """log(Φ((high − mean) / σ) − Φ((low − mean) / σ)) from the nearer tail, (2, batch, columns) to (batch, columns)."""
    low, high = ((ends - mean) / sigma).unbind(0)
    above = (low + high) > 0
    low, high = torch.where(above, -high, low), torch.where(above, -low, high)
    top = torch.special.log_ndtr(high)
    ratio = (torch.special.log_ndtr(low) - top).clamp(max=-1e-12)
    log_mass: Tensor = top + torch.log(-torch.expm1(ratio))
    return log_mass


def draw(kind: Kind, place: Floats, spread: Floats, constants: Floats, rng: np.random.Generator) -> Floats:
    """Coordinates (batch, columns) drawn from one kind of family around their places."""
    match kind:
        case "gamma":
            shape = constants[1] / spread**2
            drawn = np.maximum(rng.standard_gamma(shape) / shape, np.finfo(np.float64).tiny)
            return np.asarray(place + constants[0] * spread**2 + np.log(drawn))
        case "beta":
            a, b = _beta_shapes(*map(torch.from_numpy, (place, spread, constants)))
            first, second = (np.maximum(rng.standard_gamma(k.numpy()), np.finfo(np.float64).tiny) for k in (a, b))
            return np.log(first) - np.log(second)
        case "logistic":
            w = rng.logistic(size=place.shape)
        case "gumbel":
            w = rng.gumbel(size=place.shape)
        case "left gumbel":
            w = -rng.gumbel(size=place.shape)
        case "student-t":
            w = rng.standard_t(np.broadcast_to(constants[1], place.shape))
        case _:
            w = rng.standard_normal(place.shape)
    return np.asarray(place + spread * (w - constants[0]))
