"""Column by column: how far is each column from the real one, in shape, in place, in its tails, gaps and support?"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.fidelity import shape_errors
from tabsyn_core.evaluation.figure import Z, over_draws
from tabsyn_core.evaluation.tables import Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_RESAMPLES = 50
_SAMPLES, _SAMPLED = 20, 1_000
_TAILS = (0.01, 0.99)
_EVIDENCE = 20  # values that a rule is read off: fewer could obey it by chance
_STEP_EVIDENCE = 100  # values besides the commonest that a step beyond the last decimal is read off
_REPEATING = 0.9  # a decimal column with fewer distinct values than this share of its values shows its lattice
_DOUBLE, _SINGLE = 1e-12, 2.0**-23  # relative rounding of a stored decimal
_MAX_SLACK = 0.05  # of a step: a lattice finer than that cannot be told from rounding


@one_thread()
def column_table(
    train: Table, holdout: Table, fake: Table, supports: pl.DataFrame | None = None, seed: int = 0
) -> pl.DataFrame:
    """Every column of the synthetic rows beside the training rows, and of the held-out rows in their place.

    Synthetic and held-out rows are compared at equal numbers: the larger table is drawn down to the size of the
    smaller, several times, and the mean is given. Shares (``missing_*``, ``support_*``) do not depend on the number of
    rows and are of all rows.

    Args:
        train: Real rows the generator saw.
        holdout: Real rows it did not see.
        fake: The rows to judge.
        supports: What is known better than the training rows show it: ``column`` and any of ``lower``, ``upper`` (the
            bounds, inclusive) and ``step`` (values are its multiples; 1 for whole numbers) of numeric columns. A null
            leaves what the rows show.
        seed: Decides draws and bootstrap samples.

    Returns:
        One row a column, worst first: by ``error`` minus ``floor``, what the generator adds to chance. Null where
        there is nothing to compare.

        - ``column``, ``kind`` ("numeric" or "categorical").
        - ``error``: the Kolmogorov-Smirnov statistic or the total variation distance, see
          :func:`~.fidelity.shape_errors`; ``error_low`` and ``error_high``, its 95 % interval: 1.96 standard deviations
          over bootstrap samples of rows on either side, within [0, 1]. (The bootstrap's own quantiles would lie too
          high: resampling adds the noise of a second sample to a distance.) ``floor``: of held-out rows.
        - ``wasserstein``, ``wasserstein_floor``: Wasserstein-1 distance in standard deviations of the training values;
          the interquartile range would be 0 for most counts. Numeric only; null where the training values are all the
          same and the others differ, or are so nearly the same that the distance has no number.
        - ``missing_real`` (of training rows), ``missing_synthetic``, their ``missing_difference``, and
          ``missing_floor``, the difference of held-out rows.
        - ``support``: in words, what every training value obeys; ``support_violations`` and
          ``support_violations_floor``: share of values that do not. Rules: whole numbers; not negative, not positive,
          or within [0, 1] where the values are not whole; multiples of a step (even numbers, halves, decimals) where
          values repeat; a category that was seen. None is read off fewer than 20 values, nor a step beyond the decimals
          off fewer than 100 that differ from the commonest. Had the n training values been
          drawn with one more, that one would be the extreme with a chance of 1/(n + 1), so a real value breaks a bound
          no more often than that; the floor says how often real values did.
        - ``tail_low``, ``tail_high`` and their ``_floor``: the 1 % and 99 % quantile minus the training rows', in
          standard deviations of the training values: a difference, since a ratio has no meaning where a quantile is 0.
          They are mid-quantiles (Ma, Genton & Parzen, AISM 2011), which do not jump by a whole count where one row of a
          hundred is a one among zeros; of values without ties they are the ordinary ones.

        - ``*_margin``: half the 95 % interval around ``wasserstein``, ``missing_difference``, ``support_violations``
          and either tail: 1.96 standard deviations over bootstrap samples of rows on either side.

    Raises:
        TabsynError: ``supports`` does not name its columns, or one that is not numeric in the table.
    """
    rows = min(len(holdout), len(fake))
    references = [_Reference.of(train.numbers[:, j]) for j in range(len(train.numeric))]
    judged, floor = (
        _mean_over_draws(
            over_draws(lambda part: _distances(train, part, references), table, rows, np.random.default_rng([seed, 20]))
        )
        for table in (fake, holdout)
    )
    half = Z * _standard_errors(train, fake, rows, np.random.default_rng([seed, 21]))
    gaps = [np.isnan(table.features).mean(axis=0) for table in (train, fake, holdout)]
    known = _supports(train, supports)
    margins = Z * _spreads(train, fake, rows, known, np.random.default_rng([seed, 29]))
    broken = [_violations(train, table, known) for table in (fake, holdout)]
    words = [support.words for support in known] + [None if _few(c) else "a known category" for c in train.codes.T >= 0]
    return (
        pl.DataFrame(
            {
                "column": train.feature_names,
                "kind": ["numeric"] * len(train.numeric) + ["categorical"] * len(train.categorical),
                "error": judged[0],
                "error_low": np.clip(judged[0] - half, 0, 1),
                "error_high": np.clip(judged[0] + half, 0, 1),
                "floor": floor[0],
                "wasserstein": judged[1],
                "wasserstein_margin": margins[1],
                "wasserstein_floor": floor[1],
                "missing_real": gaps[0],
                "missing_synthetic": gaps[1],
                "missing_difference": gaps[1] - gaps[0],
                "missing_margin": margins[4],
                "missing_floor": gaps[2] - gaps[0],
                "support": pl.Series(words, dtype=pl.String),
                "support_violations": broken[0],
                "support_margin": margins[5],
                "support_violations_floor": broken[1],
                "tail_low": judged[2],
                "tail_low_margin": margins[2],
                "tail_low_floor": floor[2],
                "tail_high": judged[3],
                "tail_high_margin": margins[3],
                "tail_high_floor": floor[3],
            }
        )
        .fill_nan(None)
        .sort(pl.col("error") - pl.col("floor"), "error", "column", descending=[True, True, False], nulls_last=True)
    )


@dataclass(frozen=True)
class _Reference:
    """A numeric column of the training rows: its values, its unit of distance (0 if constant) and its tails."""

    values: Floats
    unit: float
    tails: Floats

    @classmethod
    def of(cls, column: Floats) -> "_Reference":
        values = column[~np.isnan(column)]
        if values.size == 0:
            return cls(values, 0.0, np.full(2, np.nan))
        low, width = values.min(), np.ptp(values)
        # Scaled first: squares of very small numbers would vanish.
        unit = float(width * np.std((values - low) / width)) if width > 0 else 0.0
        return cls(values, unit, _tails(values))

    def distances(self, column: Floats) -> Floats:
        """Wasserstein distance and differences of both tails, in units; NaN where there are none."""
        values = column[~np.isnan(column)]
        if self.values.size == 0 or values.size == 0:
            return np.full(3, np.nan)
        if self.unit == 0:
            return np.where(np.all(values == self.values[0]), np.zeros(3), np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = wasserstein_distance(self.values / self.unit, values / self.unit)
            found = np.array([moved, *((_tails(values) - self.tails) / self.unit)])
        return np.where(np.isfinite(found), found, np.nan)


def _tails(values: Floats) -> Floats:
    """The 1 % and 99 % mid-quantiles: the inverse of F(x) - p(x) / 2, interpolated between the values that occur."""
    distinct, counts = np.unique(values, return_counts=True)
    return np.interp(_TAILS, (np.cumsum(counts) - counts / 2) / values.size, distinct)


def _distances(train: Table, other: Table, references: list[_Reference]) -> Floats:
    """Shape error, Wasserstein distance and differences of the tails, shape (4, columns)."""
    found = np.full((4, len(train.feature_names)), np.nan)
    found[0] = shape_errors(train, other)
    for j, reference in enumerate(references):
        found[1:, j] = reference.distances(other.numbers[:, j])
    return found


def _mean_over_draws(draws: Floats) -> Floats:
    judged = ~np.isnan(draws)
    counts = judged.sum(axis=0)
    return np.where(counts > 0, np.where(judged, draws, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)


def _standard_errors(train: Table, fake: Table, rows: int, rng: np.random.Generator) -> Floats:
    """Standard deviation of each shape error over bootstrap samples of rows, shape (columns,)."""
    other = fake.draw(rows, rng)
    weights = [_resampled(len(table), rng) for table in (train, other)]
    found = []
    for j, (real, made) in enumerate(zip(train.features.T, other.features.T, strict=True)):
        gaps = _gaps(without_last_bits(real), without_last_bits(made), *weights)
        if gaps.shape[1] < 2:
            found.append(np.nan)
        elif j < len(train.numeric):
            found.append(float(np.abs(gaps).max(axis=0).std(ddof=1)))
        else:
            found.append(float((np.abs(np.diff(gaps, axis=0, prepend=0)).sum(axis=0) / 2).std(ddof=1)))
    return np.array(found)


def _spreads(train: Table, fake: Table, rows: int, supports: "list[_Support]", rng: np.random.Generator) -> Floats:
    """Standard deviations over bootstrap samples of at most 1,000 rows, brought to the rows there are.

    Returns:
        Of the shape error, the Wasserstein distance, both tails, the difference of missing shares and the share of
        values that break the support; shape (6, columns).
    """
    sizes = min(len(train), _SAMPLED), min(rows, _SAMPLED)
    repeats = []
    for _ in range(_SAMPLES):
        real, other = (
            table.take(rng.integers(0, len(table), n)) for table, n in zip((train, fake), sizes, strict=True)
        )
        references = [_Reference.of(real.numbers[:, j]) for j in range(len(real.numeric))]
        gaps = [np.isnan(table.features).mean(axis=0) for table in (other, real)]
        broken = _violations(train, other, supports)
        repeats.append([*_distances(real, other, references), gaps[0] - gaps[1], broken])
    # Shares are of all rows, distances of as many as the smaller table has.
    scale = np.sqrt(sizes[1] / np.array([rows] * 4 + [len(fake)] * 2))[:, None]
    spreads: Floats = np.std(repeats, axis=0, ddof=1) * scale
    return spreads


def mean_violations_spread(train: Table, fake: Table, supports: pl.DataFrame | None = None, seed: int = 0) -> float:
    """Standard deviation of the mean share of impossible values over columns, over bootstrap samples of rows."""
    rng, known = np.random.default_rng([seed, 34]), _supports(train, supports)
    size = min(len(fake), _SAMPLED)
    found = np.array([_violations(train, fake.take(rng.integers(0, len(fake), size)), known) for _ in range(_SAMPLES)])
    judged = ~np.isnan(found).all(axis=0)
    return float(np.nanmean(found[:, judged], axis=1).std(ddof=1) * np.sqrt(size / len(fake))) if judged.any() else 0.0


def _resampled(rows: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How often each row is in each bootstrap sample, shape (rows, samples); single precision holds such counts."""
    return np.column_stack(
        [np.bincount(rng.integers(0, rows, rows), minlength=rows) for _ in range(_RESAMPLES)]
    ).astype(np.float32)


