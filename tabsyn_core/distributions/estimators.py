"""Maximum likelihood, or the closed form that equals it, for each family."""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from tabsyn_core.distributions.families import (
    COUNT_FAMILIES,
    SCIPY_FAMILIES,
    Count,
    Empirical,
    Family,
    Lattice,
    Mixture,
    Parametric,
    Tail,
)

Floats = NDArray[np.float64]

_MAX_ROWS = 20_000  # a likelihood search looks at no more rows; its parameters are known to 1 % long before
_TAIL_SHARE = 0.05  # of the rows on either side belong to a modelled tail
_MIN_TAIL = 10  # excesses that a generalised Pareto fit asks for


Estimator = Callable[[], Family | None]


def continuous_estimators(x: Floats, lower: float | None, upper: float | None) -> dict[str, Estimator]:
    """How to fit each continuous family to ``x``; an estimator returns None where its family does not apply.

    Args:
        x: Values inside the bounds, of moderate size, at least two of them distinct; shape ``[n]``.
        lower: Families on a half line start here.
        upper: Where there is no lower bound, they run down from here instead.
    """
    x = _thinned(x)
    mixtures: dict[str, Estimator] = {f"gaussian mixture {k}": partial(_mixture, x, k) for k in (2, 3)}
    found = _real_line(x) | _half_line(x, lower, upper) | {"beta": lambda: _beta(x, lower, upper)} | mixtures
    return {name: partial(_quietly, estimator, x) for name, estimator in found.items()}


def count_estimators(x: Floats, start: float, upper: float | None) -> dict[str, Estimator]:
    """How to fit each family of counts on ``start, start + 1, ...``: plain, and with the first count apart."""
    counts, weights = np.unique(x - start, return_counts=True)
    rows = weights.astype(np.float64)
    largest = float(counts[-1] if upper is None else min(upper - start, 2 * counts[-1] + 10))
    plain = {base: partial(_count, base, counts, rows, start, largest, apart=False) for base in COUNT_FAMILIES}
    apart = {f"{base}, first apart": partial(_count, base, counts, rows, start, largest, apart=True) for base in plain}
    return {name: partial(_quietly, estimator, counts + start) for name, estimator in (plain | apart).items()}


def empirical(x: Floats, bins: int) -> Empirical:
    """A piecewise linear cdf through ``bins + 1`` quantiles of ``x`` with a generalised Pareto tail on either side."""
    x = np.sort(x)
    n = len(x)
    tail = max(_TAIL_SHARE, _MIN_TAIL / n) if n >= 4 * _MIN_TAIL else 0.5 / n
    levels = np.linspace(tail, 1 - tail, bins + 1)
    knots, where = np.unique(np.quantile(x, levels, method="hazen"), return_inverse=True)
    levels = np.bincount(where, levels) / np.bincount(where)
    spread = float(x[-1] - x[0]) / n
    lower = generalised_pareto(knots[0] - x[x < knots[0]], spread)
    upper = generalised_pareto(x[x > knots[-1]] - knots[-1], spread)
    return Empirical(tuple(knots.tolist()), tuple(levels.tolist()), lower, upper)


def lattice(x: Floats) -> Lattice:
    """The distinct values of ``x`` and their shares."""
    values, counts = np.unique(x, return_counts=True)
    return Lattice(tuple(values.tolist()), tuple((counts / counts.sum()).tolist()))


def generalised_pareto(excess: Floats, spread: float) -> Tail:
    """Zhang and Stephens' (2009) quasi-Bayesian estimate; an exponential tail when excesses are few.

    Args:
        excess: Positive distances beyond the threshold, shape ``[k]``.
        spread: The scale to assume when there is none to see.
    """
    scale = float(np.mean(excess)) if excess.size else spread
    scale = max(scale, spread * 1e-3, np.finfo(float).tiny)
    if excess.size < _MIN_TAIL or np.ptp(excess) == 0:
        return Tail(0.0, scale)
    y = np.sort(excess)
    n, m = len(y), 30 + int(np.sqrt(len(y)))
    grid = 1 / y[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * y[int(n / 4 + 0.5) - 1])
    shapes = np.log1p(-grid[:, None] * y).mean(axis=1)
    profile = n * (np.log(-grid / shapes) - shapes - 1)
    theta = float(special.softmax(profile) @ grid)
    shape = float(np.log1p(-theta * y).mean())
    found = -shape / theta
    shape = (n * shape + 10 * 0.2) / (n + 10)  # a weak prior towards a light tail: few excesses say little about it
    return Tail(min(shape, 1.0), found) if np.isfinite(shape) and found > 0 else Tail(0.0, scale)


