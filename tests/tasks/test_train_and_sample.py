import numpy as np
import polars as pl
import pytest

from tabsyn_core.config import ChainConfig, DiffusionConfig, VAEConfig
from tabsyn_core.distributions import fit_table, save_distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator
from tabsyn_core.private.config import PrivacyConfig
from tabsyn_core.schema import TableSchema
from tasks.params import TrainParams
from tasks.sample import sample_rows
from tasks.train import train_generator

PARAMS = TrainParams(
    vae=VAEConfig(num_updates=4, width=4, batch_size=8),
    num_updates=6,
    diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=8),
    chain=ChainConfig(core=None),
    checkpoint_every=2,
)


@pytest.fixture
def project(tmp_path):
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {"MolWt": rng.normal(300, 50, 80), "fr_COO": rng.poisson(0.4, 80), "class": rng.choice(["a", "b"], 80)}
    )
    schema = TableSchema.infer(table)
    names = pl.DataFrame({"smiles": ["C"] * 80, "inchikey": ["K"] * 80})
    pl.concat([names, table], how="horizontal").write_parquet(tmp_path / "train.parquet")
    save_distributions(tmp_path / "distributions.json", schema, fit_table(table, schema, seed=0))
    return tmp_path


def run(project, out="model", progress=lambda _: None, **changes):
    return train_generator(
        project / "train.parquet",
        project / "distributions.json",
        project / out,
        project / f"{out}.csv",
        params=PARAMS.model_copy(update=changes),
        seed=0,
        state=project / "state",
        progress=progress,
    )


def test_a_generator_and_its_curve_are_written(project):
    assert "fitted 80 rows of 3 columns (3 by diffusion) with" in run(project)
    curve = pl.read_csv(project / "model.csv")
    assert set(curve["phase"]) == {"vae", "diffusion", "diffusion validation"}
    assert curve["update"].max() == 6
    assert Generator.load(project / "model").sample(5, num_steps=2).columns == ["MolWt", "fr_COO", "class"]


def test_columns_are_left_to_trees_as_params_say(project):
    assert "(3 by tree) with 0 weights" in run(project, chain=ChainConfig(core=24))
    assert Generator.load(project / "model").sample(5).height == 5


def test_an_interrupted_training_resumes_to_the_same_files(project):
    run(project, "whole")

    def die(progress):
        if progress.phase == "diffusion":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(project, "killed", progress=die)
    assert "resumed from a checkpoint" in run(project, "killed")
    for file in (project / "whole").iterdir():
        assert (project / "killed" / file.name).read_bytes() == file.read_bytes()
    assert (project / "killed.csv").read_bytes() == (project / "whole.csv").read_bytes()
    assert not any((project / "state" / "checkpoints").iterdir())


def test_rows_are_streamed_and_do_not_depend_on_the_chunk_size(project):
    run(project)
    for size in (100, 700):
        out = project / f"{size}.parquet"
        line = sample_rows(project / "model", out, num_rows=700, seed=1, num_steps=2, chunk_size=size)
        assert line == "700 rows of 3 columns"
    one, other = (pl.read_parquet(project / f"{size}.parquet") for size in (100, 700))
    assert one.equals(other)
    assert one.height == 700
    assert one.schema == {"MolWt": pl.Float64, "fr_COO": pl.Int64, "class": pl.String}


def test_no_generator_is_an_error_that_says_what_to_run(project):
    with pytest.raises(TabsynError, match="run the step that makes it"):
        sample_rows(project / "absent", project / "rows.parquet", num_rows=1, seed=0)


def sampled(project, **asked):
    sample_rows(project / "model", project / "rows.parquet", num_rows=90, seed=1, num_steps=2, **asked)
    return pl.read_parquet(project / "rows.parquet")


def test_rows_meet_conditions_and_are_balanced(project):
    run(project)
    rows = sampled(project, where={"class": "b", "MolWt": [290, None]})
    assert rows.height == 90
    assert set(rows["class"]) == {"b"}
    assert rows["MolWt"].min() >= 290
    assert sampled(project, balance="class")["class"].value_counts()["count"].to_list() == [45, 45]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"where": {"clas": "b"}}, "column 'clas' is not in the table; did you mean 'class'"),
        ({"where": {"MolWt": [3, 1]}}, "MolWt.* is empty"),
        ({"balance": "MolWt"}, "no levels to balance"),
    ],
)
def test_conditions_that_cannot_be_met_leave_no_file(project, asked, told):
    run(project)
    with pytest.raises(TabsynError, match=told):
        sampled(project, **asked)
    assert not (project / "rows.parquet").exists()


def test_another_front_end_does_not_take_the_families(project):
    run(project, "ours")
    run(project, "peer", front_end="gaussian")
    ours, peer = (Generator.load(project / name).distributions["MolWt"] for name in ("ours", "peer"))
    assert peer != ours


def test_a_private_training_leaves_out_what_is_not_accounted_for_and_says_so(project):
    pytest.importorskip("opacus")
    said = run(project, privacy=PrivacyConfig(epsilon=3.0, delta=1e-3), time_limit_seconds=60.0)
    assert "privately (epsilon" in said
    assert "checkpoints and the time limit were not used" in said
    assert Generator.load(project / "model").privacy.epsilon <= 3.0
    assert not (project / "state").exists()
    assert pl.read_csv(project / "model.csv").height == 0
