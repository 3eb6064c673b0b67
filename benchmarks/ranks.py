"""Who is better: mean ranks over tables with their critical difference (Demšar, JMLR 2006), and tests pair by pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
from cells import Cell
from methods import OURS, PUBLISHED
from real_tables import HELD_OUT
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from tabsyn_core.evaluation.paired import SIGNIFICANCE, corrected_t_test, holm

LAST = float("inf")
"""The loss of a method that failed: it ranks last."""


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
    """The mean loss of the targets' scores; a target that synthetic rows cannot be trained for counts as guessed."""
    floors = {target: floor for target, floor in cell["floor"]["utility"].items() if floor is not None}
    taught = {target: value for target, value in cell["figures"]["utility"].items() if value is not None}
    scores = {**dict.fromkeys(floors, 0.0), **cell.get("guessing", {}), **taught}
    return float(np.mean([floor - scores[target] for target, floor in floors.items()])) if floors else None


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


def within_budget(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of equal budgets."""
    return [cell for cell in cells if not cell["step"].endswith(PUBLISHED)]


def competitors(cells: Sequence[Cell]) -> list[str]:
    """Methods that were tried on every table and seed, and succeeded once at least."""
    places = {(cell["table"], cell["seed"]) for cell in cells}
    tried = [cell["step"] for cell in cells]
    succeeded = {cell["step"] for cell in cells if "error" not in cell}
    return [name for name in dict.fromkeys(tried) if name in succeeded and tried.count(name) == len(places)]


def losses(cells: Sequence[Cell], ranked: Ranked) -> dict[str, dict[str, float]]:
    """For each table the mean loss over the seeds of every competitor.

    It is :data:`LAST` where a method failed on a seed or has no such figure; tables where no method has it are left
    out.
    """
    names, found = competitors(cells), dict[str, dict[str, float]]()
    for table in dict.fromkeys(cell["table"] for cell in cells):
        of_table = {
            name: [_loss(cell, ranked) for cell in cells if (cell["table"], cell["step"]) == (table, name)]
            for name in names
        }
        means = {name: float(np.mean(values)) for name, values in of_table.items()}
        if any(np.isfinite(value) for value in means.values()):
            found[table] = means
    return found


def _loss(cell: Cell, ranked: Ranked) -> float:
    value = None if "error" in cell else ranked.loss(cell)
    return LAST if value is None else value


def ranks(of_tables: Mapping[str, Mapping[str, float]]) -> dict[str, list[float]]:
    """The rank of each method on each table, 1 best, equal losses sharing theirs."""
    rows = [rankdata([*of_table.values()]) for of_table in of_tables.values()]
    names = next(iter(of_tables.values()), {})
    return {name: [float(row[place]) for row in rows] for place, name in enumerate(names)}


def rank_table(cells: Sequence[Cell]) -> dict[str, list[float]]:
    """For each competitor its mean rank over all figures, then over each, best first; NaN where a figure is missing."""
    of_figures = [ranks(losses(cells, ranked)) for ranked in RANKED]
    means = {
        name: [float(np.mean(found[name])) if found else float("nan") for found in of_figures]
        for name in competitors(cells)
    }
    table = {name: [float(np.nanmean(row)), *row] for name, row in means.items() if not np.isnan(row).all()}
    return dict(sorted(table.items(), key=lambda item: item[1][0]))


def nemenyi(methods: int, tables: int) -> float:
    """The difference of mean ranks beyond which two methods differ, at 5 % (Demšar's CD, his section 3.2.2)."""
    quantile = studentized_range.ppf(1 - SIGNIFICANCE, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * tables)))


def friedman(of_methods: Mapping[str, Sequence[float]]) -> float | None:
    """The p of Friedman's test that all methods rank alike; None for fewer than 3 methods or 2 tables."""
    tables = len(next(iter(of_methods.values()), []))
    if len(of_methods) < 3 or tables < 2:
        return None
    return float(friedmanchisquare(*of_methods.values()).pvalue)


