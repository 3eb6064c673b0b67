"""What the figures look like: the data of each picture, drawn twice, as PNG for DVC and for the page."""

import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure as Canvas
from PIL import Image
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from sklearn.decomposition import PCA

from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.fidelity import correlations
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.files import atomic_path

REAL, SYNTHETIC = "#2a7ab8", "#d9622b"
OVERLAYS = 12

_BINS = 32
_BARS = 12
_DOTS = 800


@dataclass(frozen=True, slots=True)
class Overlay:
    """One column, real and synthetic over each other.

    Attributes:
        column: Its name.
        labels: What the first and the last bin hold, or every category.
        real: The share of the real rows in each bin.
        synthetic: The share of the synthetic rows.
        is_category: Whether bins are categories.
    """

    column: str
    labels: tuple[str, ...]
    real: Floats
    synthetic: Floats
    is_category: bool


def overlay(evaluation: Evaluation, column: str) -> Overlay:
    """Bins of one column over the range of the middle 99 % of all rows, the rest in the outer bins."""
    real, fake = evaluation.tables["training"], evaluation.tables["synthetic"]
    if column in real.categorical:
        place = real.categorical.index(column)
        return _bars(column, real.levels[place], real.codes[:, place], fake.codes[:, place])
    place = real.numeric.index(column)
    values = [table.numbers[:, place] for table in (real, fake)]
    known = [value[~np.isnan(value)] for value in values]
    edges = _edges(np.concatenate(known))
    shares = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / max(v.size, 1) for v in known]
    return Overlay(column, (f"{edges[0]:.4g}", f"{edges[-1]:.4g}"), shares[0], shares[1], is_category=False)


def _edges(values: Floats) -> Floats:
    """Bins of equal width; one a value for integers of a small range."""
    if values.size == 0:
        return np.array([0.0, 1.0])
    low, high = np.quantile(values, [0.005, 0.995], method="nearest")
    if np.array_equal(values, np.round(values)) and high - low < _BINS:
        return np.arange(low - 0.5, high + 1)
    return np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])


def _bars(column: str, levels: tuple[str, ...], real: Codes, fake: Codes) -> Overlay:
    """The most frequent categories, real and synthetic rows taken together."""
    shares = np.stack([np.bincount(codes[codes >= 0], minlength=len(levels)) / len(codes) for codes in (real, fake)])
    order = np.argsort(-shares.sum(axis=0), kind="stable")[:_BARS]
    return Overlay(column, tuple(levels[i] for i in order), shares[0, order], shares[1, order], is_category=True)


def correlation_maps(evaluation: Evaluation) -> dict[str, Floats]:
    """Correlations of the real rows, of the synthetic rows, and synthetic minus real.

    Columns stand in the order of a hierarchical clustering of the real rows, so that what belongs together is seen
    together; columns that are constant in the real rows are left out. Empty with fewer than two columns.
    """
    real, fake = (correlations(evaluation.tables[name].numbers) for name in ("training", "synthetic"))
    kept = np.flatnonzero(~np.isnan(np.diag(real)))
    if kept.size < 2:
        return {}
    real, fake = (np.nan_to_num(matrix[np.ix_(kept, kept)]) for matrix in (real, fake))
    distance = np.round(1 - np.abs(real), 9)
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform((distance + distance.T) / 2), "average"))
    real, fake = (matrix[np.ix_(order, order)] for matrix in (real, fake))
    return {"real": real, "synthetic": fake, "difference": fake - real}


def projection(evaluation: Evaluation) -> tuple[Floats, Floats, Floats]:
    """The first two principal components of real and synthetic rows together (columns as ranks among the real).

    Returns:
        Real dots and synthetic dots, at most 800 of each, shape (dots, 2); the share of variance each axis explains.
    """
    tables = evaluation.tables
    real, fake = (
        points(_first(tables[name]), tables["training"], tables["held-out"]) for name in ("training", "synthetic")
    )
    both = np.vstack([real, fake])
    if min(both.shape) < 2 or np.ptp(both, axis=0).max() == 0:
        return np.zeros((len(real), 2)), np.zeros((len(fake), 2)), np.zeros(2)
    model = PCA(2, svd_solver="full").fit(both)
    return model.transform(real), model.transform(fake), model.explained_variance_ratio_


