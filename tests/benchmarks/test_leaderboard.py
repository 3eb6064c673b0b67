"""The leaderboard's own machinery: real processes for methods, pages from a few cells."""

import json
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace

import board
import command
import leaderboard
import methods
import numpy as np
import polars as pl
import psutil
import pytest
import real_tables
from bank import bank_figures
from cells import Bench, Fold, Step, independent_columns, noisy_bootstrap
from pictures import rank_diagram
from ranks import statistics_of

from tabsyn_core.errors import TabsynError


@pytest.fixture(scope="module")
def real():
    rng = np.random.default_rng(0)
    amount = rng.lognormal(3, 1, 300)
    kind = rng.choice(["in", "out"], 300)
    rows = pl.DataFrame(
        {
            "amount": amount,
            "balance": 5 * amount + rng.normal(0, 5, 300),
            "kind": kind,
            "label": np.where(rng.random(300) < 0.1, rng.choice(["a", "b"], 300), np.where(kind == "in", "a", "b")),
        }
    )
    return real_tables.RealTable("made", rows, ("label",), pair=("amount", "balance"))


def step(name, draw, seconds=60.0):
    return Step(name, "is a test", {"method": name, "seconds": seconds}, draw)


@pytest.fixture(scope="module")
def cells(real, tmp_path_factory):
    """Two tables, two seeds, three methods; one fails on one of the tables. Figures of a few cells, shifted."""
    draws = {"ours": noisy_bootstrap, "factorised": independent_columns}
    bench = Bench(tmp_path_factory.mktemp("cache"), run=True)
    known = {}
    for name, draw in draws.items():
        known[name] = bench.cell(Fold(real, 0), step(name, draw))
        known[name]["more"] = {"peak_mib": 100.0, "rows_a_second": 1000.0}
    known["factorised"]["more"] |= {"epochs": 30, "published epochs": 300}
    found = []
    for table in ("made", "other"):
        for seed in (0, 1):
            for name in draws:
                cell = deepcopy(known[name]) | {"table": table, "seed": seed}
                cell["figures"]["shape"] += 0.01 * seed
                found.append(cell)
            settings = {"method": "smote", "seconds": 60.0}
            error = {"error": "no neighbours"} if table == "other" else {}
            found.append(
                {**deepcopy(known["ours"]), **error, "settings": settings, "fit_seconds": 100.0}
                | {"table": table, "seed": seed, "step": "smote"}
            )
    published = deepcopy(known["factorised"])
    published |= {"step": "factorised as published", "settings": {"method": "factorised", "seconds": None}}
    return [*found, published]


def test_a_budget_a_published_recipe_or_both():
    both = leaderboard.lines(["bootstrap", "ctgan"], 60.0, published=True)
    assert [line.name for line in both] == ["bootstrap", "ctgan", "ctgan as published"]
    assert [line.settings["seconds"] for line in both] == [60.0, 60.0, None]
    assert [line.name for line in leaderboard.lines(["bootstrap", "ctgan"], 60.0, published=False)] == [
        "bootstrap",
        "ctgan",
    ]
    assert [line.name for line in leaderboard.lines(["ctgan", "ours"], None, published=False)] == [
        "ours",
        "ctgan as published",
    ]
    with pytest.raises(TabsynError, match=r"no method 'ctgann' \(benchmark.methods\): there are ours, bootstrap"):
        leaderboard.lines(["ctgann"], 60.0, published=False)


def test_every_method_of_params_yaml_is_one():
    params = leaderboard.load_params(real_tables.ROOT / leaderboard.PARAMS).benchmark
    assert set(params.methods) == set(methods.METHODS)
    assert set(params.tables) <= set(real_tables.names())
    assert set(methods.RECIPES) < set(methods.METHODS)


