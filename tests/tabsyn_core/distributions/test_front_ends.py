from typing import get_args

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from sklearn.preprocessing import QuantileTransformer

from tabsyn_core.codec import Codec
from tabsyn_core.config import FrontEnd
from tabsyn_core.distributions import ColumnDistribution, fit_table
from tabsyn_core.distributions.front_ends import front_end_distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema

FRONT_ENDS = get_args(FrontEnd)


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    n = 600
    gaps = rng.random(n) < 0.2
    return pl.DataFrame(
        {
            "body": rng.normal(3, 2, size=n),
            "zero_inflated": np.where(rng.random(n) < 0.6, 0.0, rng.gamma(2.0, size=n)),
            "lattice": np.where(rng.random(n) < 0.5, 0.0, rng.choice([4.79, 5.111111, 9.57, 12.3333333], n)),
            "count": rng.poisson(2.0, n),
            "gaps": [None if gap else value for gap, value in zip(gaps, rng.normal(size=n), strict=True)],
            "class": rng.choice(["low", "high", None], n),
            "flag": rng.random(n) < 0.3,
            "constant": np.full(n, 7.0),
            "empty": pl.Series([None] * n, dtype=pl.Float64),
        }
    )


def fit(front_end, table):
    schema = TableSchema.infer(table)
    return schema, front_end_distributions(front_end, table, schema, seed=0)


@pytest.fixture(scope="module")
def fits(mixed):
    """The mixed table's schema and distributions in every front end."""
    return {front_end: fit(front_end, mixed) for front_end in FRONT_ENDS}


def there_and_back(fitted, table):
    codec = Codec(*fitted)
    encoded = codec.encode(table, np.random.default_rng(0))
    states, ranks = encoded.batch(torch.arange(table.height), torch.Generator().manual_seed(0))
    return codec.decode(states.numpy(), ranks.double().numpy())


def drawn(fitted, name):
    return fitted[1][name].sample(4000, np.random.default_rng(1))


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_a_table_comes_back_through_the_codec(front_end, mixed, fits):
    back = there_and_back(fits[front_end], mixed)
    assert back.schema == mixed.schema
    for name in mixed.columns:
        assert back[name].is_null().equals(mixed[name].is_null())
        if mixed[name].dtype == pl.Float64:
            np.testing.assert_allclose(back[name].to_numpy(), mixed[name].to_numpy(), rtol=1e-4, atol=1e-4)
        else:
            assert back[name].equals(mixed[name])


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_any_rank_decodes_to_the_dtypes(front_end, mixed, fits):
    codec = Codec(*fits[front_end])
    rng = np.random.default_rng(1)
    states = np.column_stack([rng.integers(0, len(layout.low), 300) for layout in codec.layouts.values()])
    rows = codec.decode(states, rng.normal(scale=4, size=states.shape))
    assert rows.schema == mixed.schema
    assert rows["body"].is_finite().all()
    assert set(rows["class"]) <= {"low", "high", None}


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_distributions_survive_json(front_end, fits):
    for name, fitted in fits[front_end][1].items():
        again = ColumnDistribution.from_json(fitted.to_json())
        draws = [each.sample(50, np.random.default_rng(3)) for each in (fitted, again)]
        assert draws[0].equals(draws[1], null_equal=True)
        assert again.describe() == fitted.describe(), name


def test_families_are_the_products_own(mixed, fits):
    schema, found = fits["families"]
    expected = fit_table(mixed, schema, seed=0)
    assert {n: d.to_json() for n, d in found.items()} == {n: d.to_json() for n, d in expected.items()}


@pytest.mark.parametrize("front_end", FRONT_ENDS[1:])
def test_only_a_missing_value_is_an_atom_where_numbers_vary(front_end, mixed, fits):
    found = fits[front_end][1]
    for name in ("body", "zero_inflated", "lattice", "count"):
        assert found[name].atoms == ()
        assert found[name].body is not None
    assert found["gaps"].atoms == (None,)
    assert found["gaps"].atom_probabilities[0] == pytest.approx(mixed["gaps"].is_null().mean())
    assert found["constant"].atoms == (7.0,)
    assert found["class"].levels == (None, "high", "low")


