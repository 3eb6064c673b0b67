"""Which family a body follows: held-out log likelihood or BIC decides, a test on held-out rows reports."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from tabsyn_core.distributions import estimators
from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.estimators import Estimator
from tabsyn_core.distributions.families import Empirical, Family
from tabsyn_core.distributions.grid import Grid

Floats = NDArray[np.float64]
Criterion = Literal["heldout", "bic"]

MIN_ROWS = 25
"""A body of fewer rows is smoothed as it is: too few to tell families apart."""

MIN_P_VALUE = 0.01
"""A family whose test falls below does not fit; the smoothed data, or the table of frequencies, take its place."""

MAX_OBSERVED = 10_000
"""A continuous body of more distinct values keeps none of them: it comes back to within rounding, not bit for bit."""

_HELD_OUT_SHARE = 0.2
_BINS = (8, 16, 32, 64, 128)  # sizes of the smoothed empirical body that are tried
_MIN_EXPECTED = 5  # rows a cell of a chi-square test must expect (Cochran, 1954)
_TIE = 1e-3  # nats a row: families nearer than this are equally good
_EXTREME = 1e100  # larger values (or smaller than its inverse) are scaled by a power of two before fitting


@dataclass(frozen=True, slots=True)
class GoodnessOfFit:
    """How well a family that was fitted to other rows suits the held-out ones.

    Attributes:
        test: ``"KS"`` (continuous), ``"chi-square"`` (discrete), or ``"none"`` where there was nothing to test.
        statistic: The test's statistic.
        p_value: Its p-value; None without a test.
        rows: Held-out rows tested.
        candidates: Each candidate's criterion, best first: mean held-out log likelihood, or BIC.
    """

    test: str
    statistic: float | None = None
    p_value: float | None = None
    rows: int = 0
    candidates: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "GoodnessOfFit":
        """The inverse of :meth:`to_json`."""
        return cls(**{**content, "candidates": tuple((name, value) for name, value in content["candidates"])})


@dataclass(frozen=True, slots=True)
class Support:
    """Where a body's values may lie; see :class:`~tabsyn_core.distributions.body.Body`."""

    lower: float | None
    upper: float | None
    grid: Grid | None
    jumps: bool


def fit_body(x: Floats, support: Support, rng: np.random.Generator, criterion: Criterion) -> tuple[Body, GoodnessOfFit]:
    """Fit every family that applies and keep the best, or the smoothed data where none fits.

    Args:
        x: The body's values, shape ``[n]``, at least two of them distinct.
        support: Where values may lie.
        rng: Draws the held-out rows.
        criterion: What is best: mean log likelihood of the held-out rows, or BIC on all rows.
    """
    train, test = split(x, rng)
    if support.jumps and support.grid is None:
        return _lattice_body(x, support), _goodness_of_lattice(train, test, support)
    if len(x) < MIN_ROWS:
        name, fit = next(reversed(_smoothers(x, support, rng))), GoodnessOfFit("none")
    else:
        name, fit = _choose(x, train, test, support, rng, criterion=criterion)
    family = _estimators(x, support, rng)[name]()
    body = None if family is None else _with(family, x, support)
    if body is None or not body.is_exact(np.unique(x)):
        return _lattice_body(x, support), _goodness_of_lattice(train, test, support)
    return body, fit


def fit_counts(
    x: Floats, support: Support, rng: np.random.Generator, criterion: Criterion
) -> tuple[Body | None, GoodnessOfFit]:
    """The best family of counts for whole numbers, or None where the plain table of frequencies is better."""
    train, test = split(x, rng)
    table = _goodness_of_lattice(train, test, support)
    if len(x) < MIN_ROWS or len(np.unique(train)) < 2:
        return None, table
    start = float(x.min()) if support.lower is None else support.lower
    fitted = {
        name: _with(family, x, support)
        for name, estimate in estimators.count_estimators(train, start, support.upper).items()
        if (family := estimate()) is not None
    }
    scores = _criterion(fitted, train, test, criterion)
    if not scores:
        return None, table
    name = _best(scores, fitted)
    fit = goodness(fitted[name], test, scores)
    final = estimators.count_estimators(x, start, support.upper)[name]()
    if final is None or not _fits(fitted[name], x, fit):
        return None, GoodnessOfFit(table.test, table.statistic, table.p_value, table.rows, fit.candidates)
    return _with(final, x, support), fit


