"""Balances, lattices and orders: found where they are planted and nowhere else, and obeyed after completion."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.identities import Identities
from tabsyn_core.schema import TableSchema


def discover(table):
    return Identities.discover(table, TableSchema.infer(table))


def shuffled(table, seed=1):
    """Rows whose columns have nothing to do with one another, as the worst generator would make them."""
    rng = np.random.default_rng(seed)
    return table.select(pl.col(name).gather(rng.permutation(table.height)) for name in table.columns)


def assert_mended(table, identities, rows):
    """Rows that broke something obey, those of the table come back as they were, and every support is kept."""
    assert identities.obeyed(table).all()
    assert identities.complete(table).equals(table)
    done = identities.complete(rows)
    assert done.schema == table.schema
    assert identities.obeyed(done).mean() >= 0.999
    for name in table.columns:
        if table[name].dtype.is_numeric() and name not in identities.dependent:
            assert done[name].min() >= table[name].min() - 1e-9
            assert done[name].max() <= table[name].max() + 1e-9
    return done


def shares(rng, rows, families=3, bins=3):
    """Families of zero-inflated columns on an irregular lattice that share out one total, as RDKit's VSA bins do."""
    cells = bins**families
    atoms = rng.poisson(bins / cells, (rows, cells)) * rng.choice([4.7369, 5.7431, 6.0317, 9.1541], cells)
    atoms = atoms.reshape(rows, *[bins] * families)
    columns = {}
    for family in range(families):
        sums = atoms.sum(axis=tuple(axis + 1 for axis in range(families) if axis != family))
        columns |= {f"{'abcd'[family]}{j}": sums[:, j] for j in range(bins)}
    return pl.DataFrame(columns)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), families=st.integers(2, 4))
def test_families_that_share_one_total_are_balanced_row_by_row(seed, families):
    table = shares(np.random.default_rng(seed), 600, families)
    identities = discover(table)
    assert identities.dependent == ()
    assert len(identities.balances) == families - 1
    rows = shuffled(table)
    assert identities.obeyed(rows).mean() < 0.1
    done = assert_mended(table, identities, rows)
    totals = [done.select(pl.sum_horizontal(f"^{letter}[0-9]$")).to_series() for letter in "abcd"[:families]]
    for total in totals[1:]:
        np.testing.assert_allclose(total, totals[0], rtol=1e-9, atol=1e-9)


def test_a_balance_is_absorbed_by_few_columns_and_never_by_zeros():
    rng = np.random.default_rng(0)
    table = shares(rng, 1000)
    rows = table.with_columns(pl.col(name) * pl.Series(rng.normal(1, 0.05, 1000)) for name in table.columns)
    identities = discover(table)
    done = identities.complete(rows)
    assert identities.obeyed(done).all()
    moved = np.stack([(done[name] != rows[name]).to_numpy() for name in table.columns])
    zeros = np.stack([(rows[name] == 0).to_numpy() for name in table.columns])
    assert moved.sum(axis=0).max() <= 3
    assert not (moved & zeros).any()


def test_a_balance_of_counts_keeps_them_whole():
    rng = np.random.default_rng(0)
    a, b, c = rng.poisson(3, (3, 2000))
    kept = a + b >= c  # a count is never negative
    table = pl.DataFrame({"a": a, "b": b, "c": c, "d": a + b - c}).filter(kept)
    identities = discover(table)
    assert identities.dependent == ()
    assert len(identities.balances) == 1
    assert {*identities.balances[0].columns} == {"a", "b", "c", "d"}
    assert_mended(table, identities, shuffled(table))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    divisor=st.sampled_from([("n",), ("n", "m")]),
    power=st.integers(0, 3),
)
def test_a_ratio_to_a_whole_number_is_found_and_rounded_to(seed, divisor, power):
    rng = np.random.default_rng(seed)
    m = rng.poisson(3, 800)
    n = m + 1 + rng.poisson(12, 800)
    below = n if divisor == ("n",) else n - m
    table = pl.DataFrame({"x": rng.binomial(2 * below, 0.4) / below, "n": n, "m": m})
    table = table.with_columns(pl.Series(f"noise{j}", rng.poisson(4, 800)) for j in range(power))
    identities = discover(table)
    assert (
        "x * n is whole" in identities.constraints()
        if divisor == ("n",)
        else "x * (n - m) is whole" in (identities.constraints())
    )
    rows = shuffled(table)
    done = assert_mended(table, identities, rows)
    near = (done["x"] - rows["x"]).abs() <= 1.0 / (done["n"] - (0 if divisor == ("n",) else done["m"]))
    assert near.mean() > 0.9  # the nearest point, but for rows whose counts had to change as well


def test_a_difference_on_a_lattice_is_found_and_rounded_to():
    rng = np.random.default_rng(0)
    heavy = rng.choice([12.011, 14.007, 15.999], (1500, 12)) @ np.ones(12) + rng.gamma(9, 9, 1500)
    table = pl.DataFrame({"heavy": heavy, "weight": heavy + 1.008 * rng.poisson(9, 1500)})
    identities = discover(table)
    assert identities.constraints()[0] == "weight - heavy is a multiple of 1.008"
    rows = table.with_columns(weight=pl.col("weight") + pl.Series(rng.normal(size=1500)))
    done = assert_mended(table, identities, rows)
    assert (done["weight"] - rows["weight"]).abs().quantile(0.9) < 0.55
    number = (done["weight"] - done["heavy"]) / 1.008
    assert (number - number.round()).abs().max() < 1e-7
    pinned = identities.complete(rows, fixed=["weight"])
    assert pinned["weight"].equals(rows["weight"])
    assert identities.obeyed(pinned).mean() > 0.95


