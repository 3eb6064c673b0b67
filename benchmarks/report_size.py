"""How long the judgement of a large table takes, and how large its page is.

``python benchmarks/report_size.py`` bootstraps the embedded molecules' descriptors, with noise on what is not a whole
number, to three tables of 219 columns x 10,000 rows and judges one beside the other two. ``--molecules`` gives each
row a molecule of ``../shared/data/zinc250k``, so that they are judged too. Seconds are printed by the clock and of
processor time (all processes), which other work on the machine hardly changes.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, compute_descriptors
from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import judge
from tabsyn_core.evaluation.judge import write_reports
from tabsyn_core.progress import Progress

ROOT = Path(__file__).parents[1]
ZINC = ROOT.parent / "shared/data/zinc250k"
LIMITS = {"megabytes": 8, "page_seconds": 60, "all_seconds": 240}
NOISE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="of each table")
    parser.add_argument("--molecules", action="store_true", help="judge molecules, too")
    asked = parser.parse_args()
    tables = bootstrapped(asked.rows)
    if asked.molecules:
        smiles = zinc(3 * asked.rows)
        tables = [table.with_columns(smiles=smiles[i :: len(tables)]) for i, table in enumerate(tables)]
    print(f"{tables[0].width} columns x {asked.rows:,} rows", flush=True)
    begun = started = now()
    judged = judge(*tables, targets=["logS", "solubility_class"], workers=0, progress=Phases())
    said("metrics", started)
    started = now()
    with tempfile.TemporaryDirectory() as folder:
        page, numbers = (Path(folder) / name for name in ("report.html", "report.json"))
        write_reports(page, numbers, {"synthetic": judged.report})
        said(f"page (limit {LIMITS['page_seconds']} s)", started)
        sizes = [path.stat().st_size / 1e6 for path in (page, numbers)]
    said(f"all (limit {LIMITS['all_seconds']} s)", begun)
    print(f"page {sizes[0]:.1f} MB (limit {LIMITS['megabytes']} MB), numbers {sizes[1]:.1f} MB")


class Phases:
    """Prints how long each step of the judgement took."""

    def __init__(self) -> None:
        self.started = now()

    def __call__(self, progress: Progress) -> None:
        """Print one report."""
        if progress.unit in {"measures", "sections"} or progress.done == progress.total:
            said(f"  {progress.phase or progress.unit} {progress.done}/{progress.total}", self.started)
            self.started = now()


def now() -> tuple[float, float]:
    """The clock, and the processor time of this process and of those that it has ended."""
    return time.perf_counter(), sum(os.times()[:4])


def said(what: str, started: tuple[float, float]) -> None:
    wall, used = (after - before for after, before in zip(now(), started, strict=True))
    print(f"{what:42} {wall:7.1f} s by the clock {used:7.1f} s of processor time", flush=True)


def bootstrapped(rows: int) -> list[pl.DataFrame]:
    """Training, held-out and synthetic rows: molecules drawn with replacement, their decimals moved a little."""
    raw = pl.read_csv(ROOT / "data/raw/solubility.csv")
    descriptors, _ = compute_descriptors(raw["smiles"].to_list())
    real = pl.concat([descriptors, raw.select("logS", "solubility_class")], how="horizontal")
    decimals = [
        name
        for name in (*DESCRIPTOR_NAMES, "logS")
        if real[name].dtype.is_float() and not real[name].is_null().all() and (real[name] % 1 != 0).any()
    ]
    tables = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        drawn = real[rng.integers(0, real.height, rows)]
        moved = [
            pl.Series(name, drawn[name].to_numpy() + rng.normal(0, NOISE * (real[name].std() or 0.0), rows))
            for name in decimals
        ]
        tables.append(drawn.with_columns(moved).fill_nan(None))
    return tables


def zinc(count: int) -> pl.Series:
    files = sorted(ZINC.glob("*.csv*"))
    if not files:
        raise TabsynError(f"--molecules needs {ZINC}, which is absent.")
    table = pl.read_csv(files[0], n_rows=count)
    return table["smiles"].str.strip_chars()


if __name__ == "__main__":
    main()
