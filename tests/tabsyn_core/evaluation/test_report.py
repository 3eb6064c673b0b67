"""The whole judgement: lights, sentences, files."""

import gzip
import json
import re
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import polars as pl
import pytest
from odd_tables import every_choice_of_columns, odd

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import evaluate, evaluate_files, judge
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.page import Report, write_page
from tabsyn_core.evaluation.page.words import leads
from tabsyn_core.evaluation.pictures import write_plots
from tabsyn_core.evaluation.tables import align
from tabsyn_core.evaluation.utility import utility
from tabsyn_core.evaluation.verdict import Judged, above, above_floor, light_of
from tabsyn_core.thresholds import Thresholds

TARGETS = ["logS", "solubility_class"]


@pytest.fixture(scope="module")
def tables(train, more):
    """Real rows in place of synthetic ones, columns shuffled one by one, and 5 % copied training rows, by name."""
    rng = np.random.default_rng(0)
    real = train.drop("smiles", "inchikey")
    shuffled = pl.DataFrame([real[column].gather(rng.permutation(real.height)) for column in real.columns])
    return {"real": more, "shuffled": shuffled, "copies": pl.concat([more, real[:6]])}


@pytest.fixture(scope="module")
def folder(tables, train, holdout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    for name, table in {**tables, "train": train, "holdout": holdout}.items():
        table.write_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def judged(folder):
    synthetic = [folder / f"{name}.parquet" for name in ("real", "shuffled", "copies")]
    real, unseen = folder / "train.parquet", folder / "holdout.parquet"
    return evaluate_files(real, unseen, synthetic, TARGETS, folder / "out", folds=2)


def lights(judgement):
    return {line.dimension: line.light for line in judgement.report.verdict}


def test_every_light_is_green_for_real_rows(judged):
    assert set(lights(judged["real"]).values()) == {"green"}
    assert [fix.text.partition(".")[0] for fix in judged["real"].report.fixes] == ["Every light is green"]


def test_lost_dependence_is_red_and_the_columns_stay_green(judged):
    found = lights(judged["shuffled"])
    assert (found["fidelity"], found["structure"], found["chemistry"]) == ("green", "red", "red")
    assert {fix.section for fix in judged["shuffled"].report.fixes} <= {"structure", "utility", "chemistry", "privacy"}


def sentence(report, dimension):
    return next(line.sentence for line in report.verdict if line.dimension == dimension)


def test_the_structure_sentence_names_the_cause(judged, train, holdout, tables):
    assert sentence(judged["shuffled"].report, "structure").startswith("Columns do not go together as in the real rows")
    few = [table.select("MolWt", "RingCount", "TPSA", "MolLogP") for table in (train, holdout, tables["real"])]
    few[2] = few[2].with_columns(pl.col("RingCount") + 0.5)  # whole numbers are halves now; pairs stay as they are
    found = judge(*few, folds=2, thorough=False).report
    assert {line.dimension: line.light for line in found.verdict}["structure"] == "red"
    said = sentence(found, "structure")
    assert said.startswith("Single columns give rows away: a classifier that sees no dependence has an AUC of 0.9")
    assert "beginning with RingCount" in said


def test_copied_rows_are_red_and_all_else_stays_green(judged):
    found = lights(judged["copies"])
    assert found.pop("privacy") == "red"
    assert set(found.values()) == {"green"}
    assert "copies" in judged["copies"].report.privacy.risk


def test_every_part_of_a_descriptor_table_is_judged(judged):
    report = judged["real"].report
    assert report.absent == {}
    assert {each.method for each in report.whole.projections} == {"PCA", "LDA", "t-SNE"}
    assert len(report.columns) == len(report.densities) == 219
    assert len(report.hypotheses) == 6 * 219
    assert {score.training for score in report.utility.scores} == {"real", "synthetic", "real+synthetic"}
    assert all(each.smiles and "<svg" in each.svg for each in report.chemistry.strangers)
    assert report.chemistry.lawful.synthetic == 1


def test_the_numbers_follow_their_schema_and_come_back(judged, folder):
    content = json.loads((folder / "out/report.json").read_text())
    schema = json.loads(files("tabsyn_core.evaluation.page").joinpath("report.schema.json").read_text())
    assert content["reports"].keys() == judged.keys() == {"real", "shuffled", "copies"}
    for report in content["reports"].values():
        jsonschema.validate(report, schema)
        assert Report.from_json(report).to_json() == report


def test_the_same_rows_give_the_same_bytes(judged, train, holdout, tables, tmp_path):
    again = judge(train, holdout, tables["real"], title=judged["real"].report.title, targets=TARGETS, folds=2)
    assert again.report.to_json() == judged["real"].report.to_json()
    assert again.metrics() == judged["real"].metrics()
    for name in ("first", "second"):
        write_plots(tmp_path / name, again.report)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["correlations.png", "densities.png", "projection.png", "shape.csv", "telltales.csv"]
    assert all((tmp_path / "first" / f).read_bytes() == (tmp_path / "second" / f).read_bytes() for f in names)


def test_metrics_hold_the_figures_the_attacks_and_the_lights(judged):
    metrics = judged["copies"].metrics()
    assert metrics["c2st"].keys() >= {"lightgbm", "logistic"}
    assert metrics["lights"]["privacy"] == "red"
    assert metrics["attacks"]
    json.dumps(metrics, allow_nan=False)


def test_a_quick_report_says_what_it_leaves_out(train, holdout, tables):
    small = [table.select("MolWt", "TPSA", "MolLogP", "logS") for table in (train, holdout, tables["real"])]
    quick = judge(*small, targets=["logS"], thorough=False, folds=2).report
    assert (quick.whole.projections, quick.utility, quick.privacy.attacks) == ((), None, ())
    assert set(quick.absent) >= {"whole.projections", "utility", "privacy.attacks"}
    assert {line.dimension: line.light for line in quick.verdict}["utility"] != "grey"


@pytest.mark.parametrize(
    ("value", "spread", "light"),
    [(0.019, None, "green"), (0.05, None, "amber"), (0.3, None, "red"), (0.05, 0.03, "green"), (0.3, 1.0, "red")],
)
def test_a_light_follows_the_excess_and_chance_hides_no_large_one(value, spread, light):
    judged = above_floor("error", Figure(0.1 + value), Figure(0.1, spread), (0.02, 0.1))
    assert judged.light == light
    assert above(0.5, "AUC", Figure(0.5 + value), Figure(0.4, spread), (0.02, 0.1)).light == light


@pytest.mark.parametrize(("loss", "chance", "light"), [(0.04, 0.0, "green"), (0.1, 0.12, "green"), (0.1, 0.02, "amber"), (0.3, 0.2, "amber"), (0.3, 0.1, "red"), (0.3, 0.4, "grey")])  # fmt: skip  # noqa: E501
def test_a_loss_of_utility_is_red_only_beyond_chance(loss, chance, light):
    figure = Figure(0.9 - loss)
    assert Judged("R²", figure, Figure(0.9), loss, (0.05, 0.15), chance=chance, doubt=chance).light == light


def test_few_held_out_rows_make_no_light_of_utility_red():
    rng = np.random.default_rng(5)
    found = []
    for _ in range(8):
        x = rng.normal(size=(520, 3))
        rows = pl.DataFrame({"x": x[:, 0], "z": x[:, 1], "y": x[:, 0] + 2 * x[:, 2]})
        tables = align({"training": rows[:200], "held-out": rows[200:320], "synthetic": rows[320:]}, 0)
        learnt = utility(*tables.values(), "y", targets=["y"], seed=0)
        chance = 2 * learnt.difference.std
        found.append(Judged("R²", learnt.tstr, learnt.trtr, -learnt.difference.value, (0.05, 0.15), chance, chance))
    assert {each.light for each in found} <= {"green"}
    assert max(each.excess for each in found) > 0.05  # without its interval, one of them would not be


def test_held_out_rows_unlike_the_training_rows_are_told(judged, train, holdout, tables):
    assert [each.report.warnings for each in judged.values()] == [(), (), ()]
    few = [table.select("MolWt", "TPSA", "MolLogP") for table in (train, holdout, tables["real"])]
    few[1] = few[1].with_columns(pl.col("MolWt") + 200)
    (said,) = judge(*few, folds=3, thorough=False).report.warnings
    assert said.startswith("The held-out rows are unlike the training rows: boosted trees tell them apart")
    assert "most of all by MolWt" in said


def test_a_column_without_a_value_has_a_sentence_of_its_own(tmp_path):
    gone = normal(60, 2).with_columns(y=pl.lit(None, pl.Float64))
    found = judge(normal(60, 0), normal(60, 1), gone, folds=2, thorough=False).report
    notes = {each.column: each.note for each in found.columns}
    assert notes == {"x": None, "y": "No synthetic row has a value of it, though real rows do: the column was lost, and its error is 1."}  # fmt: skip  # noqa: E501
    assert f"y: {notes['y']}" in leads(found)["fidelity"]
    write_page(tmp_path / "page.html", {"table": found})
    assert notes["y"] in (tmp_path / "page.html").read_text()


def test_what_is_worth_mending_has_its_unit(judged):
    said = " ".join(fix.text for fix in judged["copies"].report.fixes)
    assert re.search(r"Copies beyond chance: \d\.\d %, where real rows have 0\.0 %", said)


def test_every_figure_that_decides_has_an_interval(judged):
    shown = [figure for line in judged["real"].report.verdict for figure in line.figures]
    missing = {each.name for each in shown if each.synthetic is not None and each.low is None}
    assert {name.partition(" (")[0] for name in missing} <= {"Risk of the worst attack, lower bound"}
    for each in shown:
        assert each.low is None or each.low <= each.synthetic <= each.high, each.name


def test_the_worst_figure_decides_and_grey_only_when_nothing_was_judged():
    fine, unknown = (above_floor("error", each, Figure(0.1), (0.02, 0.1)) for each in (Figure(0.1), Figure.none("few")))
    assert light_of([fine, unknown]) == "green"
    assert light_of([unknown]) == light_of([]) == "grey"


def test_thresholds_move_the_lights_and_must_be_in_order(train, holdout, tables):
    small = [table.select("MolWt", "TPSA", "MolLogP") for table in (train, holdout, tables["real"])]
    strict = judge(*small, thresholds=Thresholds(shape=(0.0, 0.001)), folds=2)
    assert lights(strict)["fidelity"] == "red"
    with pytest.raises(TabsynError, match=r"thresholds.c2st is \[0.4, 0.3\]"):
        replace(Thresholds(), c2st=(0.4, 0.3))


def test_csv_rows_are_judged_as_the_same_rows_in_parquet(train, holdout, tables, tmp_path):
    few = [table.select("MolWt", "RingCount", "solubility_class") for table in (train, holdout, tables["real"])]
    few[0].write_parquet(tmp_path / "r.parquet")
    with gzip.open(tmp_path / "h.csv.gz", "wb") as packed:
        few[1].write_csv(packed)
    few[2].write_csv(tmp_path / "s.csv")
    names = [tmp_path / name for name in ("r.parquet", "h.csv.gz", "s.csv")]
    found = evaluate_files(names[0], names[1], names[2:], ["RingCount"], tmp_path / "out", folds=2)
    assert found["s"].evaluation.details() == evaluate(*few, targets=["RingCount"], folds=2).details()


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
    found = evaluate_files(tmp_path / real, tmp_path / real, [tmp_path / "s.csv"], [], tmp_path / "out", folds=2)
    return found["s"].evaluation


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


def normal(rows, seed, **more):
    x = np.random.default_rng(seed).normal(size=(rows, 2))
    return pl.DataFrame({"x": x[:, 0], "y": x[:, 1]} | more)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.parquet", b"no parquet", r"s\.parquet is not a Parquet file: .* Give Parquet, or CSV"),
        ("s.csv", b"x,y\n1,2,3\n", r"s\.csv is not a CSV file: .*; found|s\.csv is not a CSV file: found more fields"),
        ("s.csv", b"x;y\n1,5;2,5\n", r"s\.csv looks semicolon-separated: .* separator=';', decimal_comma=True\)"),
        ("s.csv", b"x;y\n1.5;2.5\n", r"s\.csv looks semicolon-separated: .* separator=';'\)"),
        ("s.csv.gz", gzip.compress(b"x\ty\n1\t2\n", mtime=0), r"s\.csv\.gz looks tab-separated"),
        ("s.csv", b"", r"s\.csv is not a CSV file: empty CSV. It needs a line of column names"),
        ("s.csv", b"x,y\n" + bytes(range(128, 255)), r"s\.csv is not a CSV file: .* in UTF-8\."),
    ],
)
def test_files_that_are_something_else_are_named_with_a_remedy(tmp_path, name, content, message):
    normal(60, 0).write_parquet(tmp_path / "r.parquet")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TabsynError, match=message) as raised:
        evaluate_files(tmp_path / "r.parquet", tmp_path / "r.parquet", [tmp_path / name], [], tmp_path / "out")
    assert "\n" not in str(raised.value)


