import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.distributions import MAX_SCORE, ColumnDistribution, fit_column
from tabsyn_core.schema import Kind, TableSchema


def fit(values, *, kind=None, bounds=None, **options):
    values = pl.Series("x", values, strict=False)
    table = values.cast(pl.Float64).to_frame() if values.dtype == pl.Null else values.to_frame()
    schema = TableSchema.infer(table, {"x": kind} if kind else None, {"x": bounds} if bounds else None)
    return fit_column(table["x"], schema["x"], seed=0, **options), table["x"]


def encoded(distribution, series, seed=0):
    return distribution.encode(series, np.random.default_rng(seed))


def assert_round_trip(distribution, series):
    states, scores = encoded(distribution, series)
    assert states.dtype == np.int64
    assert np.all((states >= 0) & (states < distribution.num_states))
    assert np.all(np.abs(scores) <= MAX_SCORE)
    for stored in (scores, scores.astype(np.float32)):  # networks keep scores as float32
        back = distribution.decode(states, stored)
        assert back.name == "x"
        assert back.to_list() == series.to_list()


finite = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.one_of(
    st.lists(finite, min_size=1, max_size=40),
    st.lists(st.floats(-1e3, 1e3), min_size=30, max_size=80),
    st.lists(st.sampled_from([0.0, 5.316788604006331, 5.316788604006332, 10.1, math.pi]), min_size=1, max_size=60),
    st.lists(st.integers(-400, 400).map(lambda k: k / 100), min_size=25, max_size=80),
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, max_size=40),
    st.lists(st.integers(0, 50), min_size=1, max_size=150),
)
gaps = st.lists(st.integers(0, 150), max_size=5)


@settings(max_examples=15, deadline=None)
@given(numbers, gaps, st.sampled_from([0, 3, 32]), st.sampled_from(["heldout", "bic"]))
def test_observed_values_come_back_bit_for_bit(values, missing, max_atoms, criterion):
    values = [None if i in missing else value for i, value in enumerate(values)]
    dtype = pl.Int64 if all(isinstance(value, int | None) for value in values) else pl.Float64
    distribution, series = fit(pl.Series("x", values, dtype=dtype), max_atoms=max_atoms, criterion=criterion)
    assert_round_trip(distribution, series)


@settings(max_examples=15, deadline=None)
@given(numbers, st.sampled_from([0, 32]), st.integers(0, 2**32 - 1))
def test_any_score_decodes_to_the_support(values, max_atoms, seed):
    distribution, series = fit(values, max_atoms=max_atoms)
    rng = np.random.default_rng(seed)
    states = rng.integers(0, distribution.num_states, 200)
    scores = np.concatenate([rng.standard_normal(190) * 3, [-1e9, 1e9, -8, 8, 0, 0, 0, 0, 0, 0]])
    decoded = distribution.decode(states, scores)
    assert decoded.null_count() == 0
    assert np.all(np.isfinite(decoded.to_numpy()))
    if series.min() >= 0:  # the schema takes a column without negative values to be bounded by zero
        assert decoded.min() >= 0
    if distribution.kind is Kind.INTEGER:
        assert decoded.dtype == pl.Int64


@settings(max_examples=15, deadline=None)
@given(numbers, gaps, st.lists(finite, min_size=1, max_size=20))
def test_unseen_values_encode_to_a_state_and_a_clipped_score(values, missing, unseen):
    distribution, _ = fit([None if i in missing else value for i, value in enumerate(values)])
    states, scores = encoded(distribution, pl.Series("x", [*unseen, None], dtype=pl.Float64))
    assert np.all((states >= 0) & (states < distribution.num_states))
    assert np.all(np.abs(scores) <= MAX_SCORE)


