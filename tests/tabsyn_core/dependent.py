"""A table that hangs together, and a generator fitted to it once for all tests that sample from it."""

from functools import cache

import numpy as np
import polars as pl

from tabsyn_core.config import ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.generator import Generator

CITIES = {"Basel": "Switzerland", "Bern": "Switzerland", "Lyon": "France", "Paris": "France", "Rome": "Italy"}


def dependent_rows(n, seed):
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    rings = np.clip(np.round(2 + 1.5 * size), 0, 6).astype(np.int64)
    bonds = rings + rng.poisson(3, n)
    unmeasured = rng.random(n) < 1 / (1 + np.exp(-3 * (size - 1)))
    city = rng.choice(list(CITIES), n, p=[0.01, 0.29, 0.2, 0.2, 0.3])
    return pl.DataFrame(
        {
            "size": size,
            "weight": 100 + 30 * size + rng.normal(size=n),
            "rings": rings,
            "bonds": bonds,
            "graph": rings + bonds,
            "area": np.where(size < 0, 0.0, np.exp(size)),
            "class": np.where(size > 0.5, "large", np.where(size < -0.5, "small", "middle")),
            "acid": size + rng.normal(0, 0.3, n) > 0,
            "city": city,
            "country": [CITIES[name] for name in city],
            "slow": np.where(unmeasured, None, np.round(size + rng.normal(0, 0.5, n), 2)).tolist(),
            "fast": np.where(unmeasured, None, np.round(-size + rng.normal(0, 0.5, n), 2)).tolist(),
        },
        schema_overrides={"slow": pl.Float64, "fast": pl.Float64},
    )


@cache
def dependent_table():
    return dependent_rows(1000, seed=0)


@cache
def fitted_generator():
    config = GeneratorConfig(
        vae=VAEConfig(num_updates=60, width=8, batch_size=64),
        diffusion=DiffusionConfig(width=64, num_blocks=2, batch_size=128, ema_halflife=50),
        chain=ChainConfig(core=5),
        num_updates=400,
        threads=1,
    )
    return Generator(config).fit(dependent_table(), seed=0)
