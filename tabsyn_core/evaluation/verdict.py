"""One traffic light a dimension: how far each figure is from its floor, and how far it may be.

Thresholds are excesses over the floor in the figure's own unit, so that a light says the same of an easy table and of a
hard one. A figure whose floor is known (an AUC of guessing is 0.5) is measured from there: the hold-out's own is a
noisy reading of it. What chance explains is never amber: a figure whose excess is within two standard deviations of its
floor's spread counts as on the floor, unless it is beyond the amber threshold. A loss of utility is red only where it
is beyond that by more than chance, and grey where all of it may be chance: few rows make it vary.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.molecules import MoleculeMeasures
from tabsyn_core.evaluation.neighbours import MIN_HOLDOUT
from tabsyn_core.evaluation.page.content import Column, Dimension, Fix, Light, Line, Reading
from tabsyn_core.evaluation.page.words import number, printed
from tabsyn_core.evaluation.sections import PrivacyFigures, mean_support_violations, reading
from tabsyn_core.evaluation.utility import Utility
from tabsyn_core.thresholds import Limits, Thresholds

_FIXES = 3
_MOSTLY = 0.5  # of what a classifier tells: as much by single columns, and these are the cause
_WORST: tuple[Light, ...] = ("red", "amber", "green", "grey")


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure that decides a light.

    Attributes:
        name: In words.
        synthetic: The figure.
        floor: The same with real held-out rows.
        excess: How much worse than the floor, or ``None`` when there is no figure.
        limits: Green and amber thresholds.
        chance: Excess that chance explains (two standard deviations of the floor).
        doubt: What chance may have added to the excess, where that is known: red only if it is beyond amber without it,
            and grey if it is beyond amber and may all be chance.
    """

    name: str
    synthetic: Figure
    floor: Figure
    excess: float | None
    limits: Limits
    chance: float = 0.0
    doubt: float = 0.0

    @property
    def vague(self) -> bool:
        """Whether the excess is beyond amber, and yet all of it may be chance: nothing can be said."""
        return self.excess is not None and self.limits[1] < self.excess <= self.doubt

    @property
    def light(self) -> Light:
        """Green, amber, red; grey when there is no figure, or none that says anything."""
        if self.excess is None or self.vague:
            return "grey"
        green, amber = self.limits
        # Chance widens green, up to amber and not beyond: what is large is never green, however noisy.
        if self.excess <= max(green, min(self.chance, amber)):
            return "green"
        return "amber" if self.excess - self.doubt <= amber else "red"

    @property
    def severity(self) -> float:
        """The excess in units of the amber threshold: what to mend first has most."""
        return 0.0 if self.excess is None else self.excess / max(self.limits[1], 1e-9)

    @property
    def allowed(self) -> str:
        """The thresholds in words."""
        green, amber = (f"{100 * each:g} %" if self.name in _SHARES else f"{each:g}" for each in self.limits)
        return f"green up to {green} beyond it, amber up to {amber}"


def above_floor(name: str, synthetic: Figure, floor: Figure, limits: Limits) -> Judged:
    """A figure of which less is better, measured from its floor."""
    known = synthetic.value is not None and floor.value is not None
    excess = synthetic.value - floor.value if known else None  # type: ignore[operator]
    return Judged(name, synthetic, floor, excess, limits, 2 * (floor.std or 0.0))


def above(best: float, name: str, synthetic: Figure, floor: Figure, limits: Limits) -> Judged:
    """A figure whose best value is known, of which the floor is a noisy reading."""
    excess = None if synthetic.value is None else synthetic.value - best
    return Judged(name, synthetic, floor, excess, limits, 2 * (floor.std or 0.0))


def light_of(judged: Iterable[Judged]) -> Light:
    """The worst light; grey only when nothing could be judged."""
    lights = [each.light for each in judged]
    return next((light for light in _WORST if light in lights), "grey")


def worst(judged: Sequence[Judged]) -> Judged | None:
    """The figure that decides the light."""
    return max((each for each in judged if each.light != "grey"), key=lambda each: each.severity, default=None)


