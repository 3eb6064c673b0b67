"""The sentence each section begins with, made from its figures, and how numbers are printed."""

import re

from tabsyn_core.evaluation.page.content import (
    DIMENSIONS,
    Column,
    Detector,
    Dimension,
    Number,
    Pair,
    Reading,
    Report,
    Score,
)

_MARGIN = 0.02
"""Farther above its floor than this, a column counts as off."""

_TELLS = (
    (0.6, "can hardly tell"),
    (0.8, "can often tell"),
    (0.95, "can mostly tell"),
    (2.0, "can nearly always tell"),
)
"""Below which AUC, in words."""

_COPIES = 0.35
"""An AUC below, and well below its floor, tells of copies."""

_HEADLINES = ("R2", "R²", "AUROC")
_MODELS = {"lightgbm": "boosted trees", "logistic": "logistic regression", "ridge": "ridge regression"}


def number(value: Number) -> str:
    """Three decimals, or as many digits as a small or a large number needs."""
    if value is None:
        return "–"
    if value != 0 and not 0.0005 <= abs(value) < 10_000:
        return _minus(f"{value:.1e}" if abs(value) < 1 else f"{value:,.0f}")
    # As the command line prints the four decimals of metrics.json, so that both say the same.
    return _minus(f"{round(value, 4):.3f}")


def share(value: Number) -> str:
    """A percentage with one decimal; a very small one is not printed as none."""
    if value is None:
        return "–"
    return "< 0.1 %" if 0 < value < 0.0005 else _minus(f"{100 * value:.1f} %")


def count(value: Number) -> str:
    """An integer with thousands set apart."""
    return "–" if value is None else f"{value:,.0f}"


def p_equals(value: Number) -> str:
    """What follows "p" in a sentence."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def p_value(value: Number) -> str:
    """As a cell of a table."""
    return p_equals(value).removeprefix("= ")


def excess(pair: Pair) -> Number:
    """How much farther from the training rows the synthetic rows are than the held-out rows; pairs are sorted by it."""
    if pair.difference is None or pair.real is None:
        return None
    return pair.difference - (0.0 if pair.floor is None else abs(pair.floor - pair.real))


def finding(conclusion: str) -> str:
    """What a test found, without its numbers: a conclusion up to its first colon or comma, and what it adds at last."""
    found, _, added = conclusion.partition("; ")
    return "; ".join(filter(None, [re.split("[:,]", found, maxsplit=1)[0], added]))


def printed(value: Number, unit: str) -> str:
    """A number in the unit of its :class:`Reading`."""
    return {"number": number, "share": share, "count": count}[unit](value)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def leads(report: Report) -> dict[Dimension, str]:
    """For each dimension the section's first sentences, in plain words; why it is missing where it is."""
    found = {
        "fidelity": _fidelity(report),
        "structure": _structure(report),
        "utility": _utility(report),
        "privacy": _privacy(report),
        "chemistry": _chemistry(report),
    }
    return {name: found[name] or report.absent.get(name, "This was not judged.") for name in DIMENSIONS}


def _fidelity(report: Report) -> str:
    judged = [(each, each.error - (each.floor or 0)) for each in report.columns if each.error is not None]
    without = [each for each in report.columns if each.note]
    noted = f" {_names(without)}: {without[0].note}" if without else ""
    if not judged:
        return noted.strip()
    off = [each for each, excess in judged if excess > _MARGIN]
    worst = max(judged, key=lambda found: found[1])[0]
    many, near = len(judged), len(judged) - len(off)
    if not off:
        return (
            f"All {many} columns are distributed like the real ones: none is farther from the training rows than "
            f"held-out rows are, give or take {_MARGIN}.{noted}"
        )
    measure = "Kolmogorov–Smirnov distance" if worst.kind == "numeric" else "total variation distance"
    beside = "" if worst.floor is None else f", where real held-out rows are at {number(worst.floor)}"
    return (
        f"{near} of {many} {'column' if many == 1 else 'columns'} {_are(near)} as near to the training rows as "
        f"held-out rows are, give or take {_MARGIN}; {len(off)} {_are(len(off))} not. Farthest off is {worst.column}, "
        f"at a {measure} of {number(worst.error)}{beside}.{noted}"
    )


def _names(columns: list[Column]) -> str:
    """The first of the columns that the same is said of, and how many more there are with a remark of their own."""
    rest = len(columns) - 1
    return columns[0].column + (f" (and {rest} more columns that a table has no value of)" if rest else "")


def _structure(report: Report) -> str:
    detectors = [each for each in (report.whole.detectors if report.whole else ()) if each.auc is not None]
    sentences = [_detection(each) for each in detectors[:1]]
    sentences += [
        f"The pair that has changed most, beyond what held-out rows differ by, is {pair.left} and {pair.right}: "
        f"{pair.kind} {number(pair.synthetic)} in place of {number(pair.real)}."
        for pair in (report.pairs.worst[:1] if report.pairs else ())
    ]
    return " ".join(sentences) or _first(report.pairs.figures if report.pairs else ())