def _first(table: Table) -> Table:
    return table.take(np.arange(min(len(table), _DOTS)))


def heat_png(matrix: Floats, full: float) -> bytes:
    """A pixel a pair: blue below zero, red above, the stronger the less transparent; opaque at ``full``.

    Transparency at zero suits a light page and a dark one.
    """
    strength = np.clip(np.abs(matrix) / full, 0, 1)
    colours = np.where(matrix[..., None] < 0, _rgb(REAL), _rgb("#c8323c"))
    pixels = np.round(np.dstack([colours, strength[..., None]]) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _rgb(colour: str) -> Floats:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


@one_thread()
def write_plots(folder: Path, evaluation: Evaluation) -> None:
    """Write the pictures DVC and MLflow show: ``shape.csv``, ``telltales.csv`` and three PNG files.

    ``shape.csv`` has ``column``, ``error`` and ``floor``; ``telltales.csv`` has ``column`` and ``gain`` (ten rows at
    most). Equal evaluations give equal bytes.

    Raises:
        TabsynError: The folder cannot be written.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        shapes = evaluation.columns.select("column", pl.col("error", "floor").round(6)).drop_nulls("error")
        shapes.write_csv(temporary / "shape.csv")
        evaluation.telltales.head(10).with_columns(pl.col("gain").round(6)).write_csv(temporary / "telltales.csv")
        for name, draw in (("densities", _draw_overlays), ("correlations", _draw_maps), ("projection", _draw_dots)):
            draw(evaluation).savefig(temporary / f"{name}.png", dpi=100, metadata={"Software": None})


def worst_columns(evaluation: Evaluation) -> list[str]:
    """The columns whose distribution is farthest off, worst first, at most twelve."""
    return evaluation.columns.drop_nulls("error").head(OVERLAYS)["column"].to_list()


def _draw_overlays(evaluation: Evaluation) -> Canvas:
    canvas = Canvas(figsize=(12, 8), layout="constrained")
    grid = canvas.subplots(3, 4, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, column in zip(grid, worst_columns(evaluation), strict=False):
        shown = overlay(evaluation, column)
        for shares, colour in ((shown.real, REAL), (shown.synthetic, SYNTHETIC)):
            axes.stairs(shares, fill=True, color=colour, alpha=0.3)
            axes.stairs(shares, color=colour, linewidth=1.2)
        axes.set_title(column, fontsize=9)
    canvas.suptitle("Columns farthest from the real rows: real blue, synthetic orange")
    return canvas


def _draw_maps(evaluation: Evaluation) -> Canvas:
    canvas = Canvas(figsize=(12, 4.4), layout="constrained")
    grid = canvas.subplots(1, 3, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (name, matrix) in zip(grid, correlation_maps(evaluation).items(), strict=False):
        axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title("synthetic minus real" if name == "difference" else name)
    canvas.suptitle("Correlations between numeric columns")
    return canvas


def _draw_dots(evaluation: Evaluation) -> Canvas:
    canvas = Canvas(figsize=(7, 6), layout="constrained")
    axes = canvas.subplots()
    real, fake, shares = projection(evaluation)
    for dots, colour, name in ((real, REAL, "real"), (fake, SYNTHETIC, "synthetic")):
        axes.scatter(dots[:, 0], dots[:, 1], s=8, alpha=0.5, color=colour, label=name, linewidths=0)
    axes.set_xlabel(f"first component, {shares[0]:.0%} of the variance")
    axes.set_ylabel(f"second component, {shares[1]:.0%}")
    axes.legend()
    return canvas


def steps_path(shares: Floats, top: float, width: float, height: float) -> str:
    """An SVG path around the steps of a histogram, with the baseline at ``height``."""
    if shares.size == 0:
        return ""
    lefts = np.linspace(0, width, len(shares) + 1)
    heights = height - shares / max(top, 1e-9) * height
    steps = "".join(f"V{y:.1f}H{right:.1f}" for y, (_, right) in zip(heights, pairwise(lefts), strict=True))
    return f"M0 {height:.1f}{steps}V{height:.1f}Z"