def split(x: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """(rows to fit, rows held out); none are held out of fewer than :data:`MIN_ROWS`."""
    order = rng.permutation(len(x))
    held_out = 0 if len(x) < MIN_ROWS else round(_HELD_OUT_SHARE * len(x))
    return x[order[held_out:]], x[order[:held_out]]


def goodness(body: Body, test: Floats, scores: dict[str, float]) -> GoodnessOfFit:
    """Kolmogorov-Smirnov for a continuous body, chi-square for one with jumps, on rows it has not seen."""
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    candidates = tuple((name, round(value, 6)) for name, value in ranked)
    if test.size < _MIN_EXPECTED:
        return GoodnessOfFit("none", candidates=candidates)
    if not body.jumps:
        result = stats.ks_1samp(body.cdf(test), stats.uniform.cdf)
        return GoodnessOfFit("KS", float(result.statistic), float(result.pvalue), test.size, candidates)
    cells = int(np.clip(test.size // (2 * _MIN_EXPECTED), 2, 20))
    ends = np.unique(body.decode(special.ndtri(np.arange(1, cells) / cells)))
    expected = np.diff(body.cdf(ends), prepend=0, append=1) * test.size
    observed = np.bincount(np.searchsorted(ends, test), minlength=len(expected))
    statistic, p_value = chi_square(observed, expected)
    return GoodnessOfFit("chi-square" if p_value is not None else "none", statistic, p_value, test.size, candidates)


def chi_square(observed: Any, expected: Floats, inflation: float = 1.0) -> tuple[float | None, float | None]:
    """Pearson's statistic and p-value, after neighbouring cells with too few expected rows are merged.

    Args:
        observed: Rows in each cell, shape ``[k]``.
        expected: Rows expected there, shape ``[k]``.
        inflation: Above one where the expectations are themselves counts and so as noisy as the observations.
    """
    share = (np.cumsum(expected) - expected / 2) / max(_MIN_EXPECTED, expected.sum() / len(expected))
    group = np.unique(np.floor(share), return_inverse=True)[1]
    cells = np.stack([np.bincount(group, weights) for weights in (observed, expected)])
    large = cells[1] >= _MIN_EXPECTED / 2
    cells = np.column_stack([cells[:, large], cells[:, ~large].sum(axis=1)])
    seen, due = cells[:, cells[1] > _MIN_EXPECTED / 5]
    if due.size < 2:
        return None, None
    statistic = float(((seen - due) ** 2 / due).sum() / inflation)
    return statistic, float(stats.chi2.sf(statistic, due.size - 1))


def _choose(
    x: Floats, train: Floats, test: Floats, support: Support, rng: np.random.Generator, *, criterion: Criterion
) -> tuple[str, GoodnessOfFit]:
    """The name of the estimator to use, and how its fit to the other rows suits the held-out ones."""
    fitted = _fit_all(train, x, support, rng)
    judged = fitted if criterion == "heldout" else _fit_all(x, x, support, rng)
    scores = _criterion(judged, x if criterion == "bic" else train, test, criterion)
    scores = {name: score for name, score in scores.items() if name in fitted}
    smooth = {name: score for name, score in scores.items() if isinstance(fitted[name].family, Empirical)}
    families = {name: score for name, score in scores.items() if name not in smooth}
    best_smooth = max(smooth, key=smooth.__getitem__) if smooth else f"smoothed empirical {_BINS[0]}"
    if families:
        best = _best(families, fitted)
        fit = goodness(fitted[best], test, scores)
        rival = fitted[best_smooth].log_prob(test) - fitted[best].log_prob(test)
        margin = float(np.std(rival) / np.sqrt(len(test))) if criterion == "heldout" else 0.0
        worse = smooth and smooth[best_smooth] > families[best] + margin
        if not worse and _fits(fitted[best], np.concatenate([train, test]), fit):
            return best, fit
    return best_smooth, goodness(fitted[best_smooth], test, scores)


def _criterion(bodies: dict[str, Body], rows: Floats, test: Floats, criterion: Criterion) -> dict[str, float]:
    """What decides, a row, larger is better: held-out log likelihood, or -BIC / 2n; impossible bodies are left out."""
    judged = test if criterion == "heldout" else rows
    penalty = 0.0 if criterion == "heldout" else 0.5 * np.log(len(rows)) / len(rows)
    scores = {
        name: float(np.mean(body.log_prob(judged)) - penalty * body.family.num_parameters)
        for name, body in bodies.items()
    }
    return {name: score for name, score in scores.items() if np.isfinite(score)}


def _best(scores: dict[str, float], bodies: dict[str, Body]) -> str:
    """The largest score; among those that hardly differ, the family with the fewest parameters."""
    level = max(scores.values()) - _TIE
    return min((name for name in scores if scores[name] >= level), key=lambda n: bodies[n].family.num_parameters)


def _fits(body: Body, x: Floats, fit: GoodnessOfFit) -> bool:
    """Whether neither the held-out rows nor all rows reject a family.

    All rows include those it was fitted to, which can only raise the p-value, so a rejection by them stands; and
    they show what a few held-out rows cannot.
    """
    p_values = (fit.p_value, goodness(body, x, {}).p_value)
    return all(p_value is None or p_value >= MIN_P_VALUE for p_value in p_values)


def _fit_all(rows: Floats, x: Floats, support: Support, rng: np.random.Generator) -> dict[str, Body]:
    fitted = {}
    for name, estimate in _estimators(rows, support, rng, _exponent(x)).items():
        family = estimate()
        if family is not None and (body := _with(family, x, support)).mass > 0.5:
            fitted[name] = body
    return fitted


def _estimators(
    x: Floats, support: Support, rng: np.random.Generator, exponent: int | None = None
) -> dict[str, Estimator]:
    """Every estimator that applies: continuous families, counts on a grid of whole numbers, smoothed data."""
    y = np.ldexp(x, -(_exponent(x) if exponent is None else exponent))
    step = _step(support)
    lower = None if support.lower is None else support.lower - step / 2
    upper = None if support.upper is None else support.upper + step / 2
    found = estimators.continuous_estimators(y, lower, upper)
    if support.jumps and support.grid == Grid(0) and support.lower is not None:
        found |= estimators.count_estimators(y, support.lower, support.upper)
    return found | _smoothers(x, support, rng, exponent)


def _smoothers(
    x: Floats, support: Support, rng: np.random.Generator, exponent: int | None = None
) -> dict[str, Estimator]:
    y = np.ldexp(x, -(_exponent(x) if exponent is None else exponent))
    y = y + _step(support) * rng.uniform(-0.5, 0.5, y.shape)  # a grid is smoothed over its steps
    bins = [size for size in _BINS if size <= len(x) / 4] or [_BINS[0]]
    return {f"smoothed empirical {size}": partial(estimators.empirical, y, size) for size in bins}


def _with(family: Family, x: Floats, support: Support) -> Body:
    observed = np.unique(x) if not support.jumps else np.empty(0)
    observed = observed if observed.size <= MAX_OBSERVED else np.empty(0)
    exponent = 0 if support.grid is not None else _exponent(x)
    return Body(family, support.lower, support.upper, support.grid, support.jumps, exponent, observed)


def _lattice_body(x: Floats, support: Support) -> Body:
    return Body(estimators.lattice(x), support.lower, support.upper, None, True, 0, np.empty(0))


def _goodness_of_lattice(train: Floats, test: Floats, support: Support) -> GoodnessOfFit:
    if not test.size:
        return GoodnessOfFit("none")
    del support
    values, where = np.unique(np.concatenate([train, test]), return_inverse=True)
    expected = np.bincount(where[: train.size], minlength=values.size) * test.size / train.size
    observed = np.bincount(where[train.size :], minlength=values.size)
    statistic, p_value = chi_square(observed, expected, 1 + test.size / train.size)
    return GoodnessOfFit("chi-square" if p_value is not None else "none", statistic, p_value, test.size)


def _exponent(x: Floats) -> int:
    largest = float(np.abs(x).max())
    return 0 if 1 / _EXTREME < largest < _EXTREME else int(np.frexp(largest)[1])


def _step(support: Support) -> float:
    return support.grid.step if support.jumps and support.grid is not None else 0.0
