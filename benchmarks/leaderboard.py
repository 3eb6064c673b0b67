"""Every rival beside us: the same tables, splits, seconds and judge, one process a cell.

Every cell (a table, a method, a seed) is kept in the cache as soon as it is done, under a digest of data, settings and
code: a run that was stopped goes on where it was. A method that fails or runs out of time stands in the table with its
error, and the others go on.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

from cells import Bench, Cell, Drawn, Fold, Step
from pages import Column, likeness, markdown, setting, use
from ranks import RANKED, critical_difference, diagram, rank_table
from real_tables import ROOT, AbsentError, RealTable, load, names

from tabsyn_core.baselines import BASELINES
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_json, read_parquet, write_json, write_parquet
from tabsyn_core.generator import Generator
from tasks.params import BenchmarkParams, load_params
from tasks.paths import PARAMS

DOCS = ROOT / "docs/benchmarks"
OURS = "ours"
_GRACE = 300.0
"""Seconds beyond three times the budget after which a method is stopped: for sampling, imports and set-up."""

EXAMPLES = """\
examples:
  python benchmarks/leaderboard.py                                    what params.yaml says under benchmark
  python benchmarks/leaderboard.py --tables biogen --methods ours tvae --seeds 0 --seconds 600
  python benchmarks/leaderboard.py --tables all --write               write docs/benchmarks/leaderboard.md, .json, .svg
  python benchmarks/leaderboard.py --done --write                     the same of what the cache holds, running nothing
"""


def method(name: str, seconds: float) -> Step:
    """A line of the leaderboard: a method with its budget, in a process of its own."""

    def draw(fold: Fold, _: float | None) -> Drawn:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)
            write_parquet(out / "train.parquet", fold.train)
            write_json(out / "schema.json", fold.schema.to_json())
            job = {"method": name, "seed": fold.seed, "seconds": seconds, "folder": folder}
            command = [sys.executable, __file__, "--draw", json.dumps(job)]
            try:
                done = subprocess.run(  # noqa: S603  this very file
                    command, capture_output=True, text=True, check=False, timeout=3 * seconds + _GRACE
                )
            except subprocess.TimeoutExpired as error:
                raise TabsynError(f"stopped after {error.timeout:.0f} s, its budget was {seconds:.0f} s.") from None
            if done.returncode:
                raise TabsynError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
            told = read_json(out / "told.json")
            return Drawn(read_parquet(out / "rows.parquet"), **told)

    return Step(name, f"{seconds:.0f} s", {"method": name, "seconds": seconds}, draw)


def draw_rows(job: Mapping[str, object]) -> None:
    """Fit, sample as many rows as there are to learn from, and say what it took."""
    from tabsyn_core.schema import TableSchema  # noqa: PLC0415

    folder, seed, seconds = Path(str(job["folder"])), int(str(job["seed"])), float(str(job["seconds"]))
    table = read_parquet(folder / "train.parquet")
    schema = TableSchema.from_json(read_json(folder / "schema.json"))
    start = time.perf_counter()
    if job["method"] == OURS:
        generator = Generator().fit(table, seed=seed, schema=schema, time_limit=seconds)
        fitted, effort = time.perf_counter(), {}
        rows = generator.sample(table.height, seed=seed)
    else:
        baseline = BASELINES[str(job["method"])]().fit(table, schema, seed=seed, seconds=seconds)
        fitted, effort = time.perf_counter(), dict(baseline.effort)
        rows = baseline.sample(table.height, seed)
    end = time.perf_counter()
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    write_parquet(folder / "rows.parquet", rows.select(table.columns))
    more = {"peak_mib": peak, "rows_a_second": table.height / max(end - fitted, 1e-9), **effort}
    write_json(folder / "told.json", {"fit_seconds": fitted - start, "sample_seconds": end - fitted, "more": more})


def run(bench: Bench, folds: Sequence[Fold], lines: Sequence[Step]) -> list[Cell]:
    """Every line on every fold, with a word after each."""
    cells: list[Cell] = []
    begin = time.monotonic()
    for done, (fold, line) in enumerate(product(folds, lines), start=1):
        if (cell := bench.cell(fold, line)) is None:
            continue
        cells.append(cell)
        where = f"[{done}/{len(folds) * len(lines)}, {(time.monotonic() - begin) / 60:.0f} min] {fold.real.name}"
        said = cell.get("error") or f"C2ST {cell['figures']['c2st_trees']:.3f}, fit {cell['fit_seconds']:.0f} s"
        print(f"{where} · seed {fold.seed} · {line.name}: {said}", flush=True)
    return cells


_INTRODUCTION = """\
Rows are split 80 to 20 at random by the seed; a method sees the 80 and draws as many rows; mean ± standard deviation
over the seeds. Every method gets the same budget of wall-clock seconds for its fit on the same machine; a neural rival
that runs out of it is judged as it stands then, so these are not its published figures. The floor is the same figure
with the real held-out rows in place of the synthetic ones, and for TSTR a model trained on as many real rows. Figures
are explained in [how to read the report](../reading-the-report.md); supports and identities in
[the ablation](ablation.md).