def test_a_method_runs_in_a_process_of_its_own_and_a_failing_one_says_why(real, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    steps = leaderboard.lines(["forest-diffusion", "bootstrap"], 60.0, published=False)
    bench = Bench(tmp_path, run=True, results=tmp_path / "results")
    fold = Fold(real, 0)
    poor, fair = leaderboard.run(bench, [fold], steps)
    assert poor["error"].startswith("its environment is not built")
    assert "forest-diffusion: FAILED, its environment is not built" in capsys.readouterr().out
    assert fair["figures"]["copies"] == 1
    assert 30 < fair["more"]["peak_mib"] < 400, "the method's memory, not that of the benchmark"
    assert fair["more"]["rows_a_second"] > 0
    assert len([*(tmp_path / "results").iterdir()]) == 2
    again = leaderboard.run(Bench(tmp_path / "elsewhere", run=False, results=tmp_path / "results"), [fold], steps)
    assert again == [poor, fair]
    assert not (tmp_path / "elsewhere").exists()


KILLED = """
import sys
from pathlib import Path
import leaderboard, polars as pl, real_tables
from cells import Bench, Fold
folder = Path(sys.argv[1])
real = real_tables.RealTable("made", pl.read_parquet(folder / "rows.parquet"), ("label",))
steps = leaderboard.lines(["bootstrap", "wgan-gp"], 3600.0, published=False)
leaderboard.run(Bench(folder, run=True, results=folder / "results"), [Fold(real, 0)], steps)
"""


def test_a_run_that_is_killed_goes_on_where_it_was_and_leaves_no_method_behind(real, tmp_path):
    real.rows.write_parquet(tmp_path / "rows.parquet")
    (tmp_path / "results").mkdir()
    there = str(real_tables.ROOT / "benchmarks")
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=there) as killed:
        try:
            assert _wait(lambda: [*(tmp_path / "results").glob("*.json")])
            assert _wait(lambda: psutil.Process(killed.pid).children()), "the second method has begun"
            (method,) = psutil.Process(killed.pid).children()
        finally:
            killed.kill()
    assert _wait(lambda: not method.is_running() or method.status() == psutil.STATUS_ZOMBIE)
    (known,) = (tmp_path / "results").iterdir()
    before = known.read_bytes(), known.stat().st_mtime_ns
    bench = Bench(tmp_path, run=True, results=tmp_path / "results")
    (cell,) = leaderboard.run(bench, [Fold(real, 0)], leaderboard.lines(["bootstrap"], 3600.0, published=False))
    assert cell["figures"]["copies"] == 1
    assert (known.read_bytes(), known.stat().st_mtime_ns) == before


def _wait(happened):
    end = time.monotonic() + 120
    while not (so := happened()) and time.monotonic() < end:
        time.sleep(0.1)
    return so


def test_a_method_that_does_not_end_is_stopped(real, monkeypatch):
    monkeypatch.setattr(methods, "_GRACE", 0.0)
    with pytest.raises(methods.TabsynError, match=r"stopped after 0 s, its budget was 0 s"):
        methods.line("bootstrap", 0.01).draw(Fold(real, 0), None)


def test_a_gan_with_a_classifier_is_told_what_to_classify(real):
    drawn = methods.line("ctab-gan+", 2.0, batch_size=100).draw(Fold(real, 0), None)
    assert drawn.rows["label"].is_in(["a", "b"]).all()
    both = replace(real, targets=("amount", "label"))
    assert methods.aim(Fold(real, 0)) == methods.aim(Fold(both, 0)) == "label", "the category"
    assert methods.aim(Fold(replace(real, targets=("amount",)), 0)) == "amount"
    assert methods.aim(Fold(replace(real, targets=()), 0)) is None


def test_a_cell_of_other_code_is_run_again(real, tmp_path):
    calls = []

    def counted(fold, limit):
        calls.append(fold.seed)
        return independent_columns(fold, limit)

    fold, line = Fold(real, 0), step("counted", counted)
    Bench(tmp_path, run=True).cell(fold, line)
    (file,) = (tmp_path / "cells").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "code": "of yesterday", "fit_seconds": -1}))
    assert Bench(tmp_path, run=False).cell(fold, line) is None
    assert Bench(tmp_path, run=True).cell(fold, line)["fit_seconds"] >= 0
    assert calls == [0], "rows do not depend on how they are judged"


