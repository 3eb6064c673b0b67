"""How well gaps are filled: held-out cells by the generator, the mean, neighbours and forests.

A table is split 80 to 20. Everything learns from the 80, which are whole; of the 20, 10 % of the cells and, in every
fifth row, all endpoints are hidden and filled in again.
"""

import argparse
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
import psutil
from numpy.typing import NDArray
from real_tables import ROOT, AbsentError, RealTable, load
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # it is how scikit-learn lets it be imported
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.preprocessing import StandardScaler

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tabsyn_core.generator import Generator
from tabsyn_core.schema import Kind, TableSchema

DOCS = ROOT / "docs/benchmarks/imputation.md"
TABLES = ("solubility", "biogen")

EXAMPLES = """\
examples:
  python benchmarks/imputation.py                              solubility, and Biogen where it is
  python benchmarks/imputation.py --tables solubility --write  write docs/benchmarks/imputation.md
"""

Floats = NDArray[np.float64]
Masks = dict[str, pl.Series]
Fill = Callable[["Problem"], list[pl.DataFrame]]


@dataclass(frozen=True)
class Problem:
    """Rows with hidden cells.

    Attributes:
        train: Rows to learn from.
        truth: Other rows.
        hidden: Of each column, which of their cells are hidden.
        endpoints: Columns of which whole rows are hidden.
        schema: The columns.
        seed: Of everything.
        draws: Completions of those that draw.
    """

    train: pl.DataFrame
    truth: pl.DataFrame
    hidden: Masks
    endpoints: tuple[str, ...]
    schema: TableSchema
    seed: int
    draws: int

    @classmethod
    def of(cls, table: RealTable, seed: int, draws: int) -> "Problem":
        """Hide cells of a table."""
        train, truth = table.split(seed)
        rng = np.random.default_rng([seed, 1])
        no_endpoints = rng.random(truth.height) < 0.2
        hidden = {}
        for name in truth.columns:
            gone = rng.random(truth.height) < 0.1
            gone = gone | no_endpoints if name in table.targets else gone
            hidden[name] = pl.Series(gone) & truth[name].is_not_null()
        return cls(train, truth, hidden, table.targets, table.schema(train), seed, draws)

    @property
    def rows(self) -> pl.DataFrame:
        """The rows with gaps where cells are hidden."""
        return self.truth.with_columns(
            pl.when(gone).then(None).otherwise(pl.col(name)).alias(name) for name, gone in self.hidden.items()
        )

    @property
    def numeric(self) -> list[str]:
        """Columns whose error is a distance."""
        return [column.name for column in self.schema.columns if column.kind is not Kind.CATEGORICAL]

    @property
    def classes(self) -> list[str]:
        """Columns whose values are right or wrong."""
        return [column.name for column in self.schema.columns if column.kind is Kind.CATEGORICAL]


def by_mean(problem: Problem) -> list[pl.DataFrame]:
    fills = {name: problem.train[name].mean() for name in problem.numeric}
    fills |= {name: problem.train[name].drop_nulls().mode().sort()[0] for name in problem.classes}
    numbers = pl.col(problem.numeric).cast(pl.Float64)
    return [problem.rows.with_columns(numbers).with_columns(pl.col(n).fill_null(v) for n, v in fills.items())]


def by_neighbours(problem: Problem) -> list[pl.DataFrame]:
    return _through_numbers(problem, KNNImputer(n_neighbors=5))


def by_forests(problem: Problem) -> list[pl.DataFrame]:
    """MissForest (Stekhoven, Bühlmann, Bioinformatics 28, 112 (2012)) with extremely randomised trees."""
    trees = ExtraTreesRegressor(n_estimators=30, min_samples_leaf=2, n_jobs=2, random_state=problem.seed)
    rounds = IterativeImputer(trees, max_iter=3, tol=0, n_nearest_features=40, random_state=problem.seed)
    return _through_numbers(problem, rounds)


def by_generator(problem: Problem) -> list[pl.DataFrame]:
    generator = Generator().fit(problem.train, seed=problem.seed, schema=problem.schema)
    return generator.impute(problem.rows, seed=problem.seed, draws=problem.draws)


METHODS: Mapping[str, Fill] = {
    "mean or mode": by_mean,
    "5 nearest neighbours": by_neighbours,
    "MissForest-style": by_forests,
    "ours": by_generator,
}


def _through_numbers(problem: Problem, imputer: KNNImputer | IterativeImputer) -> list[pl.DataFrame]:
    """Fill by what knows numbers alone: standardised, a class as one column a level."""
    levels = {name: problem.train[name].drop_nulls().unique().sort().to_list() for name in problem.classes}
    scaler = StandardScaler().fit(_numbers(problem, problem.train, levels))
    imputer.fit(scaler.transform(_numbers(problem, problem.train, levels)))
    filled = scaler.inverse_transform(imputer.transform(scaler.transform(_numbers(problem, problem.rows, levels))))
    columns, place = {}, len(problem.numeric)
    for j, name in enumerate(problem.numeric):
        columns[name] = pl.Series(filled[:, j])
    for name, known in levels.items():
        best = filled[:, place : place + len(known)].argmax(axis=1)
        columns[name] = pl.Series([known[k] for k in best], dtype=problem.truth.schema[name])
        place += len(known)
    rows = problem.rows.with_columns(pl.col(problem.numeric).cast(pl.Float64))
    return [rows.with_columns(pl.col(name).fill_null(values) for name, values in columns.items())]


