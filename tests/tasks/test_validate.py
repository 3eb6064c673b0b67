import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
import yaml

from tabsyn_core.chemistry.descriptors import IDENTIFIERS
from tabsyn_core.errors import TabsynError
from tasks.featurize import featurize
from tasks.ingest import ingest
from tasks.params import Params, load_params
from tasks.validate import build_data_docs, validate, validate_synthetic

ROOT = Path(__file__).parents[2]
MOLECULES = 60
BAD_ROW = 7


@dataclass(frozen=True)
class Tables:
    """What the steps before this one wrote, and a folder to write to."""

    root: Path
    params: Params
    molecules: pl.DataFrame
    descriptors: pl.DataFrame
    suites: Path = ROOT / "expectations"

    def check(self):
        self.molecules.write_parquet(self.root / "molecules.parquet")
        self.descriptors.write_parquet(self.root / "descriptors.parquet")
        return validate(
            self.params,
            molecules=self.root / "molecules.parquet",
            descriptors=self.root / "descriptors.parquet",
            report=self.root / "validation.json",
            suites=self.suites,
            data_docs=self.root / "docs",
            state=self.root / "state",
        )

    def check_synthetic(self, synthetic):
        self.descriptors.write_parquet(self.root / "train.parquet")
        synthetic.write_parquet(self.root / "synthetic.parquet")
        return validate_synthetic(
            self.params,
            synthetic=self.root / "synthetic.parquet",
            train=self.root / "train.parquet",
            report=self.root / "synthetic_validation.json",
            suites=self.suites,
            data_docs=self.root / "docs",
            state=self.root / "state",
        )

    def with_descriptor(self, name, value, row=BAD_ROW):
        return replace(self, descriptors=put(self.descriptors, name, value, row))

    def with_molecule(self, name, value, row=BAD_ROW):
        return replace(self, molecules=put(self.molecules, name, value, row))

    def own_suites(self):
        """A copy of the suite files that may be spoilt."""
        shutil.copytree(self.suites, self.root / "suites")
        return replace(self, suites=self.root / "suites")