Peak memory is of the process that fits and samples, Python and libraries included."""


def leaderboard_page(cells: Sequence[Cell], reals: Sequence[RealTable], skipped: Sequence[str]) -> str:
    """Ranks over all tables, then a section a table."""
    good = [cell for cell in cells if "error" not in cell]
    parts = ["# Leaderboard", _INTRODUCTION, setting(cells, "leaderboard.py")]
    if good:
        ranks = rank_table(good)
        head = ["method", "mean rank", *(ranked.title for ranked in RANKED)]
        body = [[name, *(f"{value:.2f}" for value in row)] for name, row in ranks.items()]
        parts += ["## Mean ranks over tables and seeds", markdown([head, *body]), critical_difference(good)]
        parts.append("![Critical-difference diagram](leaderboard.svg)")
    for real in reals:
        of_table = [cell for cell in cells if cell["table"] == real.name]
        if of_table:
            parts += _table_section(real, of_table)
    return "\n\n".join([*parts, *(f"_{reason}_" for reason in skipped)]) + "\n"


def _table_section(real: RealTable, cells: Sequence[Cell]) -> list[str]:
    good = [cell for cell in cells if "error" not in cell]
    failed = [f"- {cell['step']}, seed {cell['seed']}: {cell['error']}" for cell in cells if "error" in cell]
    sections = [f"## {real.name}"]
    if good:
        rows = good[0]["rows"]
        size = f"{rows['training']:,} training rows, {rows['held_out']:,} held out, {good[0]['columns']} columns."
        sections.append(size)
        one_a_seed = [*{cell["seed"]: cell for cell in good}.values()]
        kinds = (("Likeness", _likeness), ("Coverage, privacy, use", lambda part: use(part, real.targets)))
        for title, columns in kinds:
            head = [title, *(column.title for column in columns("figures"))]
            floor = ["**floor: real hold-out**", *(column.over(one_a_seed) for column in columns("floor"))]
            body = [
                [name, *(column.over([cell for cell in good if cell["step"] == name]) for column in columns("figures"))]
                for name in dict.fromkeys(cell["step"] for cell in good)
            ]
            sections.append(markdown([head, floor, *body]))
    return [*sections, *(["Failed:\n\n" + "\n".join(failed)] if failed else [])]


def _likeness(part: str) -> list[Column]:
    def of(name: str) -> Callable[[Cell], float | None]:
        return (lambda _: None) if part == "floor" else (lambda cell: cell["more"].get(name))

    return [*likeness(part), Column("peak MiB", of("peak_mib"), 0), Column("rows/s", of("rows_a_second"), 0)]


def log_to_mlflow(cells: Sequence[Cell]) -> None:
    """One parent run, one child run a cell, in the project's registry."""
    import mlflow  # noqa: PLC0415  seconds of imports

    from tasks.registry import tracking_uri  # noqa: PLC0415

    mlflow.set_tracking_uri(tracking_uri())
    mlflow.set_experiment("leaderboard")
    with mlflow.start_run(run_name="leaderboard"):
        for cell in cells:
            with mlflow.start_run(run_name=f"{cell['table']} {cell['step']} {cell['seed']}", nested=True):
                mlflow.log_params({name: cell[name] for name in ("table", "step", "seed")})
                if "error" in cell:
                    mlflow.set_tag("error", cell["error"])
                    continue
                figures = {k: v for k, v in cell["figures"].items() if isinstance(v, int | float)}
                seconds = {"fit_seconds": cell["fit_seconds"], "sample_seconds": cell["sample_seconds"]}
                mlflow.log_metrics({**figures, **seconds, **cell["more"]})


def arguments(defaults: BenchmarkParams) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    known = [OURS, *BASELINES]
    add("--tables", nargs="+", default=[*defaults.tables], metavar="NAME", help=f"of {', '.join(names())}; tdc; all")
    add(
        "--methods",
        nargs="+",
        default=[*defaults.methods],
        choices=known,
        metavar="NAME",
        help=f"of {', '.join(known)}",
    )
    add("--seeds", nargs="+", type=int, default=[*defaults.seeds], metavar="SEED")
    add("--seconds", type=float, default=defaults.seconds, metavar="S", help="budget of each fit")
    add("--cache", type=Path, default=ROOT / ".admet/leaderboard", metavar="FOLDER", help="of rows and figures")
    add("--done", action="store_true", help="print what the cache holds and run nothing")
    add("--write", action="store_true", help="write the page, its figures and its diagram to docs/benchmarks")
    add("--mlflow", action="store_true", help="log one child run a cell to the project's MLflow")
    add("--draw", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments(load_params(ROOT / PARAMS).benchmark)
    if options.draw:
        draw_rows(json.loads(options.draw))
        return
    reals, skipped = [], []
    for name in names(options.tables):
        try:
            reals.append(load(name, options.cache))
        except AbsentError as error:
            skipped.append(str(error))
    lines = [method(name, options.seconds) for name in options.methods]
    folds = [Fold(real, seed) for real in reals for seed in options.seeds]
    cells = run(Bench(options.cache, run=not options.done), folds, lines)
    page = leaderboard_page(cells, reals, skipped)
    print(f"\n{page}")
    if options.mlflow:
        log_to_mlflow(cells)
    if options.write:
        with atomic_path(DOCS / "leaderboard.md") as temporary:
            temporary.write_text(page, encoding="utf-8")
        write_json(DOCS / "leaderboard.json", [{k: v for k, v in cell.items() if k != "traceback"} for cell in cells])
        diagram(cells, DOCS / "leaderboard.svg")
        print(f"written: {DOCS / 'leaderboard.md'}, .json and .svg")


if __name__ == "__main__":
    try:
        main()
    except TabsynError as error:
        sys.exit(str(error))
