"""Numbers as normal scores of their quantiles, all else as states: what the copula, WGAN-GP and TabDDPM work on.

TabDDPM (Kotelnikov et al., ICML 2023, section 3.2) maps numbers through scikit-learn's quantile transform and
categories to one-hot vectors. The product's codec with the ``"quantile"`` front-end is that, and a missing value is a
state beside the numbers, drawn jointly with all else; columns with a single value are left out and put back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from tabsyn_core.codec import Codec, Encoded
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.distributions.front_ends import front_end_distributions
from tabsyn_core.schema import TableSchema


@dataclass(frozen=True)
class QuantileCodec:
    """A codec whose number columns are normal scores.

    Attributes:
        codec: The columns that vary.
    """

    codec: Codec

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: TableSchema, seed: int) -> "QuantileCodec":
        """Fit to a table with the schema's columns."""
        return cls(Codec(schema, front_end_distributions("quantile", table, schema, seed=seed)))

    @property
    def numeric(self) -> list[int]:
        """Places among the codec's columns of those with normal scores."""
        return [place for place, layout in enumerate(self.codec.layouts.values()) if layout.body_mass]

    @property
    def categorical(self) -> list[int]:
        """Places of those with more than one state: levels, or missing and not."""
        return [place for place, layout in enumerate(self.codec.layouts.values()) if len(layout.low) > 1]

    @property
    def sizes(self) -> list[int]:
        """States of each of the :attr:`categorical`."""
        layouts = [*self.codec.layouts.values()]
        return [len(layouts[place].low) for place in self.categorical]

    def encode(self, table: pl.DataFrame, seed: int) -> Encoded:
        """Encode every row; see :meth:`tabsyn_core.codec.Codec.encode`."""
        return self.codec.encode(table, np.random.default_rng([seed, 0]))

    def batch(self, encoded: Encoded, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Scores (len(rows), numeric), drawn anew where a value is missing, and states (len(rows), categorical)."""
        states, ranks = encoded.batch(rows, generator)
        return ranks[:, self.numeric], states[:, self.categorical]

    def decode(self, scores: Tensor, states: Tensor) -> pl.DataFrame:
        """Rows from what :meth:`batch` returns; scores may be any numbers."""
        shape = (len(scores), len(self.codec.columns))
        all_states, ranks = np.zeros(shape, dtype=np.int64), np.zeros(shape)
        all_states[:, self.categorical] = states.cpu().numpy()
        ranks[:, self.numeric] = scores.double().cpu().numpy()
        return self.codec.decode(all_states, ranks)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        fitted = {name: distribution.to_json() for name, distribution in self.codec.distributions.items()}
        return {"schema": self.codec.schema.to_json(), "distributions": fitted}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "QuantileCodec":
        """The inverse of :meth:`to_json`."""
        schema, fitted = TableSchema.from_json(content["schema"]), content["distributions"]
        return cls(Codec(schema, {name: ColumnDistribution.from_json(fitted[name]) for name in schema.names}))
