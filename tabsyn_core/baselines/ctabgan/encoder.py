"""CTAB-GAN's encoder: numbers as positions in Gaussian modes, mixed columns with categories of their own, long tails.

Zhao, Kunar, Birke & Chen: CTAB-GAN, ACML 2021, sections 3.3 to 3.5; CTAB-GAN+, arXiv:2204.00401. Three things that the
papers leave to the user are found by stated rules: which columns are mixed, which have a long tail, and which take the
general transform.
"""

import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import norm, skew
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from tabsyn_core.codec import _restore
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Level = str | int | float | bool
Span = tuple[int, bool]
"""A part of a code: its length, and whether it is a choice (softmax) or a position (tanh)."""

_MODES, _LEAST_WEIGHT = 10, 0.005  # of a variational Gaussian mixture, as in CTGAN
_MODAL_SHARE = 0.1  # of the rows: a number that repeats so often is a category of a mixed column
_LONG_TAIL = 2.0  # skewness from which a column has a long tail, if its logarithm has less than half
_MANY_LEVELS = 50  # a category with more takes the general transform in CTAB-GAN+
_MOST_ROWS = 5000  # that a mixture is fitted to


@dataclass(frozen=True)
class Column:
    """A column's code: α in [-1, 1], then β, one-hot over options; a column without α or β has no such part.

    Attributes:
        name: The column's name.
        levels: Options that stand for themselves, the commonest first: levels of a category, modal values of a mixed
            column; ``None`` is missing.
        means: η of each Gaussian mode, options after the levels. The general transform is one mode over the range.
        stds: φ of each.
        weights: Of each mode.
        shift: log(x + shift) is modelled in place of x; None without a long tail.
        lower: The smallest number in a mode, after the logarithm.
        upper: The largest.
        ranked: Whether a level is its rank, as a number: the general transform of a category.
    """

    name: str
    levels: tuple[Level | None, ...]
    means: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    shift: float | None = None
    lower: float = 0.0
    upper: float = 0.0
    ranked: bool = False

    @property
    def spans(self) -> list[Span]:
        """The parts of the code."""
        options = len(self.means) + (0 if self.ranked else len(self.levels))
        return [(1, False)] * bool(self.means) + [(options, True)] * (options > 1)

    def encode(self, values: pl.Series, rng: np.random.Generator) -> Floats:
        """Codes, shape (rows, sum of the spans).

        A number's mode is drawn by its posterior and α = (x - η) / 4φ (mode-specific normalisation, CTAB-GAN section
        3.3); a modal value has α = 0.
        """
        place = _places(values, self.levels)
        of_numbers = bool(self.means) and not self.ranked
        x = values.cast(pl.Float64).fill_null(0.0).to_numpy() if of_numbers else place.astype(np.float64)
        option, position = np.clip(place, 0, None), np.zeros(len(place))
        free = place < 0 if of_numbers else np.full(len(place), True)
        if self.means and free.any():
            mode, position[free] = self._modes(self._into(x[free]), rng)
            option[free] = mode + (0 if self.ranked else len(self.levels))
        parts = [np.eye(length)[option] if choice else position[:, None] for length, choice in self.spans]
        return np.hstack(parts) if parts else np.empty((len(place), 0))

    def decode(self, codes: Floats, column: ColumnSchema) -> pl.Series:
        """The inverse of :meth:`encode`, for any positions and any weights of the options."""
        width = self.spans[-1][0] if self.spans and self.spans[-1][1] else 0
        option = codes[:, codes.shape[1] - width :].argmax(1) if width else np.zeros(len(codes), dtype=np.int64)
        if not self.means:
            return _restore(pl.Series(self.levels).gather(option), column)
        mode = option - (0 if self.ranked else len(self.levels))
        x = self._out_of(codes[:, 0].clip(-1, 1), mode.clip(min=0))
        if self.ranked:
            return _restore(pl.Series(self.levels).gather(x.round().astype(np.int64)), column)
        modal = np.array([np.nan if level is None else level for level in self.levels] + [np.nan], dtype=np.float64)
        x = np.where(
            mode < 0, modal[np.minimum(option, len(self.levels))], x.round() if column.kind is Kind.INTEGER else x
        )
        return _restore(pl.Series(column.name, x).fill_nan(None), column)

    def _modes(self, x: Floats, rng: np.random.Generator) -> tuple[Integers, Floats]:
        means, stds = np.array(self.means), np.array(self.stds)
        chances = softmax(np.log(self.weights) + norm.logpdf(x[:, None], means, stds), axis=1)
        mode = (chances.cumsum(1) < rng.random((len(x), 1))).sum(1).clip(max=len(means) - 1)
        return mode, ((x - means[mode]) / (4 * stds[mode])).clip(-1, 1)

    def _into(self, x: Floats) -> Floats:
        if self.shift is not None:
            x = np.log(np.maximum(x + self.shift, np.finfo(np.float64).tiny))
        return x.clip(self.lower, self.upper)

    def _out_of(self, position: Floats, mode: Integers) -> Floats:
        x = position * 4 * np.array(self.stds)[mode] + np.array(self.means)[mode]
        x = np.clip(x, self.lower, self.upper)
        return x if self.shift is None else np.asarray(np.exp(x) - self.shift)


