"""Every rival beside us: one task a table, method and seed, over the program that `make benchmark` runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import keep_records_in_project
from flows.artifacts import ProgressArtifact
from flows.checkout import python
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json
from tabsyn_core.progress import Progress

PROGRAM = "benchmarks/leaderboard.py"
PAGES = Path("out/benchmark"), Path("docs/benchmarks")
"""Where the page goes, and where it goes when it is to be committed."""


@flow(name="benchmark")
def benchmark(
    tables: list[str] | None = None,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    seconds: float | None = None,
    *,
    published: bool = False,
    build: bool = False,
    write: bool = False,
) -> dict[str, Any]:
    """Fit, sample and judge every method on every table, and write the leaderboard.

    Cells follow one another, because they share the machine. A cell that is known is not run again, so a run that was
    stopped goes on where it was; a method that fails stands in the leaderboard with its error, and the others go on.

    Args:
        tables: Names of tables; as in ``params.yaml`` by default, like what follows.
        methods: Names of methods.
        seeds: Of split, fit and draw.
        seconds: Budget of each fit.
        published: Also train each rival as long as its authors say.
        build: First build the environments of rivals that need one of their own.
        write: Write the leaderboard to ``docs/benchmarks``, to be committed, and give the results to DVC.

    Returns:
        ``cells``: how many there are; ``failed``: the error of each that failed, by its name; ``skipped``: tables that
        are not there, and environments that could not be built; ``page``: the leaderboard.

    Raises:
        TabsynError: A name or number is none of the program's, or every cell failed.
    """
    root = Path.cwd()
    chosen = {"tables": tables, "methods": methods, "seeds": seeds, "seconds": seconds}
    options = [text for name, value in chosen.items() if value is not None for text in _option(name, value)]
    options += ["--published"] if published else []
    plan = ask(root, "--plan", *(["--build"] if build else []), *options)
    failed = _run(root, plan["cells"])
    if len(failed) == len(plan["cells"]):
        raise TabsynError("; ".join([*plan["skipped"], *failed.values()]) or "there is no cell to run.")
    page = write_page(root, options, write=write)
    return {"cells": len(plan["cells"]), "failed": failed, "skipped": plan["skipped"], "page": str(page)}


def _option(name: str, value: Any) -> list[str]:
    return [f"--{name}", *map(str, value if isinstance(value, list) else [value])]


def _run(root: Path, cells: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Run the cells; the errors of those that failed, by name."""
    failed, progress = {}, ProgressArtifact("benchmark")
    for done, cell in enumerate(cells):
        progress(Progress(done, len(cells), "cells"))
        recipe = "" if cell["seconds"] else " as published"
        name = f"{cell['table']} {cell['method']}{recipe} {cell['seed']}"
        state = run_cell.with_options(name=cell["method"], task_run_name=name)(root, cell, return_state=True)
        if not state.is_completed():
            failed[name] = str(state.result(raise_on_failure=False))
    progress(Progress(len(cells), len(cells), "cells"))
    return failed


@task(cache_policy=NO_CACHE)  # the program knows what is known, by data, settings and code
def run_cell(root: Path, cell: dict[str, Any]) -> dict[str, Any]:
    """Bring one cell up to date and return its figures.

    Raises:
        TabsynError: The method failed.
    """
    answer = ask(root, "--cell", json.dumps(cell))
    found: dict[str, Any] = answer["cell"]
    if "error" in found:
        raise TabsynError(f"{found['step']} on {found['table']}, seed {found['seed']}: {found['error']}")
    outcome = "known" if answer["known"] else f"fitted in {found['fit_seconds']:.0f} s"
    get_run_logger().info("%s on %s, seed %s: %s", found["step"], found["table"], found["seed"], outcome)
    return {"known": answer["known"], "figures": found["figures"]}


@task(cache_policy=NO_CACHE)
def write_page(root: Path, options: Sequence[str], *, write: bool) -> Path:
    """Write the leaderboard of what is known, log it to MLflow and show it."""
    python(root, PROGRAM, "--done", "--mlflow", *(["--write"] if write else []), *options)
    folder = root / PAGES[write]
    create_markdown_artifact((folder / "leaderboard.md").read_text(encoding="utf-8"), "leaderboard", "Leaderboard")
    page = folder / "leaderboard.html"
    create_link_artifact(page.resolve().as_uri(), "Leaderboard", "leaderboard-page", str(page.resolve()))
    return page


def ask(root: Path, *arguments: str) -> Any:
    """The program's answer as JSON.

    Raises:
        TabsynError: It refused; the message is its own.
    """
    with TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        python(root, PROGRAM, "--json", str(answer), *arguments)
        return read_json(answer)


if __name__ == "__main__":
    keep_records_in_project(Path.cwd())
    benchmark()