def _numbers(problem: Problem, rows: pl.DataFrame, levels: Mapping[str, Sequence[object]]) -> Floats:
    marks = [
        pl.when(pl.col(name).is_not_null()).then(pl.col(name) == v) for name, known in levels.items() for v in known
    ]
    numbers = [rows[name].cast(pl.Float64).to_numpy() for name in problem.numeric]
    flags = [rows.select(mark.cast(pl.Float64)).to_series().to_numpy() for mark in marks]
    return np.column_stack([*numbers, *flags])


def judged(problem: Problem, filled: Sequence[pl.DataFrame], seconds: float) -> list[str]:
    """The cells of a method's line."""
    errors = {name: _error(problem, filled, name) for name in problem.numeric if problem.hidden[name].any()}
    right = [_right(problem, filled, name) for name in problem.classes if problem.hidden[name].any()]
    endpoints = [errors[name] for name in problem.endpoints if name in errors]
    inside = np.concatenate([_inside(problem, filled, name) for name in errors]) if len(filled) > 1 else None
    return [
        f"{np.mean([*errors.values()]):.2f}",
        f"{np.median([*errors.values()]):.2f}",
        f"{np.mean(endpoints):.2f}" if endpoints else "–",
        f"{np.mean(right):.0%}" if right else "–",
        "–" if inside is None else f"{inside.mean():.0%}",
        f"{seconds:.0f}",
    ]


def _drawn(problem: Problem, filled: Sequence[pl.DataFrame], name: str) -> tuple[Floats, Floats]:
    """A column's hidden cells, (draws, cells), and the truth, (cells,)."""
    gone = problem.hidden[name]
    draws = np.stack([rows[name].filter(gone).cast(pl.Float64).to_numpy() for rows in filled])
    return draws, problem.truth[name].filter(gone).cast(pl.Float64).to_numpy()


def _error(problem: Problem, filled: Sequence[pl.DataFrame], name: str) -> float:
    draws, truth = _drawn(problem, filled, name)
    spread = float(problem.train[name].cast(pl.Float64).std() or 1.0)
    return float(np.sqrt(np.mean((draws.mean(axis=0) - truth) ** 2)) / spread)


def _right(problem: Problem, filled: Sequence[pl.DataFrame], name: str) -> float:
    gone = problem.hidden[name]
    votes = pl.DataFrame({str(k): rows[name].filter(gone).cast(pl.String) for k, rows in enumerate(filled)})
    chosen = pl.Series([pl.Series(row).drop_nulls().mode().sort()[0] for row in votes.iter_rows()])
    return float((chosen == problem.truth[name].filter(gone).cast(pl.String)).mean())


def _inside(problem: Problem, filled: Sequence[pl.DataFrame], name: str) -> NDArray[np.bool_]:
    draws, truth = _drawn(problem, filled, name)
    slack = 1e-9 * np.abs(truth)
    return np.asarray((truth >= draws.min(axis=0) - slack) & (truth <= draws.max(axis=0) + slack))


def report(tables: Sequence[tuple[RealTable, Problem, dict[str, list[str]]]], draws: int) -> str:
    """The page in Markdown."""
    lines = [
        "# Filling gaps",
        "",
        "Rows are split 80 to 20 at random. Everything learns from the 80, which are whole; of the others, 10 % of all",
        "cells at random and, in a fifth of the rows, all endpoints are hidden and filled in again. Errors are root",
        "mean squares in standard deviations of the training column: their mean over numeric columns and, because",
        "a few with extreme values decide that mean, their median. `ours` is the mean, or the most frequent level, of",
        f"{draws} draws: RMSE asks for a mean, and a single draw has the noise of the truth besides. The range of",
        f"{draws} draws holds the truth in {(draws - 1) / (draws + 1):.0%} of the cells if draws and truth come from",
        "the same continuous law; where the known cells determine a value, a hit counts as held.",
        "",
        f"- Machine: {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        f"- Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "scikit-learn", "numpy", "polars")),
        f"- Command: `{shlex.join(['python', 'benchmarks/imputation.py', *sys.argv[1:]])}`",
    ]
    head = "| method | RMSE, mean | RMSE, median | endpoints | classes right | range holds truth | s |"
    for table, problem, found in tables:
        count = sum(int(gone.sum()) for gone in problem.hidden.values())
        rows = f"{problem.train.height} rows to learn from, {problem.truth.height} rows with {count} hidden cells"
        lines += [
            "",
            f"## {table.name}",
            "",
            f"{rows} in {problem.truth.width} columns.",
            "",
            head,
            "|---|" + "---:|" * 6,
        ]
        lines += [f"| {method} | {' | '.join(cells)} |" for method, cells in found.items()]
    return "\n".join(lines) + "\n"


def run(name: str, cache: Path, seed: int, draws: int) -> tuple[RealTable, Problem, dict[str, list[str]]]:
    table = load(name, cache)
    problem = Problem.of(table, seed, draws)
    found = {}
    for method, fill in METHODS.items():
        start = time.monotonic()
        filled = fill(problem)
        found[method] = judged(problem, filled, time.monotonic() - start)
        print(name, method, *found[method], flush=True)
    return table, problem, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=TABLES, help="names as in benchmarks/ablation.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--cache", type=Path, default=ROOT / ".admet/ablation")
    parser.add_argument("--write", action="store_true", help=f"write {DOCS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    done = []
    for name in arguments.tables:
        try:
            done.append(run(name, arguments.cache, arguments.seed, arguments.draws))
        except AbsentError as absent:
            print(absent)
    if not done:
        raise TabsynError("no table is there; see --tables.")
    page = report(done, arguments.draws)
    print(page)
    if arguments.write:
        with atomic_path(DOCS) as temporary:
            temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
