"""Every rival beside us: the same tables, splits, seconds and judge, one process a cell.

Every cell (a table, a method, a seed) is kept in ``benchmarks/results`` as soon as it is done, with a digest of data,
settings and code: a run that was stopped goes on where it was. A method that fails or runs out of time stands in the
table with its error, and the others go on. ``benchmarks`` is a DVC project of its own beside the pipeline's:
with a remote that both know, ``dvc --cd benchmarks pull`` brings the results of others.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import board
import command
from cells import Bench, Cell, Fold, Step
from methods import METHODS, RECIPES, build, line
from ranks import statistics_of, within_budget
from real_tables import ROOT, AbsentError, find, load, names

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_json, write_json
from tasks.params import BenchmarkParams, load_params
from tasks.paths import PARAMS

RESULTS = Path(__file__).parent / "results"

EXAMPLES = """\
examples:
  python benchmarks/leaderboard.py                                    what params.yaml says under benchmark
  python benchmarks/leaderboard.py --build                            build the environments of external rivals before
  python benchmarks/leaderboard.py --tables biogen --methods ours tvae --seeds 0 --seconds 600
  python benchmarks/leaderboard.py --methods ctgan --published        CTGAN's own recipe beside the budget
  python benchmarks/leaderboard.py --tables all --write               write docs/benchmarks/leaderboard.*
  python benchmarks/leaderboard.py --done --stale                     a page of what is there, running nothing
"""


def lines(methods: Sequence[str], seconds: float | None, *, published: bool) -> list[Step]:
    """Methods with their budget, then published recipes where they are wanted.

    Without a budget those that have a recipe follow it, and the others take as long as they do.

    Raises:
        TabsynError: There is no such method.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise TabsynError(f"there is no method '{unknown[0]}' (benchmark.methods): there are {', '.join(METHODS)}.")
    first = [line(name, seconds) for name in methods if seconds is not None or name not in RECIPES]
    whole = published or seconds is None
    return first + [line(name, None) for name in methods if whole and name in RECIPES]


def run(bench: Bench, folds: Sequence[Fold], steps: Sequence[Step]) -> list[Cell]:
    """Every line on every fold, with a word after each."""
    cells: list[Cell] = []
    begin = time.monotonic()
    for done, (fold, step) in enumerate(product(folds, steps), start=1):
        if (cell := bench.cell(fold, step)) is None:
            continue
        cells.append(cell)
        where = f"[{done}/{len(folds) * len(steps)}, {(time.monotonic() - begin) / 60:.0f} min] {fold.real.name}"
        print(f"{where} · seed {fold.seed} · {step.name}: {_word(cell)}", flush=True)
    return cells


def _word(cell: Cell) -> str:
    if "error" in cell:
        return f"FAILED, {cell['error']}"
    c2st = cell["figures"]["c2st_trees"]
    judged = "not judged by C2ST" if c2st is None else f"C2ST {c2st:.3f}"
    return f"{judged}, fit {cell['fit_seconds']:.0f} s, sample {cell['sample_seconds']:.0f} s"


def log_to_mlflow(cells: Sequence[Cell], files: Sequence[Path] = ()) -> None:
    """One parent run with the page, and in it one child run a cell, in the project's tracking store."""
    import mlflow  # noqa: PLC0415  seconds of imports

    from tasks.registry import artifact_location, connect  # noqa: PLC0415

    client, name = connect(ROOT), "leaderboard"
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name, artifact_location(ROOT, name))
    mlflow.set_experiment(name)
    with mlflow.start_run(run_name=name):
        for file in files:
            mlflow.log_artifact(str(file))
        for cell in cells:
            with mlflow.start_run(run_name=f"{cell['table']} {cell['step']} {cell['seed']}", nested=True):
                mlflow.log_params({name: cell[name] for name in ("table", "step", "seed")} | cell["settings"])
                if "error" in cell:
                    mlflow.set_tag("error", cell["error"])
                    continue
                figures = {k: v for k, v in cell["figures"].items() if isinstance(v, int | float)}
                scores = {f"tstr {k}": v for k, v in cell["figures"]["utility"].items() if v is not None}
                seconds = {"fit_seconds": cell["fit_seconds"], "sample_seconds": cell["sample_seconds"]}
                metrics = {**figures, **scores, **seconds, **cell["more"]}
                mlflow.log_metrics({_speakable(name): float(value) for name, value in metrics.items()})


