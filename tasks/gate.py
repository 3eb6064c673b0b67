"""The promotion gate: which lines of ``register.gate`` a version's figures do not hold."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from tabsyn_core.errors import TabsynError
from tasks.params import GateParams
from tasks.paths import METRICS

Figures = Mapping[str, float | None]
"""Figures by dotted name; ``None`` is one that could not be computed."""


def refusals(gate: GateParams, figures: Figures, champion: Figures | None) -> Iterator[str]:
    """Each line of the gate that does not hold, in words.

    Args:
        gate: The written gate.
        figures: The candidate's figures; one that could not be computed passes no line.
        champion: The present champion's figures, or ``None`` if there is none to compare with: then only the absolute
            lines count.

    Raises:
        TabsynError: The gate names a figure that the candidate does not have.
    """
    for name, most in gate.max.items():
        yield from _above(name, figure(figures, name), most, f"the {most:.4g} allowed")
    for name, least in gate.min.items():
        yield from _below(name, figure(figures, name), least, f"the {least:.4g} required")
    if champion is None:
        return
    for name in sorted({*gate.at_most_champion_plus, *gate.at_least_champion_minus}):
        if champion.get(name) is None:
            yield f"{name} cannot be compared: the champion's run has no such figure"
    for name, margin in gate.at_most_champion_plus.items():
        if (rival := champion.get(name)) is not None:
            bound = f"the champion's {rival:.4g} + {margin:.4g}"
            yield from _above(name, figure(figures, name), rival + margin, bound)
    for name, margin in gate.at_least_champion_minus.items():
        if (rival := champion.get(name)) is not None:
            bound = f"the champion's {rival:.4g} - {margin:.4g}"
            yield from _below(name, figure(figures, name), rival - margin, bound)


def figures_named(gate: GateParams) -> list[str]:
    """Every figure that a line of the gate speaks of, in alphabetical order."""
    return sorted({*gate.max, *gate.min, *gate.at_most_champion_plus, *gate.at_least_champion_minus})


def flatten_figures(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Nested figures by dotted name; ``None`` is a figure that could not be computed, text is no figure."""
    flat: dict[str, float | None] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten_figures(value, f"{prefix}{key}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            flat[f"{prefix}{key}"] = value
    return flat


def figure(figures: Figures, name: str) -> float | None:
    """The figure of that name.

    Raises:
        TabsynError: There is none; the message names the nearest.
    """
    if name not in figures:
        nearest = difflib.get_close_matches(name, figures, n=1, cutoff=0)
        raise TabsynError(f"register.gate: {METRICS} has no figure '{name}'; did you mean '{''.join(nearest)}'?")
    return figures[name]


def _above(name: str, value: float | None, most: float, bound: str) -> Iterator[str]:
    if value is None or not value <= most:  # a NaN is refused too
        yield f"{name} is {_shown(value)} above {bound}"


def _below(name: str, value: float | None, least: float, bound: str) -> Iterator[str]:
    if value is None or not value >= least:
        yield f"{name} is {_shown(value)} below {bound}"


def _shown(value: float | None) -> str:
    return f"not known ({METRICS} says why) and counts as" if value is None else f"{value:.4g},"
