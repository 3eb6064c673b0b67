"""Does our TabSyn learn as the published one does? Shape and Trend errors against updates, beside the paper's.

The preset ``tabsyn`` (:class:`tabsyn_core.baselines.published.PublishedTabSyn`) is fitted anew with each budget, and
its rows are judged as the paper judged them: SDMetrics' quality report against all training rows. So are rows of the
VAE alone and training rows themselves: which part of an error is whose.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import command
import polars as pl
from board import of_recipe
from cells import Fold
from pages import markdown, setting
from pictures import curves
from real_tables import ROOT, AbsentError, load
from sdmetrics.reports import QualityReport
from sources import digest_of

from tabsyn_core.baselines import BASELINES
from tabsyn_core.baselines.published import PublishedTabSyn
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.files import atomic_path, read_json, write_json
from tabsyn_core.schema import Kind, TableSchema

PUBLISHED: Mapping[str, tuple[str, str]] = {
    "adult": ("0.8", "1.9"),
    "shoppers": ("1.0", "0.9"),
    "magic": ("1.4", "2.2"),
    "beijing": ("1.3 to 2.6", "3 to 4.5"),
}
"""Shape and Trend errors in per cent at full budget on a GPU (Zhang et al., ICLR 2024, and later comparisons)."""

STEPS = 10
"""Of Heun's method, for rows that are drawn in a minute: the paper finds no loss with 10 (section 4.4)."""

ROWS = 5000
"""Drawn and judged at most: each costs 5 ms on a core. What so few rows cost is said beside."""

EXAMPLES = """\
examples:
  python benchmarks/literature.py --write                              three quarters of an hour on one core
  python benchmarks/literature.py --tables magic --minutes 0.5 1       a short look
"""

Errors = tuple[float, float]
"""Shape and Trend, in per cent."""


@dataclass(frozen=True)
class Point:
    """One fit: what was trained, of the recipe, and the errors in per cent, beside those that no diffusion can mend."""

    table: str
    minutes: float
    seed: int
    batch: int
    vae_updates: int
    diffusion_updates: int
    of_recipe: float
    fit_seconds: float
    sample_seconds: float
    rows: int
    shape: float
    trend: float
    vae_alone: Errors
    training_rows: Errors


def known_or_new(folder: Path, fold: Fold, minutes: float, threads: int, *, run: bool = True) -> Point | None:
    """A point that was kept, of the same data, settings and code, or a new one: a run that was stopped goes on.

    None where there is none and nothing is to run.
    """
    key = json.dumps(
        [fold.real.digest, minutes, fold.seed, threads, STEPS, ROWS, digest_of(BASELINES["tabsyn"].modules)]
    )
    path = folder / f"{fold.real.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if not path.exists() and not run:
        return None
    if not path.exists():
        write_json(path, asdict(point(fold, minutes, threads)))
    kept = read_json(path)
    return Point(**{**kept, **{name: tuple(kept[name]) for name in ("vae_alone", "training_rows")}})


def point(fold: Fold, minutes: float, threads: int) -> Point:
    """Fit with a budget, draw and judge."""
    train, start = fold.train, time.perf_counter()
    baseline = PublishedTabSyn(steps=STEPS, config=replace(GeneratorConfig.published(), threads=threads))
    baseline.fit(train, fold.schema, seed=fold.seed, seconds=60 * minutes)
    fitted, number = time.perf_counter(), min(ROWS, train.height)
    rows, drawn = baseline.sample(number, fold.seed), time.perf_counter()
    some = train.sample(number, seed=fold.seed)
    others = train.sample(number, seed=fold.seed + 1, with_replacement=True)
    shape, trend = quality(train, rows, fold.schema)
    made = {phase: int(baseline.effort[f"{phase} updates"]) for phase in ("vae", "diffusion")}
    return Point(
        fold.real.name,
        minutes,
        fold.seed,
        baseline.generator.config.diffusion.batch_size,
        made["vae"],
        made["diffusion"],
        of_recipe({"more": baseline.effort}) or 0.0,
        fitted - start,
        drawn - fitted,
        number,
        shape,
        trend,
        quality(train, baseline.reconstructed(some, fold.seed), fold.schema),
        quality(train, others, fold.schema),
    )


