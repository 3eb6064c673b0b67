"""TabularARGN and ForestDiffusion: packages whose dependencies clash with ours, in environments of their own.

An environment is built once under the user's cache folder, and a process of its Python runs ``runner.py``. Tables go
there and come back as Parquet; nothing is pickled.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import weakref
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from filelock import FileLock
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline
from tabsyn_core.baselines.complete import Complete, Floats, Integers
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_parquet
from tabsyn_core.progress import ProgressCallback
from tabsyn_core.schema import Kind, TableSchema

_RUNNER = Path(__file__).with_name("runner.py")


@dataclass(eq=False, kw_only=True)
class _External(Baseline):
    """A baseline that is fitted and stays in a process of another environment, which ends with this object.

    Attributes:
        threads: CPU threads.
        device: ``"cpu"``, ``"cuda"``, or None for what the package finds.
    """

    named: ClassVar[str]
    requirements: ClassVar[tuple[str, ...]]
    unwanted: ClassVar[tuple[str, ...]] = ()
    threads: int = 2
    device: str | None = None

    @override
    def prepare(self) -> None:
        """Build the environment, unless there is one: minutes, and gigabytes on the disk.

        Raises:
            TabsynError: pip could not install the packages.
        """
        environment(self.named, self.requirements, self.unwanted)

    @property
    @override
    def prepared(self) -> bool:
        return (environment_folder(self.named, self.requirements, self.unwanted) / "ready").exists()

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        self.complete = Complete.of(table, schema)
        self.process = RivalProcess(environment(self.named, self.requirements, self.unwanted), self.named, self.threads)
        path = self.process.folder / "table.parquet"
        content = self._leave(table)
        content.write_parquet(path)
        if content.width:
            about = {"seed": seed, "threads": self.threads, "device": self.device, **self._about()}
            seconds = None if deadline is None else max(deadline - time.monotonic(), 1.0)
            self.effort = self.process.ask({"do": "fit", "table": str(path), "seconds": seconds, **about})

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        if not self.complete.medians and not self.complete.categorical:
            return self.complete.join(np.empty((n, 0)), np.empty((n, 0), dtype=np.int64))
        path = self.process.folder / "rows.parquet"
        self.effort |= self.process.ask({"do": "sample", "n": n, "seed": seed, "to": str(path)})
        drawn, width = read_parquet(path), len(self.complete.medians)
        numbers = drawn[:, :width].cast(pl.Float64).to_numpy()
        return self._enter(numbers, drawn[:, width:].cast(pl.Int64).to_numpy())

    @abstractmethod
    def _leave(self, table: pl.DataFrame) -> pl.DataFrame:
        """The table as the package takes it, number columns first, columns named by their place."""

    @abstractmethod
    def _about(self) -> dict[str, Any]:
        """What the package is to know about the columns."""

    @abstractmethod
    def _enter(self, numbers: Floats, codes: Integers) -> pl.DataFrame:
        """The inverse of :meth:`_leave`."""


class TabularARGN(_External):
    """An autoregressive network over discretised columns (Tiwald et al., arXiv:2501.12012). Gaps are its own affair."""

    named = "tabular-argn"
    requirements = ("mostlyai-engine==2.7.3",)
    unwanted = ("torchvision", "torchaudio")  # built for CUDA they break imports beside a torch for the CPU

    @override
    def _leave(self, table: pl.DataFrame) -> pl.DataFrame:
        whole = {column.name for column in self.complete.schema.columns if column.kind is Kind.INTEGER}
        dtypes = {name: pl.Int64 if name in whole else pl.Float64 for name in self.complete.medians}
        numbers = [table[name].cast(dtype) for name, dtype in dtypes.items()]
        codes = self.complete.split(table)[1][:, : len(self.complete.categorical)]
        levels = [pl.Series(column).cast(pl.String) for column in codes.T]
        return pl.DataFrame([column.alias(str(place)) for place, column in enumerate([*numbers, *levels])])

    @override
    def _about(self) -> dict[str, Any]:
        width = len(self.complete.medians)
        return {"categorical": [str(width + place) for place in range(len(self.complete.categorical))]}

    @override
    def _enter(self, numbers: Floats, codes: Integers) -> pl.DataFrame:
        gaps = [np.isnan(numbers[:, [*self.complete.medians].index(name)]) for name in self.complete.gappy]
        return self.complete.join(np.nan_to_num(numbers), np.column_stack([codes, *gaps]).astype(np.int64))


@dataclass(eq=False, kw_only=True)
class ForestDiffusion(_External):
    """Flow matching with boosted trees (Jolicoeur-Martineau et al., AISTATS 2024), on a table whose gaps are filled.

    The package can be trained on gaps but draws none, and then needs an ensemble a column.

    Attributes:
        levels: Published noise levels; a budget in seconds makes fewer.
        copies: Published copies of the rows at each.
        trees: Published trees a column at each.
    """

    named = "forest-diffusion"
    requirements = ("ForestDiffusion==1.0.6", "pyarrow")
    levels: int = 50
    copies: int = 100
    trees: int = 100

    @override
    def _leave(self, table: pl.DataFrame) -> pl.DataFrame:
        columns = [column for part in self.complete.split(table) for column in part.T]
        return pl.DataFrame([pl.Series(str(place), column) for place, column in enumerate(columns)])

    @override
    def _about(self) -> dict[str, Any]:
        kinds = [self.complete.schema[name].kind for name in self.complete.medians]
        whole = [place for place, kind in enumerate(kinds) if kind is Kind.INTEGER]
        effort = {"levels": self.levels, "copies": self.copies, "trees": self.trees}
        return {"sizes": self.complete.sizes, "whole": whole, **effort}

    @override
    def _enter(self, numbers: Floats, codes: Integers) -> pl.DataFrame:
        return self.complete.join(numbers, codes)


def environment(named: str, requirements: tuple[str, ...], unwanted: tuple[str, ...] = ()) -> Path:
    """The Python of an environment with these packages, which is built if there is none.

    It lies under ``$XDG_CACHE_HOME`` or ``~/.cache``, in ``admet-tabsyn/environments``. pip installs from where it is
    configured to.

    Args:
        named: The folder's first part.
        requirements: What pip is to install.
        unwanted: Packages that come along and are taken out again.

    Raises:
        TabsynError: pip could not install the packages.
    """
    path = environment_folder(named, requirements, unwanted)
    python, ready = path / "bin" / "python", path / "ready"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if ready.exists():
            return python
        shutil.rmtree(path, ignore_errors=True)
        venv.create(path, with_pip=True)
        pip = [str(python), "-m", "pip", "--quiet"]
        commands = [[*pip, "install", *requirements], *([[*pip, "uninstall", "--yes", *unwanted]] if unwanted else [])]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # as pinned above
            if done.returncode:
                why = done.stderr.strip().splitlines() or ["no reason given"]
                raise TabsynError(f"{named} needs {' '.join(requirements)}, which pip could not install: {why[-1]}")
        ready.touch()
    return python


def environment_folder(named: str, requirements: tuple[str, ...], unwanted: tuple[str, ...] = ()) -> Path:
    """Where :func:`environment` builds; a file ``ready`` in it says that it has."""
    content = " ".join([sys.version, *requirements, "-", *unwanted])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(content.encode()).hexdigest()[:12]
    return cache / "admet-tabsyn" / "environments" / f"{named}-{key}"


_PASSED = ("PATH", "HOME", "LANG", "LC_", "TMPDIR", "XDG_", "CUDA_", "LD_LIBRARY_PATH")
"""What a rival's process is told of the environment: it is no business of its packages which tokens lie there."""


