import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.codec import Codec
from tabsyn_core.distributions import fit_table
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema


def codec_of(table):
    schema = TableSchema.infer(table)
    return Codec(schema, fit_table(table, schema, seed=0))


def states_and_ranks(codec, table, seed=0):
    encoded = codec.encode(table, np.random.default_rng(seed))
    return encoded.batch(torch.arange(table.height), torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    n = 400
    area = np.where(rng.random(n) < 0.5, 0.0, rng.choice([4.79, 5.11, 9.57, 12.3], n))
    return pl.DataFrame(
        {
            "body": rng.normal(size=n),
            "zero_inflated": np.where(rng.random(n) < 0.6, 0.0, rng.gamma(2.0, size=n)),
            "lattice": area,
            "count": rng.poisson(2.0, n),
            "gaps": [
                None if gap else value for gap, value in zip(rng.random(n) < 0.2, rng.normal(size=n), strict=True)
            ],
            "class": rng.choice(["low", "medium", "high"], n),
            "flag": rng.random(n) < 0.3,
            "constant": np.full(n, 7.0),
        }
    )


def test_a_table_comes_back(mixed):
    codec = codec_of(mixed)
    states, ranks = states_and_ranks(codec, mixed)
    back = codec.decode(states.numpy(), ranks.double().numpy())
    assert back.schema == mixed.schema
    for name in mixed.columns:
        if mixed[name].dtype == pl.Float64:
            np.testing.assert_allclose(back[name].to_numpy(), mixed[name].to_numpy(), rtol=1e-4, atol=1e-5)
        else:
            assert back[name].equals(mixed[name])


def test_ranks_are_standard_normal_whatever_the_column_looks_like(mixed):
    codec = codec_of(mixed)
    _, ranks = states_and_ranks(codec, mixed)
    assert (ranks.mean(0).abs() < 0.2).all()
    assert ((ranks.std(0) - 1).abs() < 0.2).all()


def test_larger_values_have_larger_ranks(mixed):
    codec = codec_of(mixed)
    _, ranks = states_and_ranks(codec, mixed)
    for name in ("body", "zero_inflated", "lattice", "count"):
        rank = ranks[:, codec.columns.index(name)].numpy()
        value = mixed[name].to_numpy()
        for atom in np.unique(value)[1:]:
            assert rank[value >= atom].min() >= rank[value < atom].max() - 1e-4


def test_any_rank_decodes_to_the_support(mixed):
    codec = codec_of(mixed)
    rng = np.random.default_rng(1)
    sizes = [len(layout.low) for layout in codec.layouts.values()]
    states = np.column_stack([rng.integers(0, size, 300) for size in sizes])
    rows = codec.decode(states, rng.normal(scale=4, size=states.shape))
    assert rows["zero_inflated"].min() >= 0
    assert set(rows["lattice"]) <= set(mixed["lattice"])
    assert (rows["count"] >= 0).all()
    assert set(rows["class"]) <= {"low", "medium", "high"}
    assert rows["body"].is_finite().all()
    assert (rows["constant"] == 7.0).all()
    assert rows.schema == mixed.schema


def test_constant_columns_stay_out_of_the_network(mixed):
    assert "constant" not in codec_of(mixed).columns


def test_five_thousand_levels():
    table = pl.DataFrame({"code": [f"c{i}" for i in range(5000)]})
    codec = codec_of(table)
    states, ranks = states_and_ranks(codec, table)
    assert codec.decode(states.numpy(), ranks.double().numpy()).equals(table)


def test_another_table_is_refused(mixed):
    with pytest.raises(TabsynError, match="missing columns \\['body'\\]"):
        codec_of(mixed).encode(mixed.drop("body"), np.random.default_rng(0))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.sampled_from([0.0, 1.5]), st.floats(-1e6, 1e6, width=32)),
            st.integers(-(10**9), 10**9),
            st.sampled_from(["a", "b", None]),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_any_small_table_comes_back(rows):
    schema = {"number": pl.Float64, "whole": pl.Int64, "label": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    codec = codec_of(table)
    states, ranks = states_and_ranks(codec, table)
    back = codec.decode(states.numpy(), ranks.double().numpy())
    assert back["label"].equals(table["label"])
    assert back["number"].is_null().equals(table["number"].is_null())
    for name in ("number", "whole"):
        before = table[name].cast(pl.Float64).to_numpy()
        scale = max(1.0, np.nanmax(before, initial=0) - np.nanmin(before, initial=0))
        np.testing.assert_allclose(back[name].cast(pl.Float64).to_numpy(), before, rtol=1e-5, atol=1e-4 * scale)
