"""The synthetic rows that are like no real one, each beside the real molecule it is nearest to."""

from typing import Any

import numpy as np
import polars as pl
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from sklearn.metrics import pairwise_distances_argmin_min

from tabsyn_core.evaluation.page.content import Stranger
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import Table
from tabsyn_core.evaluation.threads import one_thread

_REASONS = 3


@one_thread()
def strangest_rows(
    train: Table, holdout: Table, fake: Table, smiles: pl.Series | None = None, count: int = 6
) -> tuple[Stranger, ...]:
    """The ``count`` synthetic rows farthest from their nearest training row, farthest first.

    Distances are those of :func:`~tabsyn_core.evaluation.privacy.points`. Each row says in which columns it lies
    farthest from that neighbour, in ranks among the real rows.

    Args:
        train: Training rows.
        holdout: Held-out rows, which with those say what a rank is.
        fake: The rows to judge.
        smiles: Of the training rows, in their order; ``None`` when there are no structures.
        count: How many.
    """
    real, places = (points(table, train, holdout) for table in (train, fake))
    nearest, distance = pairwise_distances_argmin_min(places, real)
    chosen = np.argsort(-np.round(distance, 9), kind="stable")[:count]
    found = []
    for row in map(int, chosen):
        neighbour = int(nearest[row])
        structure = None if smiles is None else smiles[neighbour]
        found.append(
            _stranger(row, neighbour, float(distance[row]), structure, _differences(row, neighbour, train, fake))
        )
    return tuple(found)


def _stranger(row: int, neighbour: int, distance: float, structure: str | None, why: str) -> Stranger:
    return Stranger(
        row=row,
        distance=distance,
        nearest=f"training row {neighbour}",
        smiles=structure,
        svg=None if structure is None else drawing(structure),
        why=why,
    )


def _differences(row: int, neighbour: int, train: Table, fake: Table) -> str:
    """The columns that lie farthest apart, as shares of the training rows that lie between."""
    sorted_columns = np.sort(train.numbers, axis=0)
    apart = []
    for j, name in enumerate(train.numeric):
        column = sorted_columns[:, j]
        known = column[~np.isnan(column)]
        here, there = fake.numbers[row, j], train.numbers[neighbour, j]
        if known.size and not np.isnan(here + there):
            between = np.searchsorted(known, max(here, there)) - np.searchsorted(known, min(here, there))
            apart.append((between / known.size, f"{name} {here:.4g} beside {there:.4g}"))
    far = sorted((each for each in apart if each[0] > 0), key=lambda each: -each[0])[:_REASONS]
    return "; ".join(words for _, words in far)


def drawing(smiles: str, width: int = 180, height: int = 130) -> str | None:
    """The molecule as SVG with a transparent ground, or nothing when RDKit cannot read it."""
    molecule: Any = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    canvas = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = canvas.drawOptions()
    options.clearBackground = False
    options.fixedBondLength = 22
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule)
    canvas.FinishDrawing()
    drawn: str = canvas.GetDrawingText()
    return drawn[drawn.index("<svg") :]