def quality(real: pl.DataFrame, rows: pl.DataFrame, schema: TableSchema) -> Errors:
    """Shape and Trend errors in per cent, as SDMetrics' quality report says: 0 is best."""
    kinds = {column.name: column.kind is Kind.CATEGORICAL for column in schema.columns}
    columns = {name: {"sdtype": "categorical" if nominal else "numerical"} for name, nominal in kinds.items()}
    frames = [table.with_columns(pl.col(pl.Boolean).cast(pl.String)).to_pandas() for table in (real, rows)]
    report = QualityReport()
    report.real_correlation_threshold = report.real_association_threshold = 0  # the paper's version counted all pairs
    real_data, rows_data = ({"rows": frame} for frame in frames)
    report.generate(real_data, rows_data, {"tables": {"rows": {"columns": columns}}}, verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return 100 * (1 - float(scores["Column Shapes"])), 100 * (1 - float(scores["Column Pair Trends"]))


def page(points: Sequence[Point], skipped: Sequence[str]) -> str:
    head = ["table", "minutes", "batch", "VAE updates", "score updates", "of recipe", "Shape error %", "Trend error %"]
    rows = []
    for table in dict.fromkeys(point.table for point in points):
        of_table = [point for point in points if point.table == table]
        for each in of_table:
            made = [f"{each.batch:,}", f"{each.vae_updates:,}", f"{each.diffusion_updates:,}"]
            share = f"{100 * each.of_recipe:.2g} %"
            rows.append([table, f"{each.minutes:g}", *made, share, *_printed((each.shape, each.trend))])
        last = of_table[-1]
        nothing = ["", "", ""]
        rows.append(
            [f"{table}, VAE alone", f"{last.minutes:g}", "", f"{last.vae_updates:,}", "", "", *_printed(last.vae_alone)]
        )
        rows.append([f"{table}, {last.rows:,} training rows", "", *nothing, "", *_printed(last.training_rows)])
        rows.append([f"**{table}, published**", "on a GPU", *nothing, "100 %", *PUBLISHED[table]])
    told = [{"seed": point.seed} for point in points]
    parts = ["# TabSyn beside its paper", _INTRODUCTION, setting(told, "literature.py"), markdown([head, *rows])]
    parts.append("![Errors against updates of the score model](literature.svg)")
    return "\n\n".join([*parts, *(f"_{reason}_" for reason in skipped)]) + "\n"


def _printed(errors: Errors) -> list[str]:
    return [f"{error:.1f}" for error in errors]


_INTRODUCTION = """\
The preset `tabsyn` is the recipe of Zhang et al. (ICLR 2024) in our own code: 4,000 epochs of the VAE and 10,000 of the
score model in batches of 4,096 rows, on a GPU. A core of a CPU does a small share of it in minutes, so what stands here
is the learning curve: each line is a fit of its own with a budget, which makes the same share of both networks' epochs,
in smaller batches where updates would be few. An error that falls with the updates towards the published one is what
can be shown at these budgets; that it gets there is not. Rows are drawn in 10 steps instead of 50; the paper finds no
loss with 10 (section 4.4).

Errors are 100 % minus the Column Shapes and Column Pair Trends scores of SDMetrics' quality report between all training
rows and synthetic rows, as in the paper, but at most 5,000 of these, where the paper draws as many as there are for
training. What that costs is the error of as many training rows, drawn with replacement. *VAE alone* are training rows
through its encoder and decoder: what it misses beyond that no score model can mend; the rest of an error is the score
model's. Rows are split 80 to 20 at random, where the paper splits 90 to 10 or as the table's authors did."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tables", nargs="+", default=[*PUBLISHED], choices=[*PUBLISHED], metavar="NAME", help=", ".join(PUBLISHED))
    add("--minutes", nargs="+", type=float, default=[1.0, 2.0, 4.0], metavar="M", help="budgets; 1 2 4 by default")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=2, metavar="N", help="of the CPU")
    add("--cache", type=Path, default=ROOT / ".admet/leaderboard", metavar="FOLDER", help="of points that are done")
    add("--done", action="store_true", help="run nothing: only what is there")
    add("--write", action="store_true", help="write docs/benchmarks/literature.md, .json and .svg")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    folds, skipped = [], []
    for name in options.tables:
        try:
            folds.append(Fold(load(name, options.cache), options.seed))
        except AbsentError as error:
            skipped.append(str(error))
    points: list[Point] = []
    for fold, minutes in product(folds, options.minutes):
        found = known_or_new(options.cache / "literature", fold, minutes, options.threads, run=not options.done)
        points += [found] if found else []
        print(found, flush=True)
    content = page(points, skipped)
    print(f"\n{content}")
    if options.write:
        lines = {
            f"{table} {what}": [(p.diffusion_updates, getattr(p, what)) for p in points if p.table == table]
            for table, what in product(dict.fromkeys(p.table for p in points), ("shape", "trend"))
        }
        texts = {"literature.md": content, "literature.svg": curves(lines, "updates of the score model", "error, %")}
        for name, text in texts.items():
            with atomic_path(ROOT / "docs/benchmarks" / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        write_json(ROOT / "docs/benchmarks/literature.json", [asdict(each) for each in points])


if __name__ == "__main__":
    command.ending(main)
