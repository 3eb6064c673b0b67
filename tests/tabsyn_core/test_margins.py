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
    assert np.array_equal(again.log_ratio(real), balanced.log_ratio(real))
    assert ratio.balanced(real, propose(10), 1.0) is ratio, "all are kept"
