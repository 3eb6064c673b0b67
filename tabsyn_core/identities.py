"""Columns that are exact functions of others: found, dropped before training, recomputed after sampling.

A linear relation is a linear dependency among columns, a product or ratio one among their logarithms. Both are found
by Gram-Schmidt in the order in which columns are worth keeping, and each dependency is then written with as few
columns as possible (least ℓp norm, by iteratively reweighted least squares: Daubechies et al., Comm. Pure Appl. Math.
63, 1 (2010)). Whatever is found is verified on every row before it is believed, and a column is recomputed only where
that keeps it on its support: never a zero-inflated column, or one on a lattice, from a difference.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from tabsyn_core.chemistry.definitions import DEFINITIONS
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import ColumnSchema, Kind, TableSchema

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]

TOLERANCE = 1e-9
"""How far a float may be from its identity, relative to the terms; integers must agree exactly."""

MIN_ROWS = 30
"""Rows in which a recomputed column must differ from its commonest value, so that chance is not taken for a law."""

_MIN_TERM_ROWS = 10  # rows in which each input must differ from its commonest value: fewer cannot fix a coefficient
_ROWS_A_TERM = 3  # distinct rows, or distinct values where coefficients are free, for each coefficient
_FRAGILE_SHARE = 0.2  # a commonest value more frequent than this is an atom
_FEW_VALUES = 20  # fewer distinct values than this are levels of a count or a lattice
_REPEATING = 0.9  # an irregular float with fewer distinct values than this share of its rows is on a lattice
_MAX_AMPLIFICATION = 10.0  # Σ |coefficient| · sd(input) / sd(column): above, errors of the inputs are blown up
_IN_SPAN = 1e-7  # residual norm of a standardised column below which it may depend on those before it
_SEARCH_ROWS = 20_000  # rows at most that are searched, evenly spread; all are verified
_SPARE_ROWS = 50  # rows beyond the number of columns in the quick look at a pattern of gaps


@dataclass(frozen=True, slots=True)
class Form:
    """A linear form raised to a power: (constant + Σ coefficient · column) ** power."""

    terms: Mapping[str, float]
    constant: float = 0.0
    power: int = 1

    def value(self, values: Mapping[str, Floats]) -> Floats:
        """The linear form without its power, shape (rows,)."""
        return np.asarray(self.constant + sum(c * values[name] for name, c in self.terms.items()))

    def magnitude(self, values: Mapping[str, Floats]) -> Floats:
        """The sum of the absolute terms, shape (rows,): what rounding errors are relative to."""
        return np.asarray(abs(self.constant) + sum(np.abs(c * values[name]) for name, c in self.terms.items()))

    def describe(self) -> str:
        """The form in symbols, without its power."""
        text = " ".join(_signed(c, name) for name, c in self.terms.items())
        if self.constant:
            text += f" {'-' if self.constant < 0 else '+'} {abs(self.constant):.6g}"
        return f"-{text[2:]}" if text.startswith("-") else text[2:]


@dataclass(frozen=True, slots=True)
class Identity:
    """One column as a function of others.

    Attributes:
        column: The column that is recomputed.
        combine: Whether it is the product, the maximum or the minimum of the forms.
        forms: What is combined.
        absolute: Whether the forms' absolute values are meant.
        decimals: Decimal places the column is rounded to: 0 for integers, ``None`` for any other float.
    """

    column: str
    combine: Literal["product", "max", "min"]
    forms: tuple[Form, ...]
    absolute: bool = False
    decimals: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it is computed from, each once."""
        return tuple(dict.fromkeys(name for form in self.forms for name in form.terms))

    def value(self, values: Mapping[str, Floats]) -> Floats:
        """Compute the column; NaN where an input is NaN, 0 where a divisor is 0 (as RDKit has it); shape (rows,)."""
        forms = [form.value(values) for form in self.forms]
        forms = [np.abs(form) for form in forms] if self.absolute else forms
        if self.combine == "product":
            return _product(forms, [form.power for form in self.forms])
        return np.asarray((np.maximum if self.combine == "max" else np.minimum).reduce(forms))

    def holds(self, values: Mapping[str, Floats], *, tolerance: float = TOLERANCE) -> bool:
        """Whether every row obeys it, gaps included: the column is missing exactly where an input is."""
        found, expected = values[self.column], self.value(values)
        present = ~np.isnan(found)
        if not present.any() or not np.array_equal(present, ~np.isnan(expected)):
            return False
        found, expected = found[present], expected[present]
        if self.decimals == 0:
            return bool(np.all(np.abs(found - expected) < 1e-6))  # whole numbers: the sums are exact, ratios nearly
        scale = np.abs(found)
        if len(self.forms) == 1 and self.forms[0].power == 1:
            scale = self.forms[0].magnitude(values)[present]
        return bool(np.all(np.abs(found - expected) <= tolerance * scale))

    def describe(self) -> str:
        """The right-hand side in symbols."""
        texts = [form.describe() for form in self.forms]
        if self.combine == "product":
            return _describe_product(texts, self.forms)
        texts = [f"|{text}|" for text in texts] if self.absolute else texts
        return f"{self.combine}({', '.join(texts)})" if len(texts) > 1 else texts[0]


