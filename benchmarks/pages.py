"""What the pages of the benchmarks have in common: columns of figures, Markdown tables, the setting they came from."""

import shlex
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from cells import Cell


@dataclass(frozen=True)
class Column:
    """A figure as it is printed."""

    title: str
    value: Callable[[Cell], float | None]
    decimals: int = 3
    share: bool = False

    def over(self, cells: Sequence[Cell]) -> str:
        """Mean and standard deviation over the cells that have it."""
        found = [value for cell in cells if (value := self.value(cell)) is not None]
        factor = 100 if self.share else 1
        values = [factor * value for value in found]
        if not values:
            return "–"
        spread = f" ± {statistics.stdev(values):.{self.decimals}f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.{self.decimals}f}{spread}" + (" %" if self.share else "")


def _of(part: str, name: str) -> Callable[[Cell], float | None]:
    return lambda cell: cell[part][name]


def _endpoint(part: str, target: str) -> Callable[[Cell], float | None]:
    return lambda cell: cell[part]["utility"].get(target)


def likeness(part: str) -> list[Column]:
    seconds = [
        Column("fit s", lambda cell: cell["fit_seconds"], 0),
        Column("sample s", lambda cell: cell["sample_seconds"], 0),
    ]
    if part == "floor":
        seconds = [replace(column, value=lambda _: None) for column in seconds]
    return [
        *seconds,
        Column("C2ST trees", _of(part, "c2st_trees")),
        Column("C2ST logistic", _of(part, "c2st_logistic")),
        Column("shape", _of(part, "shape"), 4),
        Column("trend", _of(part, "trend"), 4),
        Column("all rules", _of(part, "rules"), 2, share=True),
        Column("all identities", _of(part, "identities"), 2, share=True),
        Column("supports", _of(part, "supports"), 2, share=True),
    ]


def use(part: str, targets: Iterable[str]) -> list[Column]:
    return [
        Column("α-precision", _of(part, "alpha_precision")),
        Column("β-recall", _of(part, "beta_recall")),
        Column("DCR share", _of(part, "dcr")),
        Column("MIA AUC", _of(part, "mia")),
        Column("copies", _of(part, "copies"), 2, share=True),
        *(Column(f"TSTR {target}", _endpoint(part, target)) for target in targets),
    ]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def setting(cells: Sequence[Cell], script: str) -> str:
    """Machines, versions and commits of the cells, their seeds, and the command that wrote the page."""
    made = [each for cell in cells if (each := cell.get("origin"))]
    seeds = ", ".join(map(str, sorted({cell["seed"] for cell in cells})))
    return "\n".join(
        [
            *(f"- Machine: {machine}" for machine in dict.fromkeys(each["machine"] for each in made)),
            *(f"- {versions}" for versions in dict.fromkeys(each["versions"] for each in made)),
            *([f"- Code: commit {', '.join(dict.fromkeys(each['commit'] for each in made))}"] if made else []),
            f"- Seeds: {seeds}",
            f"- Command: `{shlex.join(['python', f'benchmarks/{script}', *sys.argv[1:]])}`",
        ]
    )


def number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