def test_the_page_has_ranks_tables_pairs_and_failures(cells, real):
    page = board.page(cells, [real, replace(real, name="other")], ["table 'x' is skipped"])
    mean_ranks = page[page.index("## Ranks") : page.index("## Where ours is beaten")]
    assert "| ours | " in mean_ranks
    assert "Friedman" in mean_ranks
    assert "- other, seed 0: no neighbours" not in page
    assert "- smote, seed 0: no neighbours" in page[page.index("## other") :]
    assert "_table 'x' is skipped_" in page
    figures = [cell["figures"]["shape"] for cell in cells if (cell["table"], cell["step"]) == ("made", "ours")]
    assert f"{np.mean(figures):.4f} ± {np.std(figures, ddof=1):.4f}" in page
    made = page[page.index("## made") : page.index("## other")]
    assert "| factorised | 0.0 | 0.0 | 10.0 % | 100 | 1000 |" in made
    assert "More than their budget took smote (100 s of 60)." in made
    assert "### Published recipes" in made
    assert "### Published recipes" not in page[page.index("## other") :]
    assert "| Bank | combinations of categories, TVD | rows of unseen combinations | amount × balance, TVD |" in made
    commonest, *_ = [line for line in made.splitlines() if line.startswith("| kind=in, label=a |")]
    training, held_out, ours, factorised = (float(share) for share in commonest.split("|")[2:6])
    real_share = 100 * real.split(0)[0].select((pl.col("kind") == "in") & (pl.col("label") == "a")).to_series().mean()
    assert training == pytest.approx(real_share, abs=0.05)
    assert abs(ours - training) < 8
    assert abs(factorised - training) > 10
    assert 0 < held_out < 100
    pairs = made[made.index("### Pair by pair") :]
    apart = [abs(cell["figures"]["c2st_trees"] - 0.5) for cell in cells[:2]]
    assert f"| factorised | **{apart[1] - apart[0]:+.3f}** |" in pairs


def test_the_page_says_where_ours_is_beaten(cells, real):
    worse = deepcopy(cells)
    for cell in worse:
        if cell["step"] == "ours":
            cell["figures"]["shape"] = 0.9
    page = board.page(worse, [real], [])
    assert "- made, shape: " in page[page.index("## Where ours is beaten") :]
    assert "- other, shape: factorised" in page[page.index("## Where ours is beaten") :]


def test_the_html_page_needs_no_other_file(cells, real):
    content, images = board.page(cells, [real], []), board.pictures(cells, [real])
    assert {*images} == {"leaderboard.svg", "leaderboard-made.svg"}
    page = board.html(content, images)
    assert "<img" not in page
    assert page.count("<svg") == 2
    assert '<tr class="ours">' in page
    assert "<td>no neighbours" not in page
    assert "src=" not in page
    assert "prefers-color-scheme" in page
    assert "color-scheme: light dark" in page


def test_what_a_method_says_cannot_write_html(cells, real):
    poor = {**cells[0], "seed": 7, "step": "smote", "error": "<script>alert(1)</script>"}
    page = board.html(board.page([*cells, poor], [real], []), {})
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_everything_is_written_as_json_too(cells, real, tmp_path):
    written = leaderboard.publish(cells, tmp_path, board.page(cells, [real], []), board.pictures(cells, [real]))
    assert {file.name for file in written} == {file.name for file in tmp_path.iterdir()}
    told = json.loads((tmp_path / "leaderboard.json").read_text(), parse_constant=pytest.fail)
    assert len(told["cells"]) == len(cells)
    assert told["mean_ranks"].keys() == statistics_of(cells[:6])["mean_ranks"].keys()
    assert told["tests"]["C2ST"]["tables"] == 2