@settings(max_examples=15, deadline=None)
@given(numbers, gaps)
def test_json_gives_back_the_same_distribution(values, missing):
    distribution, series = fit([None if i in missing else value for i, value in enumerate(values)])
    written = json.dumps(distribution.to_json(), allow_nan=False)
    again = ColumnDistribution.from_json(json.loads(written))
    assert json.dumps(again.to_json()) == written
    for ours, theirs in zip(encoded(distribution, series), encoded(again, series), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ours, theirs = (d.sample(20, np.random.default_rng(1)) for d in (distribution, again))
    assert ours.equals(theirs)


@settings(max_examples=15, deadline=None)
@given(numbers, gaps, st.sampled_from([0, 32]))
def test_every_observed_value_is_possible(values, missing, max_atoms):
    distribution, series = fit([None if i in missing else v for i, v in enumerate(values)], max_atoms=max_atoms)
    assert np.all(np.isfinite(distribution.log_prob(series)))


@pytest.mark.parametrize(
    "values",
    [
        pl.Series("x", np.random.default_rng(0).poisson(3, 500)),
        pl.Series("x", np.random.default_rng(0).poisson(200, 500)),
        pl.Series("x", np.random.default_rng(0).poisson(3, 500) * (np.arange(500) % 3 > 0)),
        pl.Series("x", np.random.default_rng(0).normal(0, 1, 500).round(1)),
        pl.Series("x", np.where(np.arange(500) % 2, 0, np.random.default_rng(0).poisson(60, 500))),
    ],
)
def test_discrete_probabilities_sum_to_one(values):
    distribution, _ = fit(values)
    step = 1.0 if distribution.kind is Kind.INTEGER else 0.1
    grid = np.round(np.arange(-3000, 6000) * step, 1)
    masses = np.exp(distribution.log_prob(pl.Series("x", grid)))
    assert masses.sum() == pytest.approx(1, abs=1e-6)


def test_samples_follow_the_column():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(3000) < 0.4, 0.0, rng.gamma(2.1, 3.0, 3000))
    distribution, series = fit([None if i % 10 == 0 else float(v) for i, v in enumerate(x)])
    drawn = distribution.sample(20_000, rng)
    assert drawn.null_count() / 20_000 == pytest.approx(0.1, abs=0.01)
    assert (drawn == 0).sum() / 20_000 == pytest.approx(0.36, abs=0.02)
    for level in (0.5, 0.9, 0.99):
        assert drawn.quantile(level) == pytest.approx(series.quantile(level), rel=0.1, abs=0.05)


def test_scores_of_a_fitted_body_are_standard_normal():
    rng = np.random.default_rng(0)
    for values in (rng.gamma(2, 3, 4000), rng.poisson(100, 4000), rng.normal(0, 1, 4000).round(1)):
        distribution, series = fit(values)
        states, scores = encoded(distribution, series)
        body = scores[states == distribution.num_states - 1]
        assert body.mean() == pytest.approx(0, abs=0.06)
        assert body.std() == pytest.approx(1, abs=0.06)


def test_a_description_reads_like_the_fit():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(4000) < 0.41, 0.0, rng.gamma(2.1, 3.0, 4000))
    distribution, _ = fit(x)
    assert distribution.describe().startswith("zero-inflated ")
    assert distribution.describe().endswith("% zeros")
    assert fit(["a", "b", None, "a"])[0].describe() == "categorical(2 levels), 25 % missing"
    assert fit([7.5, 7.5])[0].describe() == "constant(7.5)"
    assert fit(pl.Series("x", [None, None], dtype=pl.Float64))[0].describe() == "constant(missing), 100 % missing"


def test_few_integers_are_all_atoms_and_keep_their_family():
    distribution, series = fit(np.random.default_rng(0).poisson(2, 1000))
    assert distribution.body is None
    assert distribution.atoms == tuple(float(k) for k in series.unique().sort())
    assert distribution.family == "poisson"
    beyond = pl.Series("x", [int(distribution.atoms[-1]) + 1])
    assert np.isfinite(distribution.log_prob(beyond)).all()
    assert encoded(distribution, beyond)[0][0] == distribution.num_states - 1  # the nearest atom


def test_many_integers_decode_to_whole_numbers_and_may_exceed_the_largest_seen():
    distribution, series = fit(np.random.default_rng(0).poisson(100, 2000))
    assert distribution.body is not None
    drawn = distribution.decode(np.full(3, distribution.num_states - 1), np.array([-4.0, 0.5, 4.5]))
    assert drawn.dtype == pl.Int64
    assert drawn[2] > series.max()


def test_the_commonest_lattice_values_are_atoms_and_the_rest_stays_on_the_lattice():
    rng = np.random.default_rng(0)
    contributions = np.array([5.316788604006331, 4.794537184071822, 11.374773453178]) * 1.0
    x = (rng.poisson([0.4, 3, 4], (1500, 3)) * contributions).sum(axis=1)
    distribution, series = fit(x)
    assert len([atom for atom in distribution.atoms if atom]) > 5
    assert len(distribution.atoms) <= 32
    drawn = distribution.sample(3000, rng)
    assert set(drawn.to_list()) <= set(series.to_list())


def test_a_rounded_measurement_stays_rounded_and_is_not_all_atoms():
    distribution, _ = fit(np.random.default_rng(0).normal(-2, 2, 1200).round(2))
    assert distribution.atoms == ()
    drawn = distribution.sample(2000, np.random.default_rng(1)).to_numpy()
    np.testing.assert_array_equal(drawn, np.round(drawn, 2))


