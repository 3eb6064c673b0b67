import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from tabsyn_core.distributions.estimators import empirical, generalised_pareto, lattice
from tabsyn_core.distributions.families import Count, Family, Lattice, Mixture, Parametric, family_from_json

shape = st.floats(0.3, 8)
scale = st.floats(0.01, 100)
place = st.floats(-50, 50)


def parametric(base, *parameters, reflected=False):
    return st.tuples(*parameters).map(lambda values: Parametric(base, values, reflected))


def smoothed(draw):
    seed, size, bins = draw
    rng = np.random.default_rng(seed)
    return empirical(np.concatenate([rng.normal(size=size), rng.gamma(1.0, 3.0, size)]), bins)


mixtures = st.tuples(st.floats(0.05, 0.95), place, scale, place, scale).map(
    lambda p: Mixture((p[0], 1 - p[0]), (p[1], p[3]), (p[2], p[4]))
)
continuous = st.one_of(
    parametric("normal", place, scale),
    parametric("logistic", place, scale),
    parametric("gumbel", place, scale),
    parametric("left gumbel", place, scale),
    parametric("student-t", st.floats(2, 30), place, scale),
    parametric("skew-normal", st.floats(-8, 8), place, scale),
    parametric("log-normal", st.floats(0.1, 1.5), st.just(0.0), scale),
    parametric("gamma", st.floats(0.6, 8), st.just(0.0), scale),
    parametric("gamma", st.floats(0.6, 8), st.just(2.0), scale, reflected=True),
    parametric("weibull", st.floats(0.6, 8), st.just(0.0), scale),
    parametric("exponential", st.just(0.0), scale),
    parametric("beta", st.floats(0.6, 8), st.floats(0.6, 8), st.just(-1.0), scale),
    mixtures,
    st.tuples(st.integers(0, 99), st.integers(3, 400), st.integers(2, 30)).map(smoothed),
)
zero = st.one_of(st.none(), st.floats(0.05, 0.9))
counts = st.one_of(
    st.builds(Count, st.just("poisson"), st.tuples(st.floats(0.2, 20)), st.sampled_from([0.0, 3.0]), zero),
    st.builds(Count, st.just("geometric"), st.tuples(st.floats(0.1, 0.9)), st.sampled_from([0.0, 1.0]), zero),
    st.builds(Count, st.just("binomial"), st.tuples(st.integers(1, 30), st.floats(0.05, 0.95)), st.just(0.0), zero),
    st.builds(Count, st.just("negative binomial"), st.tuples(shape, st.floats(0.1, 0.9)), st.just(0.0), zero),
)
lattices = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(lambda x: lattice(np.array(x)))


@settings(max_examples=40, deadline=None)
@given(continuous)
def test_the_density_integrates_to_one(family: Family):
    inner = family.ppf(np.array([1e-4, 0.01, 0.1, 0.5, 0.9, 0.99, 1 - 1e-4]))
    # A narrow part is easily missed:
    spans = zip(getattr(family, "means", ()), getattr(family, "stds", ()), strict=True)
    parts = [mean + np.array([-4, 0, 4]) * std for mean, std in spans]
    breaks = np.unique(np.concatenate([inner, getattr(family, "knots", ()), *parts]))
    breaks = breaks[(breaks >= inner[0]) & (breaks <= inner[-1])]

    def density(x):
        return np.exp(family.logpdf(np.array([x])))[0]

    total = sum(integrate.quad(density, a, b, limit=200)[0] for a, b in pairwise(breaks))
    assert total == pytest.approx(1 - 2e-4, abs=2e-3)


@settings(max_examples=50, deadline=None)
@given(st.one_of(continuous, counts, lattices))
def test_cdf_and_sf_add_up_and_never_fall(family: Family):
    x = np.sort(np.concatenate([family.ppf(np.linspace(0.001, 0.999, 40)), np.linspace(-500, 500, 41)]))
    cdf, sf = family.cdf(x), family.sf(x)
    np.testing.assert_allclose(cdf + sf, 1, atol=1e-12)
    assert np.all(np.diff(cdf) >= -1e-12)
    assert np.all((cdf >= 0) & (cdf <= 1))


@settings(max_examples=50, deadline=None)
@given(continuous, st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=20))
def test_quantiles_invert_the_cdf(family: Family, levels):
    u = np.array(levels)
    np.testing.assert_allclose(family.cdf(family.ppf(u)), u, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(family.sf(family.isf(u)), u, rtol=1e-6, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.one_of(counts, lattices), st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=20))
def test_discrete_quantiles_are_the_smallest_value_that_reaches_the_level(family: Family, levels):
    u = np.array(levels)
    x = family.ppf(u)
    assert np.all(family.cdf(x) >= u - 1e-9)
    below = family.edges(x, 1.0)[0]
    assert np.all(below <= u + 1e-9)


@settings(max_examples=40, deadline=None)
@given(counts)
def test_the_masses_of_a_family_of_counts_sum_to_one_and_to_its_cdf(family: Count):
    x = family.start + np.arange(2000.0)
    masses = np.exp(family.logpdf(x))
    assert masses.sum() == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(np.cumsum(masses), family.cdf(x), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.one_of(continuous, counts, lattices))
def test_json_gives_back_the_same_family(family: Family):
    again = family_from_json(json.loads(json.dumps(family.to_json(), allow_nan=False)))
    assert again == family
    assert again.describe() == family.describe()


def test_the_first_count_apart_is_called_by_what_it_does():
    assert Count("poisson", (2.0,), 0.0, 0.5).name == "zero-inflated poisson"
    assert Count("poisson", (2.0,), 0.0, 0.01).name == "hurdle poisson"
    assert Count("poisson", (2.0,)).name == "poisson"


@pytest.mark.parametrize(("true_shape", "tolerance"), [(-0.3, 0.1), (0.0, 0.1), (0.5, 0.15)])
def test_the_tail_estimate_finds_the_tail(true_shape, tolerance):
    u = np.random.default_rng(0).uniform(size=3000)
    hazard = -np.log(u)
    excess = 2 * (hazard if true_shape == 0 else np.expm1(true_shape * hazard) / true_shape)
    tail = generalised_pareto(excess, 1.0)
    assert tail.shape == pytest.approx(true_shape, abs=tolerance)
    assert tail.sf(np.quantile(excess, [0.99])) == pytest.approx(0.01, abs=0.003)


def test_a_lattice_finds_the_nearest_of_its_values_beyond_either_end():
    family = Lattice((1.0, 2.0, 4.0), (0.5, 0.25, 0.25))
    below, _, above, _ = family.edges(np.array([-1e308, 1.4, 3.5, 1e308]), 1.0)
    np.testing.assert_allclose(below, [0, 0, 0.75, 0.75])
    np.testing.assert_allclose(above, [0.5, 0.5, 1, 1])