class RivalProcess:
    """The runner: it is asked and answers, and ends when it is no longer referred to."""

    def __init__(self, python: Path, named: str, threads: int) -> None:
        self.named = named
        self.folder = Path(tempfile.mkdtemp(prefix="admet-tabsyn-"))
        self.log = self.folder / "log.txt"
        kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
        with self.log.open("w", encoding="utf-8") as log:
            self.popen = subprocess.Popen(  # noqa: S603  # our own script
                [str(python), str(_RUNNER), named, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env={**kept, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "DO_NOT_TRACK": "1"},
            )
        weakref.finalize(self, _end, self.popen, self.folder)

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and wait for its answer.

        Raises:
            TabsynError: The process died; the message has its last words.
        """
        answer = ""
        if self.popen.stdin and self.popen.stdout:
            try:
                self.popen.stdin.write(json.dumps(request) + "\n")
                self.popen.stdin.flush()
                answer = self.popen.stdout.readline()
            except BrokenPipeError:
                pass
        if not answer:
            words = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or [
                "no words left"
            ]
            raise TabsynError(f"{self.named} ended in its own environment: {words[0]}")
        return json.loads(answer)


def _end(popen: subprocess.Popen[str], folder: Path) -> None:
    popen.kill()
    popen.wait()
    shutil.rmtree(folder, ignore_errors=True)