def judge_dimensions(
    evaluation: Evaluation,
    columns: Sequence[Column],
    guarded: PrivacyFigures,
    limits: Thresholds,
    molecules: MoleculeMeasures | None = None,
) -> dict[Dimension, list[Judged]]:
    """The figures that decide each dimension's light; those of tables too small for a verdict decide none."""
    found, floor = evaluation.figures, evaluation.floor
    supports = mean_support_violations(columns, evaluation.tables["training"], evaluation.tables["synthetic"])
    attacked, attacked_floor = evaluation.membership
    made = {risk.name: risk.low for risk in guarded.risks if risk.low is not None}
    certain = Figure(max(0.0, *made.values())) if made else Figure.none("no attack could be made")
    by = f" ({max(made, key=made.__getitem__)})" if made and (certain.value or 0.0) > 0 else ""
    nothing = Figure(0.0)
    judged: dict[Dimension, list[Judged]] = {
        "fidelity": [
            above_floor("Shape error", found.shape, floor.shape, limits.shape),
            above_floor("Values no real value could be", *supports, limits.supports),
        ],
        "structure": [
            above_floor("Trend error", found.trend, floor.trend, limits.trend),
            above(0.5, _TOLD, found.c2st["lightgbm"], floor.c2st["lightgbm"], limits.c2st),
        ],
        "utility": [
            Judged(
                f"{entry.score.replace('R2', 'R²')} on {entry.target}",
                entry.tstr,
                entry.trtr,
                None if entry.difference.value is None or not _teaches(entry) else -entry.difference.value,
                limits.utility,
                chance=2 * (entry.difference.std or 0.0),
                doubt=2 * (entry.difference.std or 0.0),
            )
            for entry in evaluation.utility
        ],
        "privacy": [
            above_floor("Copies beyond chance", guarded.copied.excess, nothing, limits.copies),
            above(0.5, "DCR share", found.dcr, floor.dcr, limits.dcr),
            *(
                above(0.5, f"Membership AUC by {kind}", attacked[name], attacked_floor[name], limits.membership)
                for kind, name in (("distance", "distance_auc"), ("density ratio", "density_auc"))
            ),
            above_floor(f"Risk of the worst attack{by}, lower bound", certain, nothing, limits.attack),
            *_of_structures(molecules, limits),
        ],
        "chemistry": [
            above_floor(
                "Rows that break a rule of chemistry", found.violated_share, floor.violated_share, limits.chemistry
            ),
            *([] if molecules is None else [above_floor(_UNREADABLE, *molecules.unreadable, limits.chemistry)]),
        ],
    }
    if _too_few(evaluation):
        for dimension in _OF_DISTRIBUTIONS:
            judged[dimension] = [replace(each, excess=None) for each in judged[dimension]]
        # A copy among few rows is a copy; that there is none says nothing of the generator.
        judged["privacy"] = [each if each.light == "red" else replace(each, excess=None) for each in judged["privacy"]]
    return judged


def _teaches(entry: Utility) -> bool:
    """Whether real rows teach anything of a target: more than its mean or its commonest class."""
    least = 0.0 if entry.score == "R2" else 0.5
    return entry.trtr.value is not None and entry.trtr.value > least


_OF_DISTRIBUTIONS: tuple[Dimension, ...] = ("fidelity", "structure", "utility")


def _too_few(evaluation: Evaluation) -> str:
    """Why distributions cannot be judged, or nothing."""
    name, rows = min(evaluation.rows.items(), key=lambda pair: pair[1])
    return f"a verdict needs at least {MIN_HOLDOUT} rows; the {name} table has {rows}" if rows < MIN_HOLDOUT else ""


_TOLD = "Two-sample AUC of boosted trees"
_UNREADABLE = "SMILES that are no molecule"
_KNOWN = "Molecules of the training table"


def _of_structures(molecules: MoleculeMeasures | None, limits: Thresholds) -> list[Judged]:
    """What molecules themselves give away."""
    if molecules is None:
        return []
    near = "Similarity to the nearest training molecule"
    return [
        above_floor(_KNOWN, *molecules.known, limits.copies),
        above_floor(near, molecules.figures["snn"], molecules.floor["snn"], limits.similarity),
    ]


_SHARES = {
    "Values no real value could be",
    "Copies beyond chance",
    "Rows that break a rule of chemistry",
    _KNOWN,
    _UNREADABLE,
}
_WORDS: dict[Dimension, dict[Light, str]] = {
    "fidelity": {
        "green": "Each column alone is distributed like the real one.",
        "amber": "Most columns are right, some are visibly off.",
        "red": "Many columns are distributed differently, or hold values that no real one could.",
    },
    "structure": {
        "green": "Columns go together as in the real rows: a strong classifier can hardly tell the rows apart.",
        "amber": "The main dependences are there, but a strong classifier tells many rows apart.",
        "red": "Columns do not go together as in the real rows: a strong classifier tells nearly every row apart.",
    },
    "utility": {
        "green": "Models trained on synthetic rows predict real ones as well as models trained on real rows.",
        "amber": "Models trained on synthetic rows predict real ones, less well than models trained on real rows.",
        "red": "Models trained on synthetic rows lose much of what real rows teach.",
        "grey": "No target was judged, or none of which real rows teach anything.",
    },
    "privacy": {
        "green": "No attack that was tried learns more than the population gives away.",
        "amber": "Rows lean towards the training rows: look before you share.",
        "red": "Training rows can be told from others or were copied: do not share these rows as they are.",
    },
    "chemistry": {
        "green": "Rows could be the descriptors of molecules, as far as the rules go.",
        "amber": "Some rows contradict themselves and can be no molecule's descriptors.",
        "red": "Many rows contradict themselves and can be no molecule's descriptors.",
        "grey": "No rule of chemistry speaks of these columns.",
    },
}


