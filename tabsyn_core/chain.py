"""Autoregressive heads: each column drawn from its distribution given the columns before it.

p(x) = p(x_core) · ∏ⱼ p(xⱼ | x_<j). The core comes from the diffusion model; every other column is drawn from the
training values that share its leaf in a regression tree on the columns before it (sequential CART: Reiter, J. Official
Statistics 21, 441 (2005); Nowok, Raab, Dibben, J. Statistical Software 74 (2016)). What has hard edges in a descriptor
table, such as counts that fix one another, lattices and near-identities, has hard edges in a tree.

Each tree may also ask for a *guide*: a ridge regression's prediction of the column from the values before it. Linear
relations, exact or nearly so, are what a tree approximates worst; asked for as one more feature they narrow a leaf
without being trusted beyond it, so a row that is slightly off cannot be extrapolated. The guide is cross-fitted, and
its penalty is what noise of that size on every input would amount to (Bishop, Neural Computation 7, 108 (1995)): what
is drawn before a column is never quite right.

A leaf is a *window* of training values, narrowed by a condition if there is one and smoothed inside the window. Draws
go through the codec like any others, so that supports stay exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import Tensor

from tabsyn_core.progress import Progress, ProgressCallback, silent

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
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
_RARE = 0.1  # looks of which a known cell is like the window, at least
FORCED = -60.0
"""Log weight of a cell that was forced to meet a condition because its window held no value that does."""
_LOOKS = 32  # draws from a window with which a known cell is compared
_BANDWIDTH = 0.03  # in u, of that comparison


@dataclass(frozen=True)
class Cells:
    """Columns as the chain sees them.

    Attributes:
        states: Which atom, level or body each cell is, shape (rows, columns).
        u: Where it lies along the column's distribution, in [0, 1], shape (rows, columns): the middle of an atom's
            interval, the cumulative probability of a body value.
        x: Its value, shape (rows, columns); ``u`` of a category, NaN where missing.
    """

    states: Integers
    u: Floats
    x: Floats

    @classmethod
    def empty(cls, rows: int, columns: int) -> "Cells":
        """Cells to be filled in."""
        return cls(np.zeros((rows, columns), dtype=np.int64), np.zeros((rows, columns)), np.zeros((rows, columns)))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.states)

    def __getitem__(self, rows: Masks | Integers) -> "Cells":
        """Some of the rows."""
        return Cells(self.states[rows], self.u[rows], self.x[rows])


@dataclass(frozen=True)
class Window:
    """Training values next to one another in a head, shape (rows,): from ``start`` to before ``stop``."""

    start: Integers
    stop: Integers


@dataclass(frozen=True)
class Tree:
    """A regression tree as arrays over its nodes.

    Attributes:
        feature: Column a node asks for, the number of columns for the guide, -1 in a leaf.
        threshold: It goes left at or below.
        left: Child.
        right: Child.
        start: Where a leaf's training values begin.
        stop: Where they end.
    """

    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    start: Integers
    stop: Integers

    def windows(self, features: Singles) -> Window:
        """Follow rows (rows, columns) to their leaves."""
        node = np.zeros(len(features), dtype=np.int64)
        rows = np.arange(len(features))
        while len(rows):
            rows = rows[self.feature[node[rows]] >= 0]
            here = node[rows]
            left = features[rows, self.feature[here]] <= self.threshold[here]
            node[rows] = np.where(left, self.left[here], self.right[here])
        return Window(self.start[node], self.stop[node])


@dataclass(frozen=True)
class Guide:
    """A ridge regression on the columns before.

    Attributes:
        columns: Which it reads.
        means: What stands for a missing value, shape (columns,).
        slopes: Shape (columns,).
        intercept: In units of the column.
    """

    columns: Integers
    means: Floats
    slopes: Floats
    intercept: float

    def predict(self, x: Floats) -> Floats:
        """Predict rows (rows, all columns), shape (rows,)."""
        seen = x[:, self.columns]
        return np.asarray(np.where(np.isnan(seen), self.means, seen) @ self.slopes + self.intercept)


@dataclass(frozen=True)
class Head:
    """One column's distribution given the columns before it.

    Attributes:
        column: Which column.
        tree: Finds the window of training values that a row draws from.
        guide: Of the tree, if linear relations say anything.
        states: The training values' states, leaf by leaf.
        u: Their u.
        x: Their values.
    """

    column: int
    tree: Tree
    guide: Guide | None
    states: Integers
    u: Floats
    x: Floats

    def windows(self, features: Singles, x: Floats) -> Window:
        """The windows of rows: u (rows, columns + 1), whose last column the guide fills in, and values."""
        if self.guide is not None:
            features[:, -1] = self.guide.predict(x)
        return self.tree.windows(features)


@dataclass(frozen=True)
class Chain:
    """The heads, in the order in which they are drawn.

    Attributes:
        order: All columns, the core first.
        heads: Of the columns after the core.
        body: Of each column, its body's state, or -1.
        smoothing: How far a body value may move towards another of its window, as a share of the way.
    """

    order: tuple[int, ...]
    heads: tuple[Head, ...]
    body: Integers
    smoothing: float

    @property
    def core(self) -> tuple[int, ...]:
        """The columns that are given."""
        return self.order[: len(self.order) - len(self.heads)]

    @classmethod
    def fit(
        cls,
        cells: Cells,
        order: Sequence[int],
        core: int,
        *,
        nominal: Masks,
        body: Integers,
        min_leaf: int,
        smoothing: float,
        seed: int,
        progress: ProgressCallback = silent,
    ) -> "Chain":
        """Fit the heads.

        Args:
            cells: The training rows.
            order: All columns in the order in which they are drawn.
            core: How many of the first are given and need no head.
            nominal: Of each column, whether its states have no order.
            body: Of each column, its body's state, or -1.
            min_leaf: Training rows in a leaf, at least.
            smoothing: See :class:`Chain`.
            seed: Decides ties between equally good splits, and folds.
            progress: Told about phase ``"heads"`` in columns.
        """
        search = _Search.of(cells, nominal, min_leaf, seed)
        heads = []
        for place in range(core, len(order)):
            heads.append(search.head(order[place], np.array(order[:place], dtype=np.int64)))
            progress(Progress(place + 1, len(order), "columns", "heads"))
        return cls(tuple(order), tuple(heads), body, smoothing)

    def draw(
        self,
        cells: Cells,
        rng: np.random.Generator,
        *,
        allowed: Mapping[int, Masks] | None = None,
        known: Masks | None = None,
    ) -> Floats:
        """Fill in every column after the core, in place.

        Args:
            cells: The core of each row, and the cells that are known; others are overwritten.
            rng: Draws within windows.
            allowed: For conditioned columns, which of the head's training values may be drawn, at least one. A row
                whose window holds none takes one nearby.
            known: Cells that are to be kept, shape (rows, columns).

        Returns:
            The log weight of each row as a draw given the conditions and the known cells (sequential importance
            sampling), shape (rows,): how probable they were, summed over columns; 0 without any.
        """
        features = _features(cells)
        weight = np.zeros(len(cells))
        for head in self.heads:
            column = head.column
            window = head.windows(features, cells.x)
            if allowed and column in allowed:
                picked, share = _pick_among(np.flatnonzero(allowed[column]), window, rng)
                states, u, x = head.states[picked], head.u[picked], head.x[picked]
            else:
                states, u, x = self._smoothed(head, window, rng)
                share = np.ones(len(cells))
            if known is not None and known[:, column].any():
                given = known[:, column]
                likeness = _likeness(head, window, cells.states[:, column], cells.u[:, column], rng)
                share = np.where(given, likeness, share)
                states = np.where(given, cells.states[:, column], states)
                u, x = np.where(given, cells.u[:, column], u), np.where(given, cells.x[:, column], x)
            weight += np.log(share)
            cells.states[:, column], cells.u[:, column], cells.x[:, column] = states, u, x
            features[:, column] = u
        return weight

    def _smoothed(self, head: Head, window: Window, rng: np.random.Generator) -> tuple[Integers, Floats, Floats]:
        """Draw from each window; body values move some way towards the next of their window.

        Towards the next and not towards any: that would draw values together, and narrow every column.
        """
        picked = _pick(window, rng)
        other = np.where(picked + 1 < window.stop, picked + 1, np.maximum(picked - 1, window.start))
        states, u, x = head.states[picked], head.u[picked], head.x[picked]
        both = (states == self.body[head.column]) & (head.states[other] == states)
        step = np.where(both, self.smoothing * rng.uniform(0, 1, len(u)), 0.0)
        return states, u + step * (head.u[other] - u), np.where(both, x + step * (head.x[other] - x), x)

    def extended(self, cells: Cells) -> "Chain":
        """The same heads with further rows among the values they draw from."""
        features = _features(cells)
        heads = (_inserted(head, head.windows(features, cells.x), cells) for head in self.heads)
        return replace(self, heads=tuple(heads))

    def to_json(self) -> dict[str, Any]:
        """What is not an array."""
        guides = {head.column: head.guide.intercept for head in self.heads if head.guide}
        heads = [{"column": head.column, "intercept": guides.get(head.column)} for head in self.heads]
        return {"order": list(self.order), "smoothing": self.smoothing, "heads": heads}

    def tensors(self) -> dict[str, Tensor]:
        """Every array, for a safetensors file."""
        found = {"body": torch.from_numpy(self.body)}
        for head in self.heads:
            arrays = {"states": head.states, "u": head.u, "x": head.x}
            arrays |= {name: getattr(head.tree, name) for name in _TREE}
            arrays |= {f"guide.{name}": getattr(head.guide, name) for name in _GUIDE} if head.guide else {}
            found |= {f"{head.column}.{name}": torch.from_numpy(_compact(array)) for name, array in arrays.items()}
        return found

    @classmethod
    def of(cls, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Chain":
        """The inverse of :meth:`to_json` and :meth:`tensors`."""

        def read(column: int, names: Sequence[str]) -> list[NDArray[Any]]:
            arrays = (tensors[f"{column}.{name}"].numpy() for name in names)
            return [array.astype(np.int64) if array.dtype.kind == "i" else array for array in arrays]

        def head(column: int, intercept: float | None) -> Head:
            states, u, x = read(column, ("states", "u", "x"))
            tree = Tree(*read(column, _TREE))
            if intercept is None:
                return Head(column, tree, None, states, u, x)
            columns, means, slopes = read(column, [f"guide.{name}" for name in _GUIDE])
            return Head(column, tree, Guide(columns, means, slopes, intercept), states, u, x)

        heads = tuple(head(**entry) for entry in content["heads"])
        return cls(tuple(content["order"]), heads, tensors["body"].numpy().astype(np.int64), content["smoothing"])


_TREE = ("feature", "threshold", "left", "right", "start", "stop")
_GUIDE = ("columns", "means", "slopes")


@dataclass(frozen=True)
class _Search:
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
    def of(cls, cells: Cells, nominal: Masks, leaf: int, seed: int) -> "_Search":
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


def _features(cells: Cells) -> Singles:
    """What trees ask for: u, and room for the guide; shape (rows, columns + 1)."""
    return np.column_stack([cells.u, np.zeros(len(cells))]).astype(np.float32)


def _pick(window: Window, rng: np.random.Generator) -> Integers:
    return window.start + (rng.random(len(window.start)) * (window.stop - window.start)).astype(np.int64)


def _pick_among(good: Integers, window: Window, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """Draw one of the values ``good`` from each window, or one nearby; also the window's share of them, (rows,)."""
    first, last = np.searchsorted(good, window.start), np.searchsorted(good, window.stop)
    count = last - first
    drawn = first + (rng.random(len(count)) * count).astype(np.int64)
    place = np.clip(np.where(count > 0, drawn, first), 0, len(good) - 1)
    return good[place], np.where(count > 0, count / (window.stop - window.start), np.exp(FORCED))


