import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.evaluation.membership import membership, membership_floor
from tabsyn_core.evaluation.privacy import (
    COPIED,
    MIN_HOLDOUT,
    NNDR,
    copies,
    dcr_floor,
    dcr_share,
    nndr,
    nndr_floor,
    points,
)
from tabsyn_core.evaluation.tables import align


def judge(train, holdout, other):
    tables = align({"training": train, "held-out": holdout, "synthetic": other}, seed=0)
    seen, unseen, fake = tables.values()
    return dcr_share(seen, unseen, fake, seed=0), dcr_floor(seen, unseen, seed=0)


def real(table):
    return table.drop("smiles", "inchikey")


def test_copied_training_rows_are_found(molecules):
    train, holdout = real(molecules[:100]), real(molecules[100:200])
    assert judge(train, holdout, train)[0].value > 0.95
    assert judge(train, holdout, holdout)[0].value < 0.05


def test_unseen_real_rows_are_near_a_half(train, holdout, more):
    share, floor = judge(real(train), real(holdout), more)
    assert share.value == pytest.approx(0.5, abs=0.12)
    assert floor.value == pytest.approx(0.5, abs=0.12)
    assert share.std > 0


def test_half_copied_rows_lie_between(molecules, more):
    train, holdout = real(molecules[:100]), real(molecules[100:200])
    mixed = pl.concat([train[:50], more[:50]])
    assert 0.65 < judge(train, holdout, mixed)[0].value < 0.9


def test_rows_as_near_to_either_count_half():
    table = pl.DataFrame({"x": [1.0, 2.0] * 10, "c": ["a", "b"] * 10})
    assert judge(table, table, table)[0].value == 0.5


def test_the_distance_is_the_stated_one():
    train = pl.DataFrame({"x": [0.0, 10.0], "c": ["a", "b"]})
    holdout = pl.DataFrame({"x": [20.0, 30.0], "c": ["a", "a"]})
    tables = align({"t": train, "h": holdout, "o": pl.DataFrame({"x": [0.0, None], "c": ["b", None]})}, seed=0)
    places = points(tables["o"], tables["t"], tables["h"])
    first = points(tables["t"], tables["t"], tables["h"])[0]
    # Mid-rank of 0 among 0, 10, 20, 30 is 1/8; a missing number stands at 1/2 and adds 1 for being missing.
    assert np.linalg.norm(places[0] - first) ** 2 == pytest.approx(1)
    assert np.linalg.norm(places[1] - first) ** 2 == pytest.approx((1 / 2 - 1 / 8) ** 2 + 1 + 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2 * MIN_HOLDOUT, max_size=60), st.floats(1e-3, 1e3))
def test_a_change_of_unit_changes_nothing(values, unit):
    split = len(values) // 2
    one, two = ([pl.DataFrame({"x": np.array(part) * by}) for part in (values[:split], values[split:], values[::2])]
                for by in (1.0, float(2 ** round(np.log2(unit)))))  # fmt: skip
    assert judge(*one) == judge(*two)


@pytest.mark.parametrize("rows", [1, MIN_HOLDOUT - 1])
def test_a_small_hold_out_is_not_compared_with(rows):
    table = pl.DataFrame({"x": np.arange(float(MIN_HOLDOUT))})
    for figure in judge(table, table[:rows], table):
        assert figure.value is None
        assert figure.why == f"distances need a hold-out of at least 20 rows; it has {rows}"
    assert all(figure.value is not None for figure in judge(table, table, table))


def attack(train, holdout, other):
    seen, unseen, fake = align({"training": train, "held-out": holdout, "synthetic": other}, seed=0).values()
    found = membership(seen, unseen, fake, seed=0), membership_floor(seen, unseen, seed=0)
    return tuple(each["distance_auc"] for each in found)


def test_an_attacker_finds_who_was_copied_and_no_one_else(molecules, more):
    train, holdout = real(molecules[:100]), real(molecules[100:200])
    assert attack(train, holdout, train)[0].value == pytest.approx(1, abs=0.02)  # two molecules may share a row
    assert attack(train, holdout, holdout)[0].value == pytest.approx(0, abs=0.02)
    half = attack(train, holdout, pl.concat([train[:50], more[:50]]))[0].value
    assert 0.65 < half < 0.85


