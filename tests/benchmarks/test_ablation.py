"""The ablation's own machinery, with a step that needs no training."""

from dataclasses import replace
from itertools import pairwise

import ablation
import numpy as np
import pages
import polars as pl
import pytest
import real_tables
from cells import Bench, Fold, Step, independent_columns, noisy_bootstrap
from figures import supported

from tabsyn_core.config import GeneratorConfig
from tabsyn_core.errors import TabsynError


@pytest.fixture
def fold():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    rows = pl.DataFrame({"x": x, "twice": 2 * x, "n": rng.poisson(3, 300), "kind": rng.choice(["a", "b"], 300)})
    return Fold(real_tables.RealTable("made", rows, ("n",)), seed=0)


def step(draw, name="a step"):
    return Step(name, "is a test", name, draw)


def test_the_ladder_goes_one_part_at_a_time_up_to_the_product():
    ladder = [each for each in ablation.steps(GeneratorConfig()) if each.name[0].isdigit()]
    assert [each.name.split()[0] for each in ladder] == [str(k) for k in range(1, 11)]
    assert ladder[-1].settings == ablation.generated("", "", GeneratorConfig()).settings
    for one, next_one in pairwise(ladder[:7]):
        assert sum(one.settings[key] != next_one.settings[key] for key in one.settings) == 1, next_one.name


def test_a_cell_is_run_once_and_again_for_another_seed(fold, tmp_path):
    calls = []

    def counted(of, limit):
        calls.append(of.seed)
        return independent_columns(of, limit)

    bench = Bench(tmp_path, run=True)
    first = bench.cell(fold, step(counted))
    assert Bench(tmp_path, run=False).cell(fold, step(counted)) == first
    assert bench.cell(fold, step(counted)) == first
    bench.cell(replace(fold, seed=1), step(counted))
    assert calls == [0, 1]
    assert first["rows"] == {"training": 240, "held_out": 60, "synthetic": 240}
    assert first["figures"]["c2st_trees"] > 0.8
    assert first["figures"]["identities"] < 0.1 < first["floor"]["identities"]
    assert first["figures"]["supports"] == 1
    assert first["figures"]["rules"] is None


def test_what_is_not_in_the_cache_is_not_run_when_only_asked_for(fold, tmp_path):
    assert Bench(tmp_path, run=False).cell(fold, step(independent_columns)) is None


def test_a_cell_that_fails_says_why_and_does_not_stop_the_others(fold, tmp_path, capsys):
    def fails(_, __):
        raise ValueError("no luck")

    lines = [step(fails, "poor"), step(independent_columns, "fair")]
    cells = ablation.run(Bench(tmp_path, run=True), [fold], lines)
    assert [cell.get("error") for cell in cells] == ["ValueError: no luck", None]
    assert "poor: FAILED, ValueError: no luck" in capsys.readouterr().out
    page = ablation.ablation_page(cells, [fold.real], lines, ["table 'x' is skipped"])
    assert "- poor, seed 0: ValueError: no luck" in page
    assert "_table 'x' is skipped_" in page
    figures = cells[1]["figures"]
    assert f"| fair | 0 | 0 | {figures['c2st_trees']:.3f} |" in page
    assert f"| **floor: real hold-out** | – | – | {cells[1]['floor']['c2st_trees']:.3f} |" in page
    mended = Bench(tmp_path, run=True).cell(fold, step(independent_columns, "poor"))
    assert "error" not in mended  # what failed is tried again


def test_a_step_limited_by_the_ladder_gets_its_longest_fit_and_waits_for_it(fold, tmp_path, capsys):
    limits = []

    def slow(of, _):
        return replace(independent_columns(of, None), fit_seconds=7.0)

    def limited(of, limit):
        limits.append(limit)
        return independent_columns(of, limit)

    last = replace(step(limited, "published"), limited=True, beside=True)
    bench = Bench(tmp_path, run=True)
    assert ablation.run(bench, [fold], [last]) == []
    assert "published: skipped, it gets the seconds of the ladder's longest fit" in capsys.readouterr().out
    ablation.run(bench, [fold], [step(slow, "slow"), last])
    assert limits == [7.0]


