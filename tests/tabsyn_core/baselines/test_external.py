import pytest
from known import check_rows, dependence, known_table, schema_of

from tabsyn_core.baselines import BASELINES
from tabsyn_core.baselines.external import ForestDiffusion, TabularARGN, environment, environment_folder
from tabsyn_core.errors import TabsynError

SMALL = {  # TabularARGN stops early before it has learned anything from 400 rows
    "tabular-argn": (TabularARGN, 4000, {}),
    "forest-diffusion": (ForestDiffusion, 200, {"levels": 10, "copies": 10}),
}


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_in_its_own_environment_and_gives_rows_back_as_they_were(name):
    kind, size, settings = SMALL[name]
    if not (environment_folder(kind.named, kind.requirements, kind.unwanted) / "ready").exists():
        pytest.skip(f"the environment of {name} is not built: BASELINES['{name}']().prepare()")
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
