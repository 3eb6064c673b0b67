"""Fill in the gaps of a table with a saved generator."""

from pathlib import Path

import polars as pl

from tabsyn_core.chemistry.descriptors import IDENTIFIERS
from tabsyn_core.conform import conform
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tabsyn_core.generator import Generator


def impute_rows(
    generator: Path, rows: Path, output: Path, *, draws: int = 1, seed: int = 0, num_steps: int = 25
) -> list[Path]:
    """Write ``draws`` completions of the rows of a file, in that file's format.

    Args:
        generator: A folder that :meth:`tabsyn_core.generator.Generator.save` wrote.
        rows: A ``.parquet`` or ``.csv`` file with some of the table's columns; a column that is not there is a gap in
            every row. The identifiers ``smiles`` and ``inchikey`` are passed through, in front.
        output: Folder for ``<name of rows>-1`` to ``-<draws>``.
        draws: Completions.
        seed: Decides the draws.
        num_steps: Heun steps.

    Returns:
        The files written.

    Raises:
        TabsynError: A file cannot be read or written, a column is unknown, or a value is none of its column's kind;
            the message names file, column and row.
    """
    given = _read(rows)
    loaded = Generator.load(generator)
    names = given.select(name for name in IDENTIFIERS if name in given.columns and name not in loaded.schema.names)
    asked = conform(given.drop(names.columns), loaded.schema, str(rows))
    completed = loaded.impute(asked, seed=seed, draws=draws, num_steps=num_steps)
    files = [output / f"{rows.stem}-{number}{rows.suffix}" for number in range(1, draws + 1)]
    for file, table in zip(files, completed, strict=True):
        _write(file, names.hstack(table.get_columns()))
    return files


def _read(path: Path) -> pl.DataFrame:
    if path.suffix not in (".parquet", ".csv"):
        raise TabsynError(f"{path} should end in .parquet or .csv; that says how to read it.")
    if not path.is_file():
        raise TabsynError(f"{path} does not exist, or is no file.")
    try:
        table = pl.read_csv(path, infer_schema_length=None) if path.suffix == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TabsynError(f"{path} cannot be read: {error}.") from error
    if not table.height:
        raise TabsynError(f"{path} has no rows; there is nothing to fill in.")
    return table


def _write(path: Path, table: pl.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.write_csv(temporary) if path.suffix == ".csv" else table.write_parquet(temporary, compression="zstd")
