"""One cell of a benchmark: synthetic rows of one table and seed, judged, and kept under a digest of all that counts."""

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from figures import measured
from origin import origin
from real_tables import RealTable, meaning
from sources import digest_of

import tabsyn_core
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, read_parquet, write_json, write_parquet
from tabsyn_core.generator import Generator
from tabsyn_core.identities import Identities
from tabsyn_core.schema import Kind, TableSchema

PACKAGE = Path(tabsyn_core.__file__).parent

_JUDGE = ("figures", "real_tables", "tabsyn_core.identities")

Cell = dict[str, Any]


@dataclass(frozen=True)
class Fold:
    """A table split by a seed."""

    real: RealTable
    seed: int

    @cached_property
    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Training and held-out rows."""
        return self.real.split(self.seed)

    @property
    def train(self) -> pl.DataFrame:
        """What the generator sees."""
        return self.tables[0]

    @property
    def holdout(self) -> pl.DataFrame:
        """What it does not."""
        return self.tables[1]

    @cached_property
    def schema(self) -> TableSchema:
        """What is known of the columns."""
        return self.real.schema(self.train)

    @cached_property
    def digest(self) -> str:
        """Of all that a method is given and judged by: another split or schema makes another fold."""
        known = [self.schema.to_json(), self.real.targets, self.real.constants, self.real.pair, self.real.smiles]
        content = json.dumps([self.real.digest, self.train.write_csv(), self.holdout.write_csv(), known])
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def identities(self) -> Identities:
        """What every training row obeys."""
        return Identities.discover(self.train, self.schema)


@dataclass(frozen=True)
class Drawn:
    """Synthetic rows, and the seconds they took."""

    rows: pl.DataFrame
    fit_seconds: float
    sample_seconds: float
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else was measured: peak memory, updates made."""


@dataclass(frozen=True)
class Step:
    """One line of the table.

    Attributes:
        name: What it is called.
        about: What it does.
        settings: All that decides its rows but data, seed and code.
        draw: From a fold and perhaps a limit in seconds to as many rows as there are for training.
        beside: Whether it is no step of the ladder.
        limited: Whether it gets as many seconds as the longest fit of the ladder.
        modules: What draws; with what they import, the code that counts.
        script: The file of this folder that has the drawing done; its own text counts, too.
    """

    name: str
    about: str
    settings: Any
    draw: Callable[[Fold, float | None], Drawn]
    beside: bool = False
    limited: bool = False
    modules: tuple[str, ...] = ("tabsyn_core.generator",)
    script: str | None = None

    @cached_property
    def code(self) -> str:
        """A digest of the code that draws its rows."""
        return _digest([digest_of(self.modules), self.script and meaning(Path(__file__).parent / self.script)])


def generated(name: str, about: str, config: GeneratorConfig, *, beside: bool = False, limited: bool = False) -> Step:
    def draw(fold: Fold, limit: float | None) -> Drawn:
        start = time.perf_counter()
        generator = Generator(config).fit(fold.train, seed=fold.seed, schema=fold.schema, time_limit=limit)
        fitted = time.perf_counter()
        rows = generator.sample(fold.train.height, seed=fold.seed)
        return Drawn(rows, fitted - start, time.perf_counter() - fitted)

    return Step(name, about, asdict(config), draw, beside, limited)


def noisy_bootstrap(fold: Fold, _: float | None) -> Drawn:
    start = time.perf_counter()
    rng = np.random.default_rng([fold.seed, 1])
    rows = fold.train[rng.integers(0, fold.train.height, fold.train.height)]
    moved = []
    for column in (each for each in fold.schema.columns if each.kind is not Kind.CATEGORICAL):
        values = rows[column.name].cast(pl.Float64)
        values += 0.01 * (values.std() or 0.0) * pl.Series(rng.standard_normal(rows.height))
        values = values.round() if column.kind is Kind.INTEGER else values
        moved.append(values.cast(rows.schema[column.name]).alias(column.name))
    return Drawn(rows.with_columns(moved), 0.0, time.perf_counter() - start)