def _thinned(x: Floats) -> Floats:
    return x if len(x) <= _MAX_ROWS else np.sort(x)[:: len(x) // _MAX_ROWS + 1]


def _quietly(estimate: Estimator, x: Floats) -> Family | None:
    """The fitted family, if every row is possible under it: an unfit family is told by that, not by warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        family = estimate()
        return family if family is not None and np.all(np.isfinite(family.logpdf(x))) else None


def _real_line(x: Floats) -> dict[str, Estimator]:
    """Families on the whole line, searched for on standardised values from robust starting values."""
    centre = float(np.median(x))
    spread = float(np.subtract(*np.quantile(x, [0.75, 0.25]))) / 1.35 or float(np.std(x))
    y = (x - centre) / spread
    mean, std = float(y.mean()), float(y.std())
    skew = float(np.clip(np.mean(((y - mean) / std) ** 3), -0.95, 0.95))

    def search(name: str, start: list[float], num_shapes: int, positive: tuple[int, ...]) -> Family | None:
        distribution = SCIPY_FAMILIES[name][0]
        found = _maximise(lambda p: distribution.logpdf(y, *p), start, positive)
        if found is None:
            return None
        *shapes, loc, scale = found
        return Parametric(name, (*shapes[:num_shapes], centre + spread * loc, spread * scale))

    # the moments' skewness ratio gives the shape of a skew-normal (Azzalini, 1985)
    ratio = np.abs(skew) ** (2 / 3)
    delta = np.sign(skew) * np.sqrt(np.pi / 2 * ratio / (ratio + ((4 - np.pi) / 2) ** (2 / 3)))
    alpha = float(delta / np.sqrt(max(1 - delta**2, 1e-4)))
    omega = std / np.sqrt(max(1 - 2 * delta**2 / np.pi, 0.1))
    xi = mean - omega * delta * np.sqrt(2 / np.pi)
    return {
        "normal": lambda: Parametric("normal", (float(x.mean()), float(x.std()))),
        "logistic": lambda: search("logistic", [0.0, 0.55], 0, (1,)),
        "gumbel": lambda: search("gumbel", [mean - 0.45 * std, 0.78 * std], 0, (1,)),
        "left gumbel": lambda: search("left gumbel", [mean + 0.45 * std, 0.78 * std], 0, (1,)),
        "student-t": lambda: search("student-t", [5.0, 0.0, 0.9], 1, (0, 2)),
        "skew-normal": lambda: search("skew-normal", [alpha, float(xi), float(omega)], 1, (2,)),
    }


def _half_line(x: Floats, lower: float | None, upper: float | None) -> dict[str, Estimator]:
    """Families on (bound, infinity), all with closed forms or one-dimensional roots."""
    reflected = lower is None
    bound = upper if reflected else lower
    if bound is None:
        return {}
    loc = -bound if reflected else bound
    y = (-x if reflected else x) - loc
    if y.min() <= 0:
        return {}
    mean, logs = float(y.mean()), np.log(y)
    mean_log = float(logs.mean())

    def gamma() -> Family:
        gap = np.log(mean) - mean_log  # Minka (2002): log a - digamma(a) equals this gap
        a = _root(lambda a: np.log(a) - special.digamma(a) - gap, 1e-3, 1e6)
        return Parametric("gamma", (a, loc, mean / a), reflected)

    def weibull() -> Family:
        z = logs - logs.max()
        c = _root(lambda c: 1 / c + z.mean() - (np.exp(c * z) @ z) / np.exp(c * z).sum(), 1e-2, 1e3)
        scale = float(np.exp(logs.max()) * np.mean(np.exp(c * z)) ** (1 / c))
        return Parametric("weibull", (c, loc, scale), reflected)

    return {
        "exponential": lambda: Parametric("exponential", (loc, mean), reflected),
        "log-normal": lambda: Parametric("log-normal", (float(logs.std()), loc, float(np.exp(mean_log))), reflected),
        "gamma": gamma,
        "weibull": weibull,
    }


def _beta(x: Floats, lower: float | None, upper: float | None) -> Family | None:
    """A beta on the column's bounds; where one is unknown, a little beyond the data."""
    margin = np.ptp(x) / np.sqrt(len(x))
    low = float(x.min() - margin) if lower is None else lower
    high = float(x.max() + margin) if upper is None else upper
    y = (x - low) / (high - low)
    if y.min() <= 0 or y.max() >= 1:
        return None
    mean, variance = float(y.mean()), float(y.var())
    total = max(mean * (1 - mean) / variance - 1, 0.1)
    log_y, log_rest = float(np.log(y).mean()), float(np.log1p(-y).mean())

    def mean_ll(p: Floats) -> Floats:
        return np.asarray((p[0] - 1) * log_y + (p[1] - 1) * log_rest - special.betaln(*p))

    found = _maximise(mean_ll, [mean * total, (1 - mean) * total], (0, 1))
    return None if found is None else Parametric("beta", (*found, low, high - low))


def _mixture(x: Floats, components: int) -> Family | None:
    """Expectation-maximisation from quantiles (scikit-learn), on standardised values."""
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415  a second of import that counts do not need

    if len(np.unique(x)) < 5 * components:
        return None
    centre, spread = float(x.mean()), float(x.std())
    y = ((x - centre) / spread)[:, None]
    starts = np.quantile(y, (np.arange(components) + 0.5) / components)[:, None]
    model = GaussianMixture(
        components, covariance_type="spherical", means_init=starts, init_params="random_from_data", reg_covar=1e-4,
        tol=1e-4, max_iter=200, random_state=0,
    ).fit(y)  # fmt: skip
    means = centre + spread * model.means_[:, 0]
    order = np.argsort(means)
    weights, stds = model.weights_ / model.weights_.sum(), spread * np.sqrt(model.covariances_)
    return Mixture(*(tuple(part[order].tolist()) for part in (weights, means, stds)))


def _count(base: str, counts: Floats, rows: Floats, start: float, largest: float, *, apart: bool) -> Count | None:
    """One family of counts; with ``apart`` the first count has a probability of its own (a hurdle)."""
    total = rows.sum()
    zero = float(rows[counts == 0].sum() / total)
    if apart:
        if zero in (0.0, 1.0):
            return None
        counts, rows = counts[counts > 0], rows[counts > 0]
    mean = float(counts @ rows / rows.sum())
    variance = float((counts - mean) ** 2 @ rows / rows.sum())
    if mean == 0 or (apart and mean == 1):
        return None
    distribution = COUNT_FAMILIES[base][0]
    shift = int(base == "geometric")

    def ll(*values: float) -> float:
        found = rows @ distribution.logpmf(counts + shift, *values)
        return float(found - (rows.sum() * distribution.logsf(shift, *values) if apart else 0.0))

    values: tuple[float, ...] | None
    if base == "poisson":
        values = (_peak(ll, mean * 1e-3, mean),) if apart else (mean,)
    elif base == "geometric":
        values = (1 / mean,) if apart else (1 / (1 + mean),)
    elif base == "binomial":
        values = (largest, _peak(lambda p: ll(largest, p), 1e-6, 1 - 1e-6) if apart else min(mean / largest, 1 - 1e-9))
    elif not apart:
        r = _peak(lambda r: ll(r, r / (r + mean)), 1e-3, 1e4)
        values = (r, r / (r + mean))
    else:
        r = mean**2 / max(variance - mean, 0.1 * mean)
        found = _maximise(
            lambda q: np.array(ll(q[0], q[0] / (q[0] + q[1]))) / rows.sum(), [float(np.clip(r, 0.05, 50)), mean], (0, 1)
        )
        values = None if found is None else (found[0], found[0] / (found[0] + found[1]))
    return None if values is None else Count(base, values, start, zero if apart else None)


def _maximise(
    log_likelihood: Callable[[Floats], Floats], start: list[float], positive: tuple[int, ...]
) -> tuple[float, ...] | None:
    """The parameters with the largest mean log likelihood; those at the indices ``positive`` stay above zero."""
    mask = np.isin(np.arange(len(start)), positive)

    def parameters(free: Floats) -> Floats:
        return np.where(mask, np.exp(np.clip(free, -30, 30)), free)

    def loss(free: Floats) -> float:
        value = -float(np.mean(log_likelihood(parameters(free))))
        return value if np.isfinite(value) else 1e10

    begin = np.where(mask, np.log(np.maximum(start, 1e-9)), start)
    found = optimize.minimize(loss, begin, method="L-BFGS-B", options={"maxiter": 60, "ftol": 1e-9})
    return tuple(parameters(found.x).tolist()) if np.isfinite(found.fun) and found.fun < 1e10 else None


def _peak(log_likelihood: Callable[[float], float], low: float, high: float) -> float:
    """Where a likelihood of one positive parameter peaks, sought on its logarithm."""
    found = optimize.minimize_scalar(
        lambda log_value: -log_likelihood(float(np.exp(log_value))),
        bounds=(np.log(low), np.log(high)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a falling function of a positive parameter, or the end nearest to it."""
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    return float(optimize.brentq(function, low, high))
