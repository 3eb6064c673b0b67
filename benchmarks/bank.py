"""What is asked of bank transactions besides: combinations of categories, and the density of amount and balance.

The questions of the studies of the PKDD 1999 bank table (Berka): how often each combination of categories occurs, and
where amounts and balances lie together. The third, a label predicted by boosted trees, every table is asked (TSTR).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from tabsyn_core.evaluation.combinations import combination_counts, combination_measures
from tabsyn_core.evaluation.densities import joints
from tabsyn_core.evaluation.page.content import Joint
from tabsyn_core.evaluation.tables import Table, align

_SHOWN = 20


def bank_figures(
    train: pl.DataFrame, holdout: pl.DataFrame, rows: pl.DataFrame, pair: tuple[str, str], seed: int
) -> dict[str, Any]:
    """Figures of synthetic rows beside those of held-out rows, both 0 at best, and what they are made of.

    Args:
        train: What the method saw.
        holdout: What it did not.
        rows: What it drew.
        pair: Two numeric columns.
        seed: Decides draws.

    Returns:
        ``figures`` and ``floor``: ``combinations`` and ``density``, the total variation distances from the training
        rows of the shares of combinations and of the density of ``pair`` on a grid, and ``unseen``, the share of rows
        of a combination that no training row has. ``counts``: the commonest combinations, of ``counted`` rows.
        ``grids``: the densities.
    """
    tables = {"training": train, "held-out": holdout, "synthetic": rows}
    # A density is of the first rows, and transactions stand in the order of their dates.
    mixed = {name: table.sample(fraction=1, shuffle=True, seed=seed) for name, table in tables.items()}
    seen, unseen, made = align(mixed, seed).values()
    measures = combination_measures(seen, unseen, made, seed)
    found, floor = _density(seen, made, pair), _density(seen, unseen, pair)

    def figures(part: str, density: Joint | None) -> dict[str, float | None]:
        return {
            "combinations": measures["variation"][part].value,
            "unseen": measures["unseen"][part].value,
            "density": None if density is None else variation(density),
        }

    return {
        "figures": figures("synthetic", found),
        "floor": figures("floor", floor),
        "counts": combination_counts(seen, unseen, made).head(_SHOWN).to_dicts(),
        "counted": len(seen),
        "grids": {} if found is None else _grids(found),
    }


def variation(density: Joint) -> float:
    """Total variation distance of two densities, each scaled to 1 on the grid."""
    real, synthetic = (np.asarray(grid, dtype=np.float64) for grid in (density.real, density.synthetic))
    return float(np.abs(real / real.sum() - synthetic / synthetic.sum()).sum() / 2)


def _density(train: Table, other: Table, pair: tuple[str, str]) -> Joint | None:
    return next(iter(joints(train, other, [pair])), None)


def _grids(density: Joint) -> Mapping[str, Any]:
    """Each scaled to its highest point, to three digits: for a picture."""
    grids = {name: np.asarray(getattr(density, name), dtype=np.float64) for name in ("real", "synthetic")}
    edges = {name: [round(edge, 4) for edge in getattr(density, name)] for name in ("left_edges", "right_edges")}
    return edges | {name: np.round(grid / grid.max(), 3).tolist() for name, grid in grids.items()}