def independent_columns(fold: Fold, _: float | None) -> Drawn:
    start = time.perf_counter()
    rng = np.random.default_rng([fold.seed, 2])
    rows = pl.DataFrame([column.gather(rng.integers(0, len(column), len(column))) for column in fold.train])
    return Drawn(rows, 0.0, time.perf_counter() - start)


@dataclass(frozen=True)
class Bench:
    """Finds cells in the cache, or runs them.

    Attributes:
        cache: Folder of rows.
        run: Whether to run what is not there.
        results: Folder of the cells' figures; ``cells`` in the cache if not given.
        stale: Whether rows that other code drew will do, where there are none of today's; they are judged by today's
            or, if nothing is to run, as they were.
    """

    cache: Path
    run: bool
    results: Path | None = None
    stale: bool = False

    def cell(self, fold: Fold, step: Step, limit: float | None = None) -> Cell | None:
        """A cell's figures, or ``{"error": ...}``; None where it is not in the cache and nothing is to run.

        A cell that failed is tried again, and so is one of other code; ``stale`` in a cell says that its rows are.
        """
        key = _digest(_data(fold, step))
        path = (self.results or self.cache / "cells") / f"{fold.real.name}-{fold.seed}-{key}.json"
        known = read_json(path) if path.exists() else {}
        if known.get("code") in (_code(step), self._code(fold, step)) and ("error" not in known or not self.run):
            return {**known, "step": step.name}
        if self.run:
            return self._cell(path, fold, step, limit)
        return {**known, "step": step.name, "stale": True} if known and self.stale else None

    def _cell(self, path: Path, fold: Fold, step: Step, limit: float | None) -> Cell:
        found: Cell = {"table": fold.real.name, "step": step.name, "seed": fold.seed, "settings": step.settings}
        found |= {"origin": origin(), "code": self._code(fold, step)} | (
            {"stale": True} if self._kept(fold, step) else {}
        )
        try:
            drawn = self.drawn(fold, step, limit)
            found |= {
                "fit_seconds": drawn.fit_seconds,
                "sample_seconds": drawn.sample_seconds,
                "more": dict(drawn.more),
            }
            found |= measured(fold, drawn.rows)
        except TabsynError as error:
            found["error"] = str(error)
        except Exception as error:  # noqa: BLE001  one cell must not stop the others; the error stands in its place
            found |= {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        write_json(path, found)
        return found

    def drawn(self, fold: Fold, step: Step, limit: float | None = None) -> Drawn:
        """The rows, from the cache if only the way they are judged has changed."""
        key = self._kept(fold, step) or _digest([*_data(fold, step), step.code])
        rows, seconds = (self.cache / "rows" / f"{key}.{kind}" for kind in ("parquet", "json"))
        if seconds.exists():
            return Drawn(read_parquet(rows), **read_json(seconds))
        drawn = step.draw(fold, limit)
        write_parquet(rows, drawn.rows)
        told = {"fit_seconds": drawn.fit_seconds, "sample_seconds": drawn.sample_seconds, "more": dict(drawn.more)}
        write_json(seconds, told)
        write_json(self._index(fold, step) / f"{key}.json", {})
        return drawn

    def _kept(self, fold: Fold, step: Step) -> str | None:
        """The key of the newest rows that other code drew; None where they are not wanted, or there are today's."""
        if not self.stale or self._file(_digest([*_data(fold, step), step.code])).exists():
            return None
        drawn = [self._file(file.stem) for file in self._index(fold, step).glob("*.json")]
        known = sorted((file for file in drawn if file.exists()), key=lambda file: file.stat().st_mtime)
        return known[-1].stem if known else None

    def _file(self, key: str) -> Path:
        return self.cache / "rows" / f"{key}.json"

    def _index(self, fold: Fold, step: Step) -> Path:
        """A folder that names the rows of the same data and settings, whatever the code."""
        return self.cache / "drawn" / _digest(_data(fold, step))

    def _code(self, fold: Fold, step: Step) -> str:
        kept = self._kept(fold, step)
        return _digest([kept, digest_of(_JUDGE)]) if kept else _code(step)


def _data(fold: Fold, step: Step) -> list[Any]:
    return [fold.digest, step.settings, fold.seed, step.limited]


def _code(step: Step) -> str:
    """Of what draws and of what judges."""
    return _digest([step.code, digest_of(_JUDGE)])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
