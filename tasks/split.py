"""Rows held out from the generator; real against real, they are the floor of every figure."""

from pathlib import Path

import numpy as np
import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_parquet, write_parquet
from tabsyn_core.schema import Kind
from tasks import paths
from tasks.params import Params
from tasks.stage import ProgressReporter, run_stage

_STREAM = 0x5917
"""Keeps this step's random numbers apart from those that other steps draw with the same seed."""


def split(
    descriptors: Path, *, train: Path, holdout: Path, fraction: float, seed: int, stratify_by: str | None = None
) -> tuple[int, int]:
    """Divide the rows at random; both parts keep the order of the table.

    The rows of each class (a gap is a class too) are held out in proportion, as near as whole rows allow, however
    rare a class is: the shuffled rows are laid out class by class and taken at equal distances from a random start
    (systematic sampling), so every row is held out with the same probability. Ingest has merged equal molecules, so
    none is on both sides.

    Args:
        descriptors: The rows.
        train: Written.
        holdout: Written: ``fraction`` of the rows, rounded, but at least 1 and not all.
        fraction: Share held out.
        seed: The same seed gives the same rows.
        stratify_by: A categorical column.

    Returns:
        The number of rows in each part.

    Raises:
        TabsynError: There is no table, or it has one row only.
    """
    table = read_parquet(descriptors)
    if table.height < 2:
        raise TabsynError(
            f"{descriptors} has {table.height} row; at least 2 are needed to hold one out. Add molecules."
        )
    num_held = min(max(round(fraction * table.height), 1), table.height - 1)
    held = _systematic_sample(_classes(table, stratify_by), num_held, np.random.default_rng([seed, _STREAM]))
    write_parquet(train, table.filter(~pl.Series(held)))
    write_parquet(holdout, table.filter(pl.Series(held)))
    return table.height - num_held, num_held


def _classes(table: pl.DataFrame, column: str | None) -> np.ndarray:
    if column is None:
        return np.zeros(table.height, dtype=np.int64)
    return table[column].rank("dense").fill_null(0).to_numpy()


def _systematic_sample(classes: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """A mask over the rows with ``size`` of them true (Madow, Ann. Math. Stat. 15 (1944), 1)."""
    shuffled = generator.permutation(len(classes))
    laid_out = shuffled[np.argsort(classes[shuffled], kind="stable")]
    places = np.floor((np.arange(size) + generator.random()) * len(classes) / size).astype(np.int64)
    mask = np.zeros(len(classes), dtype=bool)
    mask[laid_out[places]] = True
    return mask


def _run(params: Params, _: ProgressReporter) -> str:
    classes = [target.name for target in params.data.targets if target.kind is Kind.CATEGORICAL]
    sizes = split(
        paths.DESCRIPTORS,
        train=paths.TRAIN,
        holdout=paths.HOLDOUT,
        fraction=params.split.holdout_fraction,
        seed=params.seed,
        stratify_by=next(iter(classes), None),
    )
    by = f", in proportion to {classes[0]}" if classes else ""
    return "{} rows to learn from, {} held out{}".format(*sizes, by)


def main() -> None:
    """Run the step as ``params.yaml`` says."""
    run_stage("split", _run)


if __name__ == "__main__":
    main()
