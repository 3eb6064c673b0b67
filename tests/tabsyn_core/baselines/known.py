"""A table whose dependence is known, and how much of it a sample has."""

import numpy as np
import polars as pl

from tabsyn_core.schema import TableSchema


def known_table(n=400, seed=0):
    """x decides y, the group w, the flag where z has gaps; a count and a constant besides."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-2.0, 2.0], n) + rng.normal(0, 0.5, n)
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    flag = rng.random(n) < 0.3
    return pl.DataFrame(
        {
            "x": x,
            "y": 10 + 2 * x + rng.normal(0, 0.5, n),
            "group": pl.Series(np.where(rng.random(n) < 0.05, None, group).tolist(), dtype=pl.Categorical),
            "w": (pl.Series(group).replace_strict({"a": 0.0, "b": 6.0, "c": 12.0}).to_numpy() + rng.normal(size=n)),
            "count": rng.poisson(3, n).astype(np.int32),
            "flag": flag,
            "z": pl.Series(np.where(flag, np.nan, rng.normal(size=n)), dtype=pl.Float32),
            "same": np.full(n, 7, dtype=np.int64),
        }
    )


def schema_of(table):
    return TableSchema.infer(table.with_columns(pl.selectors.float().fill_nan(None)))


def dependence(rows):
    """|corr(x, y)|, the share of the variance of w between groups, the share of rows where z is a gap as flag says."""
    rows = rows.with_columns(pl.selectors.float().fill_nan(None))
    numbers = rows.select("x", "y").drop_nulls().to_numpy()
    known = rows.select(pl.col("group").cast(pl.String), "w").drop_nulls()
    between = known.select(pl.col("w").mean().over("group"))["w"].var() / known["w"].var()
    agree = (rows["z"].is_null() == rows["flag"]).mean()
    return abs(np.corrcoef(numbers.T)[0, 1]), between, agree


def check_rows(rows, table):
    """Names, order, dtypes and levels are those of the table, and numbers stay where numbers were."""
    assert rows.schema == table.schema
    assert set(rows["group"].cast(pl.String)) <= set(table["group"].cast(pl.String))
    assert set(rows["flag"]) <= {True, False}
    assert (rows["same"] == 7).all()
    assert not rows["x"].is_null().any()
    assert 0.1 < rows["z"].fill_nan(None).is_null().mean() < 0.55
    assert rows["y"].is_between(0, 20).mean() > 0.95
