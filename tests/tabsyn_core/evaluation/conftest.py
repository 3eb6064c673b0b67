"""Real molecules, described once, and helpers to make tables with known answers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tabsyn_core.chemistry.descriptors import compute_descriptors

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def molecules() -> pl.DataFrame:
    """400 molecules in random order: identifiers, all descriptors and both endpoints."""
    raw = pl.read_csv(ROOT / "data/raw/solubility.csv")
    raw = raw[np.random.default_rng(0).permutation(raw.height)[:400]]
    descriptors, _ = compute_descriptors(raw["smiles"].to_list(), workers=1)
    names = raw.select("smiles", inchikey="name")
    return pl.concat([names, descriptors, raw.select("logS", "solubility_class")], how="horizontal")


@pytest.fixture(scope="session")
def train(molecules: pl.DataFrame) -> pl.DataFrame:
    return molecules[:200]


@pytest.fixture(scope="session")
def holdout(molecules: pl.DataFrame) -> pl.DataFrame:
    return molecules[200:300]


@pytest.fixture(scope="session")
def more(molecules: pl.DataFrame) -> pl.DataFrame:
    """Real molecules that are in neither: what a perfect generator would give."""
    return molecules[300:].drop("smiles", "inchikey")