def put(table, name, value, row):
    here = pl.int_range(pl.len()) == row
    return table.with_columns(pl.when(here).then(pl.lit(value, dtype=table.schema[name])).otherwise(name).alias(name))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The real steps on a few real molecules."""
    root = tmp_path_factory.mktemp("made")
    pl.read_csv(ROOT / "data/raw/solubility.csv").gather_every(20).head(MOLECULES).write_csv(root / "few.csv")
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["data"] |= {"source": str(root / "few.csv"), "watch": str(root / "few.csv")}
    (root / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    params = load_params(root / "params.yaml")
    molecules, descriptors = root / "molecules.parquet", root / "descriptors.parquet"
    made = {"molecules": molecules, "rejected": root / "r.parquet", "summary": root / "i.json"}
    ingest(params.data, **made, tdc_cache=root / "tdc", workers=1)
    featurize(molecules, descriptors=descriptors, missing_reasons=root / "m.parquet", workers=1)
    return Tables(root, params, pl.read_parquet(molecules), pl.read_parquet(descriptors))


@pytest.fixture
def tables(made, tmp_path):
    return replace(made, root=tmp_path)


@pytest.fixture
def synthetic(tables):
    """As good as synthetic rows get: the real ones, drawn again."""
    return tables.descriptors.drop(IDENTIFIERS).sample(100, with_replacement=True, seed=1)


def test_what_the_steps_wrote_passes_and_the_report_says_so(tables):
    report = tables.check()
    assert report == json.loads((tables.root / "validation.json").read_text(encoding="utf-8"))
    assert set(report) == {"molecules", "descriptors", "warnings"}
    for suite in ("molecules", "descriptors"):
        written = json.loads((ROOT / f"expectations/{suite}.json").read_text(encoding="utf-8"))["expectations"]
        checked = report[suite]["expectations"]
        assert [each["description"] for each in checked] == [each["description"] for each in written]
        assert [each["severity"] for each in checked] == [each["severity"] for each in written]
        assert all(each["success"] for each in checked if each["severity"] == "critical")
        assert report[suite]["rows"] == len(tables.molecules)
    assert report["descriptors"]["columns"] == 221


def test_the_report_is_the_same_to_the_byte_each_time(tables):
    tables.check()
    first = (tables.root / "validation.json").read_bytes()
    tables.check()
    assert (tables.root / "validation.json").read_bytes() == first
    assert str(tables.root).encode() not in first
    assert not re.search(rb"20\d\d-\d\d-\d\d", first)


def test_pages_of_all_suites_stay_and_tell_no_server_who_looks(tables, synthetic):
    tables.check()
    tables.check_synthetic(synthetic)
    docs = tables.root / "docs"
    pages = {page.relative_to(docs).parts[:2] for page in docs.rglob("*.html")}
    for suite in ("molecules", "descriptors", "synthetic"):
        assert ("validations", suite) in pages
        assert ("expectations", f"{suite}.html") in pages
    index = (docs / "index.html").read_text(encoding="utf-8")
    assert all(suite in index for suite in ("molecules", "descriptors", "synthetic"))
    assert not any("dataContextId" in page.read_text(encoding="utf-8") for page in docs.rglob("*.html"))


def test_each_bad_descriptor_is_named_with_suite_expectation_count_and_example(tables):
    bad = [
        ("fr_urea", -1, "expect_columns_to_be_between"),
        ("qed", 1.5, "expect_columns_to_be_between"),
        ("TPSA", math.inf, "expect_columns_to_be_between"),
        ("logS", math.nan, "expect_columns_to_be_between"),
        ("MolWt", None, "expect_columns_not_to_be_null"),
        ("RingCount", 99, "expect_table_to_obey_rdkit_rules"),
        ("PEOE_VSA1", 1234.5, "expect_table_to_obey_rdkit_rules"),
    ]
    spoilt = tables
    for row, (column, value, _) in enumerate(bad, start=BAD_ROW):
        spoilt = spoilt.with_descriptor(column, value, row)
    with pytest.raises(TabsynError) as caught:
        spoilt.check()
    lines = str(caught.value).splitlines()
    smiles = tables.descriptors["smiles"]
    for row, (column, value, expectation) in enumerate(bad, start=BAD_ROW):
        found = [line for line in lines if line.startswith(f"  suite descriptors, {expectation} ") and column in line]
        assert any(": 1 row, such as " in line for line in found), column
        assert any(f"{value} (row {row}, {smiles[row]})" in line or "PEOE_VSA1 = 1234.5" in line for line in found)
    assert "suite molecules" not in str(caught.value)
    assert not (tables.root / "validation.json").exists()
    assert (tables.root / "docs/index.html").exists()


def test_each_bad_molecule_is_named_with_suite_expectation_count_and_example(tables):
    bad = [
        ("smiles", "C1CC", "expect_column_values_to_be_valid_smiles"),
        ("inchikey", "no key", "expect_column_values_to_match_regex"),
        ("source_line", 0, "expect_column_values_to_be_between"),
        ("source_file", None, "expect_columns_not_to_be_null"),
    ]
    spoilt = tables
    for row, (column, value, _) in enumerate(bad, start=BAD_ROW):
        spoilt = spoilt.with_molecule(column, value, row)
    with pytest.raises(TabsynError, match=r"4 critical expectation\(s\) failed") as caught:
        spoilt.check()
    for row, (column, value, expectation) in enumerate(bad, start=BAD_ROW):
        line = next(line for line in str(caught.value).splitlines() if expectation in line)
        assert line.startswith("  suite molecules, ")
        assert f"{column}: 1 row, such as {value} (row {row}, " in line


def test_a_molecule_that_occurs_twice_stops(tables):
    twice = tables.with_molecule("inchikey", tables.molecules["inchikey"][0])
    with pytest.raises(TabsynError, match=r"suite molecules, .*unique.*inchikey: 2 rows.*\(row 0, .*\(row 7, "):
        twice.check()


def test_no_more_than_five_examples_are_shown(tables):
    many = replace(tables, descriptors=tables.descriptors.with_columns(qed=pl.lit(2.0)))
    with pytest.raises(TabsynError) as caught:
        many.check()
    line = next(line for line in str(caught.value).splitlines() if "qed: " in line)
    assert f"{len(tables.descriptors)} rows" in line
    assert line.count("(row ") == 5


def test_missing_and_unknown_columns_are_named(tables):
    other = replace(tables, descriptors=tables.descriptors.rename({"qed": "quality"}))
    with pytest.raises(TabsynError) as caught:
        other.check()
    assert "the columns: missing ['qed'], unknown ['quality']" in str(caught.value)
    assert "qed: the column is missing" in str(caught.value)
    swapped = replace(tables, descriptors=tables.descriptors.select(pl.exclude("qed"), "qed"))
    with pytest.raises(TabsynError, match="the columns: they are in another order"):
        swapped.check()


def test_a_missing_identifier_is_named(tables):
    with pytest.raises(TabsynError) as caught:
        replace(tables, molecules=tables.molecules.drop(IDENTIFIERS)).check()
    for column in IDENTIFIERS:
        assert f"{column}: the column is missing" in str(caught.value)


def test_a_column_of_another_kind_is_named(tables):
    text = replace(tables, descriptors=tables.descriptors.with_columns(pl.col("TPSA", "logS").cast(pl.String)))
    with pytest.raises(TabsynError) as caught:
        text.check()
    assert "TPSA: expected Float64, found String" in str(caught.value)
    assert "logS: expected Float64, found String" in str(caught.value)


def test_a_lost_row_stops(tables):
    with pytest.raises(TabsynError, match=f"suite descriptors, .*One row a molecule.*observed {MOLECULES - 1}"):
        replace(tables, descriptors=tables.descriptors.head(-1)).check()


def test_an_empty_table_stops(tables):
    with pytest.raises(TabsynError, match=r"suite molecules, .*at least one molecule.*observed 0"):
        replace(tables, molecules=tables.molecules.clear(), descriptors=tables.descriptors.clear()).check()


def test_many_missing_values_are_a_warning_that_is_stored(tables):
    gaps = tables.descriptors.with_columns(BalabanJ=pl.when(pl.int_range(pl.len()) > 20).then("BalabanJ"))
    report = replace(tables, descriptors=gaps).check()
    stored = json.loads((tables.root / "validation.json").read_text(encoding="utf-8"))["warnings"]
    assert report["warnings"] == stored
    line = next(line for line in stored if "max_missing_share" in line)
    assert line.startswith("suite descriptors, expect_columns_null_share_to_be_at_most")
    assert "BalabanJ: missing in 21 of 60 rows (35.0%)" in line


def test_pages_that_cannot_be_written_are_named(tables):
    (tables.root / "docs").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(TabsynError, match=r"cannot write .*docs"):
        tables.check()


def test_good_synthetic_rows_pass(tables, synthetic):
    report = tables.check_synthetic(synthetic)
    failed = [each["description"] for each in report["synthetic"]["expectations"] if not each["success"]]
    assert failed == []
    assert report["synthetic"]["rows"] == 100


def test_synthetic_values_outside_the_supports_stop(tables, synthetic):
    bad = {"solubility_class": "(D) soapy", "fr_urea": -2, "logS": None, "MolLogP": math.inf}
    for column, value in bad.items():
        synthetic = put(synthetic, column, value, BAD_ROW)
    with pytest.raises(TabsynError, match=r"4 critical expectation\(s\) failed") as caught:
        tables.check_synthetic(synthetic)
    for column, value in bad.items():
        assert re.search(
            f"suite synthetic, .*{column}: 1 row, such as {re.escape(str(value))} .row 7", str(caught.value)
        )


def test_a_synthetic_table_of_other_shape_stops(tables, synthetic):
    with pytest.raises(TabsynError, match=r"suite synthetic, .*missing \['qed'\]"):
        tables.check_synthetic(synthetic.drop("qed"))
    with pytest.raises(TabsynError, match="RingCount: expected Int64, found Float64"):
        tables.check_synthetic(synthetic.with_columns(pl.col("RingCount").cast(pl.Float64)))


def test_synthetic_rows_that_no_molecule_has_are_a_warning(tables, synthetic):
    report = tables.check_synthetic(synthetic.with_columns(RingCount=pl.col("RingCount").reverse()))
    [line] = report["warnings"]
    assert "expect_table_to_obey_rdkit_rules" in line
    assert "RingCount = NumAromaticRings + NumAliphaticRings" in line
    [rules] = [each for each in report["synthetic"]["expectations"] if not each["success"]]
    assert rules["severity"] == "warning"
    assert all(len(fault["examples"]) <= 5 for fault in rules["faults"])


def spoil(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda suite: suite["expectations"][1].update(type="expect_colums_not_to_be_null"),
            "expectation 2 .*did you mean",
        ),
        (lambda suite: suite["expectations"][5]["kwargs"].update(colum="x"), "expectation 6 .*colum"),
        (lambda suite: suite["expectations"][3]["kwargs"].clear(), "expectation 4 .*columns"),
        (lambda suite: suite["expectations"][2].update(severity="fatal"), "expectation 3 .*severity"),
        (lambda suite: suite["expectations"][1]["kwargs"].update(column_list={"$PARAMETER": "colums"}), "'colums'"),
        (lambda suite: suite["expectations"][1].pop("description"), "description of its own"),
        (lambda suite: suite.pop("expectations"), "a list of expectations"),
        (lambda suite: suite.update(name="other"), "must hold a name, 'descriptors'"),
        (lambda suite: suite["expectations"].insert(0, "text"), "expectation 1: an expectation is an object"),
    ],
)
def test_a_broken_suite_is_named_with_what_is_wrong(tables, change, said):
    spoilt = tables.own_suites()
    spoil(spoilt.suites / "descriptors.json", change)
    with pytest.raises(TabsynError, match=rf"suite .*descriptors\.json(?s:.*){said}"):
        spoilt.check()


def test_a_suite_that_is_no_json_or_is_absent_is_named(tables):
    spoilt = tables.own_suites()
    (spoilt.suites / "molecules.json").write_text('{"name": "molecules",', encoding="utf-8")
    with pytest.raises(TabsynError, match=r"molecules\.json is not valid JSON: .*line 1"):
        spoilt.check()
    (spoilt.suites / "molecules.json").unlink()
    with pytest.raises(TabsynError, match=r"molecules\.json does not exist"):
        spoilt.check()


def test_a_reviewer_can_make_a_warning_critical(tables, synthetic):
    strict = tables.own_suites()
    spoil(strict.suites / "synthetic.json", lambda suite: suite["expectations"][-1].update(severity="critical"))
    with pytest.raises(TabsynError, match="suite synthetic, expect_table_to_obey_rdkit_rules"):
        strict.check_synthetic(synthetic.with_columns(RingCount=pl.col("RingCount").reverse()))


@pytest.fixture
def project(tables, made):
    """A folder that looks like the project to a step run there."""
    root = tables.root / "project"
    for folder in ("data/interim", "data/processed"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(ROOT / "expectations", root / "expectations")
    shutil.copy(made.root / "params.yaml", root)
    tables.molecules.write_parquet(root / "data/interim/molecules.parquet")
    tables.descriptors.write_parquet(root / "data/processed/descriptors.parquet")
    return root


def test_the_pages_can_be_built_again_from_the_tables_alone(tables, project, monkeypatch):
    monkeypatch.chdir(project)
    before = sorted(project.rglob("*.json"))
    assert "molecules" in build_data_docs(tables.params).read_text(encoding="utf-8")
    assert sorted(path for path in project.rglob("*.json") if ".admet" not in path.parts) == before


def test_the_step_runs_as_a_program(tables, project):
    tables.with_descriptor("RingCount", 99).descriptors.write_parquet(project / "data/processed/descriptors.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "tasks.validate"],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tables.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[0].startswith("validate: error: ")
    assert "RingCount = 99" in done.stderr
    assert "Traceback" not in done.stderr
