import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest
from known import check_rows, dependence, known_table, schema_of

from tabsyn_core.baselines import BASELINES, external
from tabsyn_core.baselines.external import ForestDiffusion, environment, environment_folder
from tabsyn_core.errors import TabsynError

SMALL = {  # TabularARGN stops early before it has learned anything from 400 rows
    "tabular-argn": (4000, {}),
    "forest-diffusion": (200, {"levels": 10, "copies": 10}),
}


def needs_environment(name):
    if not BASELINES[name]().prepared:
        pytest.skip(f"the environment of {name} is not built: BASELINES['{name}']().prepare()")


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_in_its_own_environment_and_gives_rows_back_as_they_were(name):
    size, settings = SMALL[name]
    needs_environment(name)
    table = known_table(size)
    baseline = BASELINES[name](threads=1, **settings).fit(table, schema_of(table), seed=0)
    rows = baseline.sample(400, seed=1)
    check_rows(rows, table)
    correlation, between, gaps = dependence(rows)
    assert correlation > 0.6
    assert between > 0.3
    assert gaps > 0.8
    assert rows.equals(baseline.sample(400, seed=1))
    assert not rows.equals(baseline.sample(400, seed=2))
    assert all(value > 0 for value in baseline.effort.values())


@pytest.mark.parametrize("name", SMALL)
def test_a_fit_is_reproducible_by_its_seed(name):
    needs_environment(name)
    table, settings = known_table(150), {"levels": 2, "copies": 1, "trees": 5} if name == "forest-diffusion" else {}
    fits = [BASELINES[name](threads=1, **settings).fit(table, schema_of(table), seed=seed) for seed in (5, 5, 6)]
    first, second, other = (fit.sample(30, seed=1) for fit in fits)
    assert first.equals(second)
    assert not first.equals(other)


@pytest.mark.parametrize("name", SMALL)
def test_a_budget_ends_a_fit_of_a_wide_table(name):
    needs_environment(name)
    rng = np.random.default_rng(0)
    table = pl.DataFrame(rng.normal(size=(300, 60)).cumsum(axis=1), schema=[f"column {k}" for k in range(60)])
    start = time.monotonic()
    baseline = BASELINES[name](threads=1).fit(table, schema_of(table), seed=0, seconds=8)
    assert time.monotonic() - start < 60, "a fit as published takes many minutes"
    assert baseline.sample(20, seed=1).schema == table.schema
    made = {what: value for what, value in baseline.effort.items() if f"published {what}" in baseline.effort}
    assert made
    assert all(0 <= value <= baseline.effort[f"published {what}"] for what, value in made.items())
    assert any(value < baseline.effort[f"published {what}"] for what, value in made.items())


def test_an_environment_that_is_not_built_is_not_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not BASELINES["forest-diffusion"]().prepared
    folder = environment_folder(ForestDiffusion.named, ForestDiffusion.requirements)
    folder.mkdir(parents=True)
    (folder / "ready").touch()
    assert BASELINES["forest-diffusion"]().prepared
    assert BASELINES["bootstrap"]().prepared


def test_a_runner_is_not_told_what_is_secret(tmp_path, monkeypatch):
    echo = tmp_path / "echo.py"
    echo.write_text("import json, os\ninput()\nprint(json.dumps(dict(os.environ)))\n")
    monkeypatch.setattr(external, "_RUNNER", echo)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    told = external.RivalProcess(Path(sys.executable), "echo", 1).ask({})
    assert "MLFLOW_TRACKING_PASSWORD" not in told
    assert told["DO_NOT_TRACK"] == "1"
    assert told["PATH"] == os.environ["PATH"]


def test_a_runner_does_not_outlive_the_process_that_asked_it():
    ask = (
        "import os, subprocess, sys; from tabsyn_core.baselines.external import _RUNNER;"
        "command = [sys.executable, str(_RUNNER), 'forest-diffusion', str(os.getpid())];"
        "runner = subprocess.Popen(command, stdin=sys.stdin);"
        "print(runner.pid, flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        runner = psutil.Process(int(parent.stdout.readline()))
        _wait(lambda: runner.num_threads() > 1)  # its imports have begun
        parent.kill()
        assert _wait(lambda: not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE), "its stdin is open"


def _wait(happened):
    end = time.monotonic() + 60
    while not (is_so := happened()) and time.monotonic() < end:
        time.sleep(0.1)
    return is_so


def test_packages_that_cannot_be_installed_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(TabsynError, match=r"rival needs \./no-such-package, which pip could not install"):
        environment("rival", ("./no-such-package",))
    assert not (environment_folder("rival", ("./no-such-package",)) / "ready").exists()


def test_the_last_words_of_a_process_that_dies_are_handed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = environment_folder(ForestDiffusion.named, ForestDiffusion.requirements)
    (folder / "bin").mkdir(parents=True)
    (folder / "ready").touch()
    python = folder / "bin" / "python"
    python.write_text("#!/bin/sh\necho 'ImportError: no module of this kind' >&2\nexit 1\n")
    python.chmod(0o755)
    table = known_table(20)
    with pytest.raises(TabsynError, match="forest-diffusion ended in its own environment: ImportError: no module"):
        BASELINES["forest-diffusion"]().fit(table, schema_of(table), seed=0)
