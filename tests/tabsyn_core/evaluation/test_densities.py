"""Pictures of tables in the order of their dates."""

import numpy as np
import polars as pl

from tabsyn_core.evaluation.densities import joints
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