def test_regular_decimals_are_no_lattice_of_another_column():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"price": np.round(rng.gamma(3, 30, 2000), 2), "hundreds": 100 * rng.poisson(9, 2000)})
    assert discover(table).constraints() == []


@pytest.mark.parametrize("kind", ["counts", "cents", "normal"])
def test_an_order_is_found_with_none_that_follows_from_others(kind):
    rng = np.random.default_rng(0)
    draw = {
        "counts": lambda: rng.poisson(3, (2000, 3)),
        "cents": lambda: np.round(rng.gamma(3, 4, (2000, 3)), 2),
        "normal": lambda: rng.normal(size=(2000, 3)),
    }[kind]
    low, middle, high = np.sort(draw(), axis=1).T
    table = pl.DataFrame({"high": high, "low": low, "other": draw()[:, 0], "middle": middle})
    identities = discover(table)
    assert sorted(identities.constraints()) == ["low <= middle", "middle <= high"]
    done = assert_mended(table, identities, shuffled(table))
    assert (done["low"] <= done["high"]).all()


def test_a_dated_interval_keeps_its_order_where_both_ends_are_known():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 3000, 3000)
    end = start + rng.geometric(0.2, 3000) - 1
    table = pl.DataFrame({"start": start, "end": end}).with_columns(
        end=pl.when(pl.Series(rng.random(3000) < 0.3)).then(None).otherwise("end")
    )
    identities = discover(table)
    assert identities.constraints() == ["start <= end"]
    done = assert_mended(table, identities, shuffled(table))
    assert done["end"].null_count() == table["end"].null_count()


def test_columns_that_live_apart_are_in_no_order():
    rng = np.random.default_rng(0)
    size = rng.gamma(9, 2, 3000)
    table = pl.DataFrame(
        {"few": rng.poisson(2, 3000), "many": 50 + rng.poisson(size * 5), "rare": rng.poisson(0.1, 3000)}
    )
    table = table.with_columns(weight=100 + pl.Series(size) * 10, logarithm=pl.Series(np.log(size)))
    assert discover(table).constraints() == []


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), correlation=st.floats(0, 0.95))
def test_correlated_columns_are_in_no_order_or_in_one_that_holds_elsewhere(seed, correlation):
    rng = np.random.default_rng(seed)
    common = rng.gamma(4, 2, (4000, 1))
    counts = rng.poisson(correlation * common + (1 - correlation) * rng.gamma(4, 2, (4000, 8)))
    table = pl.DataFrame(counts)
    assert discover(table[:2000]).obeyed(table[2000:]).mean() > 0.99


def test_an_order_that_one_row_breaks_is_not_believed():
    rng = np.random.default_rng(0)
    a = rng.poisson(3, 2000)
    table = pl.DataFrame({"a": a, "b": a + rng.poisson(1, 2000)})
    assert discover(table).constraints() == ["a <= b"]
    table[1234, "a"] = table[1234, "b"] + 1
    assert discover(table).constraints() == []


def test_an_order_speaks_of_the_parts_of_a_sum():
    rng = np.random.default_rng(0)
    a, b = rng.poisson(2, (2, 3000))
    table = pl.DataFrame({"a": a, "b": b, "total": a + b, "chosen": rng.binomial(a + b, 0.7)})
    identities = discover(table)
    assert identities.describe() == {"total": "total = a + b"}
    assert identities.constraints() == ["chosen <= total"]
    done = assert_mended(table, identities, shuffled(table))
    assert (done["chosen"] <= done["a"] + done["b"]).all()


def test_pinned_columns_are_not_moved():
    rng = np.random.default_rng(0)
    a = rng.poisson(3, 2000)
    table = pl.DataFrame({"a": a, "b": a + rng.poisson(1, 2000)})
    identities, rows = discover(table), shuffled(table)
    for name, other in (("a", "b"), ("b", "a")):
        done = identities.complete(rows, fixed=[name])
        assert done[name].equals(rows[name])
        assert not done[other].equals(rows[other])
        assert identities.obeyed(done).mean() > 0.99
    assert identities.complete(rows, fixed=["a", "b"]).equals(rows)


def test_each_row_is_mended_by_itself_and_always_the_same():
    table = shares(np.random.default_rng(0), 500)
    identities, rows = discover(table), shuffled(table)
    done = identities.complete(rows)
    assert identities.complete(rows).equals(done)
    assert pl.concat([identities.complete(rows[:123]), identities.complete(rows[123:])]).equals(done)
    assert identities.complete(done).equals(done)
    assert identities.complete(rows[:0]).schema == table.schema


def test_single_precision_is_forgiven_its_rounding():
    rng = np.random.default_rng(0)
    a, b = rng.gamma(3, size=(2, 1000))
    table = pl.DataFrame({"a": a, "b": b, "p": a * b, "more": a + rng.gamma(1, size=1000)}).cast(pl.Float32)
    identities = discover(table)
    assert len(identities.identities) == 1
    assert identities.constraints() == ["a <= more"]
    assert identities.obeyed(table).all()
    assert identities.obeyed(identities.complete(shuffled(table))).all()
