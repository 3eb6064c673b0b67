"""The two ends of the scale: real rows again, and columns that know nothing of each other."""

import numpy as np
import polars as pl
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import TableSchema


class Bootstrap(Baseline):
    """Training rows drawn with replacement (Efron, 1979): perfect but for privacy and novelty. Gaps come along."""

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        self.table = table

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        return self.table[np.random.default_rng([seed, 0]).integers(0, self.table.height, n)]


class Factorised(Bootstrap):
    """Every column drawn from its own values, gaps among them, independently: p(x) = Πⱼ p(xⱼ)."""

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        rng = np.random.default_rng([seed, 0])
        return pl.DataFrame([column[rng.integers(0, len(column), n)] for column in self.table])