def _speakable(name: str) -> str:
    """MLflow takes letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in name)


def publish(cells: Sequence[Cell], folder: Path, content: str, images: dict[str, str]) -> list[Path]:
    """Write the page as Markdown and HTML, its pictures, and everything as JSON."""
    texts = {"leaderboard.md": content, "leaderboard.html": board.html(content, images), **images}
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    kept = [_told(cell) for cell in cells]
    write_json(folder / "leaderboard.json", {**statistics_of(within_budget(cells)), "cells": kept})
    return [*(folder / name for name in texts), folder / "leaderboard.json"]


def _told(cell: Cell) -> Cell:
    """A cell without its traceback and without the grids, which the pictures show: they are a megabyte."""
    told = {name: value for name, value in cell.items() if name != "traceback"}
    if "bank" in told:
        told["bank"] = {name: value for name, value in told["bank"].items() if name != "grids"}
    return told


def arguments(defaults: BenchmarkParams) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tables", nargs="+", default=[*defaults.tables], metavar="NAME", help=f"of {', '.join(names())}; tdc; all")
    add(
        "--methods",
        nargs="+",
        default=[*defaults.methods],
        choices=METHODS,
        metavar="NAME",
        help=f"of {', '.join(METHODS)}",
    )
    add("--seeds", nargs="+", type=command.seed, default=[*defaults.seeds], metavar="SEED")
    add("--seconds", type=_seconds, default=defaults.seconds, metavar="S", help="budget of each fit")
    add("--published", action="store_true", help="also train each rival as long as its authors say (hours)")
    add("--build", action="store_true", help="first build the environments of rivals that need one (minutes)")
    add("--cache", type=Path, default=ROOT / ".admet/leaderboard", metavar="FOLDER", help="of descriptors and rows")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER", help="of the figures of each cell")
    add("--done", action="store_true", help="run nothing: only what is there")
    add("--stale", action="store_true", help="what other code drew will do; the page says whose")
    add("--out", type=Path, default=ROOT / "out/benchmark", metavar="FOLDER", help="of the page")
    add("--write", action="store_true", help="write the page to docs/benchmarks and give the results to DVC")
    add("--mlflow", action="store_true", help="log one child run a cell to the project's MLflow")
    for_flows = parser.add_argument_group("for flows, which run one cell at a time")
    for_flows.add_argument("--plan", action="store_true", help="say which cells there are and run none")
    for_flows.add_argument("--cell", type=json.loads, metavar="JSON", help="run this one, of --plan")
    for_flows.add_argument("--json", type=Path, metavar="FILE", help="where to say so")
    options = parser.parse_args()
    if (options.plan or options.cell) and not options.json:
        parser.error("--plan and --cell need --json FILE, where they answer")
    return options


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text} is no budget: give more than 0")
    return seconds


def main() -> None:
    os.chdir(ROOT)
    options = arguments(load_params(ROOT / PARAMS).benchmark)
    if options.cell:
        write_json(options.json, one_cell(options.cell, options.cache, options.results))
        return
    steps = lines(options.methods, options.seconds, published=options.published)
    faults = build(options.methods) if options.build else []
    present, skipped = tables(options.tables)
    if options.plan:
        jobs = [{"table": t, "seed": seed, **step.settings} for t, seed, step in product(present, options.seeds, steps)]
        write_json(options.json, {"cells": jobs, "skipped": skipped + faults})
        return
    reals = [load(name, options.cache) for name in present]
    folds = [Fold(real, seed) for real, seed in product(reals, options.seeds)]
    bench = Bench(options.cache, run=not options.done, results=options.results, stale=options.stale)
    cells = command.some(run(bench, folds, steps), lambda: known(options.results))
    content, images = board.page(cells, reals, skipped + faults), board.pictures(cells, reals)
    written = publish(cells, ROOT / "docs/benchmarks" if options.write else options.out, content, images)
    print(f"\n{content}\nwritten: {', '.join(map(str, written))}")
    if options.mlflow:
        log_to_mlflow(cells, written)
    if options.write:
        keep(options.results)
    if all("error" in cell for cell in cells):
        raise TabsynError("every cell failed, as the page says.")


def known(results: Path) -> str:
    """What there is instead of what was asked for."""
    cells = [read_json(path) for path in results.glob("*.json")]
    there = sorted({f"{cell['table']} with {cell['settings']['seconds']} seconds" for cell in cells})
    return f"{results} has {', '.join(there) or 'none'}: name those, or run without --done"


def tables(asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """The tables that are there, and a sentence for each that is not."""
    present, skipped = [], []
    for name in names(asked):
        try:
            find(name)
        except AbsentError as error:
            skipped.append(str(error))
        else:
            present.append(name)
    return present, skipped


def one_cell(job: Mapping[str, Any], cache: Path, results: Path) -> dict[str, Any]:
    """A cell of the plan, and whether it was known already."""
    fold, step = Fold(load(job["table"], cache), job["seed"]), line(job["method"], job["seconds"])
    known = Bench(cache, run=False, results=results).cell(fold, step)
    if known is not None and "error" not in known:
        return {"cell": known, "known": True}
    return {"cell": Bench(cache, run=True, results=results).cell(fold, step), "known": False}


def keep(results: Path) -> None:
    """Give the results to DVC: ``results.dvc``, which git tracks, says what they were.

    Raises:
        TabsynError: DVC could not take them.
    """
    command = [sys.executable, "-m", "dvc", "--cd", str(results.parent), "add", "--quiet", results.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  dvc, no shell
    if done.returncode:
        raise TabsynError(f"DVC could not take {results}: {done.stderr.strip()}")


if __name__ == "__main__":
    command.ending(main)
