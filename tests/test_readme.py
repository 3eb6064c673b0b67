"""The README does what it says: its code blocks run, in order, in a small project that the pipeline has run in."""

import json
import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
import yaml

from tasks.params import load_params

ROOT = Path(__file__).parent.parent
HERE = "tests/test_readme.py"
PAGES = ["README.md", "docs/bring-your-own-table.md"]
_BLOCK = re.compile(
    r"(?:<!-- run by (?P<runner>\S+) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block and the file that the comment above it names as its runner."""

    runner: str | None
    language: str
    code: str


def blocks(page: str = "README.md") -> list[Block]:
    return [Block(**found.groupdict()) for found in _BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))]


def text_after(heading: str) -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def walked(reproduced, tmp_path_factory):
    """A copy of a small project in which the blocks have run, one after the other."""
    root = tmp_path_factory.mktemp("readme") / "project"
    shutil.copytree(reproduced.root, root, symlinks=True)
    (root / ".venv").symlink_to(sys.prefix)
    project = replace(reproduced, root=root, environment={**reproduced.environment, "PYTHONPATH": str(root)})
    for block in [block for page in PAGES for block in blocks(page)]:
        if block.runner == HERE:
            # The model's name is the one thing in which the small project differs from what a reader has.
            code = block.code.replace("admet-tabsyn-solubility", "small")
            project.run(*(["bash", "-euc"] if block.language == "bash" else ["python", "-c"]), code)
    return project


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_a_test_that_runs_it(page):
    for block in blocks(page):
        assert block.language in ("bash", "python", "yaml")
        if block.language != "yaml":
            assert block.runner, f"no <!-- run by … --> above:\n{block.code}"
            assert (ROOT / block.runner).exists(), block.runner


def test_a_command_run_elsewhere_is_really_there():
    for block in blocks():
        if block.runner in (HERE, None) or not block.runner.endswith(".py"):
            continue
        source = "".join((ROOT / path).read_text(encoding="utf-8") for path in (block.runner, "tests/conftest.py"))
        for line in block.code.splitlines():
            program, *words = line.split("#")[0].split()[:3] or [""]
            if program in ("dvc", "mlflow", "prefect") and words[0] != "deployment":  # triggered through the API there
                assert ", ".join(f'"{word}"' for word in words) in source, f"{block.runner} does not run: {line}"


def test_what_a_reader_makes_leaves_git_clean(walked):
    changed = walked.git("status", "--porcelain", "--untracked-files=all").split()[1::2]
    assert [path for path in changed if path != ".venv"] == []  # a link here, a folder that git ignores elsewhere


def test_the_command_line_gives_what_the_readme_says(walked):
    rows = pl.read_csv(walked.root / "out/rows.csv")
    assert rows.height == 500
    assert rows.columns == pl.read_parquet(walked.root / "data/synthetic/synthetic.parquet").columns


def test_the_judgement_of_a_table_has_a_floor(walked):
    judged = json.loads((walked.root / "out/judged/report.json").read_text(encoding="utf-8"))
    (report,) = judged["reports"].values()
    beside = {each["classifier"]: each["floor"] for each in report["whole"]["detectors"]}
    assert beside.keys() == {"lightgbm", "logistic"}
    assert report["rows"]["held_out"] > 0
    assert "<html" in (walked.root / "out/judged/report.html").read_text(encoding="utf-8")


def test_the_champion_is_restored(walked, reproduced):
    kept = "data/processed/train.parquet"
    assert (walked.root / "out/restored" / kept).read_bytes() == (reproduced.root / kept).read_bytes()


def test_the_library_saves_a_generator_without_pickle(walked):
    suffixes = {path.suffix for path in (walked.root / "out/my-generator").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


@pytest.mark.parametrize("page", PAGES)
def test_params_shown_in_the_docs_are_valid(page, tmp_path):
    shown = [yaml.safe_load(block.code) for block in blocks(page) if block.language == "yaml"]
    assert shown, "the page shows how params.yaml is edited"
    for sections in shown:
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for section, values in sections.items():
            params[section] |= values
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        assert load_params(tmp_path / "params.yaml").data.source == params["data"]["source"]


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_files_the_readme_promises_exist_after_a_run(reproduced):
    promised = re.findall(r"`((?:data|reports|models|data_docs)/[\w/.]+)`", text_after("What comes out"))
    assert len(promised) >= 8
    assert [path for path in promised if not (reproduced.root / path).exists()] == []
