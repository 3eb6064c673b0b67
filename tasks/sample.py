"""Draw synthetic rows and stream them to Parquet in constant memory."""

from pathlib import Path

import pyarrow.parquet as pq

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
    num_steps: int = 50,
    chunk_size: int = 1000,
    progress: ProgressCallback = silent,
) -> str:
    """Write exactly ``num_rows`` rows of a saved generator to ``output``.

    Args:
        generator: A folder that :meth:`tabsyn_core.generator.Generator.save` wrote.
        output: Parquet file to write; the rows do not depend on ``chunk_size``.
        num_rows: Rows.
        seed: Of the noise.
        num_steps: Heun steps.
        chunk_size: Rows in memory at once.
        progress: Told about rows.

    Returns:
        One line that says what was drawn.

    Raises:
        TabsynError: The generator cannot be read, an argument is out of range, or the file cannot be written.
    """
    loaded = Generator.load(generator)
    chunks = loaded.sample_chunks(num_rows, seed=seed, num_steps=num_steps, chunk_size=chunk_size, progress=progress)
    schema = loaded.schema.empty().to_arrow().schema
    with atomic_path(output) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(chunk.to_arrow().cast(schema))
    return f"{num_rows} rows of {len(schema)} columns"


def _run(params: Params, reporter: ProgressReporter) -> str:
    return sample_rows(
        paths.GENERATOR,
        paths.SYNTHETIC,
        num_rows=params.sample.num_rows,
        seed=params.seed,
        num_steps=params.sample.num_steps,
        chunk_size=params.sample.chunk_size,
        progress=reporter,
    )


def main() -> None:
    """``python -m tasks.sample``."""
    run_stage("sample", _run)


if __name__ == "__main__":
    main()
