"""Finding the columns that are exact functions of others.

A linear relation is a linear dependency among columns, a product or ratio one among their logarithms. Whatever is
found is verified on every row before it is believed, and a column is recomputed only where that keeps it on its
support: never a zero-inflated column, or one on a lattice, from a difference.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, product
from typing import Literal

import numpy as np

from tabsyn_core.chemistry.definitions import BALANCES, DEFINITIONS
from tabsyn_core.identities.columns import MIN_ROWS, Columns, rounding
from tabsyn_core.identities.constraints import Balance
from tabsyn_core.identities.dependencies import Relation, relations
from tabsyn_core.identities.forms import TOLERANCE, Floats, Form, Identity, snap

_MIN_TERM_ROWS = 10  # rows in which each input must differ from its commonest value: fewer cannot fix a coefficient
_MIN_WHOLE_TERM_ROWS = 5  # the same where all coefficients are whole, and no column is computed
_ROWS_A_TERM = 3  # distinct rows, or distinct values where coefficients are free, for each coefficient
_MAX_AMPLIFICATION = 10.0  # Σ |coefficient| · sd(input) / sd(column): above, errors of the inputs are blown up


def find_functions(columns: Columns) -> tuple[tuple[Identity, ...], tuple[Balance, ...]]:
    """The columns that are exact functions of others, and the linear relations that cannot be solved for a column.

    RDKit's definitions come first, then linear relations, products and ratios of up to three columns, and maxima,
    minima and absolute values.

    Returns:
        Identities in an order in which each can be computed from columns that are there by then, and balances.
    """
    search = Search(columns)
    for find in (_known, _linear, _products, _extremes):
        for candidates in find(search):
            search.take_first(candidates)
    return search.in_order(), tuple(search.balances)


@dataclass
class Search:
    """The columns, and what has been found so far."""

    columns: Columns
    found: dict[str, Identity] = field(default_factory=dict)
    balances: list[Balance] = field(default_factory=list)

    def free(self) -> list[str]:
        """The varying columns that are not recomputed, those most worth keeping first."""
        return sorted((name for name in self.columns.varying if name not in self.found), key=self.columns.place)

    def take_first(self, candidates: Iterable[Identity]) -> bool:
        """Keep the first of several ways to write one relation that holds on every row and closes no circle."""
        for candidate in candidates:
            identity = replace(candidate, decimals=self.columns.decimals[candidate.column])
            tolerance = rounding(self.columns.schema[name] for name in (identity.column, *identity.inputs))
            if identity.column in self.found or not identity.holds(self.columns.values, tolerance=tolerance):
                continue
            if order_of({**self.found, identity.column: identity}) is not None:
                self.found[identity.column] = identity
                return True
        return False

    def keep(self, balance: Balance) -> None:
        """Keep a balance that holds on every row and does not follow from the others."""
        known = [*self.balances, balance]
        names = sorted({name for each in known for name in each.columns})
        slopes = np.array([[each.form.terms.get(name, 0.0) for name in names] for each in known])
        holds = balance.obeyed(self.columns.values, tolerance=self.columns.tolerance)
        if np.linalg.matrix_rank(slopes) == len(known) and holds.all():
            self.balances.append(balance)

    def in_order(self) -> tuple[Identity, ...]:
        """What was found, each after what it is computed from."""
        return tuple(self.found[name] for name in order_of(self.found) or () if name in self.found)


def _known(search: Search) -> Iterator[list[Identity]]:
    """RDKit's definitions, where their columns are in the table."""
    for column, combine, forms, absolute, _ in DEFINITIONS:
        identity = Identity(column, combine, tuple(Form(*form) for form in forms), absolute)
        if {column, *identity.inputs} <= search.columns.values.keys():
            yield [identity]


def _linear(search: Search) -> Iterator[list[Identity]]:
    """Sums, differences and other linear relations, equal columns among them; what cannot be solved is a balance."""
    columns, free = search.columns, search.free()
    for balance in _known_balances(columns):
        search.keep(balance)
    for relation in relations(free, columns.values):
        if not _enough_rows(columns, relation):
            continue
        ways = [_solve_linear(columns, relation, target) for target in relation.coefficients]
        ways.sort(key=lambda way: (*_is_sum(columns, way), columns.place(way.column)), reverse=True)
        known = len(search.found)
        yield [way for way in ways if _keeps_support(columns, way) and _supported(columns, way)]
        if len(search.found) == known:
            balance = _balance(relation)
            if _shown(columns, balance):
                search.keep(balance)


