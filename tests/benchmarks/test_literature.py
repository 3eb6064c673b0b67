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


def point_of(table="magic", **changes):
    known = {"minutes": 2.0, "seed": 0, "batch": 256, "vae_updates": 100, "diffusion_updates": 1000, "of_recipe": 0.01}
    known |= {"fit_seconds": 120.0, "sample_seconds": 9.0, "rows": 5000, "shape": 20.0, "trend": 12.0}
    return literature.Point(table, **{**known, "vae_alone": (1.25, 2.5), "training_rows": (0.9, 2.7), **changes})


def test_lines_of_the_page_stand_above_what_no_diffusion_can_mend_and_what_was_published():
    page = literature.page([point_of(), point_of(minutes=4.0, vae_alone=(1.1, 2.4))], ["table 'adult' is skipped"])
    assert "| magic | 2 | 256 | 100 | 1,000 | 1 % | 20.0 | 12.0 |" in page
    assert "| magic, VAE alone | 4 |  | 100 |  |  | 1.1 | 2.4 |" in page
    assert "| magic, 5,000 training rows |  |  |  |  |  | 0.9 | 2.7 |\n| **magic, published** |" in page
    assert "| 1.4 | 2.2 |" in page
    assert "_table 'adult' is skipped_" in page


def test_a_point_is_kept_and_found_again(fold, tmp_path, monkeypatch):
    calls = []

    def counted(fold, minutes, threads):
        calls.append((minutes, threads))
        return point_of(fold.real.name, minutes=minutes)

    monkeypatch.setattr(literature, "point", counted)
    assert literature.known_or_new(tmp_path, fold, 2.0, 1, run=False) is None
    first, again = (literature.known_or_new(tmp_path, fold, 2.0, 1) for _ in range(2))
    assert first == again == point_of("made")
    literature.known_or_new(tmp_path, fold, 4.0, 1)
    assert calls == [(2.0, 1), (4.0, 1)]


def test_a_point_is_a_fit_of_the_preset_with_all_that_is_told(fold, monkeypatch):
    monkeypatch.setattr(literature, "ROWS", 200)
    found = literature.point(fold, 0.1, 1)
    assert (found.table, found.rows, found.batch) == ("made", 200, 256)
    assert 0 < found.of_recipe < 1
    assert found.shape > found.vae_alone[0] - 1
    assert found.fit_seconds < 60


def test_a_fit_without_updates_is_left_out_of_the_curves():
    picture = curves(
        {"magic shape": [(0, 50.0), (10, 30.0), (100, 3.0)], "magic trend": [(0, 9.0)]}, "updates", "error"
    )
    assert picture.count("L") == 1
    assert ">magic shape<" in picture
    assert ">100<" in picture
    assert "<svg" in curves({"magic shape": [(0, 50.0)]}, "updates", "error")