def cliques(means: Mapping[str, float], difference: float) -> list[list[str]]:
    """The largest groups of methods that are no more than ``difference`` apart, two or more each, best first."""
    order = sorted(means, key=lambda name: means[name])
    groups = [[name for name in order[k:] if means[name] - means[first] <= difference] for k, first in enumerate(order)]
    last = ""
    found = []
    for group in groups:
        if len(group) > 1 and group[-1] != last:
            found.append(group)
            last = group[-1]
    return found


@dataclass(frozen=True)
class Pair:
    """Ours against one rival by one figure of one table.

    Attributes:
        table: Where.
        figure: Which of :data:`RANKED`.
        rival: Who.
        seeds: How many seeds both finished.
        better_by: The mean of what the rival loses more than ours: above 0, ours is better.
        low: Lower end of its 95 % interval, like ``high`` and the p None with one seed.
        high: Upper end.
        p: Of the corrected resampled t-test (Nadeau & Bengio 2003): training rows of different seeds overlap.
        p_holm: Corrected for all rivals and figures of the table.
    """

    table: str
    figure: str
    rival: str
    seeds: int
    better_by: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def decided(self) -> bool:
        """Whether the difference is more than the seeds' luck."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANCE


def pairs(cells: Sequence[Cell]) -> list[Pair]:
    """Ours against every rival, by every figure of every table, over the seeds that both finished."""
    found: list[dict[str, Any]] = []
    known = {(cell["table"], cell["step"], cell["seed"]): cell for cell in cells if "error" not in cell}
    rivals = [name for name in dict.fromkeys(step for _, step, _ in known) if name != OURS]
    for table in dict.fromkeys(table for table, _, _ in known):
        for rival in rivals:
            both = [
                (known[table, OURS, seed], known[table, rival, seed])
                for seed in sorted({seed for _, _, seed in known})
                if {(table, OURS, seed), (table, rival, seed)} <= known.keys()
            ]
            for ranked in RANKED:
                values = [[ranked.loss(cell) for cell in pair] for pair in both]
                apart = np.array([other - own for own, other in values if own is not None and other is not None])
                if len(apart):
                    found.append({"table": table, "figure": ranked.title, "rival": rival, **_tested(apart)})
    return [Pair(**pair) for _, family in groupby(found, lambda pair: pair["table"]) for pair in _corrected([*family])]


def _tested(apart: np.ndarray[Any, Any]) -> dict[str, Any]:
    if len(apart) < 2:
        return {"seeds": len(apart), "better_by": float(apart[0])}
    mean, low, high, p = corrected_t_test(apart, HELD_OUT / (1 - HELD_OUT))
    return {"seeds": len(apart), "better_by": mean, "low": low, "high": high, "p": p}


def _corrected(family: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tested = [pair for pair in family if "p" in pair]
    for pair, adjusted in zip(tested, holm(np.array([pair["p"] for pair in tested])), strict=True):
        pair["p_holm"] = float(adjusted)
    return family


def statistics_of(cells: Sequence[Cell]) -> dict[str, Any]:
    """All of this as JSON: mean ranks, Friedman's p and the critical difference of each figure, pairs."""
    tests = {}
    for ranked in RANKED:
        found = ranks(losses(cells, ranked))
        tables = len(next(iter(found.values()), []))
        tests[ranked.title] = {
            "tables": tables,
            "friedman_p": friedman(found),
            "critical_difference": nemenyi(len(found), tables) if friedman(found) is not None else None,
        }
    titles = ("all", *(ranked.title for ranked in RANKED))
    mean_ranks = {
        name: {title: None if np.isnan(rank) else rank for title, rank in zip(titles, row, strict=True)}
        for name, row in rank_table(cells).items()
    }
    return {"mean_ranks": mean_ranks, "tests": tests, "pairs": [asdict(pair) for pair in pairs(cells)]}
