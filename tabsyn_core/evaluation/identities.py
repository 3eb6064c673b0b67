"""How many rows cannot be the descriptors of any molecule."""

import polars as pl

from tabsyn_core.chemistry.rules import obeys, violations
from tabsyn_core.evaluation.figure import Figure, share


def violated_share(table: pl.DataFrame) -> Figure:
    """The share of rows that break at least one rule of :mod:`tabsyn_core.chemistry.rules`.

    Only rules whose columns are all present are asked; where there is none, there is no figure.
    """
    if violations(table.head(0)).height == 0:
        return Figure.none("no rule of chemistry speaks of these columns")
    return share(int((~obeys(table)).sum()), table.height)


def broken_rules(synthetic: pl.DataFrame, holdout: pl.DataFrame) -> pl.DataFrame:
    """The rules that either table breaks, worst first.

    Returns:
        ``rule``, ``equation``, ``rows`` and ``share`` of the synthetic rows that break it, ``floor`` (the share of the
        held-out rows).
    """
    floor = violations(holdout).select("rule", floor="share")
    return (
        violations(synthetic)
        .select("rule", "equation", rows="violated", share="share")
        .join(floor, on="rule", how="left", maintain_order="left")
        .filter((pl.col("rows") > 0) | (pl.col("floor") > 0))
        .sort("rows", "rule", descending=[True, False])
    )
