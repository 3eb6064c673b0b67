"""Atomic writes: a reader sees the old file or the whole new one, never a part."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from safetensors import SafetensorError

from tabsyn_core.errors import TabsynError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends without an error.

    Works for a file or a directory; the parent is created. A failure leaves ``path`` as it was.

    Raises:
        TabsynError: The disk is full or the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        temporary = holder / path.name
        yield temporary
        if path.is_dir() and temporary.is_dir():
            path.replace(holder / "old")  # a folder cannot be replaced in one step; a rename is the next shortest
        temporary.replace(path)
    except (OSError, pl.exceptions.ComputeError, SafetensorError) as error:  # each writer names a full disk its own way
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def _unwritable(path: Path, error: Exception) -> TabsynError:
    reason = getattr(error, "strerror", None) or str(error)
    return TabsynError(f"cannot write {path}: {reason}. Free some space or choose a folder you may write to.")


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented, key-ordered JSON, so that equal content is an equal file."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        TabsynError: The file is absent or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TabsynError(f"{path} does not exist; run the step that makes it (dvc repro) first.") from error
    except OSError as error:
        raise TabsynError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise TabsynError(f"{path} is not valid JSON: {error}.") from error


def write_parquet(path: Path, table: pl.DataFrame) -> None:
    """Write ``table`` as Parquet; equal tables give equal bytes."""
    with atomic_path(path) as temporary:
        table.write_parquet(temporary, compression="zstd", statistics=True)


def read_parquet(path: Path) -> pl.DataFrame:
    """Read a Parquet file.

    Raises:
        TabsynError: The file is absent or is not Parquet.
    """
    if not path.exists():
        raise TabsynError(f"{path} does not exist; run the step that makes it (dvc repro) first.")
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise TabsynError(f"{path} is not a Parquet file: {error}.") from error
