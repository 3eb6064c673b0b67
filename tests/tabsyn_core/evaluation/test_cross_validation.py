import numpy as np
import polars as pl
import pytest

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.cross_validation import cross_validated, held_out_folds
from tabsyn_core.evaluation.paired import NO_DIFFERENCE, paired_table
from tabsyn_core.evaluation.tables import align

SMILES = ["c1ccccc1" + "C" * n for n in range(1, 9)] + ["C1CCCCC1" + "O" * n for n in (1, 1, 1, 1, 1)]
SMILES += ["C" * n for n in range(1, 9)] + ["c1ccncc1", "c1ccsc1", "C1CCOC1", "c1cc[nH]c1", "C1CCNC1", "c1ccoc1"]


def rows(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = 2 * x[:, 0] + x[:, 1] + 0.5 * rng.normal(size=n)
    return pl.DataFrame(x, schema=["a", "b", "c"]).with_columns(
        y=y, grade=pl.Series(np.digitize(y, [0.0])).cast(pl.String)
    )


def perfect(train, seed):
    """What a generator that knows the truth would give."""
    return rows(train.height, 10_000 + seed)


def shuffled(train, seed):
    """What one gives that knows the columns and no dependence."""
    return train.select(pl.all().shuffle(seed=seed)).with_columns(y=pl.col("y").shuffle(seed=seed + 1))


def mean(scores, **where):
    return scores.filter(**where)["value"].mean()


@pytest.fixture(scope="module")
def of_perfect():
    return cross_validated(rows(200, 0), perfect, ["y", "grade"], repeats=2, folds=4, seed=0)


def test_the_generator_sees_its_training_fold_and_nothing_else():
    real, given = rows(60, 0).with_columns(id=pl.int_range(60)), []

    def refit(train, seed):
        given.append((set(train["id"]), seed))
        return train

    cross_validated(real, refit, ["y"], repeats=2, folds=3)
    assert len({seed for _, seed in given}) == 6
    for repeat in (given[:3], given[3:]):
        left_out = [set(range(60)) - seen for seen, _ in repeat]
        assert [len(each) for each in left_out] == [20, 20, 20]
        assert set.union(*left_out) == set(range(60))
    assert given[0][0] not in [seen for seen, _ in given[3:]]


def test_the_models_are_tested_on_what_the_generator_did_not_see():
    # Labels without any relation to the features: only rows that were trained on could be predicted.
    real = rows(200, 0).with_columns(pl.col("y").shuffle(seed=0))
    found = cross_validated(real, lambda train, _: train, ["y"], repeats=1)
    assert mean(found, model="lightgbm", training="real", test="held-out", score="R2") < 0
    assert mean(found, model="lightgbm", training="real", test="synthetic", score="R2") > 0.3


def test_every_combination_has_a_score_a_fold(of_perfect):
    trained = {("synthetic", "held-out"), ("real", "held-out"), ("real", "synthetic"), ("real+synthetic", "held-out")}
    assert set(of_perfect.select("training", "test").iter_rows()) == trained
    assert of_perfect.height == 2 * 4 * len(trained) * 2 * (3 + 2)
    assert of_perfect["value"].null_count() == 0
    sizes = of_perfect.filter(test="held-out").group_by("training").agg(pl.col("train_rows", "test_rows").unique())
    assert dict(zip(sizes["training"], sizes["train_rows"].to_list(), strict=True)) == {
        "real": [150],
        "synthetic": [150],
        "real+synthetic": [300],
    }
    assert set(sizes["test_rows"].explode()) == {50}


def test_a_perfect_generator_loses_nothing_that_the_test_can_see(of_perfect):
    found = paired_table(of_perfect).filter(comparison="synthetic vs real")
    assert all(text.startswith(NO_DIFFERENCE) for text in found["conclusion"])
    assert found["folds"].unique().to_list() == [8]


def test_a_generator_without_dependence_loses():
    found = paired_table(cross_validated(rows(200, 0), shuffled, ["y"], repeats=2)).filter(score="R2")
    assert all(
        text.startswith("synthetic is worse") for text in found.filter(comparison="synthetic vs real")["conclusion"]
    )


def test_the_same_seed_gives_the_same_scores():
    first, second, other = (cross_validated(rows(60, 0), perfect, ["y"], repeats=1, seed=s) for s in (3, 3, 4))
    assert first.equals(second)
    assert not first.equals(other)


def test_random_parts_hold_each_class_in_proportion():
    real = rows(100, 0).with_columns(
        grade=pl.when(pl.int_range(100) < 10).then(pl.lit("rare")).otherwise(pl.lit("often"))
    )
    rare = []

    def refit(train, _):
        rare.append((train["grade"] == "rare").sum())
        return train

    cross_validated(real, refit, ["y", "grade"], repeats=1)
    assert rare == [8] * 5


def test_a_framework_is_never_on_both_sides():
    real, seen = rows(len(SMILES), 0).with_columns(row=pl.int_range(len(SMILES))), []

    def refit(train, _):
        seen.append(set(train["row"]))
        return train

    found = cross_validated(real, refit, ["y"], splits="scaffold", smiles=SMILES, repeats=1, folds=3)
    assert found["split"].unique().to_list() == ["scaffold"]
    benzenes, cyclohexanes, chains = set(range(8)), set(range(8, 13)), set(range(13, 21))
    for train in seen:
        for group in (benzenes, cyclohexanes, chains):
            assert group <= train or not group & train
    sizes = [len(SMILES) - len(train) for train in seen]
    assert sum(sizes) == len(SMILES)
    assert max(sizes) - min(sizes) <= 1  # the six single molecules fill up


def test_columns_that_name_a_molecule_are_not_modelled():
    real = rows(40, 0).with_columns(smiles=pl.lit("C"), inchikey=pl.lit("VNWKTOKETHGBQD"))

    def refit(train, _):
        assert not {"smiles", "inchikey"} & set(train.columns)
        return train.with_columns(smiles=pl.lit("C"))

    assert cross_validated(real, refit, ["y"], repeats=1, folds=2)["value"].null_count() == 0


def test_fewer_synthetic_rows_draw_the_real_ones_down():
    found = cross_validated(rows(100, 0), lambda train, _: train[:30], ["y"], repeats=1)
    assert set(found.filter(training="real")["train_rows"]) == {30}
    assert set(found.filter(training="real+synthetic")["train_rows"]) == {60}


def test_what_cannot_be_scored_is_null_and_not_tested():
    few = cross_validated(rows(30, 0), perfect, ["y"], repeats=1)  # 6 rows a fold
    assert few.filter(test="held-out")["value"].null_count() == few.filter(test="held-out").height
    assert all(text.startswith("not tested") for text in paired_table(few)["conclusion"])
    constant = cross_validated(rows(60, 0).with_columns(y=1.0), lambda train, _: train, ["y"], repeats=1)
    assert constant["value"].null_count() == constant.height


def test_progress_counts_folds():
    told = []
    cross_validated(rows(20, 0), perfect, ["y"], repeats=2, folds=2, progress=told.append)
    assert [(each.done, each.total, each.unit) for each in told] == [(k, 4, "folds") for k in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": []}, "at least one target"),
        ({"targets": ["z"]}, "target 'z' is not a column"),
        ({"folds": 1}, "at least 2 folds"),
        ({"repeats": 0}, "1 repeat"),
        ({"folds": 21}, "20 rows cannot be divided into 21"),
        ({"splits": "scaffold"}, "none are given"),
        ({"splits": "scaffold", "smiles": ["C"]}, "1 are given"),
        ({"splits": "scaffold", "smiles": ["C"] * 20}, "1 scaffolds cannot be divided into 5"),
        ({"splits": "scaffold", "smiles": ["C"] * 19 + ["nonsense"]}, "row 19: 'nonsense'"),
        ({"refit": lambda train, _: train.drop("a")}, "missing 'a'"),
    ],
)
def test_errors_say_what_is_wrong(changes, message):
    arguments = {"refit": perfect, "targets": ["y"]} | changes
    with pytest.raises(TabsynError, match=message):
        cross_validated(rows(20, 0), **arguments)


