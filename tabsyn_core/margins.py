"""Margins: a log weight for each proposal, so that those that are kept have the training table's columns.

A density ratio is estimated with noise, and what it gets wrong in a single column a margin shows at once. This is
calibration weighting (Deville & Särndal, JASA 1992; entropy balancing, Hainmueller 2012) for proposals that are kept by
Gumbel top-k. Keeping a share q of many proposals with log weights η takes each with probability
π(η) = 1 − exp(−exp(η + c)): of exponential clocks with rates exp(η), those that ring first. With φ indicators of
x_j ≤ t for some cuts t of every column, divided by their standard deviation, the weights η_i = log r(x_i) + λ·φ(x_i)
are those that solve

    mean_i π(η_i) (φ(x_i) − mean of φ over the training rows) + ρ λ = 0,    mean_i π(η_i) = q,

the gradient of a convex function of λ and c, as π is the derivative of η + c + E₁(exp(η + c)). A part of a column of
which there are too few proposals gets what there is, and the other parts of the column share the rest as in training.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import exp1

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_CUTS = 9  # a column: deciles,
_LEVELS = 10  # or every value, if there are no more,
_LEAST = 0.005  # if at least this share of the training rows lies between a cut and the next
_SAME = 1e-9  # relative: values nearer than that are one value, computed differently
_MOST = 0.9  # of the proposals of a part of a column that are kept, at most
_GAP = -sys.float_info.max  # a gap lies below everything
_TINY = -30.0  # below it η + E₁(exp(η)) + γ is exp(η), but for rounding


@dataclass(frozen=True)
class Margins:
    """A step function of every column; a row's log weight is their sum.

    Attributes:
        cuts: Of each column, ascending; a value x is in the first step whose cut is not below x.
        heights: Of each column's steps, one more than cuts.
    """

    cuts: tuple[tuple[float, ...], ...]
    heights: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, real: Floats, proposals: Floats, log_ratio: Floats, share: float) -> "Margins":
        """Find the weights with which a ``share`` of proposals has the columns of the real rows.

        Args:
            real: Training rows, shape (n, columns); NaN is a gap.
            proposals: Shape (m, columns); none that ``log_ratio`` was learnt from.
            log_ratio: Their log weights so far, shape (m,).
            share: Of proposals that is kept, between 0 and 1.
        """
        cuts = [_cuts(column) for column in real.T]
        steps = _steps(proposals, cuts)
        ends = np.cumsum([len(cut) for cut in cuts])
        truth = [_masses(step, len(cut)) for step, cut in zip(_steps(real, cuts), cuts, strict=True)]
        most = [_MOST * _masses(step, len(cut)) / share for step, cut in zip(steps, cuts, strict=True)]
        below = [np.cumsum(_within(*each))[:-1] for each in zip(truth, most, strict=True)]
        parts = [np.cumsum(each)[:-1] for each in truth]
        scale = np.sqrt(np.concatenate([part * (1 - part) for part in parts]))
        # λ has as much weight as chance gives it: before anything is seen, log weights vary by about one.
        ridge = len(scale) / len(proposals)

        def heights(slopes: Floats) -> list[Floats]:
            of_columns = np.split(slopes / scale, ends[:-1])
            sums = [np.append(np.cumsum(each[::-1])[::-1], 0.0) for each in of_columns]
            return [total - each @ masses for total, each, masses in zip(sums, of_columns, below, strict=True)]

        def objective(parameters: Floats) -> tuple[float, Floats]:
            level, slopes = parameters[0], parameters[1:]
            eta = log_ratio + level + _sum(heights(slopes), steps)
            rate = np.exp(np.minimum(eta, -_TINY))
            kept = -np.expm1(-rate)
            value = np.where(eta < _TINY, rate, eta + exp1(rate) + np.euler_gamma).mean() - share * level
            excess = [
                np.cumsum(np.bincount(step, kept, len(cut) + 1))[:-1] / len(kept) - part * kept.mean()
                for step, cut, part in zip(steps, cuts, below, strict=True)
            ]
            gradient = np.concatenate(excess) / scale + ridge * slopes
            return value + ridge * float(slopes @ slopes) / 2, np.append(kept.mean() - share, gradient)

        start = np.append(np.log(-np.log1p(-share)), np.zeros(len(scale)))
        found = minimize(objective, start, jac=True, method="L-BFGS-B")
        return cls(_tuples(cuts), _tuples(heights(found.x[1:])))

    def log_weight(self, rows: Floats) -> Floats:
        """Of each of the rows (n, columns), shape (n,)."""
        return _sum([np.array(each) for each in self.heights], _steps(rows, [np.array(cut) for cut in self.cuts]))


def _cuts(column: Floats) -> Floats:
    """Between values that stand for the parts of a column: all, or its deciles, its least value and its gaps."""
    values = np.sort(np.where(np.isnan(column), _GAP, column))
    distinct = np.unique(values)
    if len(distinct) > _LEVELS:
        deciles = np.quantile(values, np.arange(1, _CUTS + 1) / (_CUTS + 1), method="inverted_cdf")
        distinct = np.unique(np.concatenate([distinct[:2], deciles]))  # the first two: gaps and the least value
    cuts, last = [], 0.0
    for value in distinct:
        place = np.searchsorted(values, value + _SAME * abs(value), "right")
        share = place / len(values)
        if share - last >= _LEAST and 1 - share >= _LEAST:
            cuts.append(value / 2 + values[place] / 2)  # not on a value, which may be computed differently
            last = share
    return np.array(cuts)


def _steps(rows: Floats, cuts: Sequence[Floats]) -> list[Integers]:
    values = np.where(np.isnan(rows), _GAP, rows)
    return [np.searchsorted(cut, column, side="left") for cut, column in zip(cuts, values.T, strict=True)]


def _masses(step: Integers, cuts: int) -> Floats:
    """Of rows in each step, as shares."""
    return np.asarray(np.bincount(step, minlength=cuts + 1) / len(step))


def _within(masses: Floats, most: Floats) -> Floats:
    """Masses none of which is above the most there can be; what is cut off goes to the others as they are."""
    found = masses.copy()
    for _ in masses:
        over = found >= most
        found[over] = most[over]
        rest = found[~over].sum()
        if rest <= 0:
            break
        found[~over] *= (1 - found[over].sum()) / rest
    return found


def _sum(heights: Sequence[Floats], steps: Sequence[Integers]) -> Floats:
    total = np.zeros(len(steps[0]) if steps else 0)
    for height, step in zip(heights, steps, strict=True):
        total += height[step]
    return total


def _tuples(columns: Sequence[Floats]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(column.tolist()) for column in columns)