def test_a_folder_is_no_file_and_of_several_tables_the_wrong_one_is_named_at_once(tmp_path):
    for name, table in {"r": normal(60, 0), "h": normal(60, 1), "s": normal(60, 2)}.items():
        table.write_parquet(tmp_path / f"{name}.parquet")
    normal(60, 3).rename({"y": "z"}).write_parquet(tmp_path / "other.parquet")
    files = [tmp_path / f"{name}.parquet" for name in ("r", "h", "s", "other")]
    with pytest.raises(TabsynError, match="is a folder; name a Parquet or CSV file in it"):
        evaluate_files(tmp_path, files[1], files[2:3], [], tmp_path / "out")
    told = []
    with pytest.raises(TabsynError, match=r"other\.parquet: the synthetic table .* missing 'y', unknown 'z'"):
        evaluate_files(files[0], files[1], files[2:], [], tmp_path / "out", progress=told.append)
    assert told == []


def test_held_out_rows_that_were_learnt_from_are_refused():
    with pytest.raises(TabsynError, match="100% of the held-out rows are training rows"):
        judge(normal(60, 0), normal(60, 0)[:30], normal(60, 2))
    few = pl.DataFrame({"a": ["x", "y"] * 30, "b": ["u", "u", "v"] * 20})  # rows that coincide by themselves
    assert judge(few, few, few, folds=2, thorough=False).report.rows.held_out == 60