def _enough_rows(columns: Columns, relation: Relation) -> bool:
    """Whether there are as many rows as it takes; in fewer than it has columns, any column is a sum of the others."""
    present = ~np.isnan(sum(columns.values[name] for name in relation.coefficients))
    return bool(np.sum(present) >= _ROWS_A_TERM * len(relation.coefficients))


def _balance(relation: Relation) -> Balance:
    """A relation with its smallest coefficient made 1."""
    smallest = min(relation.coefficients.values(), key=abs)
    scaled = snap(np.array([*relation.coefficients.values(), relation.constant]) / smallest).tolist()
    return Balance(Form(dict(zip(relation.coefficients, scaled[:-1], strict=True)), scaled[-1]))


def _known_balances(columns: Columns) -> Iterator[Balance]:
    """RDKit's totals, where their columns are in the table."""
    for slopes in BALANCES:
        if columns.values.keys() >= slopes.keys():
            varying = {name: slope for name, slope in slopes.items() if columns.distinct[name] > 1}
            constant = sum(s * columns.values[name][0] for name, s in slopes.items() if name not in varying)
            yield Balance(Form(varying, float(constant)))


def _shown(columns: Columns, balance: Balance) -> bool:
    """Whether there are enough rows for each coefficient, and as good ones in either half of them."""
    slopes = np.array([*balance.form.terms.values()])
    rows = np.column_stack([columns.values[name] for name in balance.columns])
    rows = rows[~np.isnan(rows).any(axis=1)]
    if len(np.unique(rows, axis=0)) < max(MIN_ROWS, _ROWS_A_TERM * (len(slopes) + 1)):
        return False
    whole = bool(np.all(slopes == np.round(slopes)))
    if any(columns.off_mode[name] < (_MIN_WHOLE_TERM_ROWS if whole else _MIN_TERM_ROWS) for name in balance.columns):
        return False
    return whole or all(
        _foretells(rows[half::2], rows[1 - half :: 2], slopes, balance.form.constant) for half in (0, 1)
    )


def _foretells(known: Floats, other: Floats, slopes: Floats, constant: float) -> bool:
    """Whether the relation, fitted to some rows, holds on the others, as chance relations of many columns do not."""
    pivot = int(np.argmax(np.abs(slopes) * known.std(axis=0)))
    free = np.arange(len(slopes)) != pivot
    ones = np.ones((len(known), 1)) if constant else np.ones((len(known), 0))
    X, y = np.hstack([known[:, free], ones]), known[:, pivot]
    size = np.abs(X).max(axis=0)
    if np.any(size == 0):
        return False
    fitted = np.linalg.lstsq(X / size, y)[0] / size
    found = other[:, free] @ fitted[: len(slopes) - 1] + (fitted[-1] if constant else 0.0)
    return bool(np.all(np.abs(found - other[:, pivot]) <= 1e-7 * np.abs(y).max()))


def _products(search: Search) -> Iterator[list[Identity]]:
    """Products and ratios of up to three columns with powers from -2 to 2: linear relations among logarithms."""
    columns = search.columns
    logs = {name: _log_abs(columns.values[name]) for name in search.free()}
    logs = {name: log for name, log in logs.items() if np.mean(np.isfinite(log)) > 0.5}
    free = sorted(logs, key=lambda name: (not columns.whole(name), float(np.nanstd(logs[name]))))
    for relation in relations(free, logs):
        ways = [_solve_product(columns, relation, name) for name in reversed(free) if name in relation.coefficients]
        possible = [way for way in ways if way and _product_keeps_support(columns, way) and _supported(columns, way)]
        # What follows from the others takes more values than they do.
        yield sorted(possible, key=lambda way: (-columns.distinct[way.column], any(f.power < 0 for f in way.forms)))


def _extremes(search: Search) -> Iterator[list[Identity]]:
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


