"""Draw synthetic rows and stream them to Parquet in constant memory."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tabsyn_core.conditions import Where, parse_conditions
from tabsyn_core.files import atomic_path
from tabsyn_core.generator import Generator
from tabsyn_core.progress import ProgressCallback, silent
from tasks import paths
from tasks.params import Params
from tasks.stage import ProgressReporter, run_stage


def sample_rows(
    generator: Path,
    output: Path,
    *,
    num_rows: int,
    seed: int,
    where: Where | None = None,
    balance: str | None = None,
    num_steps: int = 25,
    chunk_size: int = 1000,
    progress: ProgressCallback = silent,
) -> str:
    """Write exactly ``num_rows`` rows of a saved generator to ``output``.

    Args:
        generator: A folder that :meth:`tabsyn_core.generator.Generator.save` wrote.
        output: Parquet file to write; the rows do not depend on ``chunk_size``.
        num_rows: Rows.
        seed: Of the noise.
        where: Conditions that every row meets; see :mod:`tabsyn_core.conditions`.
        balance: A column whose levels get equally many rows; all rows are then in memory at once.
        num_steps: Heun steps.
        chunk_size: Rows in memory at once.
        progress: Told about rows.

    Returns:
        One line that says what was drawn.

    Raises:
        TabsynError: The generator cannot be read, an argument is out of range, a condition names no column or cannot
            be met, or the file cannot be written.
    """
    loaded = Generator.load(generator)
    how: dict[str, Any] = {"seed": seed, "where": where, "num_steps": num_steps, "progress": progress}
    if balance is None:
        chunks = loaded.sample_chunks(num_rows, chunk_size=chunk_size, **how)
    else:
        chunks = iter([loaded.sample(num_rows, balance=balance, **how)])
    schema = loaded.schema.empty().to_arrow().schema
    with atomic_path(output) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(chunk.to_arrow().cast(schema))
    met = [f"where {' and '.join(map(str, parse_conditions(where, loaded.schema)))}"] if where else []
    levelled = [f"equally many of each {balance}"] if balance else []
    return ", ".join([f"{num_rows} rows of {len(schema)} columns", *met, *levelled])


def _run(params: Params, reporter: ProgressReporter) -> str:
    return sample_rows(
        paths.GENERATOR,
        paths.SYNTHETIC,
        num_rows=params.sample.num_rows,
        seed=params.seed,
        where=params.sample.where,
        balance=params.sample.balance,
        num_steps=params.sample.num_steps,
        chunk_size=params.sample.chunk_size,
        progress=reporter,
    )


def main() -> None:
    """``python -m tasks.sample``."""
    run_stage("sample", _run)


if __name__ == "__main__":
    main()
