import gzip
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import evaluate, evaluate_files
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.pictures import write_plots
from tabsyn_core.evaluation.report import verdict, write_report

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
    assert all(line.level != "poor" for line in verdict(of_real_rows[0]) if "on " not in line.name)


def test_shuffled_columns_keep_the_shape_and_lose_all_else(of_shuffled_rows):
    level = {line.name: line.level for line in verdict(of_shuffled_rows)}
    assert level["Shape error"] == "good"
    assert level["Two-sample AUC, boosted trees"] == "poor"
    assert level["Rows breaking a rule of chemistry"] == "poor"
    words = {line.name: line.words for line in verdict(of_shuffled_rows)}["Rows breaking a rule of chemistry"]
    assert words == "Every row contradicts itself and can be no molecule's descriptors."
    assert level["R2 on logS"] == "poor"
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
    assert verdict(found)[-1].level == "poor"


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


def test_files_in_files_out_and_equal_bytes(train, holdout, more, tmp_path, of_real_rows):
    for name, table in (("r", train), ("h", holdout), ("s", more)):
        table.write_parquet(tmp_path / f"{name}.parquet")
    real, unseen, fake = (tmp_path / f"{name}.parquet" for name in "rhs")
    found = evaluate_files(real, unseen, fake, TARGETS, tmp_path / "out", folds=2)
    assert found.to_json() == of_real_rows[0].to_json()
    stored = json.loads((tmp_path / "out/report.json").read_text())
    assert {"columns", "telltales", "rules", "floor", "factorised"} < stored.keys()
    assert stored["tstr"]["logS"]["difference_std"] > 0
    assert len(stored["columns"]) == train.width - 2
    write_report(tmp_path / "again.html", of_real_rows[0])
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "out/report.html").read_bytes()
    for folder in ("first", "second"):
        write_plots(tmp_path / folder, of_real_rows[0])
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == ["correlations.png", "densities.png", "projection.png", "shape.csv", "telltales.csv"]
    assert all((tmp_path / "first" / f).read_bytes() == (tmp_path / "second" / f).read_bytes() for f in files)


def test_csv_rows_are_judged_as_the_same_rows_in_parquet(train, holdout, more, tmp_path, of_real_rows):
    train.write_parquet(tmp_path / "r.parquet")
    with gzip.open(tmp_path / "h.csv.gz", "wb") as packed:
        holdout.write_csv(packed)
    more.write_csv(tmp_path / "s.csv")
    files = (tmp_path / name for name in ("r.parquet", "h.csv.gz", "s.csv"))
    found = evaluate_files(*files, TARGETS, tmp_path / "out", folds=2)
    assert found.details() == of_real_rows[0].details()


NARROW = pl.DataFrame(
    {
        "n": [1, 2, None] * 20,
        "x": [0.1, None, 2.5] * 20,
        "flag": [True, None, False] * 20,
        "grade": ["1", "2", None] * 20,
    },
    schema_overrides={"x": pl.Float32, "grade": pl.Categorical},
)


def judge_csv(tmp_path, text, real="r.parquet"):
    NARROW.write_parquet(tmp_path / "r.parquet")
    NARROW.write_csv(tmp_path / "r.csv")
    (tmp_path / "s.csv").write_text(text)
    return evaluate_files(tmp_path / real, tmp_path / real, tmp_path / "s.csv", [], tmp_path / "out", folds=2)


def test_csv_columns_get_the_dtypes_of_the_training_table(tmp_path):
    rows = "n,x,flag,grade\n1.0,0.1,True,1\n2.0,,,2\n,2.5,False,\n"
    found = judge_csv(tmp_path, rows).to_json()
    assert found["shape"]["mean_error"] == found["trend"]["mean_error"] == 0


def test_csv_training_rows_say_the_kinds_by_their_values(tmp_path):
    found = judge_csv(tmp_path, NARROW.with_columns(x=None).write_csv(), "r.csv").to_json()
    assert found["shape"]["mean_error"] == 0.25  # the empty column is wrong altogether, the other three are right


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("high,0.1,true,1", r"s\.csv, row 2, column 'n': 'high' is not Int64"),
        ("1.5,0.1,true,1", "column 'n': '1.5' is not Int64"),
        ("1,0;1,true,1", "column 'x': '0;1' is not Float32"),
        ("1,0.1,yes,1", "column 'flag': 'yes' is not Boolean"),
        ("1,0.1,true,1,1", r"s\.csv is not a CSV file"),
    ],
)
def test_csv_values_that_do_not_fit_are_named(tmp_path, row, message):
    with pytest.raises(TabsynError, match=message):
        judge_csv(tmp_path, f"n,x,flag,grade\n1,0.1,true,1\n{row}\n")


def test_files_that_are_absent_are_named(tmp_path):
    with pytest.raises(TabsynError, match=r"absent.csv does not exist"):
        evaluate_files(tmp_path / "absent.csv", tmp_path / "h", tmp_path / "s", [], tmp_path / "out")
    with pytest.raises(TabsynError, match=r"absent.parquet does not exist"):
        evaluate_files(tmp_path / "absent.parquet", tmp_path / "h", tmp_path / "s", [], tmp_path / "out")


def test_an_unknown_target_is_named(train, holdout):
    with pytest.raises(TabsynError, match="target 'logs' is not a column of the training table; did you mean logS"):
        evaluate(train, holdout, train, targets=["logs"])


def test_synthetic_rows_without_a_column_are_refused(train, holdout, more):
    with pytest.raises(
        TabsynError, match="synthetic table does not have the columns of the training table: missing 'logS'"
    ):
        evaluate(train, holdout, more.drop("logS"))


