"""A head: one column's distribution given the columns before it, as windows of its training values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]


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