def _likeness(head: Head, window: Window, states: Integers, u: Floats, rng: np.random.Generator) -> Floats:
    """How much of each window is like a given cell, shape (rows,): a kernel estimate of its probability."""
    drawn = np.column_stack([_pick(window, rng) for _ in range(_LOOKS)])
    distance = (head.u[drawn] - u[:, None]) / _BANDWIDTH
    alike = (head.states[drawn] == states[:, None]) * np.exp(-0.5 * distance**2)
    return np.asarray(np.maximum(alike.mean(axis=1), _RARE / _LOOKS))


def _inserted(head: Head, window: Window, cells: Cells) -> Head:
    """A head with one more value in the window of each row."""
    added = np.sort(window.stop)
    tree = replace(
        head.tree,
        start=head.tree.start + np.searchsorted(added, head.tree.start, "right"),
        stop=head.tree.stop + np.searchsorted(added, head.tree.stop, "right"),
    )

    def joined(values: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        return np.insert(values, window.stop, new[:, head.column])

    return Head(
        head.column,
        tree,
        head.guide,
        joined(head.states, cells.states),
        joined(head.u, cells.u),
        joined(head.x, cells.x),
    )


def _compact(array: NDArray[Any]) -> NDArray[Any]:
    """Indices as 32-bit numbers, all others as they are."""
    return array.astype(np.int32) if array.dtype.kind == "i" else np.ascontiguousarray(array, dtype=np.float64)
