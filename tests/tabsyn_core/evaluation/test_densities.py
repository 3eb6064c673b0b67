"""The curves of the pictures: of all rows, and not flattened by a few far ones."""

import numpy as np
import polars as pl

from tabsyn_core.evaluation.densities import densities, joints
from tabsyn_core.evaluation.tables import align


def test_a_joint_density_is_of_all_rows_and_not_of_the_first_ones():
    rng = np.random.default_rng(0)
    drift = np.repeat([0.0, 8.0], 1_500)  # the second half lies elsewhere
    rows = pl.DataFrame({"x": rng.normal(size=3_000) + drift, "y": rng.normal(size=3_000)})
    real = align({"real": rows}, 0)["real"]
    (found,) = joints(real, real, [("x", "y")], seed=3)
    heights = np.array(found.real).sum(axis=1)
    late = heights[len(heights) // 2 :].sum() / heights.sum()
    assert 0.4 < late < 0.6
    assert joints(real, real, [("x", "y")], seed=3) == (found,)
    assert joints(real, real, [("x", "y")], seed=4) != (found,)


def test_a_few_values_far_away_leave_the_curves_as_they_are():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"x": rng.normal(size=400), "y": rng.normal(size=400)})
    far = pl.DataFrame({"x": [300.0], "y": [-900.0]})
    tables = align({"plain": rows, "tailed": pl.concat([rows, far])}, 0)
    (plain, *_), (tailed, *_) = (densities(each, each, each) for each in tables.values())
    assert (plain.smooth, tailed.smooth) == (True, True)
    assert max(tailed.real) > 0.9 * max(plain.real)
    (plain,), (tailed,) = (joints(each, each, [("x", "y")]) for each in tables.values())
    assert np.max(tailed.real) > 0.9 * np.max(plain.real)
