"""Time to fit and draw every column: ``python benchmarks/distributions.py [table.parquet ...]``.

Without arguments: the descriptors of the embedded molecules.
"""

import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from tabsyn_core.chemistry.descriptors import IDENTIFIERS, compute_descriptors
from tabsyn_core.distributions import fit_table, render_page
from tabsyn_core.schema import TableSchema


def tables(paths: list[str]) -> dict[str, pl.DataFrame]:
    if paths:
        return {path: pl.read_parquet(path).drop(IDENTIFIERS, strict=False) for path in paths}
    smiles = pl.read_csv(Path(__file__).parents[1] / "data/raw/solubility.csv")["smiles"].to_list()
    return {"solubility": compute_descriptors(smiles)[0]}


def main() -> None:
    print("| table | rows | columns | fit (s) | page (s) | encode + decode (s) | p < 0.01 |")
    print("|---|---|---|---|---|---|---|")
    for name, table in tables(sys.argv[1:]).items():
        clock = [time.perf_counter()]
        fitted = fit_table(table, TableSchema.infer(table), seed=0)
        clock.append(time.perf_counter())
        render_page(table, fitted)
        clock.append(time.perf_counter())
        rng = np.random.default_rng(0)
        for column, distribution in fitted.items():
            distribution.decode(*distribution.encode(table[column], rng))
        clock.append(time.perf_counter())
        tested = [one.fit.p_value for one in fitted.values() if one.fit.p_value is not None]
        poor = f"{sum(p < 0.01 for p in tested)} of {len(tested)}"
        seconds = " | ".join(f"{seconds:.1f}" for seconds in np.diff(clock))
        print(f"| {name} | {table.height} | {table.width} | {seconds} | {poor} |")


if __name__ == "__main__":
    main()
