"""Who is better over many tables: mean ranks and their critical difference (Demšar, JMLR 2006)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cells import Cell
from matplotlib.figure import Figure
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from tabsyn_core.files import atomic_path

_LEVEL = 0.05


@dataclass(frozen=True)
class Ranked:
    """A figure by which methods are ranked, turned so that less is better."""

    title: str
    loss: Callable[[Cell], float | None]


def _figure(name: str) -> Callable[[Cell], float | None]:
    return lambda cell: cell["figures"][name]


def _beyond_half(name: str) -> Callable[[Cell], float | None]:
    return lambda cell: None if cell["figures"][name] is None else abs(cell["figures"][name] - 0.5)


def _lost(cell: Cell) -> float | None:
    """The mean loss of the endpoints' scores."""
    losses = [
        cell["floor"]["utility"][target] - value
        for target, value in cell["figures"]["utility"].items()
        if value is not None and cell["floor"]["utility"].get(target) is not None
    ]
    return float(np.mean(losses)) if losses else None


def _missing_recall(cell: Cell) -> float | None:
    value = cell["figures"]["beta_recall"]
    return None if value is None else 1 - value


RANKED = (
    Ranked("C2ST", _beyond_half("c2st_trees")),
    Ranked("shape", _figure("shape")),
    Ranked("trend", _figure("trend")),
    Ranked("β-recall", _missing_recall),
    Ranked("TSTR", _lost),
    Ranked("DCR", _beyond_half("dcr")),
)


def _ranks(cells: Sequence[Cell], ranked: Ranked) -> Mapping[str, list[float]]:
    """The rank of each method on each table and seed that all methods finished."""
    methods = [*dict.fromkeys(cell["step"] for cell in cells)]
    found: dict[str, list[float]] = {name: [] for name in methods}
    for place in dict.fromkeys((cell["table"], cell["seed"]) for cell in cells):
        losses = {c["step"]: ranked.loss(c) for c in cells if (c["table"], c["seed"]) == place}
        if len(losses) == len(methods) and None not in losses.values():
            for name, rank in zip(methods, rankdata([losses[name] for name in methods]), strict=True):
                found[name].append(float(rank))
    return found


def rank_table(cells: Sequence[Cell]) -> dict[str, list[float]]:
    """For each method its mean rank over all figures, then over each, best first."""
    of_figures = [_ranks(cells, ranked) for ranked in RANKED]
    means = {
        name: [float(np.mean(ranks[name])) if ranks[name] else float("nan") for ranks in of_figures]
        for name in of_figures[0]
    }
    table = {name: [float(np.nanmean(row)), *row] for name, row in means.items()}
    return dict(sorted(table.items(), key=lambda item: item[1][0]))


def nemenyi(methods: int, places: int) -> float:
    """The difference of mean ranks beyond which two methods differ, at 5 % (Demšar's CD)."""
    return float(
        studentized_range.ppf(1 - _LEVEL, methods, np.inf)
        / np.sqrt(2)
        * np.sqrt(methods * (methods + 1) / (6 * places))
    )


def critical_difference(cells: Sequence[Cell]) -> str:
    """What the Friedman test and Nemenyi's critical difference say of the C2ST, in words."""
    ranks = _ranks(cells, RANKED[0])
    places = len(next(iter(ranks.values()), []))
    if len(ranks) < 3 or places < 2:
        return "Too few tables and seeds that every method finished for a test of the ranks."
    p = friedmanchisquare(*ranks.values()).pvalue
    return (
        f"C2ST over {places} tables and seeds that every method finished: Friedman test p = {p:.2g}; two methods "
        f"differ (Nemenyi, 5 %) where their mean ranks are more than {nemenyi(len(ranks), places):.2f} apart. Seeds of "
        "one table are not independent tables, so this flatters the test."
    )


def diagram(cells: Sequence[Cell], path: Path) -> None:
    """Mean ranks by C2ST on a line, with the critical difference above it."""
    good = [cell for cell in cells if "error" not in cell]
    ranks = {name: float(np.mean(found)) for name, found in _ranks(good, RANKED[0]).items() if found}
    places = len({(cell["table"], cell["seed"]) for cell in good})
    canvas = Figure(figsize=(8, 0.9 + 0.28 * len(ranks)), layout="constrained")
    axes = canvas.subplots()
    for height, (name, rank) in enumerate(sorted(ranks.items(), key=lambda item: -item[1])):
        axes.plot([1, rank], [height, height], color="#c5ccd1", linewidth=1)
        axes.plot([rank], [height], "o", color="#d9622b" if name == "ours" else "#2a7ab8")
        axes.text(rank + 0.1, height, name, va="center", fontsize=9)
    if len(ranks) > 2 and places > 1:
        width, top = nemenyi(len(ranks), places), len(ranks) - 0.3
        axes.plot([1, 1 + width], [top, top], color="#1d2329", linewidth=2)
        axes.text(1 + width / 2, top + 0.1, "critical difference", ha="center", va="bottom", fontsize=8)
    axes.set(xlabel="mean rank by two-sample AUC, 1 is best", yticks=[], xlim=(0.8, len(ranks) + 2))
    axes.spines[["left", "right", "top"]].set_visible(False)
    with atomic_path(path) as temporary:
        canvas.savefig(temporary, format="svg", metadata={"Date": None})
