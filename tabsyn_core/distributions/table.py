"""Every column of a table, and the JSON file that keeps them."""

from pathlib import Path
from typing import Any

import polars as pl
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tabsyn_core.distributions.column import ColumnDistribution, fit_column
from tabsyn_core.distributions.selection import Criterion
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, write_json
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.schema import TableSchema

Distributions = dict[str, ColumnDistribution]


def fit_table(
    table: pl.DataFrame,
    schema: TableSchema,
    *,
    seed: int,
    criterion: Criterion = "heldout",
    max_atoms: int = 32,
    progress: ProgressCallback = silent,
) -> Distributions:
    """Fit every column of the schema, one after another: 217 columns take less than starting two processes pays.

    Args:
        table: Rows to fit; columns beyond the schema are left alone.
        schema: The columns to fit.
        seed: Together with a column's name, draws its held-out rows.
        criterion: ``"heldout"`` or ``"bic"``.
        max_atoms: Repeated values a column may split off, beside missing.
        progress: Told after each column.

    Raises:
        TabsynError: The table lacks a column of the schema.
    """
    schema.check(table.select(name for name in table.columns if name in schema.names))
    found: Distributions = {}
    with threadpool_limits(limits=1, user_api="blas"):  # threads only quarrel over arrays this small
        for done, column in enumerate(schema.columns, start=1):
            values = table[column.name]
            found[column.name] = fit_column(values, column, seed=seed, criterion=criterion, max_atoms=max_atoms)
            progress(Progress(done, len(schema.columns), "columns"))
    return found


def save_distributions(path: Path, schema: TableSchema, distributions: Distributions) -> None:
    """Write schema and distributions as JSON."""
    fitted = {name: distribution.to_json() for name, distribution in distributions.items()}
    write_json(path, {"schema": schema.to_json(), "distributions": fitted})


def load_distributions(path: Path) -> tuple[TableSchema, Distributions]:
    """Read what :func:`save_distributions` wrote.

    Raises:
        TabsynError: The file is absent, is not JSON, or holds something else.
    """
    content: Any = read_json(path)
    try:
        schema = TableSchema.from_json(content["schema"])
        fitted = content["distributions"]
        return schema, {name: ColumnDistribution.from_json(fitted[name]) for name in schema.names}
    except (KeyError, TypeError, ValueError) as error:
        raise TabsynError(f"{path} does not hold distributions ({error!r}); run tasks.fit_distributions.") from error
