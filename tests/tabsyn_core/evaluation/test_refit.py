"""Cross-validation with the generator fitted inside each fold, as ``admet-tabsyn evaluate --refit`` does it."""

import json

import numpy as np
import polars as pl
from typer.testing import CliRunner

from admet_tabsyn.cli import app
from tabsyn_core.evaluation import judge


def rows(count, seed):
    x = np.random.default_rng(seed).normal(size=(count, 2))
    return pl.DataFrame({"a": x[:, 0], "y": x[:, 0] + 0.3 * x[:, 1]})


def splits(report):
    return {test["split"] for test in report["utility"]["tests"]}


def test_the_command_fits_our_generator_inside_every_fold(tmp_path):
    for name, count, seed in (("real", 40, 0), ("holdout", 30, 1), ("synthetic", 50, 2)):
        rows(count, seed).write_parquet(tmp_path / f"{name}.parquet")
    files = [part for name in ("real", "holdout", "synthetic") for part in (f"--{name}", f"{tmp_path}/{name}.parquet")]
    done = CliRunner().invoke(app, ["evaluate", *files, "--targets", "y", "--out", f"{tmp_path}/out", "--refit"])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out/report.json").read_text())["reports"]["synthetic"]
    assert splits(report) == {"held-out", "random"}
    tested = [test for test in report["utility"]["tests"] if test["split"] == "random" and test["score"] == "R2"]
    assert all(-1.5 < test["difference"] < 0.5 for test in tested)
    assert "generator fitted anew" in (tmp_path / "out/report.html").read_text()


def test_molecules_are_divided_by_scaffold_too_where_there_are_enough(molecules):
    table = molecules.select("smiles", "MolWt", "MolLogP", "logS")
    drawn = table[240:300].drop("smiles")
    fitted = []

    def refit(train, seed):
        fitted.append(seed)
        return train

    found = judge(table[:120], table[120:240], drawn, targets=["logS"], refit=refit, folds=2)
    assert splits(found.report.to_json()) == {"held-out", "random", "scaffold"}
    assert len(set(fitted)) == 10  # two repeats of five folds, the same seeds for either split
    alike = table.with_columns(smiles=pl.lit("c1ccccc1"))
    found = judge(alike[:120], alike[120:240], drawn, targets=["logS"], refit=refit, folds=2).report
    assert splits(found.to_json()) == {"held-out", "random"}
    assert found.absent["utility.scaffold"].startswith("No folds by scaffold: 1 scaffolds cannot be divided")