def _detection(found: Detector) -> str:
    auc = found.auc or 0.0
    how = next(words for limit, words in _TELLS if auc < limit)
    sentence = f"{model_name(found.classifier)} {how} a synthetic row from a real one"
    sentence = f"{sentence[0].upper()}{sentence[1:]}: the AUC is {number(auc)}, where 0.5 is guessing"
    if found.floor is not None:
        sentence += f" and held-out rows get {number(found.floor)}"
    if found.factorised is not None:
        sentence += f"; rows without any dependence between columns get {number(found.factorised)}"
    if auc < _COPIES and (found.floor is None or found.floor > auc + _COPIES / 2):
        sentence += "; so far below it, synthetic rows are nearer to training rows than those to one another: copies"
    return sentence + "."


def _utility(report: Report) -> str:
    scores = headline_scores(report)
    sentences = []
    for target in dict.fromkeys(score.target for score in scores):
        pair = _side_by_side([score for score in scores if score.target == target])
        if pair:
            made, real = pair
            sentences.append(
                f"{target} is predicted with {score_name(made.score)} {number(made.value)} after training on synthetic "
                f"rows, and with {number(real.value)} after training on real ones ({model_name(made.model)})."
            )
    return " ".join(sentences)


def headline_scores(report: Report) -> tuple[Score, ...]:
    """For each target the scores of one kind, which the page draws: R² or AUROC where there are any."""
    scores = report.utility.scores if report.utility else ()
    kinds: dict[str, list[str]] = {}
    for each in scores:
        kinds.setdefault(each.target, []).append(each.score)
    drawn = {target: next((kind for kind in _HEADLINES if kind in found), found[0]) for target, found in kinds.items()}
    return tuple(each for each in scores if each.score == drawn[each.target])


def _side_by_side(scores: list[Score]) -> tuple[Score, Score] | None:
    """Synthetic and real training of the first model that has both, on the same test rows."""
    known = {(each.training, each.model, each.test): each for each in scores if each.value is not None}
    return next(
        (
            (made, known["real", model, test])
            for (training, model, test), made in known.items()
            if training == "synthetic" and ("real", model, test) in known
        ),
        None,
    )


def model_name(name: str) -> str:
    """What a model is called in a sentence."""
    return _MODELS.get(name, name)


def score_name(name: str) -> str:
    """A score as it is printed."""
    return name.replace("R2", "R²")


def _privacy(report: Report) -> str:
    if report.privacy is None:
        return ""
    return report.privacy.risk or _first(report.privacy.figures)


def _chemistry(report: Report) -> str:
    if report.chemistry is None or report.chemistry.lawful.synthetic is None:
        return f"Not judged: {report.chemistry.lawful.why}." if report.chemistry and report.chemistry.lawful.why else ""
    lawful = report.chemistry.lawful
    beside = "" if lawful.floor is None else f"; {share(lawful.floor)} of the held-out rows do"
    sentence = (
        f"{share(lawful.synthetic)} of the synthetic rows satisfy every rule of chemistry that was asked{beside}."
    )
    for rule in report.chemistry.rules[:1]:
        if rule.rows:
            sentence += f" The rule broken most is {rule.rule}, by {count(rule.rows)} rows."
    return sentence


def molecules_lead(report: Report) -> str:
    """The first sentences on the molecules of the synthetic rows; empty where they have none."""
    figures = {each.name.partition(":")[0]: each for each in (report.molecules.figures if report.molecules else ())}
    valid, new, near = (figures.get(name) for name in ("Validity", "Novelty", "SNN"))
    if valid is None or valid.synthetic is None:
        return ""
    sentence = f"{share(valid.synthetic)} of the synthetic rows have a SMILES that is a molecule"
    if new is not None and new.synthetic is not None:
        sentence += f", and {share(new.synthetic)} of these are no training molecule"
    if near is None or near.synthetic is None:
        return sentence + "."
    beside = ""
    if near.floor is not None:
        closer = "no more similar" if (near.low or near.synthetic) <= near.floor else "more similar"
        beside = (
            f", held-out molecules one of {number(near.floor)}: the synthetic ones are {closer} to training molecules "
            "than unseen molecules are"
        )
    average = f"On average they have a Tanimoto similarity of {number(near.synthetic)} to the nearest one"
    return f"{sentence}. {average}{beside}."


def _first(figures: tuple[Reading, ...]) -> str:
    """The first figure as a sentence, where there is nothing better to say."""
    for figure in figures:
        if figure.synthetic is not None:
            beside = "" if figure.floor is None else f"; held-out rows get {printed(figure.floor, figure.unit)}"
            return f"{figure.name}: {printed(figure.synthetic, figure.unit)}{beside}."
    return ""


def _are(many: int) -> str:
    return "is" if many == 1 else "are"
