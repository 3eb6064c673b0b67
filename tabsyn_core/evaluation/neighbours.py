"""Rows as points of one space, and how near they lie to one another: what every measure of privacy rests on."""

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min

from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.tables import Floats, Table

DRAWS = 10
"""How often rows are drawn, or a hold-out is split, for a mean and a spread."""

JUDGED = 2_000
"""At most so many rows are judged a draw."""

MIN_HOLDOUT = 20
"""A smaller hold-out is not compared with: with so few rows, which of two tables is nearer is chance."""


def points(table: Table, *among: Table) -> Floats:
    """Rows as points, shape (rows, dimensions), between which Euclidean distance says how different rows are.

    Numeric columns are ranks among the rows of the tables ``among``, scaled to [0, 1], with a further 0 or 1 for
    missing; categorical columns add 1 to the square where they differ. A row that is not among them falls between two
    ranks, nearer to either than they are to each other: where its distances are compared with those of rows that are,
    it has to be among them too.
    """
    numbers = np.vstack([each.numbers for each in among])
    places = [ranks(table.numbers[:, j], numbers[:, j]) for j in range(numbers.shape[1])]
    gaps = np.isnan(table.numbers).astype(np.float64)
    # A mismatch differs in two indicators, so each is 1/sqrt(2): together 1 in the square.
    flags = [(table.codes[:, [j]] == np.arange(-1, len(levels))) / np.sqrt(2) for j, levels in enumerate(table.levels)]
    return np.hstack([np.array(places).reshape(len(places), len(table)).T, gaps, *flags])


def ranks(values: Floats, among: Floats) -> Floats:
    """Mid-ranks among other values, in [0, 1]; a missing value stands in the middle."""
    known = np.sort(among[~np.isnan(among)])
    below, up_to = np.searchsorted(known, values, "left"), np.searchsorted(known, values, "right")
    return np.where(np.isnan(values), 0.5, (below + up_to) / max(2 * known.size, 1))


def nearest(places: Floats, other: Floats) -> Floats:
    """Distances to the nearest row, rounded: what differs by less than the rounding of products is a tie."""
    return np.asarray(np.round(pairwise_distances_argmin_min(places, other)[1], 6))


def too_few(holdout: Table) -> Figure:
    """No figure, because the hold-out has fewer than :data:`MIN_HOLDOUT` rows."""
    return Figure.none(f"distances need a hold-out of at least {MIN_HOLDOUT} rows; it has {len(holdout)}")