@dataclass(frozen=True)
class Identities:
    """The identities of a table, each for another column, none of them in a circle.

    Attributes:
        schema: The table's columns.
        identities: In an order in which each can be computed from columns that are there by then.
    """

    schema: TableSchema
    identities: tuple[Identity, ...] = ()

    @classmethod
    def discover(cls, table: pl.DataFrame, schema: TableSchema) -> "Identities":
        """Find the columns that are exact functions of others, on every row of a table.

        RDKit's definitions come first, then linear relations, products and ratios of up to three columns, and
        maxima, minima and absolute values.

        Args:
            table: The training rows.
            schema: Its columns; bounds and dtypes are what :meth:`complete` respects.

        Raises:
            TabsynError: The table does not match the schema.
        """
        schema.check(table)
        search = _Search(_Columns.of(table, schema))
        for find in (_known, _linear, _products, _extremes):
            for candidates in find(search):
                search.take_first(candidates)
        return cls(schema, search.in_order())

    @property
    def dependent(self) -> tuple[str, ...]:
        """The names of the columns to drop before training, in the schema's order."""
        found = {identity.column for identity in self.identities}
        return tuple(name for name in self.schema.names if name in found)

    def complete(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Recompute the dependent columns.

        Args:
            rows: The independent columns, in any order; dependent ones among them are replaced.

        Returns:
            All columns of the schema in its order, with its dtypes; recomputed columns are rounded to their decimals
            and kept within their bounds, and missing where one of their inputs is.

        Raises:
            TabsynError: An independent column is missing.
        """
        if missing := [name for name in self.schema.names if name not in {*rows.columns, *self.dependent}]:
            raise TabsynError(
                f"columns {missing} are needed to recompute {list(self.dependent)}; add them to the rows."
            )
        inputs = {name for identity in self.identities for name in identity.inputs} - {*self.dependent}
        values = {name: _numbers(rows[name]) for name in inputs}
        for identity in self.identities:
            values[identity.column] = self._bounded(identity, values)
        dtypes = self.schema.polars_dtypes()
        recomputed = [pl.Series(name, values[name]).fill_nan(None).cast(dtypes[name]) for name in self.dependent]
        return rows.with_columns(recomputed).select(self.schema.names)

    def _bounded(self, identity: Identity, values: Mapping[str, Floats]) -> Floats:
        column, value = self.schema[identity.column], identity.value(values)
        if identity.decimals is not None:
            value = np.round(value, identity.decimals)
        if column.dtype.startswith(("Int", "UInt")):
            value = np.clip(value, np.iinfo(column.dtype.lower()).min, np.iinfo(column.dtype.lower()).max)
        return np.clip(value, column.lower, column.upper) if (column.lower, column.upper) != (None, None) else value

    def describe(self) -> dict[str, str]:
        """Each dependent column's identity in symbols, such as ``"RingCount = NumAromaticRings + ..."``."""
        texts = {identity.column: f"{identity.column} = {identity.describe()}" for identity in self.identities}
        return {name: texts[name] for name in self.dependent}

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {"schema": self.schema.to_json(), "identities": [asdict(identity) for identity in self.identities]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Identities":
        """The inverse of :meth:`to_json`."""
        entries = [
            {**entry, "forms": tuple(Form(**form) for form in entry["forms"])} for entry in content["identities"]
        ]
        return cls(TableSchema.from_json(content["schema"]), tuple(Identity(**entry) for entry in entries))


@dataclass(frozen=True)
class _Columns:
    """The numeric columns of a table as arrays of floats with NaN for gaps, and what decides which to keep."""

    values: dict[str, Floats]
    schema: dict[str, ColumnSchema]
    off_mode: dict[str, int]
    distinct: dict[str, int]
    decimals: dict[str, int | None]

    @classmethod
    def of(cls, table: pl.DataFrame, schema: TableSchema) -> "_Columns":
        columns = {column.name: column for column in schema.columns if column.kind is not Kind.CATEGORICAL}
        values = {name: _numbers(table[name]) for name in columns}
        values = {
            name: x for name, x in values.items() if np.all(np.abs(x[~np.isnan(x)]) < _LARGEST[columns[name].kind])
        }
        counts = {name: np.unique(x[~np.isnan(x)], return_counts=True)[1] for name, x in values.items()}
        return cls(
            values,
            columns,
            {name: int(count.sum() - count.max(initial=0)) for name, count in counts.items()},
            {name: len(count) for name, count in counts.items()},
            {name: 0 if columns[name].kind is Kind.INTEGER else _decimals(x) for name, x in values.items()},
        )

    @property
    def varying(self) -> list[str]:
        """The columns with at least two values."""
        return [name for name, distinct in self.distinct.items() if distinct > 1]

    def whole(self, name: str) -> bool:
        """Whether a column is a count."""
        return self.schema[name].kind is Kind.INTEGER

    def few(self, name: str) -> bool:
        """Whether a column has few values or one that is very common."""
        present = int(np.sum(~np.isnan(self.values[name])))
        return present - self.off_mode[name] > _FRAGILE_SHARE * present or self.distinct[name] < _FEW_VALUES

    def fragile(self, name: str) -> bool:
        """Whether a column is zero-inflated or on a lattice, so that differences of others would miss its support."""
        irregular = self.decimals[name] is None  # sums of regular numbers, such as cents, stay on their lattice
        repeats = self.distinct[name] < _REPEATING * np.sum(~np.isnan(self.values[name]))
        return self.few(name) or bool(irregular and repeats)

    def rounds_onto(self, inputs: Iterable[str], name: str) -> bool:
        """Whether rounding a column to its decimals cannot break an identity with these inputs."""
        return self.decimals[name] is None or all(self.decimals[other] is not None for other in inputs)

    def not_negative(self, name: str) -> bool:
        """Whether no value is below zero."""
        return bool(np.nanmin(self.values[name]) >= 0)

    def place(self, name: str) -> tuple[bool, float, bool, float]:
        """Sort key, worth keeping first: fragile, often zero, whole, little spread. A total comes after its parts."""
        x = self.values[name]
        fragile = self.fragile(name)
        return (not fragile, -float(np.mean(x == 0)) if fragile else 0.0, not self.whole(name), float(np.nanstd(x)))


@dataclass
class _Search:
    """The columns, and what has been found so far."""

    columns: _Columns
    found: dict[str, Identity] = field(default_factory=dict)

    def free(self) -> list[str]:
        """The varying columns that are not recomputed, those most worth keeping first."""
        return sorted((name for name in self.columns.varying if name not in self.found), key=self.columns.place)

    def take_first(self, candidates: Iterable[Identity]) -> None:
        """Keep the first of several ways to write one relation that holds on every row and closes no circle."""
        for candidate in candidates:
            identity = replace(candidate, decimals=self.columns.decimals[candidate.column])
            if identity.column in self.found or not identity.holds(
                self.columns.values, tolerance=self._tolerance(identity)
            ):
                continue
            if _order({**self.found, identity.column: identity}) is not None:
                self.found[identity.column] = identity
                return

    def in_order(self) -> tuple[Identity, ...]:
        """What was found, each after what it is computed from."""
        return tuple(self.found[name] for name in _order(self.found) or () if name in self.found)

    def _tolerance(self, identity: Identity) -> float:
        single = any(self.columns.schema[name].dtype == "Float32" for name in (identity.column, *identity.inputs))
        return 1e-6 if single else TOLERANCE


def _known(search: _Search) -> Iterator[list[Identity]]:
    """RDKit's definitions, where their columns are in the table."""
    for column, combine, forms, absolute, _ in DEFINITIONS:
        identity = Identity(column, combine, tuple(Form(*form) for form in forms), absolute)
        if {column, *identity.inputs} <= search.columns.values.keys():
            yield [identity]


def _linear(search: _Search) -> Iterator[list[Identity]]:
    """Sums, differences and other linear relations, equal columns among them."""
    columns, free = search.columns, search.free()
    for relation in _relations(free, columns.values):
        ways = [_solve_linear(columns, relation, target) for target in relation.coefficients]
        ways.sort(key=lambda way: (*_is_sum(columns, way), columns.place(way.column)), reverse=True)
        yield [way for way in ways if _keeps_support(columns, way) and _supported(columns, way)]


def _products(search: _Search) -> Iterator[list[Identity]]:
    """Products and ratios of up to three columns with powers from -2 to 2: linear relations among logarithms."""
    columns = search.columns
    logs = {name: _log_abs(columns.values[name]) for name in search.free()}
    logs = {name: log for name, log in logs.items() if np.mean(np.isfinite(log)) > 0.5}
    free = sorted(logs, key=lambda name: (not columns.whole(name), float(np.nanstd(logs[name]))))
    for relation in _relations(free, logs):
        ways = [_solve_product(columns, relation, name) for name in reversed(free) if name in relation.coefficients]
        possible = [way for way in ways if way and _product_keeps_support(columns, way) and _supported(columns, way)]
        # What follows from the others takes more values than they do.
        yield sorted(possible, key=lambda way: (-columns.distinct[way.column], any(f.power < 0 for f in way.forms)))


def _extremes(search: _Search) -> Iterator[list[Identity]]:
    """Maxima and minima of two columns or of their absolute values, and absolute values of one."""
    columns = search.columns
    names = columns.varying
    if not names:
        return
    X = np.column_stack([columns.values[name] for name in names])
    for absolute, (combine, sign) in product((False, True), _SIGNS.items()):
        inputs = sign * (np.abs(X) if absolute else X)
        for target in search.free():
            if columns.off_mode[target] >= MIN_ROWS:
                others = [j for j, name in enumerate(names) if name != target]
                found = _covering(inputs, sign * columns.values[target], others)
                yield [_extreme([names[j] for j in of], target, combine, absolute=absolute) for of in found]


def _extreme(of: Sequence[str], target: str, combine: Literal["max", "min"], *, absolute: bool) -> Identity:
    forms = tuple(Form({name: 1.0}) for name in of)
    equal = len(forms) == 1 and not absolute
    return Identity(target, "product" if equal else combine, forms, absolute)


_SIGNS: dict[Literal["max", "min"], float] = {"max": 1.0, "min": -1.0}  # min(a, b) = -max(-a, -b)


def _covering(X: Floats, y: Floats, columns: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The one or two columns of X that are nowhere above y and one of which equals it in every row."""
    known = ~np.isnan(y)
    probe = np.flatnonzero(known)[:: max(1, int(known.sum()) // 64)]
    below = ~np.any(X[probe] > y[probe, None] + TOLERANCE * np.abs(y[probe, None]), axis=0)
    near = TOLERANCE * np.abs(y[known])
    gap = {j: y[known] - X[known, j] for j in columns if below[j]}
    equal = {j: np.abs(g) <= near for j, g in gap.items() if not (g < -near).any()}
    yield from ((j,) for j, same in equal.items() if same.all())
    equal = {j: same for j, same in equal.items() if MIN_ROWS <= same.sum() < len(same)}
    for a, b in combinations(equal, 2):
        only_a, only_b = (equal[a] & ~equal[b]).sum(), (equal[b] & ~equal[a]).sum()
        if min(only_a, only_b) >= MIN_ROWS and (equal[a] | equal[b]).all():
            yield a, b


@dataclass(frozen=True, slots=True)
class _Relation:
    """Σ coefficient · column + constant = 0."""

    coefficients: dict[str, float]
    constant: float


def _relations(names: Sequence[str], values: Mapping[str, Floats]) -> Iterator[_Relation]:
    """The linear relations among columns, those first named being the ones to explain others with.

    For each pattern of gaps, the columns that have no gap elsewhere are searched in the rows without one: a column
    that is missing exactly where some input is can depend on no others.
    """
    gaps = {name: np.isnan(values[name]) for name in names}
    patterns = {gap.tobytes(): gap for gap in gaps.values()}
    for pattern, gap in sorted(patterns.items(), key=lambda item: (int(item[1].sum()), item[0])):
        pool = [name for name in names if not (gaps[name] & ~gap).any()]
        rows = np.flatnonzero(~gap)
        if len(rows) <= MIN_ROWS or len(pool) < 2:
            continue
        own = [name for name in pool if gaps[name].tobytes() == pattern]
        if len(own) < len(pool) and not _worth_searching(values, [n for n in pool if n not in own], own, rows):
            continue
        rows = rows[:: -(-len(rows) // _SEARCH_ROWS)]
        X = np.column_stack([values[name][rows] for name in pool])
        yield from (found for found in _dependencies(X, pool) if not found.coefficients.keys().isdisjoint(own))


def _worth_searching(
    values: Mapping[str, Floats], others: Sequence[str], own: Sequence[str], rows: NDArray[np.int64]
) -> bool:
    """Whether some column of ``own`` is in the span of the rest on just enough rows to tell."""
    few = rows[:: max(1, len(rows) // (len(others) + len(own) + _SPARE_ROWS))]
    X = np.column_stack([values[name][few] for name in [*others, *own]])
    X = X - X.mean(axis=0)
    left = np.abs(np.diagonal(np.linalg.qr(X, mode="r")))[len(others) :]
    return len(left) < len(own) or bool(np.any(left <= 10 * _IN_SPAN * np.linalg.norm(X[:, len(others) :], axis=0)))


def _dependencies(X: Floats, names: Sequence[str]) -> Iterator[_Relation]:
    """The linear relations among columns, each among a column and some of those before it, as short as possible."""
    centre, spread = X.mean(axis=0), X.std(axis=0)
    varies = np.flatnonzero(spread > 0).tolist()
    X, centre, spread, names = X[:, varies], centre[varies], spread[varies], [names[j] for j in varies]
    Z = (X - centre) / (spread * np.sqrt(len(X)))
    for last, weights in _circuits(Z):
        members = np.flatnonzero(weights).tolist()
        fitted = np.linalg.lstsq(Z[:, members], Z[:, last])[0]
        slopes = _snap(fitted * spread[last] / spread[members])
        constant = centre[last] - slopes @ centre[members]
        size = abs(centre[last]) + np.abs(slopes) @ np.abs(centre[members])
        constant = 0.0 if abs(constant) < 1e-11 * size else float(_snap(np.array([constant]))[0])
        named = zip(members, slopes, strict=True)
        yield _Relation({names[last]: -1.0} | {names[j]: float(slope) for j, slope in named}, constant)


def _circuits(Z: Floats) -> Iterator[tuple[int, Floats]]:
    """Each column in the span of those before it, and its sparsest weights on them; Z has unit columns.

    Gram-Schmidt, each projection done twice, which is enough (Giraud et al., Numer. Math. 101, 87 (2005)).
    """
    rows, width = Z.shape
    Q = np.zeros((rows, width), order="F")
    R = np.zeros((width, width))
    basis: list[int] = []
    nulls: list[Floats] = []
    for j in range(width):
        seen = Q[:, : len(basis)]
        along = seen.T @ Z[:, j]
        rest = Z[:, j] - seen @ along
        again = seen.T @ rest
        along, rest = along + again, rest - seen @ again
        norm = float(np.linalg.norm(rest))
        if norm > _IN_SPAN and len(basis) < rows - 1:
            Q[:, len(basis)], R[: len(basis), len(basis)], R[len(basis), len(basis)] = rest / norm, along, norm
            basis.append(j)
            continue
        weights = np.zeros(width)
        weights[basis] = solve_triangular(R[: len(basis), : len(basis)], along)
        weights = _sparsest(weights, nulls)
        nulls.append(weights - np.eye(1, width, j)[0])
        yield j, weights


_SPARSITY = 0.75  # (1 - p / 2) of the minimised Σ |weight|^p: p = 1/2 leaves no ties between equal sums, p = 1 does


def _sparsest(weights: Floats, nulls: Sequence[Floats]) -> Floats:
    """Of ``weights`` plus any combination of ``nulls``, what has the least ℓp norm; zeros are exact."""
    best = weights
    if nulls:
        N = np.column_stack(nulls)
        prefer = 1 + 0.1 * np.arange(len(weights)) / len(weights)  # of two that are equally short, the earlier columns
        for floor in np.geomspace(10, 1e-8, 30):
            scale = (best**2 + floor**2) ** -_SPARSITY / prefer
            normal = (N * scale[:, None]).T @ N
            normal += 1e-13 * np.trace(normal) * np.eye(len(nulls))
            best = weights - N @ np.linalg.solve(normal, N.T @ (scale * weights))
    return np.where(np.abs(best) > 1e-6, best, 0.0)


def _solve_linear(columns: _Columns, relation: _Relation, target: str) -> Identity:
    pivot = -relation.coefficients[target]
    others = {name: c for name, c in relation.coefficients.items() if name != target}
    names = sorted(others, key=list(columns.values).index)
    slopes = _snap(np.array([others[name] for name in names]) / pivot)
    constant = float(_snap(np.array([relation.constant / pivot]))[0])
    form = Form(dict(zip(names, slopes.tolist(), strict=True)), constant)
    return Identity(target, "product", (form,))


def _solve_product(columns: _Columns, relation: _Relation, target: str) -> Identity | None:
    """The target as a product of powers, if they are few, whole and small."""
    pivot = -relation.coefficients[target]
    powers = {name: round(c / pivot, 6) for name, c in relation.coefficients.items() if name != target}
    if not 1 < len(powers) <= 3 or any(power not in (-2, -1, 1, 2) for power in powers.values()):
        return None
    forms = tuple(
        Form({name: 1.0}, 0.0, int(powers[name])) for name in sorted(powers, key=lambda name: (-powers[name], name))
    )
    values = columns.values
    bare = Identity(target, "product", forms).value(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = float(_snap(np.array([np.nanmedian(np.where(bare == 0, np.nan, values[target] / bare))]))[0])
    if factor == 1:
        return Identity(target, "product", forms)
    first = next((form for form in forms if form.power == 1), None)
    if first is None:
        return None
    scaled = replace(first, terms=dict.fromkeys(first.terms, factor))
    return Identity(target, "product", tuple(scaled if form is first else form for form in forms))


def _is_sum(columns: _Columns, identity: Identity) -> tuple[bool, bool]:
    """Whether it is a sum of columns that are never negative, and whether it is at least a sum."""
    (form,) = identity.forms
    positive = all(c > 0 for c in form.terms.values())
    return positive and form.constant >= 0 and all(map(columns.not_negative, form.terms)), positive


def _keeps_support(columns: _Columns, identity: Identity) -> bool:
    """Whether a linear identity keeps its column on its support, whatever rows the inputs come from."""
    (form,) = identity.forms
    name, slopes = identity.column, np.array(list(form.terms.values()))
    exact = all(map(columns.whole, form.terms)) and bool(np.all(slopes == np.round(slopes)))
    if columns.whole(name) and not (exact and form.constant == round(form.constant)):
        return False
    spread = np.array([np.nanstd(columns.values[other]) for other in form.terms])
    amplification = np.abs(slopes) @ spread / np.nanstd(columns.values[name])
    if amplification > _MAX_AMPLIFICATION or not columns.rounds_onto(form.terms, name):
        return False
    total, positive = _is_sum(columns, identity)
    if total or len(form.terms) == 1:
        return True
    below_zero = not positive and columns.decimals[name] is not None and columns.not_negative(name)
    return not (below_zero or columns.fragile(name))


def _product_keeps_support(columns: _Columns, identity: Identity) -> bool:
    """Whether a product keeps its column on its support: whole numbers by multiplication only."""
    multiplied = all(form.power > 0 for form in identity.forms)
    whole = all(columns.whole(name) for name in identity.inputs)
    factors = [factor for form in identity.forms for factor in form.terms.values()]
    if columns.whole(identity.column):
        return multiplied and whole and all(factor == round(factor) for factor in factors)
    fits = columns.rounds_onto(identity.inputs, identity.column)
    return fits and (multiplied or not columns.few(identity.column))


def _supported(columns: _Columns, identity: Identity) -> bool:
    """Whether there are enough rows for each coefficient that chance can be ruled out."""
    coefficients = [c for form in identity.forms for c in [*form.terms.values(), form.constant] if c]
    free = sum(abs(c) != 1 for c in coefficients) + sum(abs(form.power) != 1 for form in identity.forms)
    if columns.off_mode[identity.column] < MIN_ROWS or columns.distinct[identity.column] < _ROWS_A_TERM * free:
        return False
    if any(columns.off_mode[name] < _MIN_TERM_ROWS for name in identity.inputs):
        return False
    rows = np.column_stack([columns.values[name] for name in (identity.column, *identity.inputs)])
    return len(np.unique(rows[~np.isnan(rows).any(axis=1)], axis=0)) >= _ROWS_A_TERM * len(coefficients)


def _order(identities: Mapping[str, Identity]) -> list[str] | None:
    """Columns in an order in which each can be computed, or ``None`` where they go in a circle."""
    try:
        return list(TopologicalSorter({name: identity.inputs for name, identity in identities.items()}).static_order())
    except CycleError:
        return None


_LARGEST: dict[Kind, float] = {Kind.INTEGER: 2.0**53, Kind.NUMERIC: np.inf}


def _numbers(values: pl.Series) -> Floats:
    """Floats with NaN for gaps, shape (rows,)."""
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _decimals(x: Floats) -> int | None:
    """The fewest decimal places that hold every value exactly, up to six; otherwise ``None``."""
    present = x[~np.isnan(x)]
    return next((places for places in range(1, 7) if np.array_equal(np.round(present, places), present)), None)


def _log_abs(x: Floats) -> Floats:
    """The logarithm of |x|, NaN at zeros and gaps."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(x))
    return np.where(np.isfinite(logs), logs, np.nan)


def _product(forms: Sequence[Floats], powers: Sequence[int]) -> Floats:
    multiplied = np.prod([form**power for form, power in zip(forms, powers, strict=True) if power > 0], axis=0)
    divided = np.prod([form**-power for form, power in zip(forms, powers, strict=True) if power < 0], axis=0)
    gap = np.isnan(multiplied + divided)
    quotient = np.divide(multiplied, divided, out=np.zeros(np.broadcast(multiplied, divided).shape), where=divided != 0)
    return np.where(gap, np.nan, quotient)


def _snap(numbers: Floats) -> Floats:
    """Numbers that are whole but for rounding, made whole; the others cut to the 12 digits that all machines agree on.

    Small numbers are never made 0: they may be due to their units.
    """
    nearest = np.round(numbers)
    close = np.abs(numbers - nearest) < np.where(np.abs(numbers) < 100, 1e-8, 1e-11) * np.abs(numbers)
    return np.where(close & (nearest != 0), nearest, [float(f"{number:.12g}") for number in numbers])


def _signed(coefficient: float, name: str) -> str:
    size = "" if abs(coefficient) == 1 else f"{abs(coefficient):.6g} * "
    return f"{'-' if coefficient < 0 else '+'} {size}{name}"


def _describe_product(texts: Sequence[str], forms: Sequence[Form]) -> str:
    if len(forms) == 1 and forms[0].power == 1:
        return texts[0]
    bare = [
        text if len(form.terms) == 1 and not form.constant else f"({text})"
        for text, form in zip(texts, forms, strict=True)
    ]
    powered = [
        text if abs(form.power) == 1 else f"{text}^{abs(form.power)}" for text, form in zip(bare, forms, strict=True)
    ]
    above = " * ".join(text for text, form in zip(powered, forms, strict=True) if form.power > 0)
    below = [text for text, form in zip(powered, forms, strict=True) if form.power < 0]
    return " / ".join([above or "1", *below])


__all__ = ["Form", "Identities", "Identity"]
