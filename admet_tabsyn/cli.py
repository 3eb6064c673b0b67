"""``admet-tabsyn``: the pipeline and its results from a shell."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tasks import paths

# Libraries of this project take seconds to import: each command imports its own, so that --help and errors are quick.
# ruff: noqa: PLC0415


class _PlainErrors(TyperGroup):
    """What the user can mend is said in plain words, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TabsynError as error:
            Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
            sys.exit(1)


def _examples(*lines: str) -> str:
    """The end of a command's help: lines a user can copy, which the mark in front keeps as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


app = typer.Typer(
    cls=_PlainErrors,
    help="Synthetic ADMET tables: run the pipeline, draw rows, judge them.",
    epilog=_examples("admet-tabsyn run", "admet-tabsyn sample -n 500 -o rows.csv", "admet-tabsyn doctor"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


@app.command(
    epilog=_examples(
        "admet-tabsyn run",
        "admet-tabsyn run --refresh     # reads a URL or tdc:<name> again",
        "admet-tabsyn run --verbose     # with Prefect's own log",
    )
)
def run(
    *,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read a source that is not a local file again.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the log lines of every library.")] = False,
) -> None:
    """Bring the whole pipeline up to date with params.yaml, from the molecules to the registered model.

    Only what changed runs again, as with dvc repro.
    """
    if not Path("dvc.yaml").exists():
        raise TabsynError(f"{Path.cwd()} holds no dvc.yaml; run from the project's root.")
    # By default SIGTERM ends Python on the spot, and the server that Prefect started for this run would stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from flows import keep_records_in_project

    keep_records_in_project(Path.cwd())  # before Prefect is imported and reads its settings
    with _clean_page(verbose=verbose):
        from flows.pipeline import admet_pipeline

        done = admet_pipeline(refresh=refresh)
    from admet_tabsyn.summary import run_summary

    console.print(run_summary(done["steps"]))
    if not done["changed"]:
        console.print("\nNothing changed: every step was up to date.", style="bold")


@contextmanager
def _clean_page(*, verbose: bool) -> Iterator[None]:
    """Of all the log lines a run makes, show only what the steps say; Prefect still stores every one."""
    if verbose:
        yield
        return
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    import prefect.main  # noqa: F401 - sets its handlers up now, so that ours stays

    from flows.pipeline import STEPS

    steps, lines = logging.getLogger("prefect.task_runs"), _StepLines(STEPS)
    steps.addHandler(lines)
    try:
        yield
    finally:
        steps.removeHandler(lines)


class _StepLines(logging.Handler):
    """Prints the lines that begin with a step's name."""

    def __init__(self, steps: tuple[str, ...]) -> None:
        super().__init__(logging.INFO)
        self.starts = tuple(f"{step}: " for step in steps)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, if a step said it."""
        line = record.getMessage()
        if line.startswith(self.starts):
            console.print(line, markup=False, soft_wrap=True)


@app.command(
    epilog=_examples(
        "admet-tabsyn sample -n 500",
        "admet-tabsyn sample -n 500 --seed 7 -o rows.csv",
        "admet-tabsyn sample models:/admet-tabsyn-solubility@champion -n 10000 -o rows.parquet",
    )
)
def sample(
    model: Annotated[
        str, typer.Argument(help="A saved generator's folder, or models:/<name>@champion from the registry.")
    ] = str(paths.GENERATOR),
    *,
    num_rows: Annotated[int, typer.Option("-n", "--num-rows", min=1, help="How many rows.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same rows.")] = 0,
    num_steps: Annotated[int, typer.Option(min=1, help="Heun steps: more are slower and closer.")] = 50,
    chunk_size: Annotated[int, typer.Option(min=1, help="Rows in memory at once.")] = 1000,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .parquet or .csv file.")] = Path("synthetic.parquet"),
) -> None:
    """Draw rows from a saved or registered generator."""
    if out.suffix not in (".parquet", ".csv"):
        raise TabsynError(f"{out} should end in .parquet or .csv; that says what to write.")
    draw = _draw_csv if out.suffix == ".csv" else _draw
    with tempfile.TemporaryDirectory() as folder:
        generator = _generator_folder(model, Path(folder))
        draw(generator, out, num_rows=num_rows, seed=seed, num_steps=num_steps, chunk_size=chunk_size)
    console.print(f"{num_rows:,} rows: {out}", markup=False, soft_wrap=True)


def _generator_folder(model: str, download: Path) -> Path:
    """Where the generator lies; a registered one is fetched into ``download`` when it is not on this machine."""
    if not model.startswith("models:/"):
        return Path(model)
    import mlflow.artifacts

    from tasks.registry import connect, registry_errors, tracking_uri, version_of

    version = version_of(connect(), model)
    with registry_errors(tracking_uri()):
        uri = f"models:/{version.name}/{version.version}/artifacts/generator"
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(download)))


def _draw(generator: Path, out: Path, **wanted: int) -> None:
    from tasks.sample import sample_rows
    from tasks.stage import ProgressReporter

    reporter = ProgressReporter("sample")
    sample_rows(generator, out, **wanted, progress=reporter)
    reporter.close()


def _draw_csv(generator: Path, out: Path, **wanted: int) -> None:
    import polars as pl

    with atomic_path(out) as temporary:
        rows = temporary.with_suffix(".parquet")
        _draw(generator, rows, **wanted)
        pl.scan_parquet(rows).sink_csv(temporary)


@app.command(
    epilog=_examples(
        "admet-tabsyn evaluate --real data/processed/train.parquet --holdout data/processed/holdout.parquet \\",
        "    --synthetic rows.parquet --targets logS,solubility_class --out judged",
    )
)
def evaluate(
    *,
    real: Annotated[Path, typer.Option(help="Parquet: rows the generator saw.")],
    holdout: Annotated[Path, typer.Option(help="Parquet: real rows it did not see, the floor of every figure.")],
    synthetic: Annotated[Path, typer.Option(help="Parquet: the rows to judge, from any generator.")],
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    targets: Annotated[str, typer.Option(help="Columns whose prediction is judged, separated by commas.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Decides folds and draws.")] = 0,
) -> None:
    """Judge any synthetic table against real rows: every figure beside its floor."""
    from admet_tabsyn.summary import figures_table
    from tabsyn_core.evaluation import evaluate_files
    from tasks.stage import ProgressReporter

    names = [name.strip() for name in targets.split(",") if name.strip()]
    reporter = ProgressReporter("evaluate")
    judged = evaluate_files(real, holdout, synthetic, names, out, seed=seed, progress=reporter)
    reporter.close()
    console.print(figures_table(judged.to_json()))
    console.print(f"{out / 'report.html'}\n{out / 'report.json'}", markup=False, soft_wrap=True)


@app.command(epilog=_examples("admet-tabsyn report", "admet-tabsyn report --open"))
def report(*, open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False) -> None:
    """Print the path of the newest report."""
    if not paths.REPORT.exists():
        raise TabsynError(f"{paths.REPORT} does not exist; make it with: admet-tabsyn run.")
    print(paths.REPORT.resolve())
    if open_:
        typer.launch(paths.REPORT.resolve().as_uri())


@app.command(
    epilog=_examples(
        "admet-tabsyn show-distributions --worst 10",
        "admet-tabsyn show-distributions --column VSA",
        "admet-tabsyn show-distributions --family gamma",
    )
)
def show_distributions(
    column: Annotated[str, typer.Option(help="Only columns whose name contains this.")] = "",
    family: Annotated[str, typer.Option(help="Only columns whose family contains this.")] = "",
    worst: Annotated[int | None, typer.Option(min=1, help="Only this many, worst fit first.")] = None,
    path: Annotated[Path, typer.Option(help="The file that fit_distributions wrote.")] = paths.DISTRIBUTIONS,
) -> None:
    """Show each column's kind, family, parameters, atoms and goodness of fit on held-out rows."""
    from tabsyn_core.distributions import load_distributions

    _, distributions = load_distributions(path)
    chosen = [
        one
        for one in distributions.values()
        if column.lower() in one.name.lower() and family.lower() in one.family.lower()
    ]
    if worst is not None:
        # A statistic is an effect size and is comparable over columns; a p-value also depends on how many rows.
        chosen = sorted(chosen, key=lambda one: one.fit.statistic or 0.0, reverse=True)[:worst]
    if not chosen:
        raise TabsynError(f"no column of {path} matches; without options all {len(distributions)} are shown.")
    table = Table("column", "kind", "family and parameters", "atoms", "test", "statistic", "p", box=box.SIMPLE_HEAD)
    for one in chosen:
        found = [f"{value:.3g}" if value is not None else "" for value in (one.fit.statistic, one.fit.p_value)]
        table.add_row(one.name, one.kind, one.describe(), str(len(one.atoms) or ""), one.fit.test, *found)
    console.print(table)
    console.print(f"{len(chosen)} of {len(distributions)} columns; pictures: {paths.DISTRIBUTIONS_PAGE}", markup=False)