def test_a_censored_measurement_has_its_limit_as_an_atom():
    x = np.maximum(np.random.default_rng(0).normal(1.2, 0.6, 1500), 0.675687)
    distribution, _ = fit(x)
    assert distribution.atoms == (0.675687,)
    assert distribution.atom_probabilities[0] == pytest.approx(np.mean(x == 0.675687))


def test_known_bounds_are_never_crossed():
    x = np.random.default_rng(0).normal(0.9, 0.2, 1000).clip(0.0001, 0.9999)
    distribution, _ = fit(x, bounds=(0.0, 1.0))
    body = np.full(5, distribution.num_states - 1)
    assert distribution.decode(body, np.array([-1e9, -8, 0, 8, 1e9])).is_between(0, 1).all()


@pytest.mark.parametrize(
    "values",
    [
        [1.5],
        [3],
        [1.5, 2.5],
        [1, 2],
        [0.0, 1e308, -1e308, 1e300, 3.0],
        [5e-324, 1e-320, 0.0, 2e-310],
        [2**53 - 1, 0, 2**52, 7],
        [None, 2.5],
        [-0.0, 0.0, 1.5],
        list(np.random.default_rng(0).standard_cauchy(500) ** 3),
        [*np.random.default_rng(0).normal(size=500), 1e308, -1e308],
        list(np.exp(np.random.default_rng(0).normal(0, 40, 500))),
        list(1e-310 * np.random.default_rng(0).normal(size=60)),
        list(np.random.default_rng(0).integers(0, 2**53 - 1, 300)),
    ],
    ids=str,
)
@pytest.mark.parametrize("max_atoms", [0, 32])
def test_extreme_columns(values, max_atoms):
    with np.errstate(over="raise", invalid="raise"):
        distribution, series = fit(pl.Series("x", values, strict=False), max_atoms=max_atoms)
        assert_round_trip(distribution, series)
        drawn = distribution.sample(100, np.random.default_rng(0)).drop_nulls()
        assert np.all(np.isfinite(drawn.cast(pl.Float64).to_numpy()))
        json.dumps(distribution.to_json(), allow_nan=False)


def test_a_body_too_large_to_remember_comes_back_to_within_rounding():
    distribution, series = fit(np.random.default_rng(0).gamma(2, 3, 12_000))
    assert distribution.body.observed.size == 0
    np.testing.assert_allclose(distribution.decode(*encoded(distribution, series)), series, rtol=1e-6)


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Int64, pl.String, pl.Boolean])
def test_a_column_without_any_value_stays_missing(dtype):
    distribution, series = fit(pl.Series("x", [None] * 12, dtype=dtype))
    assert distribution.num_states == 1
    assert distribution.sample(5, np.random.default_rng(0)).null_count() == 5
    assert_round_trip(distribution, series)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["b", "a", None, "a"] * 20, pl.String),
        (["b", "a", None, "a"] * 20, pl.Categorical),
        ([True, False, True] * 20, pl.Boolean),
        ([3, 1, 2, None] * 20, pl.Int64),
        ([0.5, 1.5, float("nan")] * 20, pl.Float64),
        ([f"level {i}" for i in range(5000)], pl.String),
    ],
    ids=["text", "categorical", "boolean", "integers", "floats", "5000 levels"],
)
def test_categories_come_back_with_their_own_type(values, dtype):
    distribution, series = fit(pl.Series("x", values, dtype=dtype), kind=Kind.CATEGORICAL)
    present = [level for level in distribution.levels if level is not None]
    assert present == sorted(present)
    assert None not in distribution.levels[1:]
    assert distribution.num_states == len(distribution.levels)
    states, scores = encoded(distribution, series)
    assert not scores.any()
    back = distribution.decode(states, scores)
    assert back.to_list() == (series.fill_nan(None) if dtype == pl.Float64 else series.cast(back.dtype)).to_list()
    np.testing.assert_allclose(np.exp(distribution.log_prob(back)).min(), min(distribution.level_probabilities))


def test_an_unknown_level_takes_the_likeliest_state_and_is_impossible():
    distribution, _ = fit(["a", "b", "b"])
    unknown = pl.Series("x", ["c", None])
    assert encoded(distribution, unknown)[0].tolist() == [1, 1]
    assert np.all(np.isneginf(distribution.log_prob(unknown)))


def test_integers_of_any_size_give_integers():
    values = [0, *(sign * 2**k for k in range(1, 52) for sign in (-1, 1))]
    distribution, _ = fit(values, kind=Kind.INTEGER)
    assert distribution.sample(1000, np.random.default_rng(0)).dtype == pl.Int64
