import json

import numpy as np
import polars as pl
import pytest
from odd_tables import every_choice_of_columns, odd

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import evaluate

TARGETS = ["logS", "solubility_class"]


@pytest.fixture(scope="module")
def of_real_rows(train, holdout, more):
    seen = []
    return evaluate(train, holdout, more, targets=TARGETS, folds=2, progress=seen.append), seen


@pytest.fixture(scope="module")
def of_shuffled_rows(train, holdout):
    rng = np.random.default_rng(0)
    columns = [train[c].gather(rng.permutation(train.height)) for c in train.columns if c not in ("smiles", "inchikey")]
    return evaluate(train, holdout, pl.DataFrame(columns), targets=TARGETS, folds=2)


def test_real_rows_in_place_of_synthetic_ones_are_at_the_floor(of_real_rows):
    found = of_real_rows[0].to_json()
    floor = found["floor"]
    assert found["shape"]["mean_error"] == pytest.approx(floor["shape"]["mean_error"], abs=0.02)
    assert found["trend"]["mean_error"] == pytest.approx(floor["trend"]["mean_error"], abs=0.02)
    assert found["c2st"]["lightgbm"] == pytest.approx(0.5, abs=0.12)
    assert found["identities"]["violated_share"] == floor["identities"]["violated_share"] == 0
    assert found["dcr"]["share"] == pytest.approx(0.5, abs=0.12)
    assert found["factorised"]["c2st"]["lightgbm"] > 0.9


def test_shuffled_columns_keep_the_shape_and_lose_all_else(of_shuffled_rows):
    found = of_shuffled_rows.to_json()
    assert found["trend"]["mean_error"] > 1.5 * found["floor"]["trend"]["mean_error"]
    assert of_shuffled_rows.rules["rows"].is_sorted(descending=True)
    assert of_shuffled_rows.rules["rows"][0] > 100
    assert of_shuffled_rows.rules["floor"].max() == 0


def test_a_copy_of_the_training_rows_is_perfect_but_for_privacy(train, holdout):
    found = evaluate(train, holdout, train, targets=["logS"], folds=2)
    content = found.to_json()
    assert content["shape"]["all_rows"] == 0
    assert content["trend"]["all_rows"] == pytest.approx(0, abs=1e-6)
    assert content["tstr"]["logS"]["tstr"] == content["tstr"]["logS"]["trtr"]
    assert content["dcr"]["share"] > 0.7


def test_the_floor_has_the_structure_of_the_figures(of_real_rows):
    content = of_real_rows[0].to_json()
    paths = [("shape", "mean_error"), ("trend", "mean_error"), ("c2st", "lightgbm"), ("c2st", "logistic"),
             ("identities", "violated_share"), ("dcr", "share"), ("coverage", "alpha_precision"),
             ("coverage", "beta_recall"), ("mia", "auc")]  # fmt: skip
    for section, figure in paths:
        assert isinstance(content[section][figure], float)
        assert isinstance(content["floor"][section][figure], float)
    for target in TARGETS:
        assert content["floor"]["tstr"][target]["tstr"] == content["tstr"][target]["trtr"]
    assert content["rows"] == {"training": 200, "held_out": 100, "synthetic": 100}
    json.dumps(content, allow_nan=False)


def test_progress_counts_every_measure(of_real_rows):
    seen = of_real_rows[1]
    assert [report.done for report in seen] == list(range(1, seen[-1].total + 1))


def test_an_unknown_target_is_named(train, holdout):
    with pytest.raises(TabsynError, match="target 'logs' is not a column of the training table; did you mean logS"):
        evaluate(train, holdout, train, targets=["logs"])


def test_synthetic_rows_without_a_column_are_refused(train, holdout, more):
    with pytest.raises(
        TabsynError, match="synthetic table does not have the columns of the training table: missing 'logS'"
    ):
        evaluate(train, holdout, more.drop("logS"))


@pytest.mark.parametrize("rows", [1, 3, 50])
@every_choice_of_columns
def test_odd_tables_give_figures_or_reasons(rows, columns):
    tables = [odd(rows, seed).select(columns) for seed in range(3)]
    found = evaluate(*tables, targets=tables[0].columns, folds=3)
    content = found.to_json()
    check(content)
    assert "no rule of chemistry" in content["identities"]["violated_share_why"]


def check(content: dict) -> None:
    """Every number is finite, every absent one has its reason."""
    json.dumps(content, allow_nan=False)
    for name, value in content.items():
        if isinstance(value, dict):
            check(value)
        elif value is None:
            assert content[f"{name}_why"]


def test_only_rules_whose_columns_are_present_are_asked(train, holdout, more):
    tables = [table.select("RingCount", "NumAromaticRings", "NumAliphaticRings") for table in (train, holdout, more)]
    assert evaluate(*tables, folds=2).to_json()["identities"]["violated_share"] == 0
    tables[2] = tables[2].with_columns(pl.col("RingCount") + 1)
    found = evaluate(*tables, folds=2)
    assert found.to_json()["identities"]["violated_share"] == 1
    assert found.rules["rule"].to_list() == ["RingCount = NumAromaticRings + NumAliphaticRings"]


def test_a_larger_sample_does_not_look_better_by_its_size(molecules):
    table = molecules.select("MolLogP", "TPSA", "MolWt")
    many = pl.concat([table[200:]] * 4)
    small, large = (evaluate(table[:100], table[100:200], part, folds=2).figures for part in (many[:200], many))
    assert large.shape.value == pytest.approx(small.shape.value, abs=0.04)
    assert large.shape.std > 0


def test_the_figures_are_short(of_real_rows):
    def leaves(content):
        for name, value in content.items():
            yield from leaves(value) if isinstance(value, dict) else [(name, value)]

    found = dict(leaves(of_real_rows[0].to_json()))
    assert not any(name.endswith("_std") for name in found)
    assert all(value == round(value, 4) for value in found.values() if isinstance(value, float))
    assert of_real_rows[0].to_json()["factorised"]["c2st"].keys() == {"lightgbm"}