def held_out(train, holdout, fake, target="y"):
    tables = align({"training": train, "held-out": holdout, "synthetic": fake}, 0)
    return held_out_folds(*tables.values(), target, targets=["y", "grade"], seed=0)


@pytest.mark.parametrize("target", ["y", "grade"])
def test_without_a_generator_equal_rows_teach_the_same(target):
    found = held_out(rows(100, 0), rows(60, 1), rows(100, 0), target)
    assert set(found["split"]) == {"held-out"}
    compared = paired_table(found).filter(comparison="synthetic vs real")
    assert compared["folds"].unique().to_list() == [5]
    assert (compared["mean_difference"] == 0).all()
    assert (compared["p"] == 1).all()


def test_without_a_generator_folds_are_of_both_tables():
    found = held_out(rows(100, 0), rows(60, 1), rows(300, 2))
    assert found.filter(training="real").group_by("train_rows", "test_rows", "test").len().sort("test").rows() == [
        (80, 12, "held-out", 30),
        (80, 20, "synthetic", 30),
    ]


def test_without_a_generator_what_was_lost_is_seen():
    train, holdout = rows(300, 0), rows(200, 1)
    found = paired_table(held_out(train, holdout, shuffled(train, 5))).filter(
        comparison="synthetic vs real", score="R2"
    )
    assert all(text.startswith("synthetic is worse") for text in found["conclusion"])
    assert all("of these synthetic rows only" in text for text in found["conclusion"])


def test_a_small_hold_out_is_not_tested():
    found = paired_table(held_out(rows(100, 0), rows(3, 1), rows(100, 2)))
    assert all(text.startswith("not tested") for text in found["conclusion"])
