import numpy as np
import polars as pl
import pytest

from tabsyn_core.evaluation.tables import align
from tabsyn_core.evaluation.utility import importance_agreement, utility, utility_scores


def judge(train, holdout, synthetic, target, targets=None):
    tables = align({"training": train, "held-out": holdout, "synthetic": synthetic}, seed=0)
    return utility(*tables.values(), target, targets=targets or [target], seed=0)


def linear(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    y = x[:, 0] * 2 + x[:, 1] + 0.1 * rng.normal(size=rows)
    return pl.DataFrame(x, schema=["a", "b", "c"]).with_columns(
        y=y, grade=pl.Series(np.digitize(y, [-1.0, 1.0])).cast(pl.String), yes=pl.Series(y > 0).cast(pl.Int64)
    )


TARGETS = ["y", "grade", "yes"]


@pytest.mark.parametrize(("target", "score"), [("logS", "R2"), ("solubility_class", "AUROC")])
def test_synthetic_rows_that_are_the_training_rows_teach_the_same(train, holdout, target, score):
    real, test = (table.drop("smiles", "inchikey") for table in (train, holdout))
    found = judge(real, test, real, target, ["logS", "solubility_class"])
    assert found.score == score
    assert found.tstr == found.trtr
    assert found.tstr.value > 0.5
    assert found.difference.value == 0
    assert 0 < found.difference.std < 0.1  # other rows of the same distribution would have taught other models


@pytest.mark.parametrize(("target", "score"), [("y", "R2"), ("grade", "AUROC"), ("yes", "AUROC")])
def test_shuffled_labels_teach_nothing(target, score):
    real, test = linear(500, 0), linear(300, 1)
    shuffled = real.with_columns(pl.col(target).shuffle(seed=1))
    found = judge(real, test, shuffled, target, TARGETS)
    assert found.score == score
    assert found.trtr.value > 0.9
    assert found.tstr.value < (0.6 if score == "AUROC" else 0.2)
    assert found.difference.value == pytest.approx(found.tstr.value - found.trtr.value)
    assert found.difference.value < -5 * found.difference.std


def test_targets_do_not_answer_for_one_another():
    real, test = (linear(300, seed).select(pl.col("a").shuffle(seed=seed), "y", "grade") for seed in (0, 1))
    assert judge(real, test, real, "y", ["y", "grade"]).trtr.value < 0.2
    assert judge(real, test, real, "y", ["y"]).trtr.value > 0.7


def test_rows_without_the_target_are_left_out_for_that_target_only():
    real, test = linear(400, 0), linear(200, 1)
    gaps = real.with_columns(pl.when(pl.int_range(pl.len()) < 200).then(None).otherwise("y").alias("y"))
    assert judge(gaps, test, gaps, "y", TARGETS).tstr == judge(real[200:], test, real[200:], "y", TARGETS).tstr
    assert judge(gaps, test, gaps, "grade", TARGETS).tstr == judge(real, test, real, "grade", TARGETS).tstr


def test_a_class_never_trained_on_is_guessed():
    real, test = linear(400, 0), linear(300, 1)
    without = real.filter(pl.col("grade") != "2")
    found = judge(real, test, without, "grade", TARGETS)
    assert 0.5 < found.tstr.value < found.trtr.value


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"synthetic": pl.lit(None, dtype=pl.Float64)}, "synthetic rows hold fewer than two"),
        ({"training": pl.lit(1.0)}, "training rows hold fewer than two"),
        ({"held-out": pl.lit(1.0)}, "held-out rows hold fewer than two"),
    ],
)
def test_targets_that_cannot_be_judged_say_why(change, why):
    tables = {"training": linear(50, 0), "held-out": linear(50, 1), "synthetic": linear(50, 2)}
    changed = [table.with_columns(change.get(name, pl.col("y")).alias("y")) for name, table in tables.items()]
    found = judge(*changed, "y", TARGETS)
    assert found.tstr.value is None
    assert why in found.tstr.why


