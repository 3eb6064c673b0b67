"""A Gaussian copula, the ``copulas`` package's, over the quantiles of every column."""

import numpy as np
import pandas as pd
import polars as pl
import torch
from scipy.special import ndtr, ndtri
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline, require
from tabsyn_core.baselines.quantile import QuantileCodec
from tabsyn_core.private.marginals import states_at
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import TableSchema

_EDGE = 1e-9  # beyond all quantiles


class GaussianCopula(Baseline):
    """Each column's own quantiles, and one correlation matrix of their normal scores.

    A category is an interval of [0, 1] as long as its share, and a value is drawn within its interval, as in the
    Synthetic Data Vault (Patki et al., DSAA 2016, section III.B); so is a missing value. Marginals are empirical: a
    beta distribution, SDV's default, leaves a KS distance of 0.23 a number column on adult, quantiles 0.02.
    """

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        multivariate, univariate = require("copulas.multivariate"), require("copulas.univariate")
        self.front = QuantileCodec.fit(table, schema, seed)
        encoded = self.front.encode(table, seed)
        ranks = encoded.batch(torch.arange(len(encoded)), torch.Generator().manual_seed(seed))[1]
        self.copula = multivariate.GaussianMultivariate(distribution=univariate.UniformUnivariate)
        if self.front.codec.columns:
            self.copula.fit(pd.DataFrame(ndtr(ranks.double().numpy())))

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        ranks = np.empty((n, 0))
        if self.front.codec.columns:
            self.copula.set_random_state(np.random.RandomState(np.random.MT19937(seed)))
            ranks = ndtri(self.copula.sample(n).to_numpy().clip(_EDGE, 1 - _EDGE))
        return self.front.codec.decode(states_at(self.front.codec, ranks), ranks)