def test_an_attacker_learns_nothing_from_unseen_rows(train, holdout, more):
    auc, floor = attack(real(train), real(holdout), more)
    assert auc.value == pytest.approx(0.5, abs=0.1)
    assert floor.value == pytest.approx(0.5, abs=0.1)
    assert floor.std > 0


def test_an_attack_on_a_small_hold_out_is_not_judged():
    table = pl.DataFrame({"x": np.arange(float(MIN_HOLDOUT))})
    assert {figure.value for figure in attack(table, table[:-1], table)} == {None}
    assert attack(table, table, table)[0].value == 0.5


def tables(train, holdout, other):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": other}, seed=0).values())


def copied(train, holdout, other):
    return copies(*tables(train, holdout, other), seed=0)


def mixed(rows, seed):
    """Independent rows of two continuous columns, one of counts and one of categories."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, rows))
    return pl.DataFrame({"x": x, "y": x + y, "n": rng.poisson(3, rows), "c": rng.choice(["a", "b", "c"], rows)})


def categories(rows, seed, columns=6):
    rng = np.random.default_rng(seed)
    return pl.DataFrame({f"c{j}": rng.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1]) for j in range(columns)})


def test_a_table_that_is_the_training_table_is_all_copies():
    found = copied(mixed(400, 0), mixed(200, 1), mixed(400, 0))
    assert found.exact.value == found.near.value == 1
    assert found.exact_holdout.value == found.exact_floor.value == 0
    assert found.excess.value > 0.95
    assert found.leaked


@pytest.mark.parametrize("seed", range(3))
def test_five_percent_of_copied_rows_are_a_leak_and_none_are_none(seed):
    train, holdout, fresh = (mixed(rows, 10 * seed + k) for k, rows in enumerate((800, 400, 500)))
    clean = copied(train, holdout, fresh)
    assert clean.exact.value == 0
    assert clean.near.value < 0.03
    assert clean.near_floor.value < 0.03
    assert clean.excess.value < COPIED
    assert not clean.leaked
    found = copied(train, holdout, pl.concat([fresh[25:], train[:25]]))
    assert found.exact.value == pytest.approx(0.05)
    assert found.excess.value == pytest.approx(0.05, abs=0.02)
    assert found.leaked


def test_one_training_row_that_comes_again_and_again_is_a_leak():
    train, holdout, fresh = (mixed(rows, seed) for seed, rows in enumerate((800, 400, 500)))
    assert copied(train, holdout, pl.concat([fresh[25:], train[[7] * 25]])).leaked


def test_copies_moved_a_little_are_near_copies():
    train, holdout, fresh = (mixed(rows, seed) for seed, rows in enumerate((800, 400, 500)))
    moved = train[:50].with_columns(pl.col("x") + 1e-7)
    found = copied(train, holdout, pl.concat([fresh[50:], moved]))
    assert found.exact.value == 0
    assert found.near.value > 0.1
    assert found.leaked


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_are_frequent_anyway_are_no_leak(seed):
    train, holdout, fresh = (categories(rows, 10 * seed + k) for k, rows in enumerate((1000, 300, 600)))
    clean = copied(train, holdout, fresh)
    assert clean.exact.value > 0.8
    assert clean.exact.value == pytest.approx(clean.exact_floor.value, abs=0.05)
    assert clean.near.value == clean.exact.value
    assert not clean.leaked
    # A generator that draws frequent rows more often than it should meets training rows more often, and held-out ones.
    often = fresh.filter(pl.len().over(fresh.columns) > 5)
    found = copied(train, holdout, often)
    assert found.exact.value > clean.exact.value + COPIED
    assert not found.leaked


def test_the_training_table_of_many_categories_is_a_leak_although_rows_coincide():
    train, holdout = categories(1000, 0, columns=10), categories(1000, 1, columns=10)
    assert copied(train, holdout, train).leaked
    assert 0.2 < copied(train, holdout, train).exact_floor.value < 0.8


def test_gaps_equal_gaps_and_zero_has_no_sign():
    train = pl.DataFrame({"x": [0.0, None, 1.0, 2.0] * 5, "c": ["a", "b", None, "d"] * 5})
    other = pl.DataFrame({"x": [-0.0, None, 1.0, None], "c": ["a", "b", None, "d"]})
    assert copied(train, train, other).exact.value == 0.75


def test_copies_say_what_a_small_hold_out_cannot_answer():
    train = mixed(50, 0)
    found = copied(train, mixed(MIN_HOLDOUT - 1, 1), train)
    assert found.exact.value == 1
    assert found.exact_holdout.value == 0
    assert not found.leaked
    assert {found.exact_floor.value, found.near.value, found.excess.value} == {None}
    assert found.excess.why == "distances need a hold-out of at least 20 rows; it has 19"
    found = copied(train, mixed(MIN_HOLDOUT, 1), train)
    assert found.near.value is None
    assert found.near.why == "near copies need a hold-out of at least 100 rows; it has 20"
    assert found.leaked


def test_ratios_of_nearest_distances_are_the_stated_ones():
    # In ranks, the places of 0 to 39 are evenly spaced: the row at 10.5 lies half-way, the row at 10 on top of one.
    real = pl.DataFrame({"x": np.arange(40.0)})
    between = nndr(*tables(real, real, pl.DataFrame({"x": [10.5, 20.5]})), seed=0)
    assert between["train_median"].value == pytest.approx(1)
    upon = nndr(*tables(real, real, pl.DataFrame({"x": [10.0, 20.0]})), seed=0)
    assert upon["train_median"].value == upon["holdout_low"].value == 0
    same = pl.DataFrame({"x": [1.0] * 40})
    assert nndr(*tables(same, same, same), seed=0)["train_low"].value == 1


def test_a_copied_table_names_single_training_rows_and_a_fresh_one_does_not():
    train, holdout, fresh = (mixed(400, seed) for seed in range(3))
    copy = nndr(*tables(train, holdout, train), seed=0)
    assert copy["train_median"].value == 0 < copy["holdout_median"].value
    clean = nndr(*tables(train, holdout, fresh), seed=0)
    floor = nndr_floor(*tables(train, holdout, fresh)[:2], seed=0)
    for name in NNDR:
        assert clean[name].value == pytest.approx(floor[name].value, abs=0.12)
        assert floor[name].std > 0
    assert clean["train_median"].value == pytest.approx(clean["holdout_median"].value, abs=0.06)


def test_ratios_need_rows():
    real = mixed(50, 0)
    for few in (tables(real, real[:19], real), tables(real[:19], real, real)):
        assert {figure.why for figure in nndr(*few, seed=0).values()} == {
            "distances need a hold-out of at least 20 rows; it has 19"
        }


AWKWARD = {
    "all missing": pl.DataFrame({"x": pl.Series([None] * 120, dtype=pl.Float64), "y": np.arange(120.0)}),
    "constant": pl.DataFrame({"x": [1.0] * 120, "c": ["a"] * 120}),
    "only categories": pl.DataFrame({"c": ["a", "b", "c"] * 40}),
    "only numbers": pl.DataFrame({"x": np.arange(120.0)}),
}


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("rows", [1, 3, 120])
def test_awkward_tables_have_figures_or_reasons(name, rows):
    real = AWKWARD[name]
    given = tables(real, real, real[:rows])
    found = copies(*given, seed=0)
    assert found.exact.value == found.near.value == 1
    assert not found.leaked  # the hold-out holds the same rows
    assert all(figure.value is not None for figure in nndr(*given, seed=0).values())
    shrunk = tables(real[:3], real, real)
    assert copies(*shrunk, seed=0).exact.value is not None


def test_the_same_seed_gives_the_same_figures():
    given = tables(mixed(300, 0), mixed(200, 1), mixed(250, 2))
    assert copies(*given, seed=3) == copies(*given, seed=3)
    assert nndr(*given, seed=3) == nndr(*given, seed=3)