def test_a_table_of_targets_only_says_why():
    table = linear(50, 0).select("y")
    assert "no column to predict it from" in judge(table, table, table, "y").tstr.why


TRAININGS = {
    ("synthetic", "held-out"),
    ("real", "held-out"),
    ("real", "synthetic"),
    ("real+synthetic", "held-out"),
}


def scored(train, holdout, synthetic, target, targets=TARGETS):
    tables = align({"training": train, "held-out": holdout, "synthetic": synthetic}, seed=0)
    return utility_scores(*tables.values(), target, targets=targets, seed=0)


def value(scores, training, test="held-out", **where):
    return scores.filter(training=training, test=test, **where)["value"].item()


@pytest.mark.parametrize(
    ("target", "other", "names"),
    [
        ("y", "ridge", {"MAE", "R2", "Spearman"}),
        ("grade", "logistic", {"AUROC", "AUPRC"}),
        ("yes", "logistic", {"AUROC", "AUPRC"}),
    ],
)
def test_every_training_is_scored_by_two_models(target, other, names):
    found = scored(linear(300, 0), linear(100, 1), linear(300, 2), target)
    assert set(found["target"]) == {target}
    combinations = set(found.select("training", "test", "model", "score").iter_rows())
    assert combinations == {
        (*pair, model, name) for pair in TRAININGS for model in ("lightgbm", other) for name in names
    }
    assert found.height == len(combinations)
    assert found["why"].null_count() == found.height
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert set(found.filter(training="real+synthetic")["rows"]) == {600}


@pytest.mark.parametrize(("target", "score"), [("y", "R2"), ("grade", "AUROC")])
def test_the_trees_are_those_of_the_single_figure(target, score):
    tables = linear(300, 0), linear(100, 1), linear(250, 2)
    found, figure = scored(*tables, target), judge(*tables, target, TARGETS)
    assert value(found, "synthetic", model="lightgbm", score=score) == pytest.approx(figure.tstr.value)
    assert value(found, "real", model="lightgbm", score=score) == pytest.approx(figure.trtr.value)


@pytest.mark.parametrize("target", ["y", "grade"])
def test_rows_that_are_the_training_rows_score_the_same(target):
    found = scored(linear(200, 0), linear(100, 1), linear(200, 0), target)
    keys = ["model", "score", "value", "low", "high"]
    synthetic, real = (found.filter(training=each, test="held-out").select(keys) for each in ("synthetic", "real"))
    assert synthetic.equals(real)


def test_shuffled_labels_teach_neither_model_and_answer_nothing():
    real, test = linear(300, 0), linear(200, 1)
    found = scored(real, test, real.with_columns(pl.col("y").shuffle(seed=1)), "y").filter(score="R2")
    for model in ("lightgbm", "ridge"):
        assert value(found, "real", model=model) > 0.9
        assert value(found, "synthetic", model=model) < 0.2
        assert value(found, "real", "synthetic", model=model) < 0.2
        assert value(found, "real+synthetic", model=model) < value(found, "real", model=model)


def test_more_rows_of_the_same_kind_teach_more():
    found = scored(linear(60, 0), linear(300, 1), linear(60, 2), "y").filter(model="lightgbm", score="R2")
    assert value(found, "real+synthetic") > value(found, "real")


def test_the_interval_narrows_with_the_held_out_rows():
    widths = [
        scored(linear(200, 0), linear(rows, 1), linear(200, 2), "y")
        .filter(test="held-out", score="MAE")
        .select(pl.col("high") - pl.col("low"))["high"]
        .mean()
        for rows in (50, 800)
    ]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)


def test_scores_that_cannot_be_given_say_why():
    table = linear(60, 0)
    found = scored(table.with_columns(y=pl.lit(1.0)), table, table, "y")
    assert set(found.select("training", "test").iter_rows()) == TRAININGS
    assert found["value"].null_count() == found.height
    assert all("training rows hold fewer than two" in why for why in found["why"])
    only = table.select("y")
    assert "no column to predict it from" in scored(only, only, only, "y", ["y"])["why"][0]
    many = linear(400, 0).with_columns(grade=(pl.int_range(pl.len()) % 21).cast(pl.String))
    assert "21 classes; at most 20" in scored(many, many, many, "grade")["why"][0]