@dataclass(frozen=True)
class Encoder:
    """All columns.

    Attributes:
        schema: The table's columns.
        columns: How each is encoded, in the same order.
    """

    schema: TableSchema
    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: TableSchema, *, plus: bool, target: str | None, seed: int) -> "Encoder":
        """Read off a table.

        Args:
            table: The schema's columns, NaN null.
            schema: What they are.
            plus: Whether CTAB-GAN+'s general transform is used: for numbers with a single mode, categories of many
                levels, and a number that is the target.
            target: A column that an auxiliary network is to predict; if it is a category, it keeps its levels.
            seed: Of the mixtures.
        """
        columns = []
        for place, column in enumerate(schema.columns):
            rng, is_target = np.random.default_rng([seed, place]), column.name == target
            if column.kind is Kind.CATEGORICAL:
                columns.append(_category(table[column.name], many=_MANY_LEVELS if plus and not is_target else None))
            else:
                columns.append(_number(table[column.name], rng, plus=plus, target=plus and is_target))
        return cls(schema, tuple(columns))

    @property
    def spans(self) -> list[Span]:
        """The parts of a row's code, in order."""
        return [span for column in self.columns for span in column.spans]

    def where(self, name: str) -> slice:
        """Where a column's code stands in a row's."""
        widths = [sum(length for length, _ in column.spans) for column in self.columns]
        place = self.schema.names.index(name)
        start = sum(widths[:place])
        return slice(start, start + widths[place])

    def encode(self, table: pl.DataFrame, seed: int) -> NDArray[np.float32]:
        """Codes of every row, shape (rows, sum of the spans)."""
        rngs = [np.random.default_rng([seed, len(self.columns) + place]) for place in range(len(self.columns))]
        parts = [column.encode(table[column.name], rng) for column, rng in zip(self.columns, rngs, strict=True)]
        return np.hstack(parts).astype(np.float32)

    def decode(self, codes: Floats) -> pl.DataFrame:
        """Rows from codes."""
        parts = [codes[:, self.where(column.name)] for column in self.columns]
        found = zip(self.columns, parts, self.schema.columns, strict=True)
        return pl.DataFrame([column.decode(part, schema) for column, part, schema in found])

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {"schema": self.schema.to_json(), "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Encoder":
        """The inverse of :meth:`to_json`."""
        columns = []
        for entry in content["columns"]:
            lists = {name: tuple(entry[name]) for name in ("levels", "means", "stds", "weights")}
            columns.append(Column(**{**entry, **lists}))
        return cls(TableSchema.from_json(content["schema"]), tuple(columns))


def _category(values: pl.Series, *, many: int | None) -> Column:
    levels = _commonest_first(values)
    if many is None or len(levels) <= many:
        return Column(values.name, levels)
    return _spread(Column(values.name, levels, ranked=True), 0.0, float(len(levels) - 1))


def _number(values: pl.Series, rng: np.random.Generator, *, plus: bool, target: bool) -> Column:
    """Modal values, the logarithm of a long tail, and the modes of what is left."""
    common = [level for level, share in _shares(values) if level is None or (share >= _MODAL_SHARE and not target)]
    present = values.drop_nulls().cast(pl.Float64).to_numpy()
    free = present[~np.isin(present, [level for level in common if level is not None])]
    if len(np.unique(free)) < 2:
        return Column(values.name, _commonest_first(values.cast(pl.Float64)))
    shift = None
    if not target and skew(free) > _LONG_TAIL:  # CTAB-GAN section 3.5: log(x) or, for x ≤ 0 too, log(x - l + ε), ε = 1
        tail = 0.0 if free.min() > 0 else 1.0 - free.min()
        shift = tail if abs(skew(np.log(free + tail))) < skew(free) / 2 else None
    x = free if shift is None else np.log(free + shift)
    column = Column(values.name, tuple(common), shift=shift, lower=float(x.min()), upper=float(x.max()))
    means, stds, weights = _mixture(x, rng)
    if target or (plus and len(means) == 1):
        return _spread(column, column.lower, column.upper)
    return replace(column, means=tuple(means.tolist()), stds=tuple(stds.tolist()), weights=tuple(weights.tolist()))


def _spread(column: Column, lower: float, upper: float) -> Column:
    """The general transform: 2 (x - min) / (max - min) - 1, which is α of a mode whose 4φ reach both ends."""
    middle, reach = (lower + upper) / 2, (upper - lower) / 2
    return replace(column, means=(middle,), stds=(reach / 4,), weights=(1.0,), lower=lower, upper=upper)


def _mixture(x: Floats, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Means, standard deviations and weights of the modes of a variational Gaussian mixture that hold any value."""
    centre, scale = float(x.mean()), float(x.std())
    z = ((x if len(x) <= _MOST_ROWS else rng.choice(x, _MOST_ROWS, replace=False)) - centre)[:, None] / scale
    mixture = BayesianGaussianMixture(
        n_components=min(_MODES, len(z)),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.001,
        max_iter=100,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 iterations is what is published
        mixture.fit(z)
    used = np.isin(np.arange(mixture.n_components), mixture.predict(z)) & (mixture.weights_ > _LEAST_WEIGHT)
    stds = np.sqrt(mixture.covariances_[used, 0, 0])
    return mixture.means_[used, 0] * scale + centre, stds * scale, mixture.weights_[used]


def _places(values: pl.Series, levels: tuple[Level | None, ...]) -> Integers:
    """The place of each value among the levels, -1 for others."""
    known = {level: place for place, level in enumerate(levels)}
    plain = values.cast(pl.String) if values.dtype == pl.Categorical else values
    return np.array([known.get(value, -1) for value in plain.to_list()], dtype=np.int64)


def _shares(values: pl.Series) -> list[tuple[Any, float]]:
    """Each value and its share, the commonest first."""
    plain = values.cast(pl.String) if values.dtype == pl.Categorical else values
    counts = dict(plain.value_counts(name=f"count of {values.name}").iter_rows())
    order = sorted(counts, key=lambda level: (-counts[level], str(level)))
    return [(level, counts[level] / len(values)) for level in order]


def _commonest_first(values: pl.Series) -> tuple[Level | None, ...]:
    return tuple(level for level, _ in _shares(values))
