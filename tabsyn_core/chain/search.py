"""The search for heads: a tree for every column, and a guide where linear relations say something."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tabsyn_core.chain.head import Cells, Guide, Head, Tree

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

_MAX_PARENTS = 256
"""Columns a tree may look at, those of highest rank correlation: more cost time on very wide tables and add noise."""

_MAX_LEVELS = 32
"""A category with more levels is split as the order of its levels; Gini's criterion would cost a pass a level."""

_GUIDED = 20  # distinct values that a column has at least for a ridge regression to be worth asking
_INPUT_NOISE = 0.3  # variance of the noise on standardised inputs that the guide's penalty stands for
_LEAST_EXPLAINED = 0.1  # of the variance of held-out rows, for a guide to be kept
_FOLDS = 5


@dataclass(frozen=True)
class Search:
    """The training rows, and what the search for heads needs of them.

    Attributes:
        cells: The rows.
        nominal: Of each column, whether its states have no order.
        leaf: Training rows in a leaf, at least.
        seed: Of ties and folds.
        correlations: Of u, absolute.
        standard: Values with gaps at the mean, in standard deviations.
        means: Of the values.
        spreads: Their standard deviations.
        fold: Of each row.
        products: Of each fold, ZᵀZ of the standardised rows outside it.
    """

    cells: Cells
    nominal: Masks
    leaf: int
    seed: int
    correlations: Floats
    standard: Floats
    means: Floats
    spreads: Floats
    fold: Integers
    products: list[Floats]

    @classmethod
    def of(cls, cells: Cells, nominal: Masks, leaf: int, seed: int) -> "Search":
        """Prepare a search."""
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = np.abs(np.nan_to_num(np.atleast_2d(np.corrcoef(cells.u, rowvar=False))))
        present = np.where(np.isnan(cells.x), 0.0, 1.0)
        means = np.nansum(cells.x, axis=0) / np.maximum(present.sum(axis=0), 1)
        filled = np.where(np.isnan(cells.x), means, cells.x)
        spreads = np.maximum(filled.std(axis=0), 1e-12 * (1 + np.abs(means)))
        Z = (filled - means) / spreads
        fold = np.random.default_rng([seed, 3]).permutation(len(cells)) % _FOLDS
        products = [Z[fold != k].T @ Z[fold != k] for k in range(_FOLDS)]
        return cls(cells, nominal, leaf, seed, correlations, Z, means, spreads, fold, products)

    def head(self, column: int, parents: Integers) -> Head:
        """Fit one column given those before it."""
        if len(parents) > _MAX_PARENTS:
            nearest = np.argsort(-self.correlations[column, parents], kind="stable")[:_MAX_PARENTS]
            parents = parents[np.sort(nearest)]
        states, u = self.cells.states[:, column], self.cells.u[:, column]
        guide, guidance = self._guide(column, parents)
        seen = self.cells.u[:, parents].astype(np.float32)
        if guide is not None or not len(parents):  # a root has nothing to ask for: a column of zeros
            seen = np.column_stack([seen, guidance.astype(np.float32)])
        by_level = bool(self.nominal[column]) and len(np.unique(states)) <= _MAX_LEVELS
        kind = DecisionTreeClassifier if by_level else DecisionTreeRegressor
        model = kind(min_samples_leaf=self.leaf, random_state=self.seed).fit(seen, states if by_level else u)
        leaves = model.apply(seen)
        order = np.lexsort((u, leaves))
        at, nodes = model.tree_, np.arange(model.tree_.node_count)
        asked = np.append(parents, self.cells.u.shape[1])
        tree = Tree(
            np.where(at.feature >= 0, asked[np.maximum(at.feature, 0)], -1),
            at.threshold.astype(np.float64),
            at.children_left,
            at.children_right,
            np.searchsorted(leaves[order], nodes, "left"),
            np.searchsorted(leaves[order], nodes, "right"),
        )
        return Head(column, tree, guide, states[order], u[order], self.cells.x[order, column])

    def _guide(self, column: int, parents: Integers) -> tuple[Guide | None, Floats]:
        """The guide, and its cross-fitted predictions of the training rows."""
        predicted = np.zeros(len(self.cells))
        if self.nominal[column] or not len(parents) or len(np.unique(self.cells.u[:, column])) <= _GUIDED:
            return None, predicted
        Z, y = self.standard[:, parents], self.standard[:, column]
        slopes = []
        for k, product in enumerate(self.products):
            rows = int(np.sum(self.fold != k))
            normal = product[np.ix_(parents, parents)] + _INPUT_NOISE * rows * np.eye(len(parents))
            slopes.append(np.linalg.solve(normal, product[parents, column]))
            predicted[self.fold == k] = Z[self.fold == k] @ slopes[-1]
        if 1 - np.mean((y - predicted) ** 2) < _LEAST_EXPLAINED:
            return None, np.zeros(len(self.cells))
        scaled = np.mean(slopes, axis=0) * self.spreads[column] / self.spreads[parents]
        means = self.means[parents]
        guide = Guide(parents, means, scaled, float(self.means[column] - means @ scaled))
        return guide, predicted * self.spreads[column] + self.means[column]