def test_without_atoms_a_family_gives_values_between_the_repeated_ones(mixed, fits):
    assert set(drawn(fits["families"], "lattice")) <= set(mixed["lattice"])
    values = drawn(fits["families without atoms"], "lattice")
    assert values.is_in(mixed["lattice"].unique().to_list()).mean() < 0.01
    assert fits["families without atoms"][1]["count"].body.jumps
    assert drawn(fits["families without atoms"], "count").min() == 0


def test_quantiles_are_those_of_scikit_learn(mixed, fits):
    for name in ("body", "zero_inflated", "lattice", "count"):
        x = mixed[name].cast(pl.Float64).to_numpy()
        theirs = QuantileTransformer(n_quantiles=len(x) // 30, output_distribution="normal").fit(x[:, None])
        ours = fits["quantile"][1][name]
        _, scores = ours.encode(mixed[name], np.random.default_rng(0))
        np.testing.assert_allclose(scores, theirs.transform(x[:, None])[:, 0], atol=1e-4)
        anywhere = ndtri(np.random.default_rng(2).uniform(0.001, 0.999, 500))
        back = ours.decode(np.zeros(500, dtype=np.int64), anywhere).cast(pl.Float64).to_numpy()
        expected = theirs.inverse_transform(anywhere[:, None])[:, 0]
        np.testing.assert_allclose(back, np.round(expected) if name == "count" else expected, atol=1e-5)


def test_quantiles_keep_the_heavy_zero_and_stay_between_the_extremes(mixed, fits):
    values = drawn(fits["quantile"], "zero_inflated")
    assert (values == 0).mean() == pytest.approx((mixed["zero_inflated"] == 0).mean(), abs=0.1)
    assert values.min() >= 0
    assert values.max() <= mixed["zero_inflated"].max()


def test_one_normal_knows_mean_and_spread_and_no_bound(mixed, fits):
    values = drawn(fits["gaussian"], "zero_inflated")
    assert values.mean() == pytest.approx(mixed["zero_inflated"].mean(), abs=0.1)
    assert values.std() == pytest.approx(mixed["zero_inflated"].std(), rel=0.1)
    assert values.min() < 0
    counts = drawn(fits["gaussian"], "count")
    assert counts.dtype == pl.Int64
    assert counts.min() < 0


def test_narrow_integers_are_clipped_to_their_dtype():
    table = pl.DataFrame({"n": pl.Series([0, 250, 255, 251] * 30, dtype=pl.UInt8)})
    codec = Codec(*fit("gaussian", table))
    rows = codec.decode(np.zeros((2, 1), dtype=np.int64), np.array([[-5.0], [5.0]]))
    assert rows["n"].to_list() == [0, 255]


def test_a_missing_column_is_named(mixed):
    with pytest.raises(TabsynError, match="missing columns \\['body'\\]"):
        front_end_distributions("quantile", mixed.drop("body"), TableSchema.infer(mixed), seed=0)


@settings(max_examples=20, deadline=None)
@given(
    front_end=st.sampled_from(FRONT_ENDS),
    values=st.lists(
        st.one_of(st.none(), st.sampled_from([0.0, 1.5]), st.floats(-1e300, 1e300)), min_size=1, max_size=50
    ),
)
def test_any_column_comes_back(front_end, values):
    table = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    back = there_and_back(fit(front_end, table), table)["x"]
    assert back.is_null().equals(table["x"].is_null())
    known = table["x"].drop_nulls().to_numpy()
    scale = np.abs(known).max(initial=1)
    np.testing.assert_allclose(back.drop_nulls().to_numpy() / scale, known / scale, atol=1e-5)
