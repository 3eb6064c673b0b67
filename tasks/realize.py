"""Rows backed by molecules: fit a realizer, stream its rows and where they come from to Parquet."""

from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from tabsyn_core.chemistry.descriptors import IDENTIFIERS
from tabsyn_core.chemistry.standardize import Standardization
from tabsyn_core.conditions import Where
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_parquet, write_parquet
from tabsyn_core.generator import Generator
from tabsyn_core.molecules import Realizer, RealizerConfig
from tabsyn_core.progress import ProgressCallback, silent
from tasks import paths
from tasks.params import Params
from tasks.stage import ProgressReporter, run_stage


def fit_realizer(
    train: Path,
    generator: Path,
    output: Path,
    *,
    config: RealizerConfig,
    seed: int,
    progress: ProgressCallback = silent,
) -> Realizer:
    """Fit a realizer to training rows and save it to a folder, which is as confidential as those rows.

    Args:
        train: Parquet file of training rows with their SMILES.
        generator: The saved generator that was fitted to them.
        output: Folder to write: JSON, Parquet, and the generator's safetensors.
        config: Limits and budgets.
        seed: Of the candidates that its discriminator learns from.
        progress: Told about those.

    Raises:
        TabsynError: The rows have no SMILES, there are too few molecules, or a file cannot be read or written.
    """
    rows = read_parquet(train)
    if "smiles" not in rows.columns:
        raise TabsynError(f"{train} has no column smiles, and realize needs molecules; set realize.num_rows to 0.")
    table = rows.drop(IDENTIFIERS, strict=False)
    fitted = Realizer(config).fit(
        rows["smiles"].to_list(), table, Generator.load(generator), seed=seed, progress=progress
    )
    fitted.save(output)
    return fitted


def realize_rows(
    realizer: Realizer,
    output: Path,
    provenance: Path | None = None,
    *,
    num_rows: int,
    seed: int,
    where: Where | None = None,
    chunk_size: int = 1000,
    progress: ProgressCallback = silent,
) -> str:
    """Write exactly ``num_rows`` rows with a new molecule each.

    Args:
        realizer: A fitted one.
        output: Parquet file to write: ``smiles`` (unless only descriptors are shared), the training table's columns
            and ``acceptance_weight``.
        provenance: Parquet file to write, one row for each: molecule, parents, nearest training row. Not for sharing.
        num_rows: Rows.
        seed: The same seed gives the same rows.
        where: Conditions that every row meets; see :mod:`tabsyn_core.conditions`.
        chunk_size: Rows in memory at once.
        progress: Told about rows.

    Returns:
        One line that says what was drawn.

    Raises:
        TabsynError: There are not so many new molecules, the conditions cannot be met, or a file cannot be written.
    """
    files = {"rows": output, **({} if provenance is None else {"provenance": provenance})}
    with ExitStack() as closing:
        temporary = {part: closing.enter_context(atomic_path(path)) for part, path in files.items()}
        writers: dict[str, pq.ParquetWriter] = {}
        for chunk in realizer.sample_chunks(num_rows, seed=seed, where=where, chunk_size=chunk_size, progress=progress):
            for part, path in temporary.items():
                table = getattr(chunk, part).to_arrow()
                if part not in writers:
                    writers[part] = closing.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd"))
                writers[part].write_table(table.cast(writers[part].schema))
    return f"{num_rows} rows, each with a molecule that is not in the training table"


def _run(params: Params, reporter: ProgressReporter) -> str:
    wanted = params.realize
    if not wanted.num_rows:
        _write_nothing()
        return "none wanted: realize.num_rows is 0"
    config = RealizerConfig(
        share=wanted.share,
        max_similarity=wanted.max_similarity,
        min_steps=wanted.min_steps,
        max_steps=wanted.max_steps,
        apart=wanted.apart,
        proposals=wanted.proposals,
        endpoints=wanted.endpoints,
        local_search=wanted.local_search,
        effort=wanted.effort,
        workers=params.featurize.workers,
        standardization=Standardization(
            **params.data.standardize.model_dump(), max_length=params.data.max_smiles_length
        ),
    )
    realizer = fit_realizer(
        paths.TRAIN, paths.GENERATOR, paths.REALIZER, config=config, seed=params.seed, progress=reporter
    )
    return realize_rows(
        realizer,
        paths.REALIZED,
        paths.PROVENANCE,
        num_rows=wanted.num_rows,
        seed=params.seed,
        where=wanted.where,
        chunk_size=params.sample.chunk_size,
        progress=reporter,
    )


def _write_nothing() -> None:
    """Outputs that DVC can track, without rows; a realizer's folder without a realizer."""
    none = read_parquet(paths.TRAIN).clear()
    write_parquet(paths.REALIZED, none)
    write_parquet(paths.PROVENANCE, pl.DataFrame(schema={"smiles": pl.String}))
    with atomic_path(paths.REALIZER) as temporary:
        temporary.mkdir()
        (temporary / "README.md").write_text("No realizer: realize.num_rows is 0.\n", encoding="utf-8")


def main() -> None:
    """``python -m tasks.realize``."""
    run_stage("realize", _run)


if __name__ == "__main__":
    main()