def _gaps(
    real: Floats, other: Floats, real_weights: NDArray[np.float32], other_weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Differences of the two distribution functions at each value, shape (values, samples that hold values of both)."""
    here, there = ~np.isnan(real), ~np.isnan(other)
    if not (here.any() and there.any()):
        return np.empty((0, 0), dtype=np.float32)
    values = np.concatenate([real[here], other[there]])
    parts = [real_weights[here], other_weights[there]]
    totals = [part.sum(axis=0) for part in parts]
    usable = (totals[0] > 0) & (totals[1] > 0)
    signed = np.vstack([parts[0][:, usable] / totals[0][usable], -parts[1][:, usable] / totals[1][usable]])
    order = np.argsort(values, kind="stable")
    values = values[order]
    last = np.append(values[1:] != values[:-1], True)  # the last of equal values
    gaps: NDArray[np.float32] = np.cumsum(signed[order], axis=0)[last]
    return gaps


def without_last_bits(values: Floats) -> Floats:
    """Values as :func:`~.fidelity.shape_errors` sees them: rounded, so that the last bits of a sum do not count."""
    rounded: Floats = np.where(np.abs(values) < 1e8, np.round(np.clip(values, -1e8, 1e8), 14), values)
    return rounded


@dataclass(frozen=True)
class _Support:
    """What every value of a numeric column obeys: bounds, and a step from an origin, within a relative rounding."""

    lower: float | None = None
    upper: float | None = None
    step: float | None = None
    origin: float = 0.0
    rounding: float = _DOUBLE

    @classmethod
    def of(cls, column: Floats) -> "_Support":
        values = column[~np.isnan(column)]
        if values.size < _EVIDENCE:
            return cls()
        low, high = values.min(), values.max()
        whole = bool(np.array_equal(values, np.round(values)))
        upper = 0.0 if low < 0 >= high else 1.0 if low >= 0 and high <= 1 and not whole else None
        return replace(_lattice(values), lower=0.0 if low >= 0 else None, upper=upper)

    @property
    def words(self) -> str | None:
        """The rules in words, or nothing without a rule."""
        bounds = None
        if self.lower is not None:
            bounds = f"at least {self.lower:g}" if self.upper is None else f"{self.lower:g} to {self.upper:g}"
        elif self.upper is not None:
            bounds = f"at most {self.upper:g}"
        step = None
        if self.step is not None:
            from_where = f" from {self.origin:g}" if self.origin else ""
            step = "whole" if self.step == 1 else f"steps of {self.step:g}{from_where}"
        return ", ".join(part for part in (step, bounds) if part) or None

    def broken_share(self, column: Floats) -> float:
        """The share of values that break a rule; NaN without values or rules."""
        values = column[~np.isnan(column)]
        if values.size == 0 or self.words is None:
            return float("nan")
        broken = np.zeros(values.size, dtype=bool)
        if self.lower is not None:
            broken |= values < self.lower - _within(self.lower)
        if self.upper is not None:
            broken |= values > self.upper + _within(self.upper)
        if self.step is not None:
            steps = (values - self.origin) / self.step
            broken |= np.abs(steps - np.round(steps)) > 1e-9 + self.rounding * np.abs(values / self.step)
        return float(broken.mean())


def _within(bound: float) -> float:
    """How far beyond a bound rounding may carry a value."""
    return 1e-9 * max(1.0, abs(bound))


def _lattice(values: Floats) -> _Support:
    """The coarsest step between values, of whole numbers or of decimals that repeat; no rule without one."""
    with np.errstate(over="ignore"):
        single = bool(np.array_equal(values, values.astype(np.float32)))
    rounding = _SINGLE if single else _DOUBLE
    repeating = np.unique(values).size < _REPEATING * values.size
    for places in range(7 if repeating else 1):
        unit = 10.0**-places
        steps = values / unit
        slack = rounding * np.abs(steps).max() if places else 0.0
        if np.abs(steps).max() >= 2**53 or slack > _MAX_SLACK:
            break
        if np.all(np.abs(steps - np.round(steps)) <= slack):
            numbers = np.round(steps).astype(np.int64)
            coarse = _common_step(numbers)
            # Integers are exact in either precision.
            return _Support(
                step=coarse * unit, origin=int(numbers.min()) % coarse * unit, rounding=rounding if places else _DOUBLE
            )
    return _Support()


def _common_step(numbers: NDArray[np.int64]) -> int:
    """The largest step that all differences are multiples of; 1 where too few differ from the commonest to tell."""
    counts = np.unique(numbers, return_counts=True)[1]
    if counts.sum() - counts.max() < _STEP_EVIDENCE:
        return 1
    return int(np.gcd.reduce(numbers - numbers.min()))


def _supports(train: Table, known: pl.DataFrame | None) -> list[_Support]:
    shown = {name: _Support.of(train.numbers[:, j]) for j, name in enumerate(train.numeric)}
    for row in [] if known is None else _rules(known):
        name = row["column"]
        if name not in shown:
            raise TabsynError(f"supports are given for '{name}', which is not a numeric column; leave it out.")
        told = {rule: float(row[rule]) for rule in ("lower", "upper", "step") if row.get(rule) is not None}
        shown[name] = replace(shown[name], **({"origin": 0.0} if row.get("step") is not None else {}), **told)
    return list(shown.values())


def _rules(known: pl.DataFrame) -> list[dict[str, Any]]:
    if "column" not in known.columns:
        raise TabsynError(f"the table of supports has no 'column'; its columns are {known.columns}.")
    return known.to_dicts()


def _violations(train: Table, table: Table, supports: list[_Support]) -> Floats:
    """The share of values that no training value could be, shape (columns,)."""
    numeric = [support.broken_share(column) for support, column in zip(supports, table.numbers.T, strict=True)]
    categorical = [_unseen_share(seen, codes) for seen, codes in zip(train.codes.T, table.codes.T, strict=True)]
    return np.array(numeric + categorical)


def _unseen_share(seen: NDArray[np.int64], codes: NDArray[np.int64]) -> float:
    codes = codes[codes >= 0]
    return float("nan") if codes.size == 0 or _few(seen >= 0) else float(np.mean(~np.isin(codes, seen)))


def _few(present: NDArray[np.bool_]) -> bool:
    return int(present.sum()) < _EVIDENCE
