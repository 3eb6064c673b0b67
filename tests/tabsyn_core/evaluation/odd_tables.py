"""Tables in which everything is odd: gaps, constants, one category, huge numbers."""

import numpy as np
import polars as pl
import pytest


def odd(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "number": rng.normal(size=rows),
            "count": rng.poisson(3, rows),
            "huge": rng.normal(size=rows) * 1e307,
            "constant": [1.0] * rows,
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
            "void": pl.Series([None] * rows, dtype=pl.Null),
            "single": ["only"] * rows,
            "kind": [["a", "b", None][i] for i in rng.integers(0, 3, rows)],
            "flag": rng.random(rows) < 0.5,
        },
        strict=False,
    )


every_choice_of_columns = pytest.mark.parametrize(
    "columns",
    [
        pl.selectors.all(),
        pl.selectors.numeric(),
        pl.col("single", "kind", "flag"),
        pl.col("number"),
        pl.col("kind"),
        pl.col("empty"),
        pl.col("constant", "single"),
    ],
    ids=["all", "numeric", "categorical", "one number", "one category", "nothing", "constants"],
)
