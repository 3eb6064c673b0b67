"""What a cell hangs on: the code of its method and of the judge, not that of others."""

import numpy as np
import polars as pl
import pytest
from cells import Bench, Fold, Step, independent_columns
from methods import METHODS, line
from real_tables import ROOT, RealTable
from sources import digest_of, used_by

OURS_ALONE = {f"tabsyn_core/{name}.py" for name in ("chain/chain", "row_model", "generator", "config")}


@pytest.fixture(scope="module")
def fold():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    return Fold(RealTable("made", pl.DataFrame({"x": x, "y": x + rng.normal(size=300)}), ("y",)), 0)


def files(name):
    return {str(file.relative_to(ROOT)) for file in used_by(line(name, 45.0).modules)}


@pytest.mark.parametrize("name", METHODS)
def test_what_is_ours_alone_counts_for_ours_and_for_the_preset_built_on_it(name):
    found = files(name)
    assert "tabsyn_core/schema.py" in found
    assert not {file for file in found if "/evaluation/" in file or "/molecules/" in file}
    assert (found >= OURS_ALONE) if name in ("ours", "tabsyn") else found.isdisjoint(OURS_ALONE)


def test_imports_within_functions_packages_that_hand_on_and_runners_are_followed():
    assert "tabsyn_core/private/accounting.py" in files("ctab-gan+")
    assert "tabsyn_core/diffusion/sampler.py" in files("ours")
    assert "tabsyn_core/diffusion/sampler.py" not in files("tabddpm")
    assert "tabsyn_core/baselines/runner.py" in files("forest-diffusion")
    assert "tabsyn_core/baselines/ctabgan/networks.py" in files("ctab-gan")


def test_the_judge_hangs_on_no_generator():
    judge = {str(file.relative_to(ROOT)) for file in used_by(["figures"])}
    assert {"benchmarks/figures.py", "benchmarks/bank.py", "tabsyn_core/evaluation/detection.py"} <= judge
    assert judge.isdisjoint(OURS_ALONE)


def test_a_cell_is_known_while_its_own_code_is_the_same(fold, tmp_path):

    def step(module):
        return Step("independent", "", {"method": "independent"}, independent_columns, modules=(module,))

    simple, smote = step("tabsyn_core.baselines.simple"), step("tabsyn_core.baselines.smote")
    assert digest_of(simple.modules) != digest_of(smote.modules)
    assert Bench(tmp_path, run=True).cell(fold, simple) is not None
    assert Bench(tmp_path, run=False).cell(fold, simple) is not None
    assert Bench(tmp_path, run=False).cell(fold, smote) is None


def test_rows_of_other_code_are_judged_anew_where_they_will_do_and_are_told_from_todays(fold, tmp_path):
    calls = []

    def step(module):
        def draw(fold, limit):
            calls.append(module)
            return independent_columns(fold, limit)

        return Step("independent", "", {"method": "independent"}, draw, modules=(f"tabsyn_core.baselines.{module}",))

    old, new = step("simple"), step("smote")
    first = Bench(tmp_path, run=True).cell(fold, old)
    stale = Bench(tmp_path, run=True, stale=True)
    taken = stale.cell(fold, new)
    assert taken["stale"]
    assert taken["figures"] == first["figures"]
    assert calls == ["simple"]
    assert Bench(tmp_path, run=False, stale=True).cell(fold, new) == taken
    assert Bench(tmp_path, run=False).cell(fold, new) is None
    todays = Bench(tmp_path, run=True).cell(fold, new)
    assert "stale" not in todays
    assert calls == ["simple", "smote"]
    assert stale.cell(fold, new) == todays
    assert calls == ["simple", "smote"]


def test_other_rows_to_learn_from_make_another_cell(fold, tmp_path, monkeypatch):
    step = Step("independent", "", {"method": "independent"}, independent_columns, modules=())
    first = Bench(tmp_path, run=True).cell(fold, step)
    assert first["origin"].keys() == {"machine", "versions", "commit"}
    monkeypatch.setattr("real_tables.HELD_OUT", 0.4)
    other = Fold(fold.real, fold.seed)
    assert Bench(tmp_path, run=False, stale=True).cell(other, step) is None
    assert Bench(tmp_path, run=True).cell(other, step)["rows"] != first["rows"]


def test_figures_of_other_code_are_shown_where_nothing_is_to_run_and_told_from_todays(fold, tmp_path):
    def step(module):
        modules = (f"tabsyn_core.baselines.{module}",)
        return Step("independent", "", {"method": "independent"}, independent_columns, modules=modules)

    first = Bench(tmp_path / "cache", run=True, results=tmp_path / "results").cell(fold, step("simple"))
    elsewhere = Bench(tmp_path / "empty", run=False, results=tmp_path / "results", stale=True)
    assert elsewhere.cell(fold, step("simple")) == first
    assert elsewhere.cell(fold, step("smote")) == first | {"stale": True}


def test_the_text_of_a_script_counts():
    steps = [Step("", "", {}, independent_columns, modules=(), script=script) for script in ("methods.py", "ranks.py")]
    assert steps[0].code != steps[1].code
