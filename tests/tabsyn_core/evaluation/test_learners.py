import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from tabsyn_core.evaluation.learners import Task, gains, has_classes, learn, trainings
from tabsyn_core.evaluation.tables import align


def rows(n, seed):
    """A number and a class that follow from two numbers with gaps and a category."""
    rng = np.random.default_rng(seed)
    a, b, group = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 3, n)
    y = 2 * a + 3 * group + 0.1 * rng.normal(size=n)
    gaps = rng.random(n) < 0.1
    return pl.DataFrame(
        {
            "a": a,
            "b": np.where(gaps, None, b).tolist(),
            "group": pl.Series(["rst"[j] for j in group]),
            "y": y,
            "grade": pl.Series(np.digitize(y, [1.0, 5.0])).cast(pl.String),
        },
        schema_overrides={"b": pl.Float64},
    )


def table(frame):
    return align({"training": frame}, 0)["training"]


def task(frame, target="y"):
    return Task.of(table(frame), target, ["y", "grade"])


def learnt(known, unknown, target="y", **changes):
    """Models by name, and what they predict of other rows."""
    together = align({"training": known, "held-out": unknown}, 0)
    taught, test = (Task.of(each, target, ["y", "grade"]) for each in together.values())
    models = learn(taught, classes=target == "grade", seed=0, **changes)
    return {name: model.on(test) for name, model in models.items()}


def test_both_models_learn_values_from_numbers_gaps_and_categories():
    found = learnt(rows(600, 0), rows(200, 1))
    assert list(found) == ["lightgbm", "ridge"]
    assert r2_score(*found["ridge"]) > 0.99  # the truth is linear, given an indicator of each category
    assert r2_score(*found["lightgbm"]) > 0.95


def test_both_models_learn_classes():
    found = learnt(rows(600, 0), rows(200, 1), "grade")
    assert list(found) == ["lightgbm", "logistic"]
    for labels, predicted in found.values():
        assert predicted.shape == (200, 3)
        assert roc_auc_score(labels, predicted, multi_class="ovr") > 0.95


def test_a_class_without_training_rows_scores_nothing():
    known = rows(600, 0).filter(pl.col("grade") != "1")
    for labels, predicted in learnt(known, rows(200, 1), "grade").values():
        assert set(labels) == {0, 1, 2}
        assert (predicted[:, 1] == 0).all()
        assert (predicted[:, [0, 2]] > 0).all()


def test_one_wild_value_does_not_lead_a_linear_model_astray():
    unknown = rows(200, 1)
    wild = unknown.with_columns(a=pl.when(pl.int_range(pl.len()) == 0).then(1e9).otherwise("a"))
    (labels, tame), (_, found) = learnt(rows(600, 0), unknown)["ridge"], learnt(rows(600, 0), wild)["ridge"]
    assert found[1:] == pytest.approx(tame[1:])
    assert abs(found[0] - labels.mean()) < 20


def test_categories_and_gaps_that_training_rows_lack_are_no_error():
    unknown = rows(100, 1).with_columns(group=pl.lit("new"), a=pl.lit(None, dtype=pl.Float64))
    known = rows(300, 0).with_columns(empty=pl.lit(None, dtype=pl.Float64), same=pl.lit("x"))
    unknown = unknown.with_columns(empty=pl.lit(1.0), same=pl.lit(None, dtype=pl.String))
    for _, predicted in learnt(known, unknown).values():
        assert np.isfinite(predicted).all()


@pytest.mark.parametrize("columns", [["a"], ["group"]])
def test_columns_may_all_be_of_one_kind(columns):
    known, unknown = (rows(n, seed).select(*columns, "y") for n, seed in ((300, 0), (100, 1)))
    for labels, predicted in learnt(known, unknown).values():
        assert r2_score(labels, predicted) > 0.2


def test_a_task_holds_rows_with_the_target_and_no_target_as_feature():
    frame = rows(50, 0).with_columns(y=pl.when(pl.int_range(pl.len()) < 20).then(None).otherwise("y"))
    found = task(frame)
    assert len(found) == 30
    assert found.labels.tolist() == frame["y"].drop_nulls().to_list()
    assert found.features.shape == (30, 3)
    assert found.categorical == 1
    assert found.features[:, 0].tolist() == frame["a"][20:].to_list()


def test_equal_tables_give_equal_draws_and_both_together_are_both():
    first, second = task(rows(50, 0)), task(rows(50, 0))
    drawn = [each.draw(10, np.random.default_rng(3)) for each in (first, second)]
    assert drawn[0].labels.tolist() == drawn[1].labels.tolist()
    assert set(drawn[0].labels) < set(first.labels)
    both = trainings(drawn[0], first)["real+synthetic"]
    assert both.labels.tolist() == [*drawn[0].labels, *first.labels]
    assert both.features.shape == (60, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 1, None, 1], True), ([0.5, 0.5, 0.5, None], True), ([1, 2, 3, None], False), (["a", "b", "c", "d"], True)],
)
def test_a_class_is_a_category_or_a_number_of_two_values(values, expected):
    assert has_classes(table(pl.DataFrame({"y": values, "x": [1.0, 2.0, 3.0, 4.0]})), "y") is expected


def test_the_gain_is_of_the_columns_that_say_something():
    a, b, group = gains(task(rows(600, 0)), classes=False, seed=0, rounds=50)
    assert min(a, group) > 10 * b