@app.command(
    epilog=_examples(
        "admet-tabsyn restore models:/admet-tabsyn-solubility@champion",
        "admet-tabsyn restore models:/admet-tabsyn-solubility/3 --out version-3",
    )
)
def restore(
    model: Annotated[str, typer.Argument(help="models:/<name>@champion or models:/<name>/<number>.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the files go; nothing there is overwritten.")] = Path(
        "restored"
    ),
) -> None:
    """Bring back the exact data and generator of a registered version, from DVC's cache or remote."""
    from tasks.restore import restore as bring_back

    for path in bring_back(model, out):
        print(path)


@app.command(epilog=_examples("admet-tabsyn doctor"))
def doctor() -> None:
    """Say what is missing or misconfigured here, and how to put it right; exit 1 if a run could not work."""
    from admet_tabsyn.doctor import Verdict, examine

    colours = {Verdict.GOOD: "green", Verdict.BAD: "bold red", Verdict.NOTE: "yellow"}
    bad = 0
    for finding in examine():
        bad += finding.verdict is Verdict.BAD
        line = Table.grid(padding=(0, 1))
        line.add_column(style=colours[finding.verdict])
        line.add_column(min_width=12)
        line.add_column()
        line.add_row(finding.verdict, finding.subject, finding.found)
        if finding.remedy:
            line.add_row("", "", f"→ {finding.remedy}")
        console.print(line, markup=False)
    if bad:
        raise TabsynError(f"{bad} thing(s) would stop a run; the lines marked {Verdict.BAD} say what to do.")
