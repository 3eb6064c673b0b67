import numpy as np
import polars as pl
import pytest
from sklearn.metrics import pairwise_distances, roc_auc_score, roc_curve

from tabsyn_core.evaluation.membership import (
    FALSE_ALARMS,
    MEASURES,
    MIN_UNSEEN,
    membership,
    membership_floor,
)
from tabsyn_core.evaluation.neighbours import MIN_HOLDOUT, points
from tabsyn_core.evaluation.tables import align


def rows(count, seed, zeros=0.0):
    """Continuous columns and one of categories; a share of the rows is zero in all but one of them."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, 4))
    numbers[rng.random(count) < zeros, :3] = 0
    return pl.DataFrame({f"x{j}": numbers[:, j] for j in range(4)} | {"c": rng.choice(["a", "b"], count)})


def aligned(train, holdout, other):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": other}, seed=0).values())


def attack(train, holdout, other):
    return membership(*aligned(train, holdout, other), seed=0)


def test_who_was_copied_is_found_by_both():
    found = attack(rows(300, 0), rows(300, 1), rows(300, 0))
    assert tuple(found) == MEASURES
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(dict.fromkeys(MEASURES, 1), abs=0.01)


def test_fresh_rows_give_no_one_away():
    train, holdout, fresh = rows(600, 0), rows(400, 1), rows(600, 2)
    for found in (attack(train, holdout, fresh), membership_floor(*aligned(train, holdout, fresh)[:2], seed=0)):
        for name in ("distance", "density"):
            assert found[f"{name}_auc"].value == pytest.approx(0.5, abs=0.05)
            assert found[f"{name}_tpr"].value == pytest.approx(FALSE_ALARMS, abs=0.02)
            assert found[f"{name}_auc"].std > 0


def test_a_fifth_of_copied_rows_are_named_without_false_alarms():
    train, holdout, fresh = rows(400, 0), rows(400, 1), rows(400, 2)
    found = attack(train, holdout, pl.concat([fresh[80:], train[:80]]))
    for name in ("distance", "density"):
        assert found[f"{name}_tpr"].value == pytest.approx(0.2, abs=0.05)
        assert 0.55 < found[f"{name}_auc"].value < 0.7


def test_reference_rows_tell_what_is_common_from_what_is_remembered():
    """Half of all rows lie close to others anyway; of the other half the training rows are remembered, with noise."""
    train, holdout, fresh = rows(600, 0, 0.5), rows(600, 1, 0.5), rows(600, 2, 0.5)
    rare = train.filter(pl.col("x0") != 0)
    rng = np.random.default_rng(3)
    noise = [(pl.col(f"x{j}") + pl.Series(0.02 * rng.normal(size=rare.height))).alias(f"x{j}") for j in range(4)]
    found = attack(train, holdout, pl.concat([fresh[rare.height :], rare.with_columns(noise)]))
    assert found["density_tpr"].value > found["distance_tpr"].value + 0.1
    assert found["density_auc"].value > found["distance_auc"].value


def test_one_draw_is_what_scikit_learn_says_of_the_distances():
    """With as many training as held-out rows, every draw holds them all."""
    given = aligned(rows(150, 0), rows(150, 1), pl.concat([rows(100, 0), rows(50, 2)]))
    places = [points(table, given[0], given[1]) for table in given]
    near = [-pairwise_distances(part, places[2]).min(axis=1).round(6) for part in places[:2]]
    labels, scores = np.repeat([1, 0], 150), np.concatenate(near)
    found = membership(*given, seed=0)
    assert found["distance_auc"].value == pytest.approx(roc_auc_score(labels, scores))
    assert found["distance_auc"].std == pytest.approx(0)
    false, true, _ = roc_curve(labels, scores)
    assert found["distance_tpr"].value == pytest.approx(np.interp(0.01, false, true))


def test_a_false_alarm_in_a_hundred_needs_a_hundred_rows():
    train = rows(200, 0)
    found = attack(train, rows(MIN_UNSEEN - 1, 1), train)
    assert found["density_auc"].value > 0.98
    assert found["density_tpr"].value is None
    assert found["distance_tpr"].why == (
        "one false alarm in a hundred needs at least 100 unseen rows to attack; there are 99"
    )
    seen, unseen, _ = aligned(train, rows(2 * MIN_UNSEEN - 1, 1), train)
    assert membership_floor(seen, unseen, seed=0)["distance_tpr"].value is not None
    seen, unseen, _ = aligned(train, rows(2 * MIN_UNSEEN - 2, 1), train)
    assert membership_floor(seen, unseen, seed=0)["distance_tpr"].value is None


def test_a_small_hold_out_is_not_attacked():
    given = aligned(rows(100, 0), rows(MIN_HOLDOUT - 1, 1), rows(100, 2))
    for found in (membership(*given, seed=0), membership_floor(*given[:2], seed=0)):
        assert {figure.why for figure in found.values()} == {"distances need a hold-out of at least 20 rows; it has 19"}


@pytest.mark.parametrize("few", [1, 2, 3])
def test_a_few_rows_are_attacked_as_they_are(few):
    real = rows(60, 0)
    assert attack(real[:few], real, real)["density_auc"].value is not None
    assert attack(real, real[:41], real[:few])["density_auc"].value is not None


AWKWARD = {
    "all missing": pl.DataFrame({"x": pl.Series([None] * 50, dtype=pl.Float64), "c": ["a", "b"] * 25}),
    "constant": pl.DataFrame({"x": [1.0] * 50, "c": ["a"] * 50}),
    "only categories": pl.DataFrame({"c": ["a", "b"] * 25}),
    "only numbers": pl.DataFrame({"x": [1.0, 2.0] * 25}),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_where_all_rows_coincide_membership_is_a_coin_toss(name):
    table = AWKWARD[name]
    found = attack(table, table, table)
    assert found["distance_auc"].value == found["density_auc"].value == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_figures():
    given = aligned(rows(200, 0), rows(150, 1), rows(200, 2))
    assert membership(*given, seed=1) == membership(*given, seed=1)
    assert membership(*given, seed=1) != membership(*given, seed=2)
