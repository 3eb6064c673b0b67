"""The training rows as candidates are compared with them: what never varies, and which row is nearest."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES

Floats = NDArray[np.float64]


class Reference:
    """Training rows, by their descriptors.

    Distances are Euclidean between ranks among the training rows, in [0, 1], a missing value in the middle: much like
    those of :func:`tabsyn_core.evaluation.privacy.dcr_share`, which judges the result, ranks among held-out rows, too,
    and counts endpoints and gaps.

    Args:
        table: The training rows; columns that are no descriptors do not count.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        table = table.select(name for name in table.columns if name in DESCRIPTOR_NAMES)
        self.columns = tuple(table.columns)
        self._fixed = {column.name: column[0] for column in table if column.n_unique() == 1}
        self._whole = [column.name for column in table if column.null_count() == 0]
        least = zip(table.columns, table.min().row(0), strict=True)
        self._never_below = [name for name, low in least if low is not None and low >= 0]
        numbers = self.numbers(table)
        self._sorted = [np.sort(values[~np.isnan(values)]) for values in numbers.T]
        self._places = self._ranks(numbers)

    def numbers(self, rows: pl.DataFrame) -> Floats:
        """Descriptors as numbers, shape (rows, columns); NaN where missing."""
        return rows.select(pl.col(self.columns).cast(pl.Float64).fill_null(np.nan)).to_numpy()

    def possible(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that keep what all training rows share: what never varies, has no gap or is never below zero."""
        same = [pl.col(name).eq_missing(value) for name, value in self._fixed.items()]
        whole = [pl.col(name).is_not_null() for name in self._whole]
        above = [(pl.col(name) >= 0).fill_null(value=True) for name in self._never_below]
        return rows.filter(pl.lit(value=True), *same, *whole, *above)

    def apart(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose nearest training row is none of the parents of their molecule."""
        if rows.is_empty():
            return rows
        nearest = pairwise_distances_argmin(self._ranks(self.numbers(rows)), self._places)
        return rows.filter(~rows["parents"].list.contains(pl.Series(nearest)))

    def _ranks(self, numbers: Floats) -> Floats:
        ranks = np.full(numbers.shape, 0.5)
        for j, known in enumerate(self._sorted):
            values = numbers[:, j]
            here = ~np.isnan(values)
            below, up_to = (np.searchsorted(known, values[here], side) for side in ("left", "right"))
            ranks[here, j] = (below + up_to) / max(2 * known.size, 1)
        return ranks
