import numpy as np
import polars as pl
import pytest

from tabsyn_core.evaluation.tables import align
from tabsyn_core.evaluation.utility import utility


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
    assert found.difference.value == found.difference.std == 0


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
