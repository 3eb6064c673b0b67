"""LightGBM with the settings that make its result depend on data and seed alone."""

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_FIXED: Mapping[str, Any] = {
    "deterministic": True,
    "force_row_wise": True,
    # One thread: threads change the order of sums, and trees this small only wait for one another.
    "num_threads": 1,
    "verbosity": -1,
    "num_leaves": 15,
}


def boosted(
    features: Floats,
    labels: Floats | Codes,
    categorical: int,
    seed: int,
    rounds: int,
    *,
    weight: Floats | None = None,
    **settings: Any,
) -> lgb.Booster:
    """Fit boosted trees.

    Args:
        features: Shape (rows, columns); NaN where missing, which LightGBM handles itself.
        labels: Shape (rows,).
        categorical: How many of the last columns are codes of categories.
        seed: Decides which columns each tree sees.
        rounds: Trees (a class).
        weight: Of each row; one if not given.
        settings: Objective and what differs between uses.
    """
    rows, columns = features.shape
    leaf = min(20, max(1, rows // 10))  # LightGBM's own 20, less for the smallest tables
    parameters = {**_FIXED, "seed": seed, "min_data_in_leaf": leaf, "min_data_in_bin": min(3, leaf), **settings}
    places = list(range(columns - categorical, columns))
    return lgb.train(parameters, lgb.Dataset(features, labels, weight=weight, categorical_feature=places), rounds)


def share_of_columns(columns: int) -> float:
    """The share of columns each tree sees: 30 %, but never fewer than about 16, which small tables need."""
    return float(np.clip(16 / max(columns, 1), 0.3, 1.0))