def line_of(dimension: Dimension, judged: Sequence[Judged], evaluation: Evaluation) -> Line:
    """The verdict on one dimension, in words."""
    light = light_of(judged)
    figures = tuple(map(_reading, judged))
    if dimension == "structure" and (told := _told_by_columns(judged, evaluation)):
        return Line(dimension=dimension, light=light, sentence=told, figures=figures)
    words = _WORDS[dimension].get(light) or "It could not be judged."
    unjudged = next((each.synthetic.why for each in judged if each.excess is None and each.synthetic.why), "")
    if dimension in _OF_DISTRIBUTIONS:
        unjudged = _too_few(evaluation) or unjudged
    vague = [f"{each.name} ({number(-(each.excess or 0.0))} ± {number(each.doubt)})" for each in judged if each.vague]
    if vague and light == "grey":
        unjudged = f"with so few rows, chance may be all of the difference in {' and '.join(vague)}"
    if light == "grey" and unjudged and dimension != "chemistry":
        words = f"It could not be judged: {unjudged}."
    elif dimension == "structure" and unjudged:
        together = "go together as" if light == "green" else "do not go together quite as"
        words = f"Pairs of columns {together} in the real rows. A classifier was not asked: {unjudged}."
    decisive = worst(judged)
    if light in {"amber", "red"} and decisive is not None:
        words += f" What decides is: {decisive.name}."
    return Line(dimension=dimension, light=light, sentence=words, figures=figures)


def _told_by_columns(judged: Sequence[Judged], evaluation: Evaluation) -> str:
    """Why the light is not green where single columns, not how they go together, give rows away; else nothing."""
    told = next(each for each in judged if each.name == _TOLD)
    alone = evaluation.alone.value
    if told.light not in {"amber", "red"} or told is not worst(judged) or told.excess is None or alone is None:
        return ""
    if alone - 0.5 < _MOSTLY * told.excess:
        return ""
    columns = evaluation.telltales["column"].head(2).to_list()
    return (
        f"Single columns give rows away: a classifier that sees no dependence has an AUC of {alone:.2f}, one that "
        f"sees it {told.synthetic.value:.2f}. Mend columns first, beginning with {' and '.join(columns)}; "
        "only then can be said how well columns go together."
    )


def _reading(judged: Judged) -> Reading:
    return reading(judged.name, judged.synthetic, judged.floor, judged.allowed, unit=_unit(judged))


def _unit(judged: Judged) -> str:
    return "share" if judged.name in _SHARES else "number"


def warnings_of(evaluation: Evaluation, limits: Thresholds) -> tuple[str, ...]:
    """What makes the whole report worth less than it looks: held-out rows that are no floor."""
    floor = evaluation.floor.c2st["lightgbm"]
    if floor.value is None or floor.low is None or floor.low <= 0.5 or floor.value - 0.5 <= limits.c2st[0]:
        return ()
    columns = evaluation.floor_telltales["column"].head(2).to_list()
    said = (
        f"The held-out rows are unlike the training rows: boosted trees tell them apart with an AUC of "
        f"{number(floor.value)}, most of all by {' and '.join(columns)}. Floors are then too high, and a figure on its "
        "floor is not yet a good one. Hold out rows drawn at random from the same table, and judge again."
    )
    return (said,)


def fixes_of(
    evaluation: Evaluation, judged: Mapping[Dimension, Sequence[Judged]], columns: Sequence[Column]
) -> tuple[Fix, ...]:
    """The figures farthest beyond what is green, worst first, each with where to begin."""
    begin = {
        "fidelity": _worst_column(columns),
        "structure": _telltale(evaluation),
        "chemistry": _broken_rule(evaluation),
    }
    off = [
        (dimension, each) for dimension, figures in judged.items() for each in figures if each.light in {"amber", "red"}
    ]
    found = []
    for dimension, each in sorted(off, key=lambda pair: -pair[1].severity):
        hint, column = begin.get(dimension, ("", None))
        unit = _unit(each)
        beside = "no figure" if each.floor.value is None else printed(each.floor.value, unit)
        said = f"{each.name}: {printed(each.synthetic.value, unit)}, where real rows have {beside}.{hint}"
        found.append(Fix(text=said, section=dimension, column=column))
    if not found:
        green = all(light_of(figures) == "green" for figures in judged.values())
        said = ("Every light is green." if green else "No light is amber or red.") + begin["structure"][0]
        found.append(Fix(text=said, section="structure", column=begin["structure"][1]))
    return tuple(found[:_FIXES])


def _worst_column(columns: Sequence[Column]) -> tuple[str, str | None]:
    if not columns or columns[0].error is None:
        return "", None
    return f" The column farthest off is {columns[0].column}.", columns[0].column


def _telltale(evaluation: Evaluation) -> tuple[str, str | None]:
    if evaluation.telltales.height == 0:
        return "", None
    column = str(evaluation.telltales["column"][0])
    return f" The column that gives rows away most is {column}.", column


def _broken_rule(evaluation: Evaluation) -> tuple[str, str | None]:
    if evaluation.rules.height == 0:
        return "", None
    return f" The rule broken most often: {evaluation.rules['rule'][0]}.", None
