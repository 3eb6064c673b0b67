import json

import numpy as np
import pytest

from tabsyn_core.density_ratio import DensityRatio, keep


@pytest.fixture(scope="module")
def planted():
    """Real rows have y close to x and follow a code; every second proposal has neither."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    code = (x > 0).astype(float)
    real = np.column_stack([x, x + 0.1 * rng.normal(size=3000), code])
    proposals = real[rng.permutation(3000)] + [0, 1e-9, 0]
    wrong = np.arange(3000) % 2 == 0
    proposals[wrong, 1] = rng.normal(size=1500)
    proposals[wrong, 2] = 1 - proposals[wrong, 2]
    return real[:1500], proposals, wrong


@pytest.fixture(scope="module")
def ratio(planted):
    real, proposals, _ = planted
    return DensityRatio.fit(real, proposals, 1, seed=0)


def test_a_planted_defect_is_removed(planted, ratio):
    _, proposals, wrong = planted
    kept = keep(ratio.log_ratio(proposals), 700, np.random.default_rng(0))
    assert wrong.mean() == 0.5
    assert wrong[kept].mean() < 0.05


def test_the_ratio_is_calibrated(planted, ratio):
    """Half of the proposals are as real rows are: for those p / q is 2."""
    _, proposals, wrong = planted
    assert np.exp(np.median(ratio.log_ratio(proposals[~wrong]))) == pytest.approx(2, rel=0.35)
    assert np.exp(np.median(ratio.log_ratio(proposals[wrong]))) < 0.05


def test_proposals_like_the_real_rows_are_all_as_good():
    rng = np.random.default_rng(1)
    found = DensityRatio.fit(rng.normal(size=(1000, 5)), rng.normal(size=(2000, 5)), 0, seed=0)
    scores = found.log_ratio(rng.normal(size=(500, 5)))
    assert 0 <= found.slope < 0.15
    assert np.abs(scores).max() < 0.3


def test_the_scores_of_training_rows_do_not_say_that_they_were_seen():
    rng = np.random.default_rng(2)
    real = rng.normal(size=(1000, 5))
    found = DensityRatio.fit(real, rng.normal(size=(2000, 5)), 0, seed=0)
    assert abs(found.log_ratio(real).mean() - found.log_ratio(rng.normal(size=(1000, 5))).mean()) < 0.1


def test_gaps_are_read(planted):
    real, proposals, wrong = planted
    gappy = proposals.copy()
    gappy[wrong, 1] = np.nan
    found = DensityRatio.fit(real, gappy, 1, seed=0)
    assert found.log_ratio(gappy[~wrong]).min() > found.log_ratio(gappy[wrong]).max()


def test_it_is_the_same_from_a_file_and_from_the_same_seed(planted, ratio):
    real, proposals, _ = planted
    content = json.loads(json.dumps(ratio.to_json()))
    again = DensityRatio(tuple(content["models"]), content["slope"], content["intercept"])
    assert np.array_equal(again.log_ratio(proposals), ratio.log_ratio(proposals))
    assert DensityRatio.fit(real, proposals, 1, seed=0) == ratio


def test_rows_are_kept_as_often_as_they_weigh():
    rng = np.random.default_rng(0)
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    counts = sum(np.bincount(keep(np.log(weights), 1, rng), minlength=4) for _ in range(4000))
    assert counts / 4000 == pytest.approx(weights / 10, abs=0.03)


def test_rows_are_kept_in_order_and_once():
    kept = keep(np.zeros(100), 60, np.random.default_rng(0))
    assert (np.diff(kept) > 0).all()
    assert len(kept) == 60
    assert keep(np.zeros(3), 3, np.random.default_rng(0)).tolist() == [0, 1, 2]


def test_what_weighs_nothing_is_kept_only_for_want_of_others():
    weights = np.where(np.arange(10) < 4, 0.0, -1e6)
    assert keep(weights, 4, np.random.default_rng(0)).tolist() == [0, 1, 2, 3]
    assert set(range(4)) < set(keep(weights, 6, np.random.default_rng(0)).tolist())
