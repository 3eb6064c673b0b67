"""What the pages of the benchmarks have in common: columns of figures, Markdown tables, the setting they came from."""

import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import psutil
from cells import PACKAGE, Cell
from real_tables import code_digest


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
    """Machine, versions, seeds and command."""
    import torch  # noqa: PLC0415  not before tabsyn_core has told OpenMP how to wait

    packages = ("torch", "lightgbm", "scikit-learn", "numpy", "polars", "rdkit")
    seeds = ", ".join(map(str, sorted({cell["seed"] for cell in cells})))
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    memory = psutil.virtual_memory().total / 2**30
    cores = len(os.sched_getaffinity(0))
    return "\n".join(
        [
            f"- Machine: {cores} core{'s' if cores != 1 else ''} ({_processor()}), {memory:.0f} GiB, {accelerator}",
            f"- Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages),
            f"- Seeds: {seeds}; code {code_digest(PACKAGE)[:12]}",
            f"- Command: `{shlex.join(['python', f'benchmarks/{script}', *sys.argv[1:]])}`",
        ]
    )


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