def test_of_recipe_is_what_was_trained_of_what_was_published():
    def share(**effort):
        return board.of_recipe({"more": {name.replace("_", " "): value for name, value in effort.items()}})

    assert share(peak_mib=3) is None
    assert share(epochs=30, published_epochs=300) == pytest.approx(0.1)
    assert share(vae_updates=9, published_vae_updates=10, updates=1, published_updates=10) == pytest.approx(0.1)
    forest = {"levels": 10, "published_levels": 50, "copies": 20, "published_copies": 100}
    assert share(**forest) == pytest.approx(0.04)


def test_the_diagram_joins_what_the_critical_difference_does_not_part():
    means = {"ours": 1.0, "near": 1.5, "far": 3.0}
    assert rank_diagram(means, 1.0).count('<line class="clique"') == 1
    assert rank_diagram(means, 0.1).count('<line class="clique"') == 0
    assert 'class="clique"' not in rank_diagram(means, None)
    for name in means:
        assert f">{name} " in rank_diagram(means, 1.0)


def test_bank_figures_are_0_for_the_same_rows_and_grow_with_what_is_lost(real):
    train, holdout = real.split(0)
    same = bank_figures(train, holdout, train, real.pair, 0)
    assert (same["figures"]["unseen"], same["figures"]["density"]) == (0, pytest.approx(0, abs=1e-9))
    assert same["figures"]["combinations"] < 0.1, "drawn down to the size of the held-out rows"
    assert same["floor"]["density"] > 0.02
    mixed = independent_columns(Fold(real, 0), None).rows
    lost = bank_figures(train, holdout, mixed, real.pair, 0)
    assert lost["figures"]["combinations"] > 2 * same["floor"]["combinations"]
    assert lost["figures"]["density"] > 2 * same["floor"]["density"]
    ordered = bank_figures(train.sort("amount"), holdout, train, real.pair, 0)
    assert ordered["figures"]["density"] < same["floor"]["density"], "the order of the rows does not count"
    assert sum(row["real"] for row in lost["counts"]) == train.height
    assert np.max(lost["grids"]["real"]) == 1


def test_bank_transactions_have_the_label_of_what_they_are_for(tmp_path):
    try:
        real = real_tables.load("berka", tmp_path)
    except real_tables.AbsentError as error:
        pytest.skip(str(error))
    assert real.rows.height == 49_102
    assert real.targets == ("k_symbol",)
    assert "none" in set(real.rows["k_symbol"])
    assert "" not in set(real.rows["k_symbol"])
    assert not {"trans_id", "account_id", "account"} & set(real.rows.columns)
    assert real.rows["month"].n_unique() == 15
    assert real.rows["day"].is_between(1, 31).all()


PROGRAM = [sys.executable, "benchmarks/leaderboard.py"]


def program(*arguments, folder):
    """The program with folders of its own; its exit code and all that it says."""
    folders = ["--out", str(folder / "out"), "--results", str(folder / "results"), "--cache", str(folder / "cache")]
    done = subprocess.run(
        [*PROGRAM, *arguments, *folders], cwd=real_tables.ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "-3"], "argument --seconds: -3 is no budget: give more than 0"),
        (["--seeds", "-1"], "argument --seeds: -1 is no seed"),
        (["--plan"], "--plan and --cell need --json FILE"),
        (["--tables", "solubilty"], "there is no table 'solubilty'; there are solubility,"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_no_page(tmp_path, arguments, said):
    code, words = program(*arguments, folder=tmp_path)
    assert code != 0
    assert said in words
    assert "Traceback" not in words
    assert not (tmp_path / "out").exists()


def test_without_cells_there_is_no_page_and_those_of_other_seconds_are_named(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"table": "adult", "settings": {"seconds": 5.0}}))
    with pytest.raises(TabsynError, match=r"no page is written; .* has adult with 5\.0 seconds: name those"):
        command.some([], lambda: leaderboard.known(tmp_path))


def test_what_was_stopped_says_that_it_goes_on(capsys):
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="130"):
        command.ending(stopped)
    assert "finished cells are kept" in capsys.readouterr().err
