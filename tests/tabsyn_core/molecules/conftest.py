"""Real molecules with a few of their descriptors, a small generator of those rows, and realizers fitted once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tabsyn_core.chemistry.descriptors import compute_descriptors
from tabsyn_core.config import ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.generator import Generator
from tabsyn_core.molecules import Realizer, RealizerConfig

ROOT = Path(__file__).parents[3]
DESCRIPTORS = (
    *("MolWt", "MolLogP", "TPSA", "HeavyAtomCount", "NumHDonors", "NumRotatableBonds", "RingCount"),
    *("FractionCSP3", "BertzCT", "MaxEStateIndex", "BCUT2D_MWHI", "NumRadicalElectrons"),
)
TINY = GeneratorConfig(
    vae=VAEConfig(num_updates=2, width=4, batch_size=8),
    num_updates=3,
    diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=8),
    chain=ChainConfig(core=2),
    proposals=1,
    threads=1,
)


@dataclass(frozen=True)
class Training:
    """Molecules, their rows and a generator of such rows."""

    smiles: list[str]
    table: pl.DataFrame
    generator: Generator


@pytest.fixture(scope="session")
def training() -> Training:
    """180 molecules with twelve descriptors, two endpoints and one with gaps; NumRadicalElectrons never varies."""
    raw = pl.read_csv(ROOT / "data/raw/solubility.csv")
    raw = raw[np.random.default_rng(0).permutation(raw.height)[:180]]
    smiles = raw["smiles"].to_list()
    descriptors = compute_descriptors(smiles, workers=1)[0].select(DESCRIPTORS)
    measured = pl.int_range(pl.len()) % 3 == 0
    table = descriptors.with_columns(raw["logS"], raw["solubility_class"], raw["logS"].alias("again")).with_columns(
        again=pl.when(measured).then("again")
    )
    varying = table.drop("NumRadicalElectrons")
    return Training(smiles, table, Generator(TINY).fit(varying, seed=0))


@pytest.fixture(scope="session")
def realizer_of(training: Training) -> Callable[..., Realizer]:
    """Fits a realizer in this process, without a density ratio unless asked for one; the same settings only once."""

    @cache
    def fitted(**settings: Any) -> Realizer:
        config = RealizerConfig(**{"proposals": 1, "apart": False, "workers": 1, "effort": 20, **settings})
        return Realizer(config).fit(training.smiles, training.table, training.generator, seed=0)

    return fitted
