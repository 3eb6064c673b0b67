"""``admet-tabsyn``: the pipeline and its results from a shell."""

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil  # type: ignore[import-untyped]
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tasks import paths

if TYPE_CHECKING:
    import polars as pl

    from tabsyn_core.distributions import ColumnDistribution

_SECONDS_TO_END = 4.0

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
    epilog=_examples("admet-tabsyn run", "admet-tabsyn sample -n 500 -o out/rows.csv", "admet-tabsyn doctor"),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


def _say_version(asked: bool) -> None:  # noqa: FBT001  # typer calls it so
    if asked:
        typer.echo(f"admet-tabsyn {version('admet-tabsyn')}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    said: Annotated[  # its callback does all there is to do
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    pass


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
    _end_when_interrupted()
    from admet_tabsyn.doctor import require_data
    from tasks.params import load_params

    require_data(load_params(paths.PARAMS).data)
    from flows import keep_records_in_project

    keep_records_in_project(Path.cwd())  # before Prefect is imported and reads its settings
    with _clean_page(verbose=verbose):
        from flows.pipeline import admet_pipeline

        done = admet_pipeline(refresh=refresh)
    from admet_tabsyn.summary import run_summary

    console.print(run_summary(done["steps"]))
    if not done["changed"]:
        console.print("\nNothing changed: every step was up to date.", style="bold")


def _end_when_interrupted() -> None:
    """From now on Ctrl-C and SIGTERM end this process in seconds, with one line and no process left behind.

    Prefect notes it if its server still answers. A Ctrl-C reaches the server that Prefect started for this run as well,
    and Prefect would knock at it for minutes. It also puts a SIGTERM handler of its own in place of ours while a flow
    runs: so it is a thread that hears of the signal, whoever handles it.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_wait_and_end, args=[heard], daemon=True).start()


def _wait_and_end(heard: int) -> None:
    while (number := os.read(heard, 1)[0]) not in (signal.SIGINT, signal.SIGTERM):
        pass
    os.write(2, b"\ninterrupted; run again to resume from the last checkpoint\n")
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    time.sleep(_SECONDS_TO_END)
    _end(128 + number)


def _end(code: int) -> None:
    children = psutil.Process().children(recursive=True)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for child in children:
            with suppress(psutil.NoSuchProcess):
                end(child)
        _, children = psutil.wait_procs(children, timeout=2)
    os._exit(code)


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


_LONGEST_WARNING = 400


class _StepLines(logging.Handler):
    """Prints the lines that begin with a step's name and its warnings; its error ends the run, and is said there."""

    def __init__(self, steps: tuple[str, ...]) -> None:
        super().__init__(logging.INFO)
        self.starts = (*(f"{step}: " for step in steps), "  warning: ")
        self.errors = tuple(f"{step}: error: " for step in steps)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, if a step said it."""
        line = record.getMessage()
        if line.startswith(self.starts) and not line.startswith(self.errors):
            whole = len(line) <= _LONGEST_WARNING or not line.startswith("  warning: ")
            shown = line if whole else f"{line[:_LONGEST_WARNING]} … (all of it in the Data Docs)"
            console.print(shown, markup=False, soft_wrap=True)


@app.command(
    epilog=_examples(
        "admet-tabsyn sample -n 500",
        "admet-tabsyn sample -n 500 --seed 7 -o rows.csv",
        "admet-tabsyn sample models:/admet-tabsyn-solubility@champion -n 10000 -o rows.parquet",
        """admet-tabsyn sample --where '{"solubility_class": "(C) high", "MolWt": [100, 250]}'""",
        """admet-tabsyn sample --where '{"solubility_class": ["(A) low", "(B) medium"], "logS": \\[null, -3]}'""",
        """admet-tabsyn sample --where '{"RingCount": {"in": [1, 2]}}'""",
        "admet-tabsyn sample -n 300 --balance solubility_class",
        "admet-tabsyn sample -n 300 --realize molecules -o molecules.csv",
    )
)
def sample(
    model: Annotated[
        str, typer.Argument(help="A saved generator's folder, or models:/<name>@champion from the registry.")
    ] = str(paths.GENERATOR),
    *,
    num_rows: Annotated[int, typer.Option("-n", "--num-rows", min=1, help="How many rows.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same rows.")] = 0,
    where: Annotated[
        str,
        typer.Option(help="Only such rows, as JSON: a value, the \\[low, high] of a number, or a list of classes."),
    ] = "",
    balance: Annotated[
        str | None, typer.Option(help="A column of classes or counts: equally many rows of each.")
    ] = None,
    realize: Annotated[
        str, typer.Option(help="molecules: each row is the descriptors of a new molecule, and comes with its SMILES.")
    ] = "",
    num_steps: Annotated[int, typer.Option(min=1, help="Heun steps: more are slower and closer.")] = 25,
    chunk_size: Annotated[int, typer.Option(min=1, help="Rows in memory at once.")] = 1000,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .parquet or .csv file.")] = Path("synthetic.parquet"),
) -> None:
    """Draw rows from a saved or registered generator, any rows or such as meet conditions."""
    if out.suffix not in (".parquet", ".csv"):
        raise TabsynError(f"{out} should end in .parquet or .csv; that says what to write.")
    if realize not in ("", "molecules"):
        raise TabsynError(f"--realize is '{realize}'; it can only be molecules.")
    if realize and balance:
        raise TabsynError("--balance goes without --realize; ask for each class with --where.")
    wanted: dict[str, Any] = {"num_rows": num_rows, "seed": seed, "chunk_size": chunk_size}
    wanted["where"] = _conditions(where)
    with tempfile.TemporaryDirectory() as folder:
        if realize:
            draw = partial(_realize, _part(model, "realizer", Path(folder)))
        else:
            draw = partial(_draw, _part(model, "generator", Path(folder)), balance=balance, num_steps=num_steps)
        (_as_csv if out.suffix == ".csv" else _as_is)(draw, out, **wanted)
    console.print(f"{num_rows:,} rows: {out}", markup=False, soft_wrap=True)


def _conditions(where: str) -> dict[str, Any]:
    try:
        conditions = json.loads(where or "{}")
    except json.JSONDecodeError as error:
        raise TabsynError(f"--where is not JSON ({error}); {_WHERE}") from error
    if not isinstance(conditions, dict):
        raise TabsynError(f"--where is no JSON object; {_WHERE}")
    return conditions


_WHERE = """write for example --where '{"solubility_class": "(C) high", "MolWt": [100, 250]}'."""


def _part(model: str, part: str, download: Path) -> Path:
    """Where a generator or realizer lies; a registered one is fetched into ``download`` if it is not on this machine.

    That of ``models/generator`` is ``models/realizer``.
    """
    if not model.startswith("models:/"):
        folder = paths.REALIZER if part == "realizer" and Path(model) == paths.GENERATOR else Path(model)
        if not folder.is_dir():
            default = folder in (paths.GENERATOR, paths.REALIZER)
            remedy = "make it with: admet-tabsyn run" if default else f"name a saved {part}'s"
            raise TabsynError(f"folder does not exist: {folder}; {remedy}.")
        if folder == paths.REALIZER and not (folder / "realizer.json").exists():
            raise TabsynError(
                f"{folder} holds none: realize.num_rows was 0; set it in params.yaml and run the pipeline."
            )
        return folder
    import mlflow.artifacts

    from tasks.registry import registry_errors, tracking_uri

    version = _version(model)
    with registry_errors(tracking_uri()):
        uri = f"models:/{version.name}/{version.version}/artifacts/{part}"
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(download)))


def _version(model: str) -> Any:
    """The registered version; if there is none, the message says which there are."""
    from tasks.provenance import redact
    from tasks.registry import connect, registry_errors, tracking_uri, version_of

    client, uri = connect(), tracking_uri()
    try:
        return version_of(client, model)
    except TabsynError as error:
        if error.__cause__ is None:
            raise  # no name of a version at all, as the message says
        with registry_errors(uri):
            versions = [f"models:/{one.name}/{one.version}" for one in client.search_model_versions()]
        held = f"holds {', '.join(sorted(versions))}" if versions else "is empty; admet-tabsyn run registers a model"
        raise TabsynError(f"there is no {model}; the registry at {redact(uri)} {held}.") from error


def _draw(generator: Path, out: Path, **wanted: Any) -> None:
    from tasks.sample import sample_rows
    from tasks.stage import ProgressReporter

    reporter = ProgressReporter("sample")
    sample_rows(generator, out, **wanted, progress=reporter)
    reporter.close()


def _realize(realizer: Path, out: Path, **wanted: Any) -> None:
    from tabsyn_core.molecules import Realizer
    from tasks.realize import realize_rows
    from tasks.stage import ProgressReporter

    reporter = ProgressReporter("realize")
    realize_rows(Realizer.load(realizer), out, **wanted, progress=reporter)
    reporter.close()


def _as_is(draw: Callable[..., None], out: Path, **wanted: Any) -> None:
    draw(out, **wanted)


def _as_csv(draw: Callable[..., None], out: Path, **wanted: Any) -> None:
    import polars as pl

    with atomic_path(out) as temporary:
        rows = temporary.with_suffix(".parquet")
        draw(rows, **wanted)
        pl.scan_parquet(rows).sink_csv(temporary)


@app.command(
    epilog=_examples(
        "admet-tabsyn impute rows.csv --draws 5 --out completed",
        "admet-tabsyn impute rows.parquet --generator models:/admet-tabsyn-solubility@champion --out completed",
    )
)
def impute(
    rows: Annotated[Path, typer.Argument(help="A .parquet or .csv file of rows with gaps.")],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the completed files.")],
    generator: Annotated[
        str, typer.Option(help="A saved generator's folder, or models:/<name>@champion from the registry.")
    ] = str(paths.GENERATOR),
    draws: Annotated[int, typer.Option(min=1, help="Completed files: their spread is what is not known.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed fills in the same values.")] = 0,
    num_steps: Annotated[int, typer.Option(min=1, help="Heun steps: more are slower and closer.")] = 25,
) -> None:
    """Fill in the gaps of rows, several times over: each file is one way they may be filled in.

    A column of the generator's table that the file does not have is a gap in every row; the identifiers smiles and
    inchikey are kept as they are.
    """
    from tasks.impute import impute_rows

    with tempfile.TemporaryDirectory() as folder:
        loaded = _part(generator, "generator", Path(folder))
        for path in impute_rows(loaded, rows, out, draws=draws, seed=seed, num_steps=num_steps):
            print(path)


@app.command(
    epilog=_examples(
        "admet-tabsyn evaluate --real data/processed/train.parquet --holdout data/processed/holdout.parquet \\",
        "    --synthetic rows.parquet --targets logS,solubility_class --out judged",
        "admet-tabsyn evaluate ... --synthetic ours.parquet --synthetic ctgan.parquet    # side by side",
    )
)
def evaluate(
    *,
    real: Annotated[Path, typer.Option(help="Parquet or CSV: rows the generator saw.")],
    holdout: Annotated[Path, typer.Option(help="Parquet or CSV: real rows it did not see, the floor of every figure.")],
    synthetic: Annotated[
        list[Path],
        typer.Option(help="Parquet or CSV: the rows to judge, from any generator; give it again to compare."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for report.html and report.json.")],
    targets: Annotated[str, typer.Option(help="Columns whose prediction is judged, separated by commas.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Decides folds and draws.")] = 0,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit our generator inside every fold of a cross-validation, too: slow.")
    ] = False,
) -> None:
    """Judge any synthetic table against real rows: every figure beside its floor."""
    from admet_tabsyn.summary import figures_table, verdict
    from tabsyn_core.evaluation import evaluate_files
    from tasks.stage import ProgressReporter

    names = [name.strip() for name in targets.split(",") if name.strip()]
    reporter = ProgressReporter("evaluate")
    fit = _fit_and_sample if refit else None
    judged = evaluate_files(real, holdout, synthetic, names, out, refit=fit, seed=seed, workers=0, progress=reporter)
    reporter.close()
    for name, one in judged.items():
        console.print(f"[bold]{escape(name)}[/bold]" if len(judged) > 1 else "")
        console.print(figures_table(one.metrics()))
        console.print(verdict([asdict(line) for line in one.report.verdict]))
        for said in one.report.warnings:
            console.print(f"[yellow]{escape(said)}[/yellow]")
    console.print("floor: the same figure of real held-out rows. The page explains every figure.", style="dim")
    console.print(f"{out / 'report.html'}\n{out / 'report.json'}", markup=False, soft_wrap=True)


def _fit_and_sample(rows: "pl.DataFrame", seed: int) -> "pl.DataFrame":
    """As many rows as these from our generator, fitted to them with its defaults."""
    from tabsyn_core import Generator

    return Generator().fit(rows, seed=seed).sample(rows.height, seed=seed)


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
        "admet-tabsyn show-distributions --csv > families.csv",
    )
)
def show_distributions(
    column: Annotated[str, typer.Option(help="Only columns whose name contains this.")] = "",
    family: Annotated[str, typer.Option(help="Only columns whose family contains this.")] = "",
    worst: Annotated[int | None, typer.Option(min=1, help="Only this many, worst fit first.")] = None,
    path: Annotated[Path, typer.Option(help="The file that fit_distributions wrote.")] = paths.DISTRIBUTIONS,
    *,
    csv: Annotated[bool, typer.Option("--csv", help="Print them as CSV, with all parameters.")] = False,
) -> None:
    """Show each column's kind, family, parameters, atoms and goodness of fit on held-out rows."""
    import polars as pl

    from tabsyn_core.distributions import load_distributions

    _, distributions = load_distributions(path)
    chosen = [
        one
        for one in distributions.values()
        if column.lower() in one.name.lower() and family.lower() in one.family.lower()
    ]
    if worst is not None:
        chosen = sorted(chosen, key=_badness)[:worst]
    if not chosen:
        raise TabsynError(f"no column of {path} matches; without options all {len(distributions)} are shown.")
    rows = pl.DataFrame([_fit_row(one) for one in chosen])
    if csv:
        print(rows.drop("family").write_csv(), end="")
        return
    table = _widest(rows)
    Console(highlight=False, width=max(console.width, _width(table))).print(table)
    console.print(f"{len(chosen)} of {len(distributions)} columns; pictures: {paths.DISTRIBUTIONS_PAGE}", markup=False)


def _badness(one: "ColumnDistribution") -> tuple[float, float, str]:
    """Worst first, in the order of the page of pictures."""
    return 2.0 if one.fit.p_value is None else one.fit.p_value, -(one.fit.statistic or 0.0), one.name


def _fit_row(one: "ColumnDistribution") -> dict[str, str]:
    return {
        "column": one.name,
        "kind": one.kind,
        "family and parameters": one.describe(),
        "family": one.family,
        "atoms": str(len(one.atoms) or ""),
        "test": one.fit.test,
        "statistic": _short(one.fit.statistic),
        "p": _short(one.fit.p_value),
    }


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _widest(rows: "pl.DataFrame") -> Table:
    """As many columns as the console has room for; the names are never shortened."""
    named = ["kind", "atoms", "test"]
    for dropped in (["family"], ["family and parameters"], *(["family and parameters", *named[:n]] for n in (1, 2, 3))):
        shown = rows.drop(dropped)
        table = Table(*shown.columns, box=box.SIMPLE_HEAD)
        for column in table.columns:
            column.no_wrap = True
        for row in shown.iter_rows():
            table.add_row(*map(escape, row))
        if _width(table) <= console.width:
            break
    return table


def _width(table: Table) -> int:
    return console.measure(table, options=console.options.update(width=10_000)).maximum


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

    _version(model)
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