def odd(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "number": rng.normal(size=rows),
            "count": rng.poisson(3, rows),
            "huge": rng.normal(size=rows) * 1e307,
            "constant": [1.0] * rows,
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
            "void": pl.Series([None] * rows, dtype=pl.Null),
            "single": ["only"] * rows,
            "kind": [["a", "b", None][i] for i in rng.integers(0, 3, rows)],
            "flag": rng.random(rows) < 0.5,
        },
        strict=False,
    )


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize(
    "columns",
    [
        pl.selectors.all(),
        pl.selectors.numeric(),
        pl.col("single", "kind", "flag"),
        pl.col("number"),
        pl.col("kind"),
        pl.col("empty"),
        pl.col("constant", "single"),
    ],
    ids=["all", "numeric", "categorical", "one number", "one category", "nothing", "constants"],
)
def test_odd_tables_give_figures_or_reasons_and_a_page(rows, columns, tmp_path):
    tables = [odd(rows, seed).select(columns) for seed in range(3)]
    found = evaluate(*tables, targets=tables[0].columns, folds=3)
    content = found.to_json()
    check(content)
    assert "no rule of chemistry" in content["identities"]["violated_share_why"]
    write_report(tmp_path / "report.html", found)
    write_plots(tmp_path / "plots", found)
    assert len(list((tmp_path / "plots").iterdir())) == 5


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


def test_the_page_is_self_contained_and_small(of_shuffled_rows, tmp_path):
    write_report(tmp_path / "report.html", of_shuffled_rows)
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 8e6
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    assert "prefers-color-scheme: dark" in page
    for line in verdict(of_shuffled_rows):
        assert line.words.replace("'", "&#39;") in page
    for column in of_shuffled_rows.columns["column"]:
        assert column in page


def test_names_from_the_data_cannot_become_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    rng = np.random.default_rng(0)
    tables = [pl.DataFrame({evil: rng.normal(size=20), "c": [evil, "b"] * 10}) for _ in range(3)]
    write_report(tmp_path / "report.html", evaluate(*tables, targets=["c"], folds=2))
    assert "<script" not in (tmp_path / "report.html").read_text()


def test_levels_follow_the_stated_distances(of_real_rows):
    evaluation = of_real_rows[0]
    levels = []
    for excess in (0.0, 0.05, 0.5):
        shape = replace(evaluation.figures.shape, value=evaluation.floor.shape.value + excess)
        changed = replace(evaluation, figures=replace(evaluation.figures, shape=shape))
        levels.append(verdict(changed)[0].level)
    assert levels == ["good", "fair", "poor"]


@pytest.mark.parametrize(
    ("difference", "std", "level"),
    [
        (-0.039, 0.012, "fair"),
        (-0.012, 0.007, "good"),
        (-0.009, 0.001, "good"),
        (-0.015, 0.001, "fair"),
        (-0.06, 0.1, "fair"),
        (-0.2, 0.3, "poor"),
        (0.1, 0.01, "good"),
    ],
)
def test_a_loss_beyond_chance_is_not_good_and_chance_hides_no_large_one(of_real_rows, difference, std, level):
    entry = replace(of_real_rows[0].utility[0], difference=Figure(difference, std))
    found = verdict(replace(of_real_rows[0], utility=(entry,)))
    assert [line.level for line in found if line.name == "R2 on logS"] == [level]


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "Every row could be a molecule's"),
        (0.005, "A few rows contradict themselves"),
        (0.1, "Some rows contradict themselves"),
        (0.3, "Many rows contradict themselves"),
        (0.6, "Most rows contradict themselves"),
        (0.96, "Nearly every row contradicts itself"),
        (1.0, "Every row contradicts itself"),
    ],
)
def test_words_follow_the_share_of_broken_rows(of_real_rows, share, words):
    figures = replace(of_real_rows[0].figures, violated_share=Figure(share))
    line = next(line for line in verdict(replace(of_real_rows[0], figures=figures)) if "chemistry" in line.name)
    assert line.words.startswith(words)


def test_the_page_gives_the_baseline_of_the_trees_alone(of_real_rows, tmp_path):
    write_report(tmp_path / "report.html", of_real_rows[0])
    page = (tmp_path / "report.html").read_text()
    baseline = page.split('id="detection"')[1].split('class="method"')[0]
    assert f"<b>{of_real_rows[0].factorised['lightgbm'].value:.3f}" in baseline
    assert f"{of_real_rows[0].factorised['logistic'].value:.3f}" not in baseline
    assert "a linear classifier cannot" in baseline


def test_the_figures_are_short(of_real_rows):
    def leaves(content):
        for name, value in content.items():
            yield from leaves(value) if isinstance(value, dict) else [(name, value)]

    found = dict(leaves(of_real_rows[0].to_json()))
    assert not any(name.endswith("_std") for name in found)
    assert all(value == round(value, 4) for value in found.values() if isinstance(value, float))
    assert of_real_rows[0].to_json()["factorised"]["c2st"].keys() == {"lightgbm"}


def test_few_rows_are_told_on_the_page_and_promote_nothing(train, holdout, more, tmp_path):
    few = evaluate(train[:8], holdout[:8], more[:8], folds=2)
    assert few.to_json()["c2st"]["lightgbm"] is None
    assert {line.level for line in verdict(few) if "AUC" in line.name or "nearer" in line.name} == {"none"}
    write_report(tmp_path / "report.html", few)
    assert "Not judged: a two-sample test needs at least 50 rows" in (tmp_path / "report.html").read_text()
