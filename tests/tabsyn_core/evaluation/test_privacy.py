import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.evaluation.privacy import MIN_HOLDOUT, dcr_floor, dcr_share, mia_auc, mia_floor, points
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
    return mia_auc(seen, unseen, fake, seed=0), mia_floor(seen, unseen, seed=0)


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
