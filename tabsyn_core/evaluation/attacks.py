"""What an attacker could do with the synthetic rows: single people out, link what belongs together, infer secrets.

The three attacks of Giomi et al., "A Unified Framework for Quantifying Privacy Risk in Synthetic Data" (PoPETs 2023),
one for each risk that European regulators name for anonymised data (WP29 opinion 05/2014), written from the paper. Each
is run on training rows, on held-out rows (the control: what follows from the population and not from the rows learnt),
and with random guesses on training rows (the baseline).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import hypergeom, norm

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.neighbours import MIN_HOLDOUT
from tabsyn_core.evaluation.predicates import Predicate, counts, guessed, on_one_column, on_several_columns, singled_out
from tabsyn_core.evaluation.privacy import Copies
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

ATTEMPTS = 500
"""Predicates tried, or rows attacked, at most; rows are drawn at random without replacement."""

SECRETS = 3
"""How many columns are inferred where no targets are named."""

TOLERANCE = 0.05
"""A number is inferred if the guess is off by at most this share of the true value, as in the paper."""

Tally = tuple[float, float]
"""Successes and attempts."""

_Z = float(norm.ppf(0.975))
_TIE = 1e-9
_VAGUE = 0.5
_SHARED = 0.5

UNTESTED = (
    "attackers who know the model or hold several tables drawn from it, and the person it treats worst rather than the "
    "average row"
)
"""What no figure here speaks of."""


@dataclass(frozen=True, slots=True)
class Risk:
    """One attack.

    Attributes:
        name: ``"singling out by one column"``, ``"singling out by several columns"``, ``"linkability"`` or
            ``"inference of <column>"``.
        attack: Its success rate on training rows, with a 95 % interval (:func:`success_rate`).
        control: On held-out rows.
        baseline: Of random guesses on training rows.
        risk: What it gains by the rows having been learnt, 0 to 1 (:func:`privacy_risk`); ``None`` if not to be had.
        low: The lower end of its 95 % interval, cut at 0.
        high: The upper end, cut at 1.
        attempts: How often the attack on training rows was tried.
        why: Why there is no risk, or why the one there is says little; in plain words.
    """

    name: str
    attack: Figure
    control: Figure
    baseline: Figure
    risk: float | None
    low: float | None
    high: float | None
    attempts: int
    why: str | None = None

    @classmethod
    def none(cls, name: str, why: str) -> "Risk":
        """No attack, and why."""
        none = Figure.none(why)
        return cls(name, none, none, none, None, None, None, 0, why)

    @classmethod
    def of(cls, name: str, attack: "Tally", control: "Tally", baseline: "Tally") -> "Risk":
        """The risk that follows from three tallies."""
        rate, known, guess = (success_rate(*tally) for tally in (attack, control, baseline))
        risk = privacy_risk(rate, known)
        why = _caveat(rate, known, guess, risk)
        return cls(name, rate, known, guess, risk.value, risk.low, risk.high, round(attack[1]), why)

    def to_json(self) -> dict[str, Any]:
        """All figures; rates and the risk with ``_low`` and ``_high``."""
        rates = {"attack": self.attack, "control": self.control, "baseline": self.baseline}
        rates["risk"] = Figure(self.risk, low=self.low, high=self.high, why=self.why)
        named = {key: value for name, rate in rates.items() for key, value in rate.to_json(name).items()}
        return {"name": self.name, "attempts": self.attempts} | named


def success_rate(successes: float, attempts: float) -> Figure:
    """Wilson's estimate of a probability of success and its 95 % interval, which the paper uses throughout.

    r = (N_S + z²/2) / (N_A + z²) and δ = z / (N_A + z²) · sqrt(N_S · (N_A - N_S) / N_A + z²/4), for N_S successes in
    N_A attempts and z the 97.5 % quantile of the normal distribution; the interval is r ± δ.
    """
    total = attempts + _Z**2
    rate = (successes + _Z**2 / 2) / total
    margin = _Z / total * np.sqrt(successes * (attempts - successes) / attempts + _Z**2 / 4)
    return Figure(float(rate), low=float(rate - margin), high=float(rate + margin))


def privacy_risk(attack: Figure, control: Figure) -> Figure:
    """The paper's privacy risk R = (r_train - r_control) / (1 - r_control), cut to [0, 1].

    What the attack gains on training rows over unseen ones, as a share of the most it could gain. The margins of both
    rates propagate: δ_R² = (δ_train / (1 - r_control))² + (δ_control · (1 - r_train) / (1 - r_control)²)².

    Args:
        attack: A :func:`success_rate`.
        control: Another.
    """
    rate, known = _number(attack.value), _number(control.value)
    room = 1 - known
    gain = (rate - known) / room
    margin = float(np.hypot(_margin(attack) / room, _margin(control) * (1 - rate) / room**2))
    value, low, high = np.clip([gain, gain - margin, gain + margin], 0, 1).tolist()
    return Figure(value, low=low, high=high)


def _number(value: float | None) -> float:
    return 0.0 if value is None else value


def _margin(rate: Figure) -> float:
    return (_number(rate.high) - _number(rate.low)) / 2


def _caveat(attack: Figure, control: Figure, baseline: Figure, risk: Figure) -> str | None:
    """What keeps a reader from trusting the risk: the paper asks for an attack that beats the baseline."""
    rate, known, guess = (_number(each.value) for each in (attack, control, baseline))
    if rate - guess <= np.hypot(_margin(attack), _margin(baseline)):
        return (
            f"the attack is no better than random guesses ({rate:.1%} against {guess:.1%} of attempts): it learnt "
            "nothing, which does not rule out that a stronger one would"
        )
    if 2 * _margin(risk) > _VAGUE:
        return f"the attack succeeds on {known:.1%} of unseen rows too, which leaves little to measure"
    return None


@one_thread()
def attacks(train: Table, holdout: Table, fake: Table, seed: int, targets: Sequence[str] = ()) -> tuple[Risk, ...]:
    """Attack the training rows with the synthetic ones.

    Singling out: a predicate that is true of exactly one synthetic row succeeds if it is true of exactly one training
    row (:mod:`~tabsyn_core.evaluation.predicates`); the control rate is that of a table with as many rows. Linkability:
    of a row of which the attacker knows two halves of the columns (:func:`column_halves`) and wants to know that they
    are one person's, the attack succeeds if some synthetic row is nearest in both halves. Inference: the attacker knows
    all columns but one and guesses what the nearest synthetic row has there (:func:`secret_columns`); he is right with
    the same category, or a number within :data:`TOLERANCE`. Rows without that value are left out.

    Nearest is by Gower's distance (Biometrics 1971), the mean over columns of 1 for another category and of the
    difference of numbers as a share of their synthetic range; a gap stands half-way and counts a half more.

    Args:
        train: The rows that were learnt.
        holdout: Real rows that were not, at least :data:`MIN_HOLDOUT`.
        fake: The synthetic rows.
        seed: Draws predicates, rows, halves and secrets.
        targets: Columns to infer; a few at random if there are none.

    Raises:
        TabsynError: A target is not a column.
    """
    secrets = secret_columns(train, targets, seed)
    if len(holdout) < MIN_HOLDOUT:
        why = f"the attacks need a hold-out of at least {MIN_HOLDOUT} rows as control; it has {len(holdout)}"
        singling = [f"singling out by {many}" for many in ("one column", "several columns")]
        names = [*singling, "linkability", *(f"inference of {secret}" for secret in secrets)]
        return tuple(Risk.none(name, why) for name in names)
    return (
        *_singling_out(train, holdout, fake, np.random.default_rng([seed, 45])),
        *_by_neighbours(train, holdout, fake, secrets, seed),
    )


def column_halves(table: Table, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns in two halves at random, numeric and categorical ones alike."""
    order = np.random.default_rng([seed, 46]).permutation(len(table.feature_names))
    names = [table.feature_names[place] for place in order]
    return tuple(names[: len(names) // 2]), tuple(names[len(names) // 2 :])


def secret_columns(train: Table, targets: Sequence[str], seed: int) -> tuple[str, ...]:
    """The columns to infer: the targets, or else three at random.

    They are drawn from the columns of which no value makes up more than half of the training rows, or, if there are
    none, from those that vary: what nearly all rows share is no secret.

    Raises:
        TabsynError: A target is not a column.
    """
    for target in targets:
        if target not in train.feature_names:
            raise TabsynError(f"'{target}' is to be inferred, but the tables have no such column; name one they have.")
    common = {name: _most_common(train, name) for name in train.feature_names}
    secret = [name for name in common if common[name] <= _SHARED] or [name for name in common if common[name] < 1]
    order = np.random.default_rng([seed, 47]).permutation(len(secret))
    return tuple(targets) or tuple(secret[place] for place in order[:SECRETS])


def _most_common(table: Table, name: str) -> float:
    """The share of its most frequent value among the rows that have one; 1 where none has."""
    values = _column(table, name)
    counted = np.unique(values[~np.isnan(values)], return_counts=True)[1]
    return float(counted.max() / counted.sum()) if counted.size else 1.0


def _column(table: Table, name: str) -> Floats:
    return np.asarray(table.features[:, table.feature_names.index(name)])


def _singling_out(train: Table, holdout: Table, fake: Table, rng: np.random.Generator) -> list[Risk]:
    by_columns = {"one column": on_one_column, "several columns": on_several_columns}
    return [
        _singling_out_risk(f"singling out by {many}", find(fake, ATTEMPTS, rng), (train, holdout, fake), rng)
        for many, find in by_columns.items()
    ]


def _singling_out_risk(
    name: str, found: list[Predicate], tables: tuple[Table, Table, Table], rng: np.random.Generator
) -> Risk:
    if not found:
        return Risk.none(name, "nothing of the kind is true of exactly one synthetic row")
    train, holdout, fake = tables
    hits, lucky = (int((counts(each, train) == 1).sum()) for each in (found, guessed(found, fake, rng)))
    control = singled_out(counts(found, holdout), len(holdout), len(train), rng)
    return Risk.of(name, (hits, len(found)), control, (lucky, len(found)))


@dataclass(frozen=True)
class _Rows:
    """Rows in the terms of Gower's distance."""

    places: Floats
    gaps: Floats
    codes: Codes
    names: tuple[str, ...]

    @classmethod
    def of(cls, table: Table, fake: Table) -> "_Rows":
        places = [_placed(table.numbers[:, j], fake.numbers[:, j]) for j in range(len(table.numeric))]
        gaps = np.isnan(table.numbers) / 2
        return cls(np.array(places).reshape(gaps.T.shape).T, gaps, table.codes, table.feature_names)

    def apart(self, other: "_Rows", names: Sequence[str]) -> Floats:
        """Distances over these columns, summed; shape (rows, rows of the other)."""
        columns = np.array([self.names.index(name) for name in names], dtype=np.int64)
        numeric = columns[columns < self.places.shape[1]]
        mine, theirs = (np.hstack([rows.places[:, numeric], rows.gaps[:, numeric]]) for rows in (self, other))
        # cdist has no distance in no dimensions.
        total = cdist(mine, theirs, "cityblock") if numeric.size else np.zeros((len(self.codes), len(other.codes)))
        for code in columns[columns >= self.places.shape[1]] - self.places.shape[1]:
            total += self.codes[:, [code]] != other.codes[:, code]
        return np.asarray(total)


def _placed(values: Floats, among: Floats) -> Floats:
    """Values as shares of the range of others, a missing one half-way; half-way all of them where there is no range."""
    known = among[~np.isnan(among)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    if high <= low:
        return np.full(len(values), 0.5)
    return np.where(np.isnan(values), 0.5, (values - low) / (high - low))


def _by_neighbours(train: Table, holdout: Table, fake: Table, secrets: Sequence[str], seed: int) -> list[Risk]:
    """Linkability and inference: both ask which synthetic row is nearest."""
    rng = np.random.default_rng([seed, 48])
    fake = fake.take(rng.permutation(len(fake)))  # of several that are equally near, the first is as good as any
    victims = [table.draw(ATTEMPTS, rng) for table in (train, holdout)]
    ours, theirs = _Rows.of(fake, fake), [_Rows.of(table, fake) for table in victims]
    halves = column_halves(train, seed)
    apart = [[rows.apart(ours, half) for half in halves] for rows in theirs]
    risks = [_linkability(apart, rng) if halves[0] else Risk.none("linkability", "there is one column, and no other")]
    for secret in secrets:
        # Taking one column from the whole distance is cheaper than adding up all the others.
        known = [sum(parts) - rows.apart(ours, [secret]) for parts, rows in zip(apart, theirs, strict=True)]
        risks.append(_inference(secret, known, victims, fake, rng))
    return risks


def _linkability(apart: list[list[Floats]], rng: np.random.Generator) -> Risk:
    """From the distances in either half of the columns, of training and of held-out rows."""
    named = [[_nearest(part) for part in parts] for parts in apart]
    hits = [int((first & second).any(axis=1).sum()) for first, second in named]
    # Guessing: as many rows at random as are nearest in either half.
    first, second = (rows.sum(axis=1) for rows in named[0])
    chance = 1 - hypergeom.pmf(0, apart[0][0].shape[1], first, second)
    lucky, tries = int((rng.random(len(chance)) < chance).sum()), [len(parts[0]) for parts in apart]
    return Risk.of("linkability", (hits[0], tries[0]), (hits[1], tries[1]), (lucky, tries[0]))


def _nearest(apart: Floats) -> NDArray[np.bool_]:
    """Which synthetic rows are nearest; several where they are equally near."""
    return np.asarray(apart <= apart.min(axis=1, keepdims=True) + _TIE)


def _inference(secret: str, known: list[Floats], victims: list[Table], fake: Table, rng: np.random.Generator) -> Risk:
    name, given = f"inference of {secret}", _column(fake, secret)
    truths = [_column(table, secret) for table in victims]
    told = [~np.isnan(truth) for truth in truths]
    if len(fake.feature_names) < 2:
        return Risk.none(name, "there is no other column to infer it from")
    if min(rows.sum() for rows in told) < MIN_HOLDOUT:
        return Risk.none(name, f"fewer than {MIN_HOLDOUT} of the attacked rows have a value there")
    if _most_common(victims[0], secret) == 1:
        return Risk.none(name, "it has the same value in all rows attacked")
    guesses = [given[_nearest(apart).argmax(axis=1)] for apart in known]
    guesses.append(rng.choice(given, len(truths[0])))
    numeric = secret in fake.numeric
    attack, control, baseline = (
        (int(_right(guess[rows], truth[rows], numeric=numeric).sum()), int(rows.sum()))
        for guess, truth, rows in zip(guesses, [*truths, truths[0]], [*told, told[0]], strict=True)
    )
    return Risk.of(name, attack, control, baseline)


def _right(guess: Floats, truth: Floats, *, numeric: bool) -> NDArray[np.bool_]:
    return np.asarray(np.abs(guess - truth) <= TOLERANCE * np.abs(truth) if numeric else guess == truth)


def risk_line(risks: Sequence[Risk], copies: Copies, mia: Mapping[str, Figure]) -> str:
    """What an attacker could learn, how certain that is and what was not tested, in a few short sentences.

    Args:
        risks: Of :func:`attacks`.
        copies: Of :func:`~.privacy.copies`.
        mia: Of :func:`~.membership.membership`; the attacker with the higher AUC is quoted.
    """
    said = [_attacks_said(risks), _copies_said(copies), _membership_said(mia), f"Not tested: {UNTESTED}"]
    return " ".join(f"{sentence}." for sentence in said)


def _attacks_said(risks: Sequence[Risk]) -> str:
    ran = [each for each in risks if each.risk is not None]
    if not ran:
        return "No attack could be run" + (f" ({risks[0].why})" if risks else "")
    # Of several attacks one may exceed its own 95 % interval by chance: Bonferroni's correction.
    stretch = float(norm.ppf(1 - 0.025 / len(ran))) / _Z
    harmful = [each for each in ran if _number(each.risk) > stretch * (_number(each.risk) - _number(each.low))]
    if not harmful:
        judged = [each for each in ran if _number(each.high) - _number(each.low) <= _VAGUE] or ran
        most = max(judged, key=lambda each: _number(each.high))
        weak = f", {count} of them too weak to trust" if (count := sum(each.why is not None for each in ran)) else ""
        return (
            f"None of {len(ran)} attacks{weak} learns more about training rows than about unseen ones. "
            f"The risk is at most {_number(most.high):.2f}, with 95 % certainty, by {most.name}"
        )
    worst = max(harmful, key=lambda each: _number(each.risk))
    learn = f"{len(harmful)} of {len(ran)} attacks learn" if len(harmful) > 1 else f"One of {len(ran)} attacks learns"
    return (
        f"{learn} about training rows what unseen ones do not give away. "
        f"{'The worst' if len(harmful) > 1 else 'It'} is {worst.name}: "
        f"it succeeds in {_number(worst.attack.value):.0%} of attempts, on unseen rows in "
        f"{_number(worst.control.value):.0%}, a risk of {_number(worst.risk):.2f} "
        f"(95 % interval {_number(worst.low):.2f} to {_number(worst.high):.2f})"
    )


def _copies_said(copies: Copies) -> str:
    if copies.excess.value is None:
        return f"Copies were not judged ({copies.excess.why})"
    if copies.leaked:
        return f"{copies.excess.value:.1%} of the rows are copies of training rows, or nearly so, beyond chance"
    return f"No more rows are copies of training rows than chance explains ({_number(copies.exact.value):.1%})"


def _membership_said(mia: Mapping[str, Figure]) -> str:
    judged = [mia[name] for name in ("distance_auc", "density_auc") if mia[name].value is not None]
    if not judged:
        return f"Membership was not judged ({mia['distance_auc'].why})"
    best = max(judged, key=lambda figure: _number(figure.value))
    spread = f" ± {best.std:.2f}" if best.std is not None else ""
    return f"Who was in the training table is guessed with an AUC of {best.value:.2f}{spread} (0.5 is chance)"
