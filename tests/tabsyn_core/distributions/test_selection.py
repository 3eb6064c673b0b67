import numpy as np
import polars as pl
import pytest
from scipy import stats

from tabsyn_core.distributions import fit_column
from tabsyn_core.schema import ColumnSchema, Kind

ROWS = 2500

CONTINUOUS = {
    "normal": (stats.norm(3, 2), None, None),
    "log-normal": (stats.lognorm(0.7, scale=4), 0.0, None),
    "gamma": (stats.gamma(2.1, scale=3), 0.0, None),
    "weibull": (stats.weibull_min(2.5, scale=5), 0.0, None),
    "exponential": (stats.expon(scale=2), 0.0, None),
    "beta": (stats.beta(2, 5), 0.0, 1.0),
    "student-t": (stats.t(3, 1, 2), None, None),
    "logistic": (stats.logistic(-2, 0.5), None, None),
    "gumbel": (stats.gumbel_r(10, 3), None, None),
    "left gumbel": (stats.gumbel_l(10, 3), None, None),
    "skew-normal": (stats.skewnorm(5, 0, 2), None, None),
    "reflected gamma": (stats.gamma(2.1, scale=3), None, 0.0),
}
COUNTS = {
    "poisson": stats.poisson(3),
    "negative binomial": stats.nbinom(1.5, 0.3),
    "geometric": stats.geom(0.4, loc=-1),
    "binomial": stats.binom(6, 0.6),
}


def draw(truth, n, seed):
    return truth.rvs(n, random_state=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "criterion"), [*((name, "heldout") for name in CONTINUOUS), ("normal", "bic"), ("gamma", "bic")]
)
def test_a_continuous_family_is_recovered_from_its_own_sample(name, criterion):
    truth, lower, upper = CONTINUOUS[name]
    sign = -1 if name.startswith("reflected") else 1
    column = ColumnSchema("x", Kind.NUMERIC, "Float64", nullable=False, lower=lower, upper=upper)
    fitted = fit_column(pl.Series("x", sign * draw(truth, ROWS, 0)), column, seed=0, criterion=criterion)
    unseen = draw(truth, 4000, 1)
    loss = truth.logpdf(unseen).mean() - fitted.log_prob(pl.Series("x", sign * unseen)).mean()
    assert loss < 0.02  # nats a row: no worse than the truth, whatever the family is called
    assert fitted.body.family.name != "smoothed empirical"
    assert fitted.fit.test == "KS"
    assert fitted.fit.p_value > 0.001


@pytest.mark.parametrize("zeros", [None, 0.6])
@pytest.mark.parametrize("name", COUNTS)
def test_a_family_of_counts_is_recovered_from_its_own_sample(name, zeros):
    truth = COUNTS[name]

    def sample(n, seed):
        x = draw(truth, n, seed)
        keep = np.random.default_rng([seed, 7]).random(n) > (zeros or 0)
        return x * keep

    def log_mass(x):
        p_zero = (zeros or 0) + (1 - (zeros or 0)) * truth.pmf(0)
        return np.where(x == 0, np.log(p_zero), np.log1p(-(zeros or 0)) + truth.logpmf(x))

    column = ColumnSchema("x", Kind.INTEGER, "Int64", nullable=False, lower=0.0)
    fitted = fit_column(pl.Series("x", sample(ROWS, 0)), column, seed=0)
    unseen = sample(4000, 1)
    found = fitted.log_prob(pl.Series("x", unseen))
    assert np.mean(log_mass(unseen) - np.maximum(found, -20)) < 0.02
    assert fitted.counts is not None
    assert fitted.fit.p_value > 0.001
    assert fitted.counts.family.name.startswith("zero-inflated") == (zeros is not None)


def test_a_mixture_is_recovered_from_its_own_sample():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(ROWS) < 0.3, rng.normal(-4, 0.5, ROWS), rng.normal(2, 1, ROWS))
    column = ColumnSchema("x", Kind.NUMERIC, "Float64", nullable=False)
    fitted = fit_column(pl.Series("x", x), column, seed=0)
    assert fitted.body.family.name == "gaussian mixture"
    assert fitted.body.family.means[0] == pytest.approx(-4, abs=0.15)


def test_data_that_no_family_fits_are_smoothed_with_their_tails():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(k * 10, k * 10 + 1, 300) for k in range(9)])
    column = ColumnSchema("x", Kind.NUMERIC, "Float64", nullable=False, lower=0.0, upper=90.0)
    fitted = fit_column(pl.Series("x", x), column, seed=0)
    assert fitted.body.family.name == "smoothed empirical"
    drawn = fitted.sample(5000, rng).to_numpy()
    assert drawn.min() >= 0
    assert drawn.max() <= 90
    assert np.mean(drawn % 10 > 1.3) < 0.1  # the gaps between the blocks stay nearly empty
    assert (drawn > x.max()).any()  # and the tail goes on where the bound allows


def test_a_wrong_family_has_a_small_p_value():
    x = np.random.default_rng(0).permutation(np.concatenate([np.zeros(400), np.full(400, 5), np.full(100, 2)]))
    column = ColumnSchema("x", Kind.INTEGER, "Int64", nullable=False, lower=0.0)
    fitted = fit_column(pl.Series("x", x), column, seed=0)
    assert fitted.counts is None  # no family of counts has two far modes
    assert fitted.describe() == "categorical(3 values)"
    assert fitted.fit.p_value > 0.001  # the table of frequencies does


def test_both_criteria_list_their_candidates_best_first():
    column = ColumnSchema("x", Kind.NUMERIC, "Float64", nullable=False)
    values = pl.Series("x", np.random.default_rng(0).normal(size=400))
    for criterion in ("heldout", "bic"):
        scores = [score for _, score in fit_column(values, column, seed=0, criterion=criterion).fit.candidates]
        assert len(scores) > 8
        assert scores == sorted(scores, reverse=True)
