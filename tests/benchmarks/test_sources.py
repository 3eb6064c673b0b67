"""What a cell hangs on: the code of its method and of the judge, not that of others."""

import pytest
from cells import Bench, Fold, Step, independent_columns
from methods import METHODS, line
from real_tables import ROOT, load
from sources import digest_of, used_by

OURS_ALONE = {"tabsyn_core/chain.py", "tabsyn_core/row_model.py", "tabsyn_core/generator.py", "tabsyn_core/config.py"}


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


def test_a_cell_is_known_while_its_own_code_is_the_same(tmp_path):
    fold = Fold(load("solubility", tmp_path), 0)

    def step(module):
        return Step("independent", "", {"method": "independent"}, independent_columns, modules=(module,))

    simple, smote = step("tabsyn_core.baselines.simple"), step("tabsyn_core.baselines.smote")
    assert digest_of(simple.modules) != digest_of(smote.modules)
    assert Bench(tmp_path, run=True).cell(fold, simple) is not None
    assert Bench(tmp_path, run=False).cell(fold, simple) is not None
    assert Bench(tmp_path, run=False).cell(fold, smote) is None
