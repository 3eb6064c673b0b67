"""Drawing a chain of heads, one column after another, and keeping it in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tabsyn_core.chain.head import Cells, Guide, Head, Tree, Window
from tabsyn_core.chain.search import Search
from tabsyn_core.progress import Progress, ProgressCallback, silent

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

FORCED = -60.0
"""Log weight of a cell that was forced to meet a condition because its window held no value that does."""

_RARE = 0.1  # looks of which a known cell is like the window, at least
_LOOKS = 32  # draws from a window with which a known cell is compared
_BANDWIDTH = 0.03  # in u, of that comparison

_TREE = ("feature", "threshold", "left", "right", "start", "stop")
_GUIDE = ("columns", "means", "slopes")


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
        search = Search.of(cells, nominal, min_leaf, seed)
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
