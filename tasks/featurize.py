"""All RDKit descriptors of every molecule, and the reason for each one that is missing."""

from pathlib import Path

import polars as pl

from tabsyn_core.chemistry.descriptors import IDENTIFIERS, compute_descriptors
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_parquet, write_parquet
from tabsyn_core.progress import ProgressCallback, silent
from tasks import paths
from tasks.params import Params
from tasks.stage import ProgressReporter, run_stage

_NOT_MODELLED = (*IDENTIFIERS, "source_file", "source_line", "source_id")


def featurize(
    molecules: Path, *, descriptors: Path, missing_reasons: Path, workers: int = 0, progress: ProgressCallback = silent
) -> pl.DataFrame:
    """Compute the descriptors and put targets and kept columns behind them.

    Args:
        molecules: One row a molecule, as ingest writes it.
        descriptors: Written: ``smiles``, ``inchikey``, the descriptors in RDKit's order, the other modelled columns.
        missing_reasons: Written: ``smiles``, ``column``, ``reason``, one row a missing descriptor.
        workers: Processes; 0 is one a core. The result does not depend on it.
        progress: Told the number of molecules done.

    Returns:
        The reasons.

    Raises:
        TabsynError: ``molecules`` is absent, is no table of molecules, or a SMILES in it is not valid.
    """
    table = read_parquet(molecules)
    if not set(IDENTIFIERS) <= set(table.columns):
        raise TabsynError(f"{molecules} lacks the columns {list(IDENTIFIERS)}; run ingest again.")
    values, reasons = compute_descriptors(table["smiles"].to_list(), workers=workers, progress=progress)
    modelled = table.select(pl.exclude(_NOT_MODELLED))
    write_parquet(descriptors, pl.concat([table.select(IDENTIFIERS), values, modelled], how="horizontal"))
    write_parquet(missing_reasons, reasons)
    return reasons


def _run(params: Params, reporter: ProgressReporter) -> str:
    reasons = featurize(
        paths.MOLECULES,
        descriptors=paths.DESCRIPTORS,
        missing_reasons=paths.MISSING_REASONS,
        workers=params.featurize.workers,
        progress=reporter,
    )
    affected = reasons["smiles"].n_unique()
    return f"{paths.DESCRIPTORS}; {len(reasons)} values missing in {affected} molecules ({paths.MISSING_REASONS})"


def main() -> None:
    """Run the step as ``params.yaml`` says."""
    run_stage("featurize", _run)


if __name__ == "__main__":
    main()