def test_a_column_that_names_rows_is_refused():
    named = [normal(800, seed, id=[f"{seed}-{row}" for row in range(800)]) for seed in range(3)]
    with pytest.raises(TabsynError, match=r"column 'id' has 2,400 categories; .* Drop it if it names rows"):
        judge(*named)


def test_what_could_not_be_judged_is_said_in_the_verdict():
    report = judge(normal(3, 0), normal(3, 1), normal(3, 2), targets=["y"], folds=2).report
    said = "It could not be judged: a verdict needs at least 20 rows; the training table has 3."
    assert [sentence(report, each) for each in ("fidelity", "structure", "utility")] == [said] * 3
    assert report.fixes[0].text.startswith("No light is amber or red.")
    assert sentence(report, "privacy") == (
        "It could not be judged: distances need a hold-out of at least 20 rows; it has 3."
    )
    report = judge(normal(40, 0), normal(30, 1), normal(40, 2), folds=2, thorough=False).report
    assert "a two-sample test needs at least 50 rows of each kind; there are 40." in sentence(report, "structure")
    constant = [normal(60, seed).with_columns(y=pl.lit(1.0)) for seed in range(3)]
    said = sentence(judge(*constant, targets=["y"], folds=2, thorough=False).report, "utility")
    assert said == "It could not be judged: the training rows hold fewer than two classes of it."


