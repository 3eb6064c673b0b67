"""Linear dependencies among columns: found by Gram-Schmidt, written with as few columns as possible.

The sparsest way is sought by iteratively reweighted least squares for the least ℓp norm (Daubechies et al., Comm. Pure
Appl. Math. 63, 1 (2010)).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from tabsyn_core.identities.columns import MIN_ROWS
from tabsyn_core.identities.forms import Floats, snap

_IN_SPAN = 1e-7  # residual norm of a standardised column below which it may depend on those before it
_SEARCH_ROWS = 20_000  # rows at most that are searched, evenly spread; all are verified
_SPARE_ROWS = 50  # rows beyond the number of columns in the quick look at a pattern of gaps


@dataclass(frozen=True, slots=True)
class Relation:
    """Σ coefficient · column + constant = 0."""

    coefficients: dict[str, float]
    constant: float


def relations(names: Sequence[str], values: Mapping[str, Floats]) -> Iterator[Relation]:
    """The linear relations among columns, those first named being the ones to explain others with.

    For each pattern of gaps, the columns that have no gap elsewhere are searched in the rows without one: a column
    that is missing exactly where some input is can depend on no others.
    """
    gaps = {name: np.isnan(values[name]) for name in names}
    patterns = {gap.tobytes(): gap for gap in gaps.values()}
    for pattern, gap in sorted(patterns.items(), key=lambda item: (int(item[1].sum()), item[0])):
        pool = [name for name in names if not (gaps[name] & ~gap).any()]
        rows = np.flatnonzero(~gap)
        if len(rows) <= MIN_ROWS or len(pool) < 2:
            continue
        own = [name for name in pool if gaps[name].tobytes() == pattern]
        if len(own) < len(pool) and not _worth_searching(values, [n for n in pool if n not in own], own, rows):
            continue
        rows = rows[:: -(-len(rows) // _SEARCH_ROWS)]
        X = np.column_stack([values[name][rows] for name in pool])
        yield from (found for found in _dependencies(X, pool) if not found.coefficients.keys().isdisjoint(own))


def _worth_searching(
    values: Mapping[str, Floats], others: Sequence[str], own: Sequence[str], rows: NDArray[np.int64]
) -> bool:
    """Whether some column of ``own`` is in the span of the rest on just enough rows to tell."""
    few = rows[:: max(1, len(rows) // (len(others) + len(own) + _SPARE_ROWS))]
    X = np.column_stack([values[name][few] for name in [*others, *own]])
    X = X - X.mean(axis=0)
    left = np.abs(np.diagonal(np.linalg.qr(X, mode="r")))[len(others) :]
    return len(left) < len(own) or bool(np.any(left <= 10 * _IN_SPAN * np.linalg.norm(X[:, len(others) :], axis=0)))


def _dependencies(X: Floats, names: Sequence[str]) -> Iterator[Relation]:
    """The linear relations among columns, each among a column and some of those before it, as short as possible."""
    centre, spread = X.mean(axis=0), X.std(axis=0)
    varies = np.flatnonzero(spread > 0).tolist()
    X, centre, spread, names = X[:, varies], centre[varies], spread[varies], [names[j] for j in varies]
    Z = (X - centre) / (spread * np.sqrt(len(X)))
    for last, weights in _circuits(Z):
        members = np.flatnonzero(weights).tolist()
        fitted = np.linalg.lstsq(Z[:, members], Z[:, last])[0]
        slopes = snap(fitted * spread[last] / spread[members])
        constant = centre[last] - slopes @ centre[members]
        size = abs(centre[last]) + np.abs(slopes) @ np.abs(centre[members])
        constant = 0.0 if abs(constant) < 1e-11 * size else float(snap(np.array([constant]))[0])
        named = zip(members, slopes, strict=True)
        yield Relation({names[last]: -1.0} | {names[j]: float(slope) for j, slope in named}, constant)


def _circuits(Z: Floats) -> Iterator[tuple[int, Floats]]:
    """Each column in the span of those before it, and its sparsest weights on them; Z has unit columns.

    Gram-Schmidt, each projection done twice, which is enough (Giraud et al., Numer. Math. 101, 87 (2005)).
    """
    rows, width = Z.shape
    Q = np.zeros((rows, width), order="F")
    R = np.zeros((width, width))
    basis: list[int] = []
    nulls: list[Floats] = []
    for j in range(width):
        seen = Q[:, : len(basis)]
        along = seen.T @ Z[:, j]
        rest = Z[:, j] - seen @ along
        again = seen.T @ rest
        along, rest = along + again, rest - seen @ again
        norm = float(np.linalg.norm(rest))
        if norm > _IN_SPAN and len(basis) < rows - 1:
            Q[:, len(basis)], R[: len(basis), len(basis)], R[len(basis), len(basis)] = rest / norm, along, norm
            basis.append(j)
            continue
        weights = np.zeros(width)
        weights[basis] = solve_triangular(R[: len(basis), : len(basis)], along)
        weights = _sparsest(weights, nulls)
        nulls.append(weights - np.eye(1, width, j)[0])
        yield j, weights


_SPARSITY = 0.75  # (1 - p / 2) of the minimised Σ |weight|^p: p = 1/2 leaves no ties between equal sums, p = 1 does


def _sparsest(weights: Floats, nulls: Sequence[Floats]) -> Floats:
    """Of ``weights`` plus any combination of ``nulls``, what has the least ℓp norm; zeros are exact."""
    best = weights
    if nulls:
        N = np.column_stack(nulls)
        prefer = 1 + 0.1 * np.arange(len(weights)) / len(weights)  # of two that are equally short, the earlier columns
        for floor in np.geomspace(10, 1e-8, 30):
            scale = (best**2 + floor**2) ** -_SPARSITY / prefer
            normal = (N * scale[:, None]).T @ N
            normal += 1e-13 * np.trace(normal) * np.eye(len(nulls))
            best = weights - N @ np.linalg.solve(normal, N.T @ (scale * weights))
    return np.where(np.abs(best) > 1e-6, best, 0.0)
