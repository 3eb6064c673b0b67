"""Endpoints of molecules: drawn by the generator, given the molecule's descriptors."""

from collections.abc import Sequence

import polars as pl

from tabsyn_core.generator import Generator

_PROPOSALS = 1
"""Proposals a row at imputation: what is predicted from the rows is no better with 4 or 16."""


def draw_endpoints(
    generator: Generator, rows: pl.DataFrame, endpoints: Sequence[str], like: pl.DataFrame, seed: int
) -> pl.DataFrame:
    """Draw p(endpoints | descriptors) by :meth:`~tabsyn_core.generator.Generator.impute`.

    The generator fills every gap, but gaps are part of the table: an endpoint is missing where it is in the training
    row at which the walk to the molecule began.

    Args:
        generator: Fitted to the training table.
        rows: Descriptors, at least one row.
        endpoints: Columns to draw.
        like: For each row, that training row.
        seed: Decides the draw.

    Returns:
        The rows with the endpoints; descriptors are as they were, also where they are missing.
    """
    dtypes = generator.schema.polars_dtypes()
    asked = rows.select(
        pl.lit(None, dtype=dtypes[name]).alias(name) if name in endpoints else pl.col(name).cast(dtypes[name])
        for name in generator.schema.names
    )
    filled = generator.impute(asked, seed=seed, proposals=_PROPOSALS)[0]
    there = like.select(pl.col(name).is_not_null() for name in endpoints)
    found = [filled[name].set(~there[name], None).alias(name) for name in endpoints]
    return rows.with_columns(found)
