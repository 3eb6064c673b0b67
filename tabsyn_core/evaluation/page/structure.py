"""What the report holds of columns together: a few at a time, and all at once."""

from dataclasses import dataclass

from tabsyn_core.evaluation.page.reading import Number, Numbers, Reading, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How two columns go together.

    Attributes:
        left: One column.
        right: The other.
        kind: What measures their dependence: "Pearson", "Cramér's V" ...
        real: The dependence in the training rows.
        synthetic: The dependence in the synthetic rows.
        floor: The dependence in the held-out rows.
        difference: How far synthetic is from real, as it was ranked.
    """

    left: str
    right: str
    kind: str
    real: Number
    synthetic: Number
    floor: Number = None
    difference: Number = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    """Dependence between all columns.

    Attributes:
        columns: Names in clustered order, so that what belongs together stands together.
        real: A row a column, values from -1 to 1, of the training rows.
        synthetic: The same of the synthetic rows.
        held_out: The same of the held-out rows; may be empty.
    """

    columns: tuple[str, ...]
    real: tuple[Numbers, ...]
    synthetic: tuple[Numbers, ...]
    held_out: tuple[Numbers, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Two columns' joint density on a grid.

    Attributes:
        left: The column drawn to the right.
        right: The column drawn upwards.
        left_edges: Bin edges of ``left``.
        right_edges: Bin edges of ``right``.
        real: Heights of the training rows; one row a bin of ``left``, in it one number a bin of ``right``.
        synthetic: The same of the synthetic rows.
    """

    left: str
    right: str
    left_edges: Numbers
    right_edges: Numbers
    real: tuple[Numbers, ...]
    synthetic: tuple[Numbers, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """The spectrum of the covariance of the columns: each component's share of the variance, largest first.

    Attributes:
        real: Of the training rows.
        synthetic: Of the synthetic rows.
        held_out: Of the held-out rows; may be empty.
    """

    real: Numbers
    synthetic: Numbers
    held_out: Numbers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A combination of categories and how many rows have it; counts are per 10,000 rows where tables differ in size.

    Attributes:
        label: The combination in words.
        real: Rows of the training table.
        synthetic: Rows of the synthetic table.
    """

    label: str
    real: float
    synthetic: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """Some columns judged together.

    Attributes:
        columns: Their names.
        error: How far their joint distribution is from the real one.
        floor: The same of the held-out rows.
        measure: What the error is called.
    """

    columns: tuple[str, ...]
    error: Number
    floor: Number = None
    measure: str = "total variation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Columns two by two and a few at a time.

    Attributes:
        figures: Means over pairs.
        worst: The pairs farthest off, worst first.
        correlations: All of them at once.
        joints: A few chosen pairs, drawn.
        spectrum: Of the covariance.
        combinations: Of categories.
        subsets: Of columns.
    """

    figures: tuple[Reading, ...] = ()
    worst: tuple[Pair, ...] = ()
    correlations: Correlations | None = None
    joints: tuple[Joint, ...] = ()
    spectrum: Spectrum | None = None
    combinations: tuple[Combination, ...] = ()
    subsets: tuple[Subset, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A classifier two-sample test; 0.5 is best.

    Attributes:
        classifier: ``lightgbm``, ``logistic`` ...
        auc: Of telling synthetic rows from training rows.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
        floor: The AUC of the held-out rows.
        factorised: The AUC of rows whose columns are drawn one by one, without any dependence.
        alone: The AUC of a classifier that sees no dependence: what single columns give away.
        why: Why there is no AUC.
    """

    classifier: str
    auc: Number
    low: Number = None
    high: Number = None
    floor: Number = None
    factorised: Number = None
    alone: Number = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telltale:
    """A column that gave synthetic rows away.

    Attributes:
        column: Its name.
        gain: Its share of the trees' gain.
    """

    column: str
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyTest:
    """The energy test of equal distributions, by permutation.

    Attributes:
        statistic: Energy distance of the synthetic rows to the training rows.
        low: Lower bound of its 95 % interval.
        high: Upper bound.
        p: Its p-value.
        floor: The energy distance of the held-out rows.
        floor_p: Its p-value.
        why: Why it was not made.
    """

    statistic: Number
    low: Number = None
    high: Number = None
    p: Number = None
    floor: Number = None
    floor_p: Number = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterShare:
    """The share of each table's rows in one cluster of the training rows.

    Attributes:
        cluster: Its name.
        real: Of the training rows.
        synthetic: Of the synthetic rows.
        held_out: Of the held-out rows.
    """

    cluster: str
    real: float
    synthetic: float
    held_out: Number = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Rows as dots in a plane; the four sequences are equally long.

    Attributes:
        method: "PCA", "LDA", "t-SNE" ...
        x: Where each dot lies, to the right.
        y: Upwards.
        source: The table each dot comes from.
        cluster: The cluster each dot belongs to; may be empty.
        x_label: What the axis to the right shows.
        y_label: What the axis upwards shows.
    """

    method: str
    x: Numbers
    y: Numbers
    source: tuple[Source, ...]
    cluster: tuple[str, ...] = ()
    x_label: str = ""
    y_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All columns at once.

    Attributes:
        detectors: Can a classifier tell the rows apart?
        telltales: By which columns, largest gain first.
        coverage: α-precision, β-recall, density, coverage.
        energy: The energy test.
        clusters: Do the rows fall into clusters as real ones do?
        cluster_figures: How far the shares are apart.
        projections: One a method.
    """

    detectors: tuple[Detector, ...] = ()
    telltales: tuple[Telltale, ...] = ()
    coverage: tuple[Reading, ...] = ()
    energy: EnergyTest | None = None
    clusters: tuple[ClusterShare, ...] = ()
    cluster_figures: tuple[Reading, ...] = ()
    projections: tuple[Projection, ...] = ()
