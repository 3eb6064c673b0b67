import numpy as np
import polars as pl
import pytest

from tabsyn_core.molecules.matching import Matcher

ROWS = 400
NONE = [[]] * ROWS


@pytest.fixture(scope="module")
def table():
    """Two descriptors; endpoints that follow the first with a spread of a half, and a class made from one of them."""
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(ROWS, 2))
    value = 2 * descriptors[:, 0] + rng.normal(0, 0.5, ROWS)
    rows = pl.DataFrame({"value": value, "class": np.where(value > 0, "high", "low")})
    rows = rows.with_columns(gaps=pl.when(pl.int_range(pl.len()) % 4 > 0).then("value"))
    return descriptors, rows.with_columns(constant=1.0)


@pytest.fixture(scope="module")
def matcher(table):
    return Matcher.fit(*table, seed=0)


def test_endpoints_follow_descriptors_with_the_spread_that_they_have(table, matcher):
    _, rows = table
    asked = np.random.default_rng(1).normal(size=(ROWS, 2))
    given = rows[matcher.donors(asked, NONE, np.random.default_rng(2))]["value"].to_numpy()
    slope, _ = np.polyfit(asked[:, 0], given, 1)
    assert slope == pytest.approx(2, abs=0.2)
    assert 0.4 < np.std(given - 2 * asked[:, 0]) < 0.8  # the noise, and what the trees do not know
    assert np.std(given) == pytest.approx(rows["value"].std(), rel=0.15)


def test_endpoints_are_given_together(table, matcher):
    _, rows = table
    given = rows[matcher.donors(table[0], NONE, np.random.default_rng(2))]
    assert ((given["value"] > 0) == (given["class"] == "high")).all()
    assert given["gaps"].null_count() == pytest.approx(ROWS / 4, abs=40)


def test_a_parent_is_no_donor(table, matcher):
    excluded = [[*range(0, ROWS, 2)]] * ROWS
    donors = matcher.donors(table[0], excluded, np.random.default_rng(0))
    assert (donors % 2 == 1).all()


def test_where_all_are_parents_any_may_give(table):
    descriptors, rows = table[0][:6], table[1][:6]
    few = Matcher.fit(descriptors, rows, seed=0)
    donors = few.donors(descriptors, [[*range(6)]] * 6, np.random.default_rng(0))
    assert set(donors) <= set(range(6))


def test_endpoints_that_say_nothing_come_from_anywhere(table):
    descriptors, rows = table
    matcher = Matcher.fit(descriptors, rows.select("constant"), seed=0)
    assert matcher.models == ()
    donors = matcher.donors(descriptors, NONE, np.random.default_rng(0))
    assert len(np.unique(donors)) > ROWS / 2


def test_no_endpoint_is_as_good_as_none_that_says_anything(table):
    assert Matcher.fit(table[0], table[1].select([]), seed=0).models == ()


def test_a_saved_matcher_gives_the_same(table, matcher, tmp_path):
    matcher.save(tmp_path)
    again = Matcher.load(tmp_path)
    donors = [each.donors(table[0], NONE, np.random.default_rng(3)) for each in (matcher, again)]
    assert np.array_equal(*donors)
    Matcher.fit(table[0], table[1].select("constant"), seed=0).save(tmp_path)
    assert len(Matcher.load(tmp_path).donors(table[0], NONE, np.random.default_rng(3))) == ROWS


def test_a_class_of_many_levels_is_predicted_by_its_most_frequent(table):
    names = pl.DataFrame({"series": [f"s{min(row // 4, 60)}" for row in range(ROWS)]})
    matcher = Matcher.fit(table[0], names, seed=0)
    assert matcher.expected.shape == (ROWS, 31)
