"""The report's data, its schema, and the page made of it, as far as text can tell."""

import base64
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError
from markupsafe import escape
from page_reports import bare, complete

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.page import Report, write_page
from tabsyn_core.evaluation.page.content import (
    DIMENSIONS,
    Chemistry,
    Column,
    Detector,
    Line,
    Reading,
    Score,
    Utility,
    Whole,
)
from tabsyn_core.evaluation.page.payload import payload
from tabsyn_core.evaluation.page.schema import SCHEMA, schema
from tabsyn_core.evaluation.page.words import leads, molecules_lead, number, p_equals, share

VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """What a page holds: every element's attributes, and whether elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.open, self.elements = text, [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attributes.get(attribute) is not None]

    def data(self) -> dict:
        return json.loads(self.text.split('<script id="data" type="application/json">')[1].split("</script>")[0])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _written(tmp_path_factory.mktemp("page"), table=complete())


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _written(tmp_path_factory.mktemp("page"), first=complete(shift=0.1234), second=complete(shift=0.5678))


def _written(folder: Path, **reports: Report) -> str:
    write_page(folder / "report.html", reports)
    return (folder / "report.html").read_text(encoding="utf-8")


def _between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0]


def test_the_schema_file_is_the_schema_of_the_dataclasses() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema()


@pytest.mark.parametrize("report", [bare(), complete()], ids=["bare", "complete"])
def test_reports_obey_the_schema_and_come_back_from_json(report: Report) -> None:
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    VALIDATOR.validate(content)
    assert Report.from_json(content).to_json() == content


def test_the_schema_refuses_what_is_missing_unknown_or_of_another_kind() -> None:
    content = complete().to_json()
    for broken in (
        {name: part for name, part in content.items() if name != "columns"},
        content | {"colums": []},
        content | {"seed": "0"},
        content | {"verdict": [content["verdict"][0] | {"light": "blue"}]},
    ):
        with pytest.raises(ValidationError):
            VALIDATOR.validate(broken)


def test_every_field_of_the_schema_is_described() -> None:
    found = schema()
    for definition in (found, *found["$defs"].values()):
        assert all(field["description"].endswith((".", "?")) for field in definition["properties"].values())


def test_numpy_numbers_are_written_and_what_is_not_finite_is_null() -> None:
    column = Column(column="x", kind="numeric", error=np.float64(1) / 3, floor=float("nan"), wasserstein=float("inf"))
    report = replace(bare(), seed=np.int64(7), columns=(column,))
    content = report.to_json()
    VALIDATOR.validate(content)
    assert content["seed"] == 7
    assert content["columns"][0]["error"] == 0.333333
    assert content["columns"][0]["floor"] is None
    assert content["columns"][0]["wasserstein"] is None


@given(st.floats(-1e12, 1e12))
def test_printed_numbers_are_the_numbers(value: float) -> None:
    read = float(number(value).replace("−", "-").replace(",", ""))
    assert read == pytest.approx(
        value, abs=0.0005 if abs(value) < 10_000 else 0.5, rel=0.05 if abs(value) < 0.0005 else 0
    )


def test_small_numbers_are_not_printed_as_none() -> None:
    assert (share(0.0), share(0.0001), share(0.5)) == ("0.0 %", "< 0.1 %", "50.0 %")
    assert (p_equals(0.0), p_equals(0.04), p_equals(None)) == ("< 0.001", "= 0.040", "–")
    assert (number(0.0), number(0.00001), number(-0.5)) == ("0.000", "1.0e−05", "−0.500")


def test_the_page_is_well_formed_and_its_anchors_lead_somewhere(compared: str) -> None:
    page = Page(compared)
    assert page.open == []
    names = page.values("id")
    assert len(names) == len(set(names))
    targets = {href[1:] for href in page.values("href")} | set(page.values("aria-labelledby"))
    assert targets | set(page.values("aria-controls")) <= set(names)


@pytest.mark.parametrize("page", ["made", "compared"])
def test_the_page_needs_nothing_from_elsewhere(page: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(page)
    found = Page(text)
    assert all(address.startswith(("#", "data:")) for name in ("href", "src") for address in found.values(name))
    assert not {tag for tag, _ in found.elements} & {"link", "iframe", "object", "embed"}
    style = _between(text, "<style>", "</style>")
    assert "url(" not in style
    assert "@import" not in style


def test_equal_reports_give_equal_bytes(tmp_path: Path, made: str) -> None:
    assert _written(tmp_path, table=complete()) == made
    code = (
        "import sys; from pathlib import Path; from page_reports import complete; "
        "from tabsyn_core.evaluation.page import write_page; write_page(Path(sys.argv[1]), {'table': complete()})"
    )
    other = tmp_path / "other.html"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", code, other], check=True, env=environment)
    assert other.read_text(encoding="utf-8") == made


def test_a_page_of_217_columns_is_small_and_soon_written(tmp_path: Path) -> None:
    report = complete(217)
    write_page(tmp_path / "warm.html", {"table": bare()})
    start = time.perf_counter()
    write_page(tmp_path / "report.html", {"table": report})
    assert time.perf_counter() - start < 10
    assert (tmp_path / "report.html").stat().st_size < 8e6


@pytest.mark.parametrize("report", [bare(), complete()], ids=["bare", "complete"])
def test_every_section_begins_with_a_sentence_and_ends_with_its_sources(report: Report, tmp_path: Path) -> None:
    text = _written(tmp_path, table=report)
    said = leads(report)
    for dimension in DIMENSIONS:
        if dimension == "chemistry" and report.chemistry is None:
            continue  # a line below the verdict
        section = _between(text, f'<section id="{dimension}"', "</section>")
        paragraphs = section.split("<p ")[1:]
        assert paragraphs[0].startswith('class="lead">')
        assert _escaped(said[dimension]) in paragraphs[0]
        assert paragraphs[-1].startswith('class="method"><b>Method and source.</b>')


def test_an_absent_part_says_why(tmp_path: Path) -> None:
    words = {"utility": "No target was named.", "pairs": "There is one column only.", "verdict": "Nobody judged."}
    text = _written(tmp_path, table=replace(bare(), absent=words))
    assert all(each in text for each in words.values())
    words = {
        "pairs.combinations": "No categories here.",
        "whole.energy": "Too few for energy.",
        "whole.projections.t-SNE": "too few for neighbours",
        "privacy.attacks": "No Eve.",
    }
    report = complete()
    report = replace(
        report,
        pairs=replace(report.pairs, combinations=()),
        whole=replace(report.whole, energy=None),
        privacy=replace(report.privacy, attacks=()),
        absent=words,
    )
    text = _written(tmp_path, table=report)
    assert all(each in text for each in words.values())


def test_reasons_stand_where_numbers_are_missing(made: str) -> None:
    for why in ("it was not asked for", "there are too few rows", "the target is constant"):
        assert why in made


def test_lights_are_told_in_words_and_shapes(made: str) -> None:
    verdict = _between(made, '<section id="verdict"', "</section>")
    shapes = set()
    for light, word in (("green", "good"), ("amber", "fair"), ("red", "poor"), ("grey", "not judged")):
        shape, said = _between(verdict, f'<span class="light {light}">', "</span>").split("</svg>")
        assert said.strip() == word
        shapes.add(shape)
    assert len(shapes) == 4


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    report = complete()
    columns = (replace(report.columns[0], column=evil), *report.columns[1:])
    densities = (replace(report.densities[0], column=evil), *report.densities[1:])
    text = _written(tmp_path, **{evil: replace(report, title=evil, columns=columns, densities=densities)})
    assert evil not in text
    assert Page(text).data()["reports"][0]["columns"][0]["column"] == evil


def test_several_tables_stand_side_by_side(compared: str) -> None:
    table = _between(compared, '<table class="comparison">', "</table>")
    for word in ("first", "second", "0.123", "0.568", "Fidelity", "Privacy"):
        assert word in table
    assert compared.count('<article class="report"') == 2
    assert 'id="choice"' in compared


def test_one_table_is_not_compared(made: str) -> None:
    assert 'class="comparison"' not in made
    assert 'id="choice"' not in made


def test_a_figure_that_one_table_lacks_is_a_dash(tmp_path: Path) -> None:
    line = Line(
        dimension="fidelity", light="green", sentence="Good.", figures=(Reading(name="Only here", synthetic=0.25),)
    )
    text = _written(tmp_path, one=replace(bare(), verdict=(line,)), two=bare())
    row = _between(_between(text, '<table class="comparison">', "</table>"), "Only here", "</tr>")
    assert "0.250" in row
    assert "–" in row


def test_no_report_and_an_unwritable_place_are_told(tmp_path: Path) -> None:
    with pytest.raises(TabsynError, match="no report to write"):
        write_page(tmp_path / "report.html", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(TabsynError, match="cannot write"):
        write_page(tmp_path / "file" / "report.html", {"table": bare()})


def test_the_lead_counts_the_columns_that_are_off() -> None:
    columns = [Column(column=f"c{place}", kind="numeric", error=0.01, floor=0.01) for place in range(4)]
    report = replace(bare(), columns=tuple(columns))
    assert leads(report)["fidelity"].startswith("All 4 columns are distributed like the real ones")
    columns[2] = replace(columns[2], error=0.4, floor=0.1)
    columns[3] = replace(columns[3], error=0.35, floor=0.0)
    said = leads(replace(bare(), columns=tuple(columns)))["fidelity"]
    assert said.startswith("2 of 4 columns are as near to the training rows as held-out rows are")
    assert "Farthest off is c3, at a Kolmogorov–Smirnov distance of 0.350" in said  # 0.4 is only 0.3 above its floor


@pytest.mark.parametrize(
    ("auc", "words"),
    [(0.52, "can hardly tell"), (0.7, "can often tell"), (0.9, "can mostly tell"), (0.99, "can nearly always tell")],
)
def test_the_lead_says_how_well_trees_tell_rows_apart(auc: float, words: str) -> None:
    whole = Whole(detectors=(Detector(classifier="lightgbm", auc=auc, floor=0.5, factorised=1.0),))
    said = leads(replace(bare(), whole=whole))["structure"]
    assert said.startswith(f"Boosted trees {words}")
    assert number(auc) in said


def test_the_lead_compares_the_same_model_on_the_same_rows() -> None:
    def score(model: str, training: str, value: float | None, test: str = "held-out") -> Score:
        return Score(target="y", model=model, training=training, test=test, score="R²", value=value)

    scores = (
        score("A", "synthetic", 0.1),
        score("A", "real", None),
        score("B", "real", 0.9, test="synthetic"),
        score("B", "synthetic", 0.3),
        score("B", "real", 0.8),
    )
    said = leads(replace(bare(), utility=Utility(scores=scores)))["utility"]
    assert said == (
        "y is predicted with R² 0.300 after training on synthetic rows, and with 0.800 after training on real ones (B)."
    )


def test_scores_of_one_kind_are_drawn_and_all_are_listed(tmp_path: Path) -> None:
    def score(target: str, kind: str, value: float) -> Score:
        return Score(target=target, model="ridge", training="real", test="held-out", score=kind, value=value)

    scores = (score("y", "MAE", 12.5), score("y", "R2", 0.5), score("z", "AUPRC", 0.7), score("z", "AUROC", 0.9))
    report = replace(bare(), utility=Utility(scores=(*scores, score("q", "MAE", 3.5))))
    drawn = [(each["target"], each["score"], each["model"]) for each in payload(report)["scores"]]
    assert drawn == [(*each, "ridge regression") for each in (("y", "R2"), ("z", "AUROC"), ("q", "MAE"))]
    text = _written(tmp_path, table=report)
    assert all(shown in text for shown in ("12.500", "0.700", "3.500", "R²"))


def test_the_lead_of_chemistry_counts_lawful_rows() -> None:
    said = leads(complete())["chemistry"]
    assert said.startswith(
        "25.0 % of the synthetic rows satisfy every rule of chemistry that was asked; 100.0 % of the held-out"
    )
    assert said.endswith("The rule broken most is rings, by 675 rows.")
    unknown = Chemistry(lawful=Reading(name="", synthetic=None, why="no rule speaks of these columns"))
    assert leads(replace(bare(), chemistry=unknown))["chemistry"] == "Not judged: no rule speaks of these columns."


def test_molecules_have_a_section_of_their_own_where_rows_have_smiles(made: str, tmp_path: Path) -> None:
    section = _between(made, '<section id="molecules"', "</section>")
    assert '<a href="#molecules">Molecules</a>' in made
    assert section.count("<img") == 1  # the neighbour has no drawing
    assert all(words in section for words in ("row 3", "training row 11", "46.070", "red", "blue", "CCN", "0.25"))
    assert _escaped(molecules_lead(complete())) in section
    assert section.rindex("<b>Method and source.</b>") > section.rindex("</ul>")
    assert "molecules" not in _between(_written(tmp_path, table=bare()), "<nav", "</nav>").lower()
    told = _written(tmp_path, table=replace(bare(), absent={"molecules": "The hold-out has no column 'smiles'."}))
    assert _escaped("The hold-out has no column 'smiles'.") in told


@pytest.mark.parametrize(
    ("near", "floor", "words"),
    [
        (0.5, 0.45, "held-out molecules one of 0.450: the synthetic ones are more similar to training molecules than"),
        (0.4, 0.45, "the synthetic ones are no more similar to training molecules than unseen molecules are."),
        (0.4, None, "a Tanimoto similarity of 0.400 to the nearest one."),
        (None, None, "98.0 % of these are no training molecule."),
    ],
)
def test_the_lead_of_molecules_compares_their_similarity(near: float, floor: float, words: str) -> None:
    report = complete()
    valid, new, _ = report.molecules.figures
    figures = (valid, new, Reading(name="SNN: mean", synthetic=near, floor=floor))
    said = molecules_lead(replace(report, molecules=replace(report.molecules, figures=figures)))
    assert said.startswith("99.0 % of the synthetic rows have a SMILES that is a molecule, and 98.0 % of these")
    assert words in said
    assert molecules_lead(bare()) == ""


def test_correlations_are_packed_as_the_upper_triangle_in_hundredths() -> None:
    report = complete(4)
    rows = ((1.0, 0.234, None), (0.234, 1.0, -0.996), (None, -0.996, 1.0))
    pairs = replace(report.pairs, correlations=replace(report.pairs.correlations, columns=("a", "b", "c"), real=rows))
    packed = payload(replace(report, pairs=pairs))["correlations"]
    assert packed["columns"] == ["a", "b", "c"]
    assert np.frombuffer(base64.b64decode(packed["real"]), np.int8).tolist() == [100, 23, -128, 100, -100, 100]


def test_the_data_of_the_page_is_that_of_the_report(made: str) -> None:
    data = Page(made).data()["reports"][0]
    content = complete().to_json()
    assert data["columns"] == content["columns"]
    assert data["densities"]["colour"]["real"] == [0.4, 0.6]
    assert [data["test_names"][each[0]]["test"] for each in data["tests"]["column 3"]] == [
        "Kolmogorov-Smirnov",
        "chi-square",
    ]
    assert data["projections"][0]["source"] == "rsh" * 5


def _escaped(text: str) -> str:
    return str(escape(text))


def test_the_page_rounds_as_the_command_line_does() -> None:
    for value in (0.89846, 0.898495, 0.12345, -0.00149):
        assert number(value) == f"{round(value, 4):.3f}".replace("-", "−")


def test_chemistry_is_a_line_where_no_rule_speaks_of_the_columns(tmp_path: Path) -> None:
    grey = Line(dimension="chemistry", light="grey", sentence="No rule of chemistry speaks of these columns.")
    without = replace(
        complete(), chemistry=None, molecules=None, fixes=(), absent={"chemistry": "Not judged: no rule."}
    )
    text = _written(tmp_path, one=replace(without, verdict=(*without.verdict, grey)))
    assert '<section id="chemistry"' not in text
    assert 'href="#chemistry"' not in text
    assert "Chemistry: Not judged: no rule." in text
    assert '<section id="chemistry"' in _written(tmp_path, one=complete())


def test_warnings_stand_on_top(tmp_path: Path) -> None:
    text = _written(tmp_path, one=replace(complete(), warnings=("The held-out rows are odd.",)))
    assert text.index("The held-out rows are odd.") < text.index('class="lines"')
