"""Train the generator on the training rows; a killed run goes on from its last checkpoint."""

import hashlib
import os
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch

import tabsyn_core
from tabsyn_core.chemistry.descriptors import IDENTIFIERS
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.distributions import load_distributions
from tabsyn_core.files import atomic_path, read_parquet
from tabsyn_core.generator import FORMAT_VERSION, Generator
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.training import Curve
from tasks import paths
from tasks.params import Params, TrainParams
from tasks.stage import ProgressReporter, run_stage


def train_generator(
    train: Path,
    distributions: Path,
    output: Path,
    curve: Path,
    *,
    params: TrainParams,
    seed: int,
    state: Path = paths.STATE,
    progress: ProgressCallback = silent,
) -> str:
    """Fit the generator and write it with its training curve.

    Args:
        train: Parquet file of training rows.
        distributions: What ``fit_distributions`` wrote.
        output: Folder to write: safetensors and JSON.
        curve: CSV file to write: phase, update, loss.
        params: Sizes and budgets.
        seed: Of initial weights, batches and noise.
        state: Folder for checkpoints. Their name is a digest of all that decides the result, so runs with other
            inputs never meet, and two equal runs at once write equal bytes.
        progress: Told about updates.

    Returns:
        One line that says what was trained.

    Raises:
        TabsynError: A file cannot be read or written.
    """
    config = generator_config(params)
    checkpoint = state / "checkpoints" / _fingerprint([train, distributions], config, seed)
    resumed = any(checkpoint.glob("*.safetensors"))
    known = {} if config.privacy else _known(distributions, config) | _resumable(params, checkpoint)
    table = read_parquet(train).drop(IDENTIFIERS, strict=False)
    generator = Generator(config).fit(table, seed=seed, progress=progress, **known)
    generator.save(output)
    _write_curve(curve, generator.curves)
    _forget(checkpoint)
    return f"{'resumed from a checkpoint and ' if resumed else ''}fitted {_in_words(generator)}"


def generator_config(params: TrainParams) -> GeneratorConfig:
    """What ``params.yaml`` says of the generator."""
    return GeneratorConfig(
        vae=params.vae,
        diffusion=params.diffusion,
        adversarial=params.adversarial,
        chain=params.chain,
        privacy=params.privacy,
        front_end=params.front_end,
        identities=params.identities,
        proposals=params.proposals,
        margins=params.margins,
        num_updates=params.num_updates,
        threads=params.threads,
        device=params.device,
    )


def _known(distributions: Path, config: GeneratorConfig) -> dict[str, Any]:
    """What an earlier step found out. The families it fitted are not those of another front end."""
    schema, fitted = load_distributions(distributions)
    return {"schema": schema, "distributions": fitted if config.front_end == "families" else None}


def _resumable(params: TrainParams, checkpoint: Path) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint,
        "checkpoint_every": params.checkpoint_every,
        "time_limit": params.time_limit_seconds,
    }


def _in_words(generator: Generator) -> str:
    weights = sum(network.numel() for network in generator.parameters())
    drawn = ", ".join(f"{count} by {who}" for who, count in Counter(generator.explain()["drawn_by"]).most_common())
    what = f"{generator.rows} rows of {len(generator.schema.columns)} columns ({drawn}) with {weights:,} weights"
    if generator.privacy is None:
        return what
    epsilon, delta = generator.privacy.epsilon, generator.privacy.delta
    return (
        f"{what}, privately (epsilon {epsilon:.3g}, delta {delta:.3g}): the families of {paths.DISTRIBUTIONS}, "
        "checkpoints and the time limit were not used, because none is accounted for"
    )


def _forget(checkpoint: Path) -> None:
    """Remove the checkpoints, but not the folder under an equal training that is still writing its own."""
    for file in checkpoint.glob("[!.]*.safetensors"):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        checkpoint.rmdir()


def _fingerprint(files: list[Path], config: GeneratorConfig, seed: int) -> str:
    """A digest of the data, the settings, the code and the machine's way to compute."""
    settings = (FORMAT_VERSION, asdict(config), seed, torch.__version__, torch.cuda.is_available())
    digest = hashlib.sha256(repr(settings).encode())
    code = sorted(Path(tabsyn_core.__file__).parent.rglob("*.py"))
    for file in [*files, *code]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _write_curve(path: Path, curves: list[Curve]) -> None:
    validated = [(f"{curve.phase} validation", curve.checks, curve.validation) for curve in curves if curve.checks]
    series = [(curve.phase, curve.updates, curve.losses) for curve in curves] + validated
    frames = [
        pl.DataFrame({"phase": [phase] * len(updates), "update": updates, "loss": losses})
        for phase, updates, losses in series
    ]
    with atomic_path(path) as temporary:
        (pl.concat(frames) if frames else pl.DataFrame({"phase": [], "update": [], "loss": []})).write_csv(temporary)


def _run(params: Params, reporter: ProgressReporter) -> str:
    return train_generator(
        paths.TRAIN,
        paths.DISTRIBUTIONS,
        paths.GENERATOR,
        paths.TRAINING_CURVE,
        params=params.train,
        seed=params.seed,
        state=Path(os.environ.get(paths.STATE_VARIABLE, paths.STATE)),
        progress=reporter,
    )


def main() -> None:
    """``python -m tasks.train``."""
    run_stage("train", _run)


if __name__ == "__main__":
    main()
