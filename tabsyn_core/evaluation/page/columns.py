"""What the report holds of single columns."""

from dataclasses import dataclass
from typing import Literal

from tabsyn_core.evaluation.page.reading import Number, Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How well one column is distributed.

    Attributes:
        column: Its name.
        kind: ``numeric`` or ``categorical``.
        error: Kolmogorov-Smirnov statistic, or total variation distance of categories; 0 to 1, 0 is best.
        error_low: Lower bound of its 95 % interval.
        error_high: Upper bound.
        floor: The error of the held-out rows.
        wasserstein: Wasserstein-1 distance in units of the real standard deviation.
        wasserstein_margin: Half the 95 % interval around it; so of every margin.
        wasserstein_floor: The same of the held-out rows.
        missing_real: Share of the training rows that lack it.
        missing_synthetic: Share of the synthetic rows that lack it.
        missing_difference: The second minus the first.
        missing_margin: Of the difference.
        missing_floor: The difference of the held-out rows.
        support: In words, what every training value obeys: "whole, at least 0".
        support_violations: Share of synthetic values that do not.
        support_margin: Of that share.
        support_violations_floor: The same of the held-out rows.
        tail_low: 1 % quantile minus that of the training rows, in real standard deviations.
        tail_low_margin: Of that difference.
        tail_low_floor: The same of the held-out rows.
        tail_high: 99 % quantile minus that of the training rows, in real standard deviations.
        tail_high_margin: Of that difference.
        tail_high_floor: The same of the held-out rows.
        family: The distribution family fitted to it, in words.
        note: What to know before its figures are read, in one sentence: that a table has no value of it.
    """

    column: str
    kind: Literal["numeric", "categorical"]
    error: Number
    error_low: Number = None
    error_high: Number = None
    floor: Number = None
    wasserstein: Number = None
    wasserstein_margin: Number = None
    wasserstein_floor: Number = None
    missing_real: Number = None
    missing_synthetic: Number = None
    missing_difference: Number = None
    missing_margin: Number = None
    missing_floor: Number = None
    support: str | None = None
    support_violations: Number = None
    support_margin: Number = None
    support_violations_floor: Number = None
    tail_low: Number = None
    tail_low_margin: Number = None
    tail_low_floor: Number = None
    tail_high: Number = None
    tail_high_margin: Number = None
    tail_high_floor: Number = None
    family: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """One column's distributions over each other: bins of a numeric column, or bars of a categorical one.

    Attributes:
        column: Its name.
        edges: Bin edges, one more than there are bins; empty for categories.
        labels: The category of each bar; empty for bins.
        smooth: Whether the heights are a kernel density at the middle of each bin, to be drawn as a curve.
        real: Height a bin or bar, of the training rows: its share of the rows, or the density.
        synthetic: The same of the synthetic rows.
        held_out: The same of the held-out rows; may be empty.
        quantiles_real: Quantiles of the training values, for the QQ plot; empty for categories.
        quantiles_synthetic: The same quantiles of the synthetic values.
        quantiles_held_out: The same of the held-out values; may be empty.
    """

    column: str
    edges: Numbers = ()
    labels: tuple[str, ...] = ()
    smooth: bool = False
    real: Numbers = ()
    synthetic: Numbers = ()
    held_out: Numbers = ()
    quantiles_real: Numbers = ()
    quantiles_synthetic: Numbers = ()
    quantiles_held_out: Numbers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One test of one column.

    Attributes:
        column: Its name.
        test: The test's name.
        null: The null hypothesis in words.
        statistic: The test statistic.
        effect: How large the difference is.
        effect_name: What the effect is called.
        p: The p-value.
        p_adjusted: The p-value adjusted for testing many columns.
        rejected: Whether the null is rejected, after adjustment.
        floor_statistic: The test statistic of held-out rows in place of synthetic ones.
        floor_effect: Their effect.
        floor_p_adjusted: Their adjusted p-value.
        floor_rejected: Whether the null is rejected for them.
        why: Why the test was not made.
    """

    column: str
    test: str
    null: str
    statistic: Number = None
    effect: Number = None
    effect_name: str | None = None
    p: Number = None
    p_adjusted: Number = None
    rejected: bool | None = None
    floor_statistic: Number = None
    floor_effect: Number = None
    floor_p_adjusted: Number = None
    floor_rejected: bool | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSummary:
    """One test over all columns.

    Attributes:
        test: The test's name.
        effect_name: What its effect is called.
        columns: How many columns were tested.
        rejected: In which share of them the null is rejected, after adjustment; empty where nothing was tested.
        floor_rejected: The same share for the held-out rows.
        effect: The median magnitude of the effect over columns.
        floor_effect: The same for the held-out rows.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    test: str
    effect_name: str
    columns: int
    rejected: Number
    floor_rejected: Number = None
    effect: Number = None
    floor_effect: Number = None
