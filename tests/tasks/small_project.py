"""What a small project is made of: its params, pipeline, table, figures and a tiny model."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from tabsyn_core.config import DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.files import write_json, write_parquet
from tabsyn_core.generator import Generator

ROOT = Path(__file__).parents[2]

PARAMS = """\
seed: 7
data:
  source: https://reader:hunter2@example.org/molecules.csv?token=hunter2&format=csv
  watch: data/raw
  targets: [{name: logS, kind: numeric}, {name: solubility_class, kind: categorical}]
sample: {num_steps: 4}
register:
  model_name: tiny
  gate:
    max: {c2st.lightgbm: 0.9}
    min: {shape.score: 0.1}
    at_most_champion_plus: {c2st.lightgbm: 0.01}
"""

PIPELINE = """\
stages:
  make:
    cmd: cp -r ../made/. .
    deps: ["${data.watch}"]
    outs:
      - data/interim/molecules.parquet
      - data/processed/descriptors.parquet
      - data/processed/train.parquet
      - data/processed/holdout.parquet
      - models/generator
      - models/distributions.json
      - reports/report.html
      - reports/plots/evaluation
    metrics: [reports/metrics.json]
  register:
    cmd: python -m tasks.register
    deps: [data/processed/train.parquet, models/generator, reports/metrics.json]
    params: [register]
    outs: [reports/registration.json]
"""

METRICS = {
    "shape": {"score": 0.5},
    "c2st": {"lightgbm": 0.8},
    "tstr": {"log S (pH 7.4), %": {"tstr": 0.4, "trtr": 0.6}},
    "dcr": {"share": None},
    "floor": {"c2st": {"lightgbm": 0.51}},
}


def run(directory, *command, **environment):
    """A command as a user's shell would run it, with the project's programs first on PATH; its standard output."""
    variables = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(
        command, cwd=directory, env={**variables, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def molecule_table():
    """Real molecules with a few real descriptors: floats, integers with and without gaps, text."""
    from rdkit import Chem
    from rdkit.Chem import Descriptors, rdMolDescriptors

    source = pl.read_csv(ROOT / "data/raw/solubility.csv").head(60)
    molecules = [Chem.MolFromSmiles(smiles) for smiles in source["smiles"]]
    rings = [rdMolDescriptors.CalcNumRings(molecule) for molecule in molecules]
    return pl.DataFrame(
        {
            "smiles": source["smiles"],
            "inchikey": [Chem.MolToInchiKey(molecule) for molecule in molecules],
            "MolWt": [Descriptors.MolWt(molecule) for molecule in molecules],
            "NumHDonors": [rdMolDescriptors.CalcNumHBD(molecule) for molecule in molecules],
            "RingCount": [None if row % 5 == 0 else count for row, count in enumerate(rings)],
            "logS": source["logS"].cast(pl.Float64),
            "solubility_class": source["solubility_class"].cast(pl.String),
        }
    )


def tiny_generator(rows):
    """A generator fitted in seconds: it has the right form, not the right quality."""
    config = GeneratorConfig(
        vae=VAEConfig(width=8, num_updates=20),
        diffusion=DiffusionConfig(width=32, num_blocks=1),
        num_updates=20,
        threads=1,
        device="cpu",
    )
    return Generator(config).fit(rows, seed=7)


def make_outputs(made):
    """What the steps before register leave behind."""
    table = molecule_table()
    write_parquet(made / "data/interim/molecules.parquet", table.select("smiles", "inchikey", "logS"))
    write_parquet(made / "data/processed/descriptors.parquet", table)
    write_parquet(made / "data/processed/train.parquet", table.head(48))
    write_parquet(made / "data/processed/holdout.parquet", table.tail(12))
    (made / "models").mkdir(parents=True)
    tiny_generator(table.head(48).drop("smiles", "inchikey")).save(made / "models/generator")
    write_json(made / "models/distributions.json", {"MolWt": {"family": "lognormal"}})
    write_json(made / "reports/metrics.json", METRICS)
    (made / "reports/report.html").write_text("<title>Report</title>", encoding="utf-8")
    write_json(made / "reports/plots/evaluation/shape.json", [{"column": "MolWt", "error": 0.1}])
