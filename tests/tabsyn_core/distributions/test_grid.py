"""Whatever grid a column was measured on, it is found, and values are rounded onto it."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tabsyn_core.distributions import fit_column
from tabsyn_core.distributions.grid import Grid
from tabsyn_core.schema import ColumnSchema, Kind

grids = st.builds(
    lambda decimals, stride, offset: Grid(decimals, stride, offset % stride),
    st.integers(0, 4),
    st.sampled_from([1, 2, 3, 5, 7]),
    st.integers(0, 6),
).filter(lambda grid: grid.stride % 10 or not grid.decimals)


@given(grids, st.integers(0, 2**32))
def test_the_grid_of_values_on_it_is_as_coarse_or_coarser_and_holds_them(grid, seed):
    values = np.unique(grid.round(np.random.default_rng(seed).uniform(-1e3, 1e3, 200)))
    found = Grid.of(values)
    assert found is not None
    assert found.step >= grid.step * (1 - 1e-9)
    np.testing.assert_array_equal(found.round(values), values)


@given(grids, st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_rounding_finds_the_nearest_and_is_done_once(grid, values):
    x = np.array(values)
    rounded = grid.round(x)
    np.testing.assert_array_equal(grid.round(rounded), rounded)
    assert np.all(np.abs(rounded - x) <= grid.step * (0.5 + 1e-6))


@given(grids, st.floats(-100, 100), st.floats(0, 100))
def test_bounds_move_inwards_by_less_than_a_step(grid, lower, width):
    low, high = grid.within(lower, lower + width)
    assert lower - 1e-6 * grid.step <= low < lower + grid.step
    assert lower + width + 1e-6 * grid.step >= high > lower + width - grid.step


def test_numbers_of_any_size_have_no_grid_and_few_whole_numbers_have_the_ordinary_one():
    assert Grid.of(np.random.default_rng(0).normal(size=100)) is None
    assert Grid.of(np.arange(0.0, 10, 2)) is None
    assert Grid.of(np.arange(0.0, 10, 2), whole=True) == Grid(0)
    assert Grid.of(np.arange(1.0, 100, 2), whole=True) == Grid(0, 2, 1)


def test_sums_of_decimals_are_on_their_grid_but_for_noise():
    x = np.cumsum(np.full(100, 0.1))
    assert Grid.of(x) is None
    assert Grid.of(x, noise=1e-12) == Grid(1)


def drawn_and_returned(values, kind):
    fitted = fit_column(pl.Series("x", values), ColumnSchema("x", kind, "Float64", nullable=False), seed=0)
    rng = np.random.default_rng(0)
    returned = fitted.decode(*fitted.encode(pl.Series("x", values), rng)).cast(pl.Float64).to_numpy()
    return fitted.sample(5000, rng).cast(pl.Float64).to_numpy(), returned


def test_even_numbers_give_even_numbers_also_beyond_those_seen():
    values = 2.0 * np.random.default_rng(1).poisson(60, 2000)
    drawn, returned = drawn_and_returned(values, Kind.INTEGER)
    assert np.all(drawn % 2 == 0)
    assert not np.isin(drawn, values).all()
    np.testing.assert_array_equal(returned, values)


def test_noisy_hundredths_give_hundredths_and_come_back_bit_for_bit():
    contributions = np.random.default_rng(2).uniform(0, 30, (500, 4)).round(2)
    values = contributions.sum(axis=1)
    assert not np.array_equal(values, values.round(2))
    drawn, returned = drawn_and_returned(values, Kind.NUMERIC)
    np.testing.assert_allclose(drawn, drawn.round(2), rtol=1e-12)
    np.testing.assert_array_equal(returned, values)
