"""SMOTE and SMOTE-NC (Chawla et al., JAIR 2002) as a generator: new rows on lines between neighbours."""

import numpy as np
import polars as pl
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline, require
from tabsyn_core.baselines.complete import Complete
from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import TableSchema


class Smote(Baseline):
    """Interpolation between a training row and one of its neighbours.

    SMOTE oversamples a class; here all training rows are one class, as many new rows are asked for as are wanted, and
    only the new ones are kept. A number is x + u (x_neighbour - x) with u uniform (section 4.2), a category is that of
    most of the neighbours (SMOTE-NC, section 6.1). Distances are between standardised numbers; a category that differs
    counts as the median standard deviation, which is then 1.

    Args:
        k_neighbors: Neighbours a row may be drawn towards; 5 in the paper.
    """

    def __init__(self, k_neighbors: int = 5) -> None:
        self.k_neighbors = k_neighbors

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        require("imblearn.over_sampling")
        self.complete = Complete.of(table, schema)
        numbers, self.codes = self.complete.split(table)
        if not self.complete.medians:
            raise TabsynError("SMOTE-NC interpolates numbers and this table has no number column that varies.")
        if table.height < 2:
            raise TabsynError("the table has 1 row; SMOTE draws between neighbours and needs at least 2.")
        self.mean, self.std = numbers.mean(0), numbers.std(0)
        self.numbers = (numbers - self.mean) / self.std

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        over_sampling = require("imblearn.over_sampling")
        rows, width = self.numbers.shape
        settings = {
            "sampling_strategy": {1: rows + n},
            "k_neighbors": min(self.k_neighbors, rows - 1),
            "random_state": np.random.RandomState(np.random.MT19937(seed)),
        }
        categorical = [*range(width, width + self.codes.shape[1])]
        smote = over_sampling.SMOTENC(categorical, **settings) if categorical else over_sampling.SMOTE(**settings)
        known = np.hstack([self.numbers, self.codes])
        # The library refuses a single class; one row of another is not interpolated and has no part in distances.
        drawn = smote.fit_resample(np.vstack([known, known[:1]]), np.append(np.ones(rows, dtype=int), 0))[0][rows + 1 :]
        return self.complete.join(drawn[:, :width] * self.std + self.mean, drawn[:, width:].round().astype(np.int64))
