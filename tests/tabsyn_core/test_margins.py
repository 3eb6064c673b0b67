import json

import numpy as np
import pytest

from tabsyn_core.density_ratio import DensityRatio, keep
from tabsyn_core.margins import Margins


@pytest.fixture(scope="module")
def columns():
    """Real rows, and proposals whose columns are shifted, too seldom zero, too often missing, or of other levels."""
    rng = np.random.default_rng(0)

    def rows(n, shift, zeros, gaps, chances):
        number = rng.normal(shift, 1, n)
        count = np.where(rng.random(n) < zeros, 0.0, rng.poisson(3, n))
        gappy = np.where(rng.random(n) < gaps, np.nan, number + rng.normal(0, 1, n))
        return np.column_stack([number, count, gappy, rng.choice(3, n, p=chances)])

    real = rows(5000, 0.0, 0.6, 0.1, [0.2, 0.3, 0.5])
    return real, lambda n: rows(n, 0.3, 0.5, 0.2, [0.3, 0.3, 0.4])


def far(real, kept):
    """How far each column is from the real one: of the mean, of zeros, of gaps, of the last level."""

    def told(rows):
        return [rows[:, 0].mean(), (rows[:, 1] == 0).mean(), np.isnan(rows[:, 2]).mean(), (rows[:, 3] == 2).mean()]

    return np.abs(np.subtract(told(real), told(kept)))


def test_what_is_kept_has_the_real_columns(columns):
    real, propose = columns
    proposals, fresh = propose(20_000), propose(20_000)
    margins = Margins.fit(real, proposals, np.zeros(20_000), 0.25)
    kept = fresh[keep(margins.log_weight(fresh), 5000, np.random.default_rng(0))]
    assert (far(real, fresh) > 0.05).all()
    assert (far(real, kept) < 0.03).all()
    pairs = [np.corrcoef(rows[:, 0], np.nan_to_num(rows[:, 2]))[0, 1] for rows in (fresh, kept)]
    assert pairs[1] == pytest.approx(pairs[0], abs=0.05), "what columns have to do with each other is left alone"


def test_weights_go_on_from_those_there_are(columns):
    """A log ratio that is right already is hardly touched."""
    real, propose = columns
    proposals = propose(20_000)
    right = -0.3 * proposals[:, 0] + 0.3**2 / 2
    alone = Margins.fit(real[:, :1], proposals[:, :1], np.zeros(20_000), 0.05)
    beside = Margins.fit(real[:, :1], proposals[:, :1], right, 0.05)
    assert np.std(beside.log_weight(proposals[:, :1])) < np.std(alone.log_weight(proposals[:, :1])) / 3


def test_proposals_like_the_real_rows_get_about_the_same_weight():
    rng = np.random.default_rng(1)
    margins = Margins.fit(rng.normal(size=(4000, 20)), rng.normal(size=(8000, 20)), np.zeros(8000), 0.25)
    assert np.std(margins.log_weight(rng.normal(size=(1000, 20)))) < 0.5


def test_a_part_with_too_few_proposals_gets_what_there_is_and_leaves_the_others_as_they_should_be():
    rng = np.random.default_rng(2)
    real = np.where(rng.random(4000) < 0.5, 0.0, rng.uniform(1, 2, 4000))[:, None]
    made, fresh = (np.where(rng.random(20_000) < 0.02, 0.0, rng.uniform(1, 2, 20_000))[:, None] for _ in range(2))
    margins = Margins.fit(real, made, np.zeros(20_000), 0.25)
    kept = fresh[keep(margins.log_weight(fresh), 5000, np.random.default_rng(0))]
    assert 0.06 < (kept == 0).mean() <= 0.08, "of 2 % a quarter is kept"
    assert np.quantile(kept[kept > 0], [0.2, 0.5, 0.8]) == pytest.approx([1.2, 1.5, 1.8], abs=0.04)
    assert max(map(abs, margins.heights[0])) < 10


def test_rare_levels_and_gaps_are_mended_at_either_end():
    rng = np.random.default_rng(3)

    def rows(n, rare):
        low = (rng.random(n) >= rare).astype(float)
        gappy = np.where(rng.random(n) < rare, np.nan, rng.normal(size=n))
        return np.column_stack([low, 1 - low[rng.permutation(n)], gappy])

    real, made, fresh = rows(5000, 0.05), rows(20_000, 0.15), rows(20_000, 0.15)
    margins = Margins.fit(real, made, np.zeros(20_000), 0.25)
    kept = fresh[keep(margins.log_weight(fresh), 5000, np.random.default_rng(0))]
    found = [(kept[:, 0] == 0).mean(), (kept[:, 1] == 1).mean(), np.isnan(kept[:, 2]).mean()]
    assert found == pytest.approx([0.05] * 3, abs=0.015)


def test_a_value_that_is_computed_differently_is_the_same_value():
    rng = np.random.default_rng(4)
    real = np.where(rng.random(3000) < 0.4, 0.3, rng.normal(size=3000))[:, None]
    made = np.where(rng.random(12_000) < 0.4, 0.3, rng.normal(size=12_000))[:, None]
    margins = Margins.fit(real, made, np.zeros(12_000), 0.25)
    moved = np.where(made == 0.3, np.nextafter(0.3, 1), made)
    assert np.array_equal(margins.log_weight(moved), margins.log_weight(made))


def test_columns_without_a_cut_say_nothing():
    margins = Margins.fit(np.ones((100, 2)), np.ones((200, 2)), np.zeros(200), 0.5)
    assert margins.cuts == ((), ())
    assert (margins.log_weight(np.zeros((3, 2))) == 0).all()


def test_a_balanced_ratio_is_the_same_from_a_file(columns):
    real, propose = columns
    ratio = DensityRatio.fit(real[:500], propose(1000), 1, seed=0)
    balanced = ratio.balanced(real, propose(4000), 0.25)
    again = DensityRatio.from_json(json.loads(json.dumps(balanced.to_json())))
    assert again == balanced
    assert np.array_equal(again.log_weight(real), balanced.log_weight(real))
    assert np.array_equal(balanced.log_ratio(real), ratio.log_ratio(real)), "p/q itself is as it was"
    damaged = balanced.to_json() | {"margins": {"cuts": [[1.0]], "heights": [[0.5]]}}
    with pytest.raises(ValueError, match="one height more"):
        DensityRatio.from_json(damaged)
    assert ratio.balanced(real, propose(10), 1.0) is ratio, "all are kept"
