"""Several synthetic tables side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

from tabsyn_core.evaluation.page.content import DIMENSIONS, Dimension, Light, Line, Reading, Report


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of each table.

    Attributes:
        name: What is measured.
        unit: How it is printed.
        readings: In the order of the tables; ``None`` where a table has no such figure.
    """

    name: str
    unit: str
    readings: tuple[Reading | None, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """One dimension of each table.

    Attributes:
        dimension: Which one.
        lights: In the order of the tables.
        rows: Every figure that the verdict of any table rests on.
    """

    dimension: Dimension
    lights: tuple[Light, ...]
    rows: tuple[Row, ...]


def has_chemistry(report: Report) -> bool:
    """Whether anything is said of chemistry: the columns of most tables are no descriptors of molecules."""
    judged = any(line.dimension == "chemistry" and line.light != "grey" for line in report.verdict)
    return judged or report.chemistry is not None


def compare(reports: Mapping[str, Report]) -> tuple[Group, ...]:
    """The verdicts of all tables, figure by figure; nothing for a single table."""
    if len(reports) < 2:
        return ()
    found = []
    for dimension in DIMENSIONS:
        lines = [
            next((line for line in report.verdict if line.dimension == dimension), None) for report in reports.values()
        ]
        if dimension == "chemistry" and not any(map(has_chemistry, reports.values())):
            continue
        if any(lines):
            found.append(Group(dimension, tuple(line.light if line else "grey" for line in lines), _rows(lines)))
    return tuple(found)


def _rows(lines: list[Line | None]) -> tuple[Row, ...]:
    figures = [{figure.name: figure for figure in line.figures} if line else {} for line in lines]
    units = {name: figure.unit for named in figures for name, figure in named.items()}
    return tuple(Row(name, unit, tuple(named.get(name) for named in figures)) for name, unit in units.items())