@pytest.mark.parametrize("target", ["y", "grade"])
def test_awkward_tables_are_scored(target):
    def awkward(rows, seed):
        return linear(rows, seed).with_columns(
            gone=pl.lit(None, dtype=pl.Float64), same=pl.lit(3.0), one=pl.lit("x"), none=pl.lit(None, dtype=pl.String)
        )

    found = scored(awkward(12, 0), awkward(4, 5), awkward(6, 2), target)
    assert found["value"].null_count() == 0
    text = linear(200, 0).select("grade", a=pl.col("a").round().cast(pl.String), y="y")
    assert scored(text, text, text, target, ["y", "grade"])["value"].null_count() == 0
    assert scored(awkward(3, 0), awkward(3, 5), awkward(3, 2), target).height > 0


def importances(train, synthetic, target="y"):
    tables = align({"training": train, "synthetic": synthetic}, seed=0)
    return importance_agreement(*tables.values(), target, targets=TARGETS, seed=0)


ONE = (pl.int_range(pl.len()) == 0).cast(pl.Int64).alias("y")


def wide(rows, seed):
    """Thirty columns of which ten matter, each less than the one before."""
    x = np.random.default_rng(seed).normal(size=(rows, 30))
    y = x[:, :10] @ np.linspace(3, 1, 10)
    return pl.DataFrame(x, schema=[f"x{j}" for j in range(30)]).with_columns(
        y=y, grade=pl.Series(np.digitize(y, [0.0])).cast(pl.String), yes=pl.Series(y > 0).cast(pl.Int64)
    )


@pytest.mark.parametrize("target", ["y", "grade"])
def test_rows_of_the_same_kind_make_the_same_columns_important(target):
    agreed = importances(wide(800, 0), wide(400, 1), target)
    found = agreed.figures
    assert agreed.columns.columns == ["column", "real", "synthetic"]
    assert agreed.columns.height == 30
    assert agreed.columns["real"].is_sorted(descending=True)
    assert agreed.columns.select(pl.sum("real", "synthetic")).row(0) == pytest.approx((1, 1))
    assert {f"x{j}" for j in range(4)} <= set(agreed.columns["column"].head(6))
    assert found["top_10_overlap"].value > 0.8
    assert found["spearman"].value == pytest.approx(found["spearman_floor"].value, abs=0.15)
    assert found["spearman"].std is not None


def test_other_columns_are_important_where_the_dependence_is_another():
    real = wide(800, 0)
    turned = real.rename({f"x{j}": f"x{29 - j}" for j in range(30)}).select(real.columns)
    found = importances(real, turned).figures
    assert found["top_10_overlap_floor"].value > 0.8
    assert found["top_10_overlap"].value < 0.2
    assert found["spearman"].value < 0 < found["spearman_floor"].value


@pytest.mark.parametrize(
    ("train", "synthetic", "why"),
    [
        (wide(39, 0), wide(400, 1), "at least 20 synthetic rows and twice as many real ones"),
        (wide(100, 0).with_columns(ONE), wide(100, 1).with_columns(ONE), "a draw of the rows"),
        (wide(400, 0), wide(19, 1), "there are 19 and 400"),
        (wide(100, 0).with_columns(y=1.0), wide(100, 1), "training rows hold fewer than two"),
        (wide(100, 0).select("x0", *TARGETS), wide(100, 1).select("x0", *TARGETS), "fewer than two columns"),
        (wide(100, 0).with_columns(pl.col("^x.*$") * 0), wide(100, 1), "nothing to split on"),
    ],
)
def test_importances_that_cannot_be_compared_say_why(train, synthetic, why):
    agreed = importances(train, synthetic)
    found = agreed.figures
    assert agreed.columns.is_empty()
    assert set(found) == {"spearman", "top_10_overlap", "spearman_floor", "top_10_overlap_floor"}
    assert all(figure.value is None and why in figure.why for figure in found.values())