def test_a_mean_stands_with_its_spread():
    column = pages.Column("shape", lambda cell: cell.get("value"), 2)
    assert column.over([{"value": 1.0}, {"value": 2.0}, {}]) == "1.50 ± 0.71"
    assert column.over([{"value": 0.5}]) == "0.50"
    assert column.over([{}]) == "–"


def test_rows_outside_the_supports_are_found(fold):
    good = fold.train.head(4)
    assert supported(fold, good).all()
    poor = good.with_columns(
        n=pl.Series([-1, 0, 1, 2], dtype=pl.Int64),
        kind=pl.Series(["a", "c", "b", "b"]),
        x=pl.Series([0.0, 0.0, None, 0.0]),
    )
    assert supported(fold, poor).to_list() == [False, False, False, True]


def test_a_noisy_bootstrap_stays_near_its_rows(fold):
    rows = noisy_bootstrap(fold, None).rows
    assert rows.schema == fold.train.schema
    distance = np.abs(rows["x"].to_numpy()[:, None] - fold.train["x"].to_numpy()).min(axis=1)
    assert 0 < distance.max() < 0.06 * fold.train["x"].std()
    assert set(rows["n"]) <= set(fold.train["n"])


def score(c2st, dcr=0.5, mia=0.5):
    return {"c2st_trees": c2st, "dcr": dcr, "mia": mia}


COPIED = {"copied": score(0.5, dcr=0.9), "remembered": score(0.5, mia=0.95)}
SCORES = {
    "first": {"low": score(0.9), "high": score(0.6), **COPIED},
    "second": {"low": score(0.9), "high": score(0.7), **COPIED},
    "third": {"low": score(0.55), "high": score(0.95), **COPIED},
}


def test_a_default_is_chosen_by_the_other_tables_and_copying_costs():
    assert ablation.best_value(SCORES, ["first", "second"]) == "high"
    assert ablation.best_value(SCORES, ["third"]) == "low"
    sweep = ablation.Sweep("some.setting", dict.fromkeys(SCORES["first"]))
    section = ablation.sweep_section(sweep, SCORES)
    figures = "0.550 / 0.500 / 0.500 | 0.950 / 0.500 / 0.500 | 0.500 / 0.900 / 0.500 | 0.500 / 0.500 / 0.950"
    assert f"| third | {figures} | high | 0.950 | low |" in section


def test_a_setting_is_read_with_its_values():
    sweep = ablation.Sweep.parse("chain.core=0,none", GeneratorConfig())
    assert [each.settings["chain"]["core"] for each in sweep.steps.values()] == [0, None]
    with pytest.raises(TabsynError, match="chain__kore"):
        ablation.Sweep.parse("chain.kore=1", GeneratorConfig())
    with pytest.raises(TabsynError, match=r"chain\.core cannot be 'low'"):
        ablation.Sweep.parse("chain.core=low", GeneratorConfig())


def test_comments_and_docstrings_do_not_count_as_code(tmp_path):
    file = tmp_path / "part.py"
    file.write_text("def f(x):\n    return x\n")
    before = real_tables.code_digest(tmp_path)
    file.write_text('def f(x):\n    """Gives x back."""\n\n    return x  # nothing else\n')
    assert real_tables.code_digest(tmp_path) == before
    file.write_text("def f(x):\n    return x + 1\n")
    assert real_tables.code_digest(tmp_path) != before


def test_an_unknown_table_is_told_from_an_absent_one(tmp_path, monkeypatch):
    with pytest.raises(TabsynError, match="there is no table 'solubilty'; there are solubility"):
        real_tables.load("solubilty", tmp_path)
    monkeypatch.setitem(vars(real_tables)["_LOADERS"], "biogen", (tmp_path / "absent.csv", None))
    with pytest.raises(real_tables.AbsentError, match=r"'biogen' is skipped: absent.csv is absent"):
        real_tables.load("biogen", tmp_path)
