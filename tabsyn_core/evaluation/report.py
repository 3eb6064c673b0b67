"""The report: one self-contained HTML page that says how good the synthetic rows are, in figures and plain words."""

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.pictures import (
    Overlay,
    correlation_maps,
    heat_png,
    overlay,
    projection,
    steps_path,
    worst_columns,
)
from tabsyn_core.evaluation.tables import Floats
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.evaluation.utility import Utility
from tabsyn_core.files import atomic_path

Level = Literal["good", "fair", "poor", "none"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the verdict.

    Attributes:
        name: What is measured.
        synthetic: The figure of the synthetic rows.
        floor: The figure of the real rows in their place.
        level: How far the first is from the second.
        words: What that means.
    """

    name: str
    synthetic: Figure
    floor: Figure
    level: Level
    words: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """How far from the floor is still good, and still fair; the words for each level."""

    name: str
    good: float
    fair: float
    words: dict[Level, str]

    def line(self, synthetic: Figure, floor: Figure, excess: float | None) -> Line:
        """The line for a figure that is ``excess`` worse than its floor."""
        if excess is None:
            return Line(self.name, synthetic, floor, "none", f"Not judged: {synthetic.why or floor.why}.")
        level: Level = "good" if excess <= self.good else "fair" if excess <= self.fair else "poor"
        return Line(self.name, synthetic, floor, level, self.words.get(level, ""))


SCALES = {
    "shape": _Scale("Shape error", 0.02, 0.1, {
        "good": "Each column alone is distributed like the real one.",
        "fair": "Most columns are right, some are visibly off.",
        "poor": "Many columns are distributed differently.",
    }),
    "trend": _Scale("Trend error", 0.02, 0.1, {
        "good": "Columns go together, two by two, as in the real rows.",
        "fair": "The main dependences are there, weaker or stronger than they should be.",
        "poor": "Columns do not go together as in the real rows.",
    }),
    "lightgbm": _Scale("Two-sample AUC, boosted trees", 0.1, 0.3, {
        "good": "Boosted trees can hardly tell synthetic rows from real ones.",
        "fair": "Boosted trees tell many synthetic rows from real ones.",
        "poor": "Boosted trees tell nearly every synthetic row from a real one.",
    }),
    "logistic": _Scale("Two-sample AUC, logistic regression", 0.1, 0.3, {
        "good": "No straight cut tells synthetic rows from real ones. That is easy: read the line above first.",
        "fair": "A straight cut tells many synthetic rows from real ones.",
        "poor": "A straight cut is enough to tell synthetic rows from real ones.",
    }),
    "utility": _Scale("", 0.05, 0.15, {
        "good": "A model trained on synthetic rows predicts real ones as well as one trained on real rows.",
        "fair": "A model trained on synthetic rows predicts real ones, less well than one trained on real rows.",
        "poor": "A model trained on synthetic rows loses much of what real rows teach.",
    }),
    "identities": _Scale("Rows breaking a rule of chemistry", 0.01, 0.2, {}),  # its words follow the share itself
    "dcr": _Scale("Rows nearer to training than to held-out rows", 0.05, 0.15, {
        "good": "No sign that training rows were copied.",
        "fair": "Rows lean towards the training rows: look before you share.",
        "poor": "Rows lie near the training rows: they were copied or nearly so.",
    }),
}  # fmt: skip
"""Thresholds are distances from the floor, in the figure's own unit."""

NO_MATTER = 0.01
"""A loss of R² or AUROC that makes no difference in practice, however certain it is."""

_HOW_MANY = (
    (1.0, "Every row contradicts itself"),
    (0.95, "Nearly every row contradicts itself"),
    (0.5, "Most rows contradict themselves"),
    (0.2, "Many rows contradict themselves"),
    (0.01, "Some rows contradict themselves"),
    (0.0, "A few rows contradict themselves"),
)
"""From which share on, worst first."""


def verdict(evaluation: Evaluation) -> list[Line]:
    """Every figure beside its floor, with a level and plain words."""
    found, floor = evaluation.figures, evaluation.floor
    lines = [
        _above("shape", found.shape, floor.shape),
        _above("trend", found.trend, floor.trend),
        *(_from_half(name, found.c2st[name], floor.c2st[name]) for name in ("lightgbm", "logistic")),
    ]
    lines += map(_utility, evaluation.utility)
    lines.append(_chemistry(_above("identities", found.violated_share, floor.violated_share)))
    lines.append(_from_half("dcr", found.dcr, floor.dcr))
    return lines


def _utility(entry: Utility) -> Line:
    """Good is a loss that does not matter (0.01), or one that chance explains (2 sd) and is small all the same."""
    scale, lost, std = SCALES["utility"], entry.difference.value, entry.difference.std
    good = max(NO_MATTER, min(2 * (std or 0), scale.good))
    named = replace(scale, name=f"{entry.score} on {entry.target}", good=good)
    return named.line(entry.tstr, entry.trtr, None if lost is None else -lost)


def _chemistry(line: Line) -> Line:
    share = line.synthetic.value
    if share is None:
        return line
    if share == 0:
        return replace(line, words="Every row could be a molecule's descriptors, as far as the rules go.")
    many = next(words for least, words in _HOW_MANY if share >= least)
    return replace(line, words=f"{many} and can be no molecule's descriptors.")


def _above(name: str, synthetic: Figure, floor: Figure) -> Line:
    excess = None if synthetic.value is None or floor.value is None else synthetic.value - floor.value
    return SCALES[name].line(synthetic, floor, excess)


def _from_half(name: str, synthetic: Figure, floor: Figure) -> Line:
    """Figures whose best value is known: 0.5, of which the floor is a noisy reading."""
    return SCALES[name].line(synthetic, floor, None if synthetic.value is None else synthetic.value - 0.5)


@one_thread()
def write_report(path: Path, evaluation: Evaluation) -> None:
    """Write the page; equal evaluations give equal bytes.

    Raises:
        TabsynError: The file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("tabsyn_core.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "number": _number, "share": _share}
    page = environment.get_template("report.html.j2").render(_content(evaluation))
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _content(evaluation: Evaluation) -> dict[str, Any]:
    """What the template fills in."""
    return {
        "evaluation": evaluation,
        "verdict": verdict(evaluation),
        "scales": {name: scale for name, scale in SCALES.items() if name != "utility"},
        "utility_scale": SCALES["utility"],
        "no_matter": NO_MATTER,
        "overlays": [_overlay_svg(overlay(evaluation, column)) for column in worst_columns(evaluation)],
        "columns": evaluation.columns.to_dicts(),
        "telltales": evaluation.telltales.head(10).to_dicts(),
        "rules": evaluation.rules.to_dicts(),
        "maps": _maps(evaluation),
        "projection": _projection_svg(evaluation),
    }


def _overlay_svg(shown: Overlay) -> dict[str, Any]:
    """Paths in a box of 240 x 80."""
    top = float(max(shown.real.max(initial=0), shown.synthetic.max(initial=0)))
    return {
        "column": shown.column,
        "labels": shown.labels,
        "is_category": shown.is_category,
        "real": steps_path(shown.real, top, 240, 80),
        "synthetic": steps_path(shown.synthetic, top, 240, 80),
    }


def _maps(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Heat maps as data URIs; the difference is opaque at half the strength."""
    full = {"real": 1.0, "synthetic": 1.0, "difference": 0.5}
    return [
        {"name": name, "columns": len(matrix), "uri": _data_uri(heat_png(matrix, full[name]))}
        for name, matrix in correlation_maps(evaluation).items()
    ]


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _projection_svg(evaluation: Evaluation) -> dict[str, Any]:
    """Dots in a box of 400 x 300, the middle 99 % of them filling it."""
    real, fake, shares = projection(evaluation)
    low, high = np.quantile(np.vstack([real, fake]), [0.005, 0.995], axis=0)
    span = np.where(high > low, high - low, 1)

    def place(dots: Floats) -> str:
        """One path of round dots: a move and an empty line for each."""
        at = np.clip((dots - low) / span, 0, 1) * [384, 284] + 8
        return "".join(f"M{x:.0f} {300 - y:.0f}h0" for x, y in at)

    return {"real": place(real), "synthetic": place(fake), "shares": shares}


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    spread = "" if figure.std is None else f" ± {figure.std:.3f}"
    return f"{figure.value:.3f}{spread}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
