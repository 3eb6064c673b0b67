"""What the report holds of what the rows are for: models that learn from them, people, chemistry."""

from dataclasses import dataclass

from tabsyn_core.evaluation.page.reading import Number, Numbers, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well a model predicts.

    Attributes:
        target: The column predicted.
        model: Which model.
        training: The rows it learnt from: "real", "synthetic", "real + synthetic" ...
        test: The rows it predicts: "held-out", "synthetic" ...
        score: What is printed: "R²", "AUROC" ...
        value: The score.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
        why: Why there is no score.
    """

    target: str
    model: str
    training: str
    test: str
    score: str
    value: Number
    low: Number = None
    high: Number = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Two trainings compared on the same test rows.

    Attributes:
        target: The column predicted.
        model: Which model.
        comparison: In words: "synthetic vs real".
        score: What is compared: "R2", "AUROC" ...
        split: What the folds are of: "held-out" (rows as they are), "random" or "scaffold" (generator fitted anew).
        difference: Of the scores, first minus second.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
        p: The p-value.
        conclusion: What follows, in words.
    """

    target: str
    model: str
    comparison: str
    difference: Number
    score: str = ""
    split: str = ""
    low: Number = None
    high: Number = None
    p: Number = None
    conclusion: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much models that learnt from real and from synthetic rows rest on the same columns.

    Attributes:
        target: The column predicted.
        agreement: Spearman's rank correlation of the columns' importance; 1 is best.
        floor: The agreement of two models that learnt from real rows.
        columns: The most important columns, in the real order.
        real: Their importance to the model of real rows.
        synthetic: Their importance to the model of synthetic rows.
    """

    target: str
    agreement: Number
    floor: Number = None
    columns: tuple[str, ...] = ()
    real: Numbers = ()
    synthetic: Numbers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """What models learn from the rows.

    Attributes:
        scores: One a target, model, training and test.
        tests: Paired comparisons of them.
        importance: One a target.
    """

    scores: tuple[Score, ...] = ()
    tests: tuple[PairedTest, ...] = ()
    importance: tuple[Importance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack on the rows' privacy, as Anonymeter counts it: success on training rows beside success elsewhere.

    Attributes:
        name: "singling out", "linkability", "inference of X" ...
        attack: Share of training rows attacked with success.
        control: The same of held-out rows, about whom the synthetic rows know nothing.
        baseline: The success of guessing.
        risk: (attack - control) / (1 - control).
        low: Lower bound of the risk's 95 % interval.
        high: Upper bound.
        why: Why it was not made.
    """

    name: str
    attack: Number
    control: Number = None
    baseline: Number = None
    risk: Number = None
    low: Number = None
    high: Number = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """What the rows give away of the training rows.

    Attributes:
        risk: The risk in one plain sentence.
        figures: Copies, distances, membership inference.
        attacks: One a kind of attack.
    """

    risk: str = ""
    figures: tuple[Reading, ...] = ()
    attacks: tuple[Attack, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRule:
    """A rule of chemistry that rows break.

    Attributes:
        rule: Its name.
        equation: What it states.
        rows: Synthetic rows that break it.
        share: Their share.
        floor: The share of the held-out rows.
    """

    rule: str
    equation: str
    rows: int
    share: float
    floor: Number = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A synthetic row that is like no real one, beside the real molecule it is nearest to.

    Attributes:
        row: Its number in the synthetic table, from 0.
        distance: To the nearest real row.
        nearest: What the nearest real molecule is called, or its row.
        smiles: The nearest molecule's SMILES.
        svg: Its drawing.
        why: By which columns the row is strange, in words.
    """

    row: int
    distance: Number
    nearest: str
    smiles: str | None = None
    svg: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chemistry:
    """Whether molecules could have these descriptors.

    Attributes:
        lawful: The share of rows that satisfy every rule.
        rules: The rules broken, worst first.
        strangers: The strangest rows, strangest first.
    """

    lawful: Reading
    rules: tuple[BrokenRule, ...] = ()
    strangers: tuple[Stranger, ...] = ()