def _solve_linear(columns: Columns, relation: Relation, target: str) -> Identity:
    pivot = -relation.coefficients[target]
    others = {name: c for name, c in relation.coefficients.items() if name != target}
    names = sorted(others, key=list(columns.values).index)
    slopes = snap(np.array([others[name] for name in names]) / pivot)
    constant = float(snap(np.array([relation.constant / pivot]))[0])
    form = Form(dict(zip(names, slopes.tolist(), strict=True)), constant)
    return Identity(target, "product", (form,))


def _solve_product(columns: Columns, relation: Relation, target: str) -> Identity | None:
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
        factor = float(snap(np.array([np.nanmedian(np.where(bare == 0, np.nan, values[target] / bare))]))[0])
    if factor == 1:
        return Identity(target, "product", forms)
    first = next((form for form in forms if form.power == 1), None)
    if first is None:
        return None
    scaled = replace(first, terms=dict.fromkeys(first.terms, factor))
    return Identity(target, "product", tuple(scaled if form is first else form for form in forms))


def _is_sum(columns: Columns, identity: Identity) -> tuple[bool, bool]:
    """Whether it is a sum of columns that are never negative, and whether it is at least a sum."""
    (form,) = identity.forms
    positive = all(c > 0 for c in form.terms.values())
    return positive and form.constant >= 0 and all(map(columns.not_negative, form.terms)), positive


def _keeps_support(columns: Columns, identity: Identity) -> bool:
    """Whether a linear identity keeps its column on its support, whatever rows the inputs come from."""
    (form,) = identity.forms
    name, slopes = identity.column, np.array(list(form.terms.values()))
    exact = all(map(columns.whole, form.terms)) and bool(np.all(slopes == np.round(slopes)))
    if columns.whole(name) and not (exact and form.constant == round(form.constant)):
        return False
    spread = np.array([columns.spread[other] for other in form.terms])
    amplification = np.abs(slopes) @ spread / columns.spread[name]
    if amplification > _MAX_AMPLIFICATION or not columns.rounds_onto(form.terms, name):
        return False
    total, positive = _is_sum(columns, identity)
    if total or len(form.terms) == 1:
        return True
    below_zero = not positive and columns.decimals[name] is not None and columns.not_negative(name)
    return not (below_zero or columns.fragile(name))


def _product_keeps_support(columns: Columns, identity: Identity) -> bool:
    """Whether a product keeps its column on its support: whole numbers by multiplication only."""
    multiplied = all(form.power > 0 for form in identity.forms)
    whole = all(columns.whole(name) for name in identity.inputs)
    factors = [factor for form in identity.forms for factor in form.terms.values()]
    if columns.whole(identity.column):
        return multiplied and whole and all(factor == round(factor) for factor in factors)
    fits = columns.rounds_onto(identity.inputs, identity.column)
    return fits and (multiplied or not columns.few(identity.column))


def _supported(columns: Columns, identity: Identity) -> bool:
    """Whether there are enough rows for each coefficient that chance can be ruled out."""
    coefficients = [c for form in identity.forms for c in [*form.terms.values(), form.constant] if c]
    free = sum(abs(c) != 1 for c in coefficients) + sum(abs(form.power) != 1 for form in identity.forms)
    if columns.off_mode[identity.column] < MIN_ROWS or columns.distinct[identity.column] < _ROWS_A_TERM * free:
        return False
    if any(columns.off_mode[name] < _MIN_TERM_ROWS for name in identity.inputs):
        return False
    rows = np.column_stack([columns.values[name] for name in (identity.column, *identity.inputs)])
    return len(np.unique(rows[~np.isnan(rows).any(axis=1)], axis=0)) >= _ROWS_A_TERM * len(coefficients)


def order_of(identities: Mapping[str, Identity]) -> list[str] | None:
    """Columns in an order in which each can be computed, or ``None`` where they go in a circle."""
    try:
        return list(TopologicalSorter({name: identity.inputs for name, identity in identities.items()}).static_order())
    except CycleError:
        return None


def _log_abs(x: Floats) -> Floats:
    """The logarithm of |x|, NaN at zeros and gaps."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(x))
    return np.where(np.isfinite(logs), logs, np.nan)
