"""Give every column of the training rows a kind and a fitted family, and draw them all on one page."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tabsyn_core.chemistry import descriptors
from tabsyn_core.distributions import Criterion, fit_table, render_page, save_distributions
from tabsyn_core.files import atomic_path, read_parquet
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.schema import Kind, TableSchema
from tasks import paths
from tasks.params import ColumnParams, Params
from tasks.stage import ProgressReporter, run_stage


def modelled_schema(table: pl.DataFrame, columns: Sequence[ColumnParams]) -> TableSchema:
    """The schema of the columns to model: all but the identifiers.

    Args:
        table: Training rows.
        columns: Targets and kept columns, whose kinds ``params.yaml`` states.

    Raises:
        TabsynError: A stated column is missing, or a column cannot be modelled.
    """
    modelled = table.drop(descriptors.IDENTIFIERS, strict=False)
    described = [name for name in descriptors.DESCRIPTOR_NAMES if name in modelled.columns]
    kinds = {name: Kind.INTEGER if name in descriptors.INTEGER_DESCRIPTORS else Kind.NUMERIC for name in described}
    bounds = {name: bound for name, bound in descriptors.descriptor_bounds().items() if name in described}
    return TableSchema.infer(modelled, kinds | {column.name: column.kind for column in columns}, bounds)


def fit_distributions(
    train: Path,
    output: Path,
    page: Path,
    *,
    columns: Sequence[ColumnParams],
    seed: int,
    criterion: Criterion = "heldout",
    max_atoms: int = 32,
    progress: ProgressCallback = silent,
) -> str:
    """Fit every modelled column of ``train``; write the distributions and their page.

    Args:
        train: Parquet file of training rows.
        output: JSON file to write: ``{"schema": [...], "distributions": {...}}``.
        page: HTML file to write.
        columns: Targets and kept columns with their kinds.
        seed: Draws the held-out rows.
        criterion: ``"heldout"`` or ``"bic"``.
        max_atoms: Repeated values split off at most, a column.
        progress: Told after each column.

    Returns:
        One line that says what was fitted.

    Raises:
        TabsynError: A file cannot be read or written, or a column cannot be modelled.
    """
    table = read_parquet(train)
    schema = modelled_schema(table, columns)
    fitted = fit_table(table, schema, seed=seed, criterion=criterion, max_atoms=max_atoms, progress=progress)
    save_distributions(output, schema, fitted)
    chosen_by = "held-out log likelihood" if criterion == "heldout" else "BIC"
    with atomic_path(page) as temporary:
        temporary.write_text(render_page(table, fitted, chosen_by=chosen_by), encoding="utf-8")
    tested = [distribution.fit.p_value for distribution in fitted.values() if distribution.fit.p_value is not None]
    poor = sum(p_value < 0.01 for p_value in tested)
    return f"{len(fitted)} columns, {table.height} rows; {poor} of {len(tested)} tested fits have p < 0.01; see {page}"


def _run(params: Params, reporter: ProgressReporter) -> str:
    return fit_distributions(
        paths.TRAIN,
        paths.DISTRIBUTIONS,
        paths.DISTRIBUTIONS_PAGE,
        columns=[*params.data.targets, *params.data.keep],
        seed=params.seed,
        criterion=params.distributions.criterion,
        max_atoms=params.distributions.max_atoms,
        progress=reporter,
    )


def main() -> None:
    """Run the step with ``params.yaml`` and the project's own paths."""
    run_stage("fit_distributions", _run)


if __name__ == "__main__":
    main()