def test_shares_are_judged_in_per_cent(judged):
    shown = {each.name: each.threshold for line in judged["real"].report.verdict for each in line.figures}
    assert shown["Copies beyond chance"] == "green up to 0.5 % beyond it, amber up to 2 %"
    assert shown["Shape error"] == "green up to 0.02 beyond it, amber up to 0.1"


def test_a_pandas_index_is_no_column(train, tmp_path):
    path = tmp_path / "rows.parquet"
    train.with_columns(pl.int_range(pl.len()).alias("__index_level_0__")).write_parquet(path)
    with pytest.raises(TabsynError, match=r"rows\.parquet holds a pandas index .* index=False"):
        evaluate_files(path, path, [path], [], tmp_path / "out")


def test_files_that_are_absent_are_named(tmp_path):
    with pytest.raises(TabsynError, match=r"absent.csv does not exist"):
        evaluate_files(tmp_path / "absent.csv", tmp_path / "h", [tmp_path / "s"], [], tmp_path / "out")
    with pytest.raises(TabsynError, match=r"absent.parquet does not exist"):
        evaluate_files(tmp_path / "absent.parquet", tmp_path / "h", [tmp_path / "s"], [], tmp_path / "out")
    with pytest.raises(TabsynError, match="no synthetic table"):
        evaluate_files(tmp_path / "r", tmp_path / "h", [], [], tmp_path / "out")


@pytest.mark.parametrize("rows", [1, 3, 60])
@every_choice_of_columns
def test_odd_tables_give_a_report_a_page_and_pictures(rows, columns, tmp_path):
    for name, seed in (("r", 0), ("h", 1), ("s", 2)):
        odd(rows, seed).select(columns).write_parquet(tmp_path / f"{name}.parquet")
    real, unseen, fake = (tmp_path / f"{name}.parquet" for name in "rhs")
    targets = pl.read_parquet(real).columns[:2]
    found = evaluate_files(real, unseen, [fake], targets, tmp_path / "out", folds=3)["s"]
    json.dumps(found.report.to_json(), allow_nan=False)
    assert "chemistry" in found.report.absent
    write_plots(tmp_path / "plots", found.report)
    assert len(list((tmp_path / "plots").iterdir())) == 5
    assert (tmp_path / "out/report.html").stat().st_size > 1000
