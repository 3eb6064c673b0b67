"""The check against the literature judges as the literature did."""

import literature
import numpy as np
import polars as pl
import pytest
from cells import Fold, independent_columns
from pictures import curves
from real_tables import RealTable

from tabsyn_core.evaluation.fidelity import shape_errors
from tabsyn_core.evaluation.tables import align


@pytest.fixture(scope="module")
def fold():
    rng = np.random.default_rng(0)
    x, group = rng.normal(size=1000), rng.choice(["a", "b", "c"], 1000)
    rows = {"x": x, "y": x + 0.1 * rng.normal(size=1000), "z": rng.normal(size=1000), "group": group}
    return Fold(RealTable("made", pl.DataFrame({**rows, "same": group}), ("group",)), 0)


def test_the_same_rows_have_no_error(fold):
    assert literature.quality(fold.train, fold.train, fold.schema) == pytest.approx((0, 0), abs=1e-9)


def test_lost_dependence_is_an_error_of_trend_alone_and_every_pair_counts(fold):
    rows = independent_columns(fold, None).rows
    shape, trend = literature.quality(fold.train, rows, fold.schema)
    assert shape < 5
    real, made = align({"training": fold.train, "synthetic": rows}, 0).values()
    assert shape == pytest.approx(100 * np.nanmean(shape_errors(real, made)), abs=1e-6)
    assert 11 < trend < 30  # x with y loses half, group with same two thirds, the other eight pairs what chance takes


def test_a_line_of_the_page_stands_above_what_was_published():
    points = [literature.Point("magic", 2.0, 0, 100, 1000, 0.01, 20.0, 12.0)]
    page = literature.page(points, ["table 'adult' is skipped"])
    assert "| magic | 2 | 100 | 1,000 | 1 % | 20.0 | 12.0 |\n| **magic, published** |" in page
    assert "| 1.4 | 2.2 |" in page
    assert "_table 'adult' is skipped_" in page


def test_a_fit_without_updates_is_left_out_of_the_curves():
    picture = curves(
        {"magic shape": [(0, 50.0), (10, 30.0), (100, 3.0)], "magic trend": [(0, 9.0)]}, "updates", "error"
    )
    assert picture.count("L") == 1
    assert ">magic shape<" in picture
    assert ">100<" in picture
    assert "<svg" in curves({"magic shape": [(0, 50.0)]}, "updates", "error")
