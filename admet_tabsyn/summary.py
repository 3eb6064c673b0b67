"""What a run leaves on the screen: counts, figures beside their floors, seconds, and where things are."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from tabsyn_core.files import read_json
from tasks import paths

_FIGURES = {
    ("shape", "mean_error"): "single columns; 0 is perfect",
    ("trend", "mean_error"): "pairs of columns; 0 is perfect",
    ("c2st", "lightgbm"): "told from real; 0.5 is perfect",
    ("identities", "violated_share"): "rows no molecule could have",
    ("dcr", "share"): "nearer to training; 0.5 is best",
}

_COLOURS = {"green": "green", "amber": "yellow", "red": "red", "grey": "dim"}


def run_summary(steps: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The end of a run, from its steps and the files they left.

    Args:
        steps: The ``step``, ``outcome`` and ``seconds`` of each, as the flow returns them.
    """
    reports = read_json(paths.REPORT_NUMBERS)["reports"]
    verdicts = [verdict(report["verdict"], name if len(reports) > 1 else "") for name, report in reports.items()]
    parts = [_counts(), figures_table(read_json(paths.METRICS)), *verdicts, _seconds(steps), _places()]
    return Group(*(line for part in parts for line in ("", part)))


def figures_table(metrics: Mapping[str, Any]) -> Table:
    """The main figures of ``metrics.json``, each beside its floor."""
    judged = [metrics, *([metrics["realized"]] if "realized" in metrics else [])]
    table = _table("figure", *("synthetic", "molecules")[: len(judged)], "floor", "what it says")
    for place, meaning in [*_FIGURES.items(), *_utilities(metrics)]:
        found = (_number(_at(figures, place)) for figures in (*judged, metrics["floor"]))
        table.add_row(".".join(place[:2]), *found, meaning)
    return table


def verdict(lines: Sequence[Mapping[str, Any]], name: str = "") -> Table:
    """One line a dimension, from its ``light``, ``dimension`` and ``sentence``, on the table of this name."""
    table = _table("", f"verdict on {name}" if name else "verdict", "")
    for line in lines:
        table.add_row(f"[{_COLOURS[line['light']]}]●[/] {line['light']}", line["dimension"], line["sentence"])
    return table


def _utilities(metrics: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for target, found in metrics.get("tstr", {}).items():
        yield ("tstr", target, "tstr"), f"{found['score']} on real held-out rows"


def _at(figures: Any, place: Sequence[str]) -> Any:
    return reduce(lambda level, name: (level or {}).get(name), place, figures)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _counts() -> Table:
    ingest = read_json(paths.INGEST_SUMMARY)
    drawn = [pl.scan_parquet(path).select(pl.len()).collect().item() for path in (paths.SYNTHETIC, paths.REALIZED)]
    table = _table("records in", "rejected", "merged", "molecules", "rows generated", "with molecules")
    counts = [ingest[name] for name in ("records", "rejected", "merged", "molecules")]
    table.add_row(*(f"{count:,}" for count in [*counts, *drawn]))
    return table


def _seconds(steps: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("step", "outcome", "seconds")
    for step in steps:
        table.add_row(step["step"], step["outcome"], f"{step['seconds']:.1f}")
    table.add_row("all", "", f"{sum(step['seconds'] for step in steps):.1f}", style="bold")
    return table


def _places() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("report", str(paths.REPORT))
    table.add_row("Data Docs", str(paths.DATA_DOCS / "index.html"))
    table.add_row("synthetic table", str(paths.SYNTHETIC))
    table.add_row("with molecules", str(paths.REALIZED))
    table.add_row("registered model", _registered())
    return table


def _registered() -> str:
    """Name, version and aliases, as the registry has them now."""
    from tasks.params import load_params  # noqa: PLC0415 - a summary needs MLflow, the other tables do not
    from tasks.register import find_version  # noqa: PLC0415
    from tasks.registry import connect  # noqa: PLC0415

    name = load_params(paths.PARAMS).register_.model_name
    found = find_version(name, paths.REGISTRATION)
    if found is None:
        return f"{name}: this registry does not hold the version"
    version = connect().get_model_version(name, found.version)
    aliases = ", ".join(f"@{alias}" for alias in sorted(version.aliases)) or "no alias"
    said = (version.description or "").partition("\n")[0]  # below it is the model card
    verdict = f"; {said}" if said and "champion" not in version.aliases else ""
    return f"models:/{name}/{version.version} ({aliases}){verdict}"


def _table(*headers: str) -> Table:
    return Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
