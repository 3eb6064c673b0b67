"""The report's pictures once more as PNG and CSV, for DVC and MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure as Canvas

from tabsyn_core.evaluation.page.content import Density, Projection, Report
from tabsyn_core.evaluation.tables import Floats
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.files import atomic_path

REAL, SYNTHETIC = "#2a7ab8", "#d9622b"

_OVERLAYS = 12
_TELLTALES = 10


@one_thread()
def write_plots(folder: Path, report: Report) -> None:
    """Write ``shape.csv``, ``telltales.csv`` and three PNG files.

    ``shape.csv`` has ``column``, ``error`` and ``floor``; ``telltales.csv`` has ``column`` and ``gain`` (ten rows at
    most). Equal reports give equal bytes.

    Raises:
        TabsynError: The folder cannot be written.
    """
    errors = [(each.column, each.error, each.floor) for each in report.columns if each.error is not None]
    gains = [(each.column, each.gain) for each in (report.whole.telltales if report.whole else ())][:_TELLTALES]
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        _table(errors, "column", "error", "floor").write_csv(temporary / "shape.csv")
        _table(gains, "column", "gain").write_csv(temporary / "telltales.csv")
        for name, draw in (("densities", _draw_densities), ("correlations", _draw_maps), ("projection", _draw_dots)):
            draw(report).savefig(temporary / f"{name}.png", dpi=100, metadata={"Software": None})


def _table(rows: Sequence[tuple[Any, ...]], name: str, *numbers: str) -> pl.DataFrame:
    schema = {name: pl.String(), **dict.fromkeys(numbers, pl.Float64())}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.selectors.float().round(6))


def _draw_densities(report: Report) -> Canvas:
    canvas = Canvas(figsize=(12, 8), layout="constrained")
    grid = canvas.subplots(3, 4, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    shown = {each.column: each for each in report.densities}
    farthest = [shown[each.column] for each in report.columns if each.error is not None][:_OVERLAYS]
    for axes, density in zip(grid, farthest, strict=False):
        _draw_density(axes, density)
    canvas.suptitle("Columns farthest from the real rows: real blue, synthetic orange")
    return canvas


def _draw_density(axes: Any, density: Density) -> None:
    for heights, colour in ((density.real, REAL), (density.synthetic, SYNTHETIC)):
        edges = np.array(density.edges or range(len(heights) + 1), dtype=np.float64)
        values = np.array(heights, dtype=np.float64)
        axes.stairs(values, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(values, edges, color=colour, linewidth=1.2)
    axes.set_title(density.column, fontsize=9)


def _draw_maps(report: Report) -> Canvas:
    canvas = Canvas(figsize=(12, 4.4), layout="constrained")
    grid = canvas.subplots(1, 3, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    found = report.pairs.correlations if report.pairs else None
    if found is not None:
        real, synthetic = (np.array(matrix, dtype=np.float64) for matrix in (found.real, found.synthetic))
        maps = {"real": real, "synthetic": synthetic, "synthetic minus real": synthetic - real}
        for axes, (name, matrix) in zip(grid, maps.items(), strict=True):
            axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
            axes.set_title(name)
    canvas.suptitle("Correlations between numeric columns")
    return canvas


def _draw_dots(report: Report) -> Canvas:
    drawn = report.whole.projections if report.whole else ()
    canvas = Canvas(figsize=(6 * max(len(drawn), 1), 5.4), layout="constrained")
    for axes, projection in zip(canvas.subplots(1, max(len(drawn), 1), squeeze=False).ravel(), drawn, strict=False):
        _draw_projection(axes, projection)
    return canvas


def _within(values: Floats) -> Floats:
    """Far values at the edge, as the page draws them: they would press all others into a corner."""
    low, high = np.quantile(values, [0.05, 0.95]) if values.size else (0.0, 0.0)
    margin = 0.75 * (high - low)
    return np.clip(values, low - margin, high + margin)


def _draw_projection(axes: Any, projection: Projection) -> None:
    x, y = (_within(np.array(values, dtype=np.float64)) for values in (projection.x, projection.y))
    source = np.array(projection.source)
    for name, colour in (("real", REAL), ("synthetic", SYNTHETIC)):
        of_it = source == name
        axes.scatter(x[of_it], y[of_it], s=8, alpha=0.5, color=colour, label=name, linewidths=0)
    axes.set_title(projection.method)
    axes.set_xlabel(projection.x_label)
    axes.set_ylabel(projection.y_label)
    axes.legend()
