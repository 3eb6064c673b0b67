"""Molecules a second on one core: RDKit's own ``CalcMolDescriptors`` and ours, side by side on ZINC.

    python benchmarks/descriptors.py [molecules]

Both do the same molecules in turns, chunk by chunk, so that whatever else the machine does hits both. The figure is
processor time, and the values are compared.
"""

import csv
import gzip
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rdkit import Chem
from rdkit.Chem import Descriptors
from threadpoolctl import threadpool_limits

from tabsyn_core.chemistry.descriptors import compute_descriptors

ZINC = Path(__file__).parents[2] / "shared/data/zinc250k/zinc250k.csv.gz"
CHUNK = 50


def main() -> None:
    if not ZINC.exists():
        print(f"skipped: {ZINC.name} is absent (../shared/data/zinc250k)")
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with gzip.open(ZINC, "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)][:: 249_455 // number][:number]
    seconds = {"RDKit": 0.0, "ours": 0.0}
    with threadpool_limits(1):
        for start in range(0, number, CHUNK):
            chunk = smiles[start : start + CHUNK]
            theirs = timed(seconds, "RDKit", lambda chunk=chunk: [rdkit_values(text) for text in chunk])
            table = timed(seconds, "ours", lambda chunk=chunk: compute_descriptors(chunk, workers=1)[0])
            for row, expected in zip(table.iter_rows(named=True), theirs, strict=True):
                expected["Ipc"] = math.log1p(expected["Ipc"])
                assert row == expected  # noqa: S101  the point of the comparison
    print(f"{number} molecules of zinc250k, {len(expected)} descriptors, one core, processor time, values equal\n")
    print("            molecules/s   ratio")
    for name, spent in seconds.items():
        print(f"{name:<12}{number / spent:>11.0f}{seconds['RDKit'] / spent:>8.2f}")


def rdkit_values(smiles: str) -> dict[str, float]:
    return dict(Descriptors.CalcMolDescriptors(Chem.MolFromSmiles(smiles)))


def timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    begin = time.process_time()
    result = work()
    seconds[name] += time.process_time() - begin
    return result


if __name__ == "__main__":
    main()
