"""Train TabSyn on the training rows; a killed run goes on from its last checkpoint."""

import hashlib
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

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
    schema, fitted = load_distributions(distributions)
    config = GeneratorConfig(params.vae, params.diffusion, params.num_updates, params.threads, params.device)
    checkpoint = state / "checkpoints" / _fingerprint([train, distributions], config, seed)
    resumed = any(checkpoint.glob("*.safetensors"))
    generator = Generator(config).fit(
        read_parquet(train).drop(IDENTIFIERS, strict=False),
        seed=seed,
        schema=schema,
        distributions=fitted,
        checkpoint=checkpoint,
        checkpoint_every=params.checkpoint_every,
        time_limit=params.time_limit_seconds,
        progress=progress,
    )
    generator.save(output)
    _write_curve(curve, generator.curves)
    _forget(checkpoint)
    weights = sum(network.numel() for network in generator.parameters())
    how = "resumed from a checkpoint and " if resumed else ""
    return f"{how}fitted {generator.rows} rows of {len(schema.columns)} columns with {weights:,} weights"


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
    frames = [
        pl.DataFrame({"phase": [curve.phase] * len(curve.updates), "update": curve.updates, "loss": curve.losses})
        for curve in curves
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
