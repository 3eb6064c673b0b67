import polars as pl
import pytest

from tabsyn_core.conditions import parse_conditions
from tabsyn_core.molecules.wishes import Wishes
from tabsyn_core.schema import TableSchema

TABLE = pl.DataFrame({"x": [0.0, 10.0, 20.0, None], "n": [1, 2, 3, 4], "kind": ["a", "b", "a", "a"]})


def wishes(where):
    return Wishes(parse_conditions(where, TableSchema.infer(TABLE)), TABLE)


def test_a_range_is_missed_by_the_distance_to_its_nearer_end_in_standard_deviations():
    missed = wishes({"x": [5, 15]}).missed_by(TABLE)  # the standard deviation is 10
    assert missed.tolist() == pytest.approx([0.5, 0, 0.5, 1])


def test_a_set_is_missed_by_the_distance_to_its_nearest_member():
    missed = wishes({"x": {0, 20, 21}}).missed_by(TABLE.head(3))
    assert missed.tolist() == pytest.approx([0, 1, 0])


def test_a_class_is_missed_by_one_and_conditions_add_up():
    missed = wishes({"kind": "a", "x": [None, 5]}).missed_by(TABLE.head(3))
    assert missed.tolist() == pytest.approx([0, 1.5, 1.5])


def test_a_gap_can_be_wished_for():
    assert wishes({"x": None}).missed_by(TABLE).tolist() == [1, 1, 1, 0]


def test_no_conditions_are_met_by_all():
    none = wishes({})
    assert not none
    assert none.missed_by(TABLE).tolist() == [0] * 4


def test_it_knows_its_columns_and_says_what_it_is():
    both = wishes({"x": [1, 2], "kind": "a"})
    assert both.concern(["kind"])
    assert not both.concern(["n"])
    assert str(both) == "x in [1, 2] and kind in ['a']"
    assert both.told(TABLE[1]) == "x 10, kind b"
