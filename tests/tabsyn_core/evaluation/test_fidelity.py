import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
from sdmetrics.single_column import KSComplement, TVComplement

from tabsyn_core.evaluation.fidelity import correlations, shape_errors, trend_errors
from tabsyn_core.evaluation.tables import Table, align


def pair(real: pl.DataFrame, other: pl.DataFrame) -> tuple[Table, Table]:
    tables = align({"real": real, "other": other}, seed=0)
    return tables["real"], tables["other"]


def mixed(seed: int, rows: int = 150) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "x": base,
            "y": np.where(rng.random(rows) < 0.2, np.nan, base + rng.normal(size=rows)),
            "count": rng.poisson(2, rows),
            "colour": rng.choice(["red", "green", "blue"], rows, p=[0.6, 0.3, 0.1]),
            "shape": np.where(base > 0, "round", "square"),
        }
    ).with_columns(pl.col("y").fill_nan(None), pl.when(pl.col("x") > 1.5).then(None).otherwise("shape").alias("shape"))


def test_identical_tables_have_no_error(train):
    table = train.drop("smiles", "inchikey")
    real, other = pair(table, table[::-1])
    assert np.nanmax(shape_errors(real, other)) == 0
    assert trend_errors(real, other).max() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shift", [0.1, 0.5, 2.0])
def test_a_shifted_mean_has_the_known_distance(shift):
    # Two unit normals a shift apart: the largest gap between their distributions is 2 Φ(shift/2) - 1.
    quantiles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)[::4]
    real, other = pair(pl.DataFrame({"x": quantiles}), pl.DataFrame({"x": quantiles + shift}))
    assert shape_errors(real, other)[0] == pytest.approx(2 * norm.cdf(shift / 2) - 1, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_shape_equals_sdmetrics(seed):
    first, second = mixed(seed), mixed(seed + 100)
    real, other = pair(first, second)
    found = dict(zip(real.feature_names, shape_errors(real, other), strict=True))
    for column in first.columns:
        metric = KSComplement if first[column].dtype.is_numeric() else TVComplement
        expected = 1 - metric.compute(first[column].to_pandas(), second[column].to_pandas())
        assert found[column] == pytest.approx(expected, abs=1e-12), column


def test_shape_equals_sdmetrics_on_molecules(train, holdout):
    numbers = [c for c in train.columns if train[c].dtype.is_numeric()]
    real, other = pair(train.select(numbers), holdout.select(numbers))
    expected = [1 - KSComplement.compute(train[c].to_pandas(), holdout[c].to_pandas()) for c in numbers]
    np.testing.assert_allclose(shape_errors(real, other), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_trend_equals_sdmetrics(seed):
    first, second = mixed(seed).to_pandas(), mixed(seed + 100, rows=90).to_pandas()
    real, other = pair(pl.from_pandas(first), pl.from_pandas(second))
    numeric = ["x", "y", "count"]
    expected = [
        1 - CorrelationSimilarity.compute(first[[a, b]], second[[a, b]])
        for a, b in (("x", "y"), ("x", "count"), ("y", "count"))
    ]
    for place, column in enumerate(("colour", "shape")):
        for partner in [*numeric, *["colour"][:place]]:
            continuous = [partner] if partner in numeric else None
            expected.append(1 - contingency(first[[partner, column]], second[[partner, column]], continuous))
    np.testing.assert_allclose(trend_errors(real, other), expected, atol=1e-12)


def contingency(real: pd.DataFrame, other: pd.DataFrame, continuous: list[str] | None) -> float:
    return ContingencySimilarity.compute(real.copy(), other.copy(), continuous_column_names=continuous)


def test_correlations_equal_pandas_on_molecules(train):
    numbers = train.select(pl.selectors.numeric()).cast(pl.Float64)
    expected = numbers.to_pandas().corr().to_numpy()
    found = correlations(numbers.to_numpy())
    constant = numbers.to_pandas().nunique().to_numpy() < 2
    assert np.isnan(found[constant]).all()
    kept = ~constant
    np.testing.assert_allclose(found[np.ix_(kept, kept)], expected[np.ix_(kept, kept)], atol=1e-8)


def test_columns_drawn_apart_keep_their_shape_and_lose_their_trend():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    real, _ = pair(pl.DataFrame({"x": x, "y": x}), pl.DataFrame({"x": x, "y": x}))
    apart = real.without_dependence(4000, rng)
    assert shape_errors(real, apart).max() < 0.04
    assert trend_errors(real, apart)[0] == pytest.approx(0.5, abs=0.03)  # correlation 1 against 0, halved


def test_constant_columns_are_left_out_when_real_and_wrong_when_only_synthetic():
    varying = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0], "c": [7.0] * 4})
    constant = varying.with_columns(b=pl.lit(2.5))
    real, other = pair(varying, constant)
    assert trend_errors(real, other).tolist() == [0.5]  # a~b: 1 in the real rows, none in the others; c: not judged


def test_a_column_without_values():
    empty = pl.DataFrame(
        {"x": pl.Series([None, None], dtype=pl.Float64), "c": pl.Series([None, None], dtype=pl.String)}
    )
    full = pl.DataFrame({"x": [1.0, 2.0], "c": ["a", "b"]})
    assert shape_errors(*pair(full, empty)).tolist() == [1, 1]
    assert np.isnan(shape_errors(*pair(empty, empty))).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=30),
    st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=30),
)
def test_errors_lie_between_0_and_1_whatever_the_numbers(first, second):
    rows = min(len(first), len(second))
    real, other = pair(
        pl.DataFrame({"x": first[:rows], "y": second[:rows], "c": ["a", "b"] * (rows // 2) + ["a"] * (rows % 2)}),
        pl.DataFrame({"x": second[:rows], "y": first[:rows], "c": ["b"] * rows}),
    )
    for errors in (shape_errors(real, other), trend_errors(real, other)):
        assert ((errors >= 0) & (errors <= 1)).all()
