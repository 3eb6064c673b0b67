"""Finding lattices and orders among columns: first those that RDKit's definitions force, then those the data show.

An order is believed where the difference of two columns breaks off at zero: where the rows next to zero, carried on at
the rate at which they thin out towards it, would have put many rows beyond it. That leaves out columns that merely live
apart, such as a weight and a count.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from tabsyn_core.chemistry.definitions import LINEAR_PARTS, ORDERINGS, WHOLES, Ordering, parsed
from tabsyn_core.identities.columns import MIN_ROWS, Columns
from tabsyn_core.identities.constraints import WHOLE, Constraint, Lattice, Order, Term
from tabsyn_core.identities.forms import TOLERANCE, Floats, Form, snap

_PROBE_ROWS = 64
_MIN_EVIDENCE = 50.0  # rows beyond zero that would be expected if there were no order, or if columns were independent
_MIN_STRICT_ROWS = 10  # rows in which the two differ: otherwise they are equal, which is no order
_EDGE_SHARE = 0.05  # of the rows are next to zero, where the columns are floats that are never equal
_DISTINCT_SHARE = 0.3  # of a float's values are distinct, unless it is on a lattice
_STEP_SHARE = 0.2  # a difference on a lattice has fewer distinct values than this share of either column's


def find_lattices(columns: Columns, names: Sequence[str]) -> list[Lattice]:
    """Products with a whole number, or differences of two columns, that are whole in every row.

    Args:
        columns: The table.
        names: The columns that may be moved or multiplied with.

    Returns:
        At most one lattice for each column that is not whole itself.
    """
    found: dict[str, Lattice] = {}
    for lattice in (*_known_lattices(), *_products(columns, names), *_differences(columns, names)):
        usable = lattice.column in names and columns.values.keys() >= {*lattice.columns}
        if usable and lattice.column not in found and _holds(columns, lattice):
            found[lattice.column] = lattice
    return list(found.values())


def find_orders(columns: Columns, names: Sequence[str], sums: Mapping[str, Form]) -> list[Order]:
    """Orders that hold in every row.

    Args:
        columns: The table.
        names: The columns among which orders are looked for in the data.
        sums: Columns that are sums of others, so that orders that follow from them can be left out.

    Returns:
        Orders none of which follows from the others by transitivity.
    """
    known = [
        order
        for order in map(_order, (*ORDERINGS, *LINEAR_PARTS))
        if columns.values.keys() >= {*order.columns} and _holds(columns, order)
    ]
    whole = [name for name in names if columns.whole(name)]
    rest = [name for name in names if not columns.whole(name)]
    pairs = [pair for group in (whole, rest) for pair in _ordered_pairs(columns, group)]
    stated = {order.pair for order in known if order.pair}
    shortest = [pair for pair in _reduced({*pairs, *stated}) if pair in {*pairs} - stated]
    orders = [*known, *(Order.between(*pair) for pair in sorted(shortest, key=lambda p: [*map(names.index, p)]))]
    return [order for order in orders if not _follows(columns, order, sums)]


def _holds(columns: Columns, constraint: Constraint) -> bool:
    return bool(constraint.obeyed(columns.values, tolerance=columns.tolerance).all())


def _known_lattices() -> Iterator[Lattice]:
    for whole in WHOLES:
        yield Lattice(whole.column, tuple(Form(*form) for form in whole.factors), Form(whole.offset), whole.power)


def _products(columns: Columns, names: Sequence[str]) -> Iterator[Lattice]:
    """An irregular float times a count, or times the sum or difference of two, that is whole in many different rows."""
    counts = [name for name in columns.varying if columns.whole(name)]
    forms = [Form({name: 1.0}) for name in counts]
    forms += [Form({a: 1.0, b: sign}) for a, b in combinations(counts, 2) for sign in (-1.0, 1.0)]
    if not forms:
        return
    for name in (name for name in names if columns.decimals[name] is None):
        x = columns.values[name]
        rows = np.flatnonzero(np.abs(x - np.round(x)) > 1e-3)
        few = rows[:: max(1, len(rows) // _PROBE_ROWS)]
        single = np.stack([columns.values[count][few] for count in counts])
        left, right = np.triu_indices(len(counts), 1)
        both = np.stack([single[left] - single[right], single[left] + single[right]], axis=1).reshape(-1, len(few))
        factor = np.concatenate([single, both])
        number = factor * x[few]
        fits = ~np.any(np.abs(number - np.round(number)) > WHOLE * columns.tolerance, axis=1) & (len(rows) >= MIN_ROWS)
        fits &= 2 * np.sum(np.abs(factor) > 0.5, axis=1) > len(few)
        for index in np.flatnonzero(fits):
            lattice = Lattice(name, (forms[index],))
            if _proves(columns, lattice):
                yield lattice


def _proves(columns: Columns, lattice: Lattice) -> bool:
    """Whether a lattice has many different points that are not whole by themselves, and a factor that is not 0."""
    x, factor = columns.values[lattice.column], lattice.factor(columns.values)
    shown = (np.abs(x - np.round(x)) > 1e-3) & (np.abs(factor) > 0.5)
    return len(np.unique(np.stack([x[shown], factor[shown]]), axis=1).T) >= MIN_ROWS


def _differences(columns: Columns, names: Sequence[str]) -> Iterator[Lattice]:
    """Two irregular floats whose difference is a multiple of one number."""
    floats = [name for name in names if columns.decimals[name] is None and columns.distinct[name] >= 2 * MIN_ROWS]
    for a, b in combinations(floats, 2):
        x, y = columns.values[a], columns.values[b]
        few = np.flatnonzero(~np.isnan(x + y))[:: max(1, len(x) // _PROBE_ROWS)]
        if 3 * len(np.unique(np.round(x[few] - y[few], 6))) > 2 * len(few):
            continue
        steps = np.unique(np.round((x - y)[~np.isnan(x + y)], 6))
        fewest = min(columns.distinct[a], columns.distinct[b])
        if not MIN_ROWS / 3 <= len(steps) <= _STEP_SHARE * fewest or not np.diff(steps).min() > 1e-3:
            continue
        step = _step(x - y, float(np.diff(steps).min()))
        larger, smaller = (a, b) if np.nanmean(x) >= np.nanmean(y) else (b, a)
        yield Lattice(larger, (Form({}, 1 / step),), Form({smaller: -1 / step}))


def _step(difference: Floats, first: float) -> float:
    """The step of a lattice, from a guess that is good for short distances."""
    size = np.abs(difference[~np.isnan(difference)])
    number = np.round(size / first)
    return float(snap(np.array([np.sum(size * number) / np.sum(number**2)]))[0]) if number.any() else first


def _order(ordering: Ordering) -> Order:
    small = [_term(coefficient, text) for text, coefficient in ordering.small.items()]
    large = [_term(-coefficient, text) for text, coefficient in ordering.large.items()]
    return Order((*small, *large), ordering.constant)


def _term(coefficient: float, text: str) -> Term:
    transform, column = parsed(text)
    return Term(coefficient, column, transform)


def _ordered_pairs(columns: Columns, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """All (a, b) with a <= b in every row, as far as chance is ruled out."""
    if not names:
        return
    X = np.column_stack([columns.values[name] for name in names])
    slack = TOLERANCE * np.nanmax(np.abs(X), axis=0, initial=0.0)
    few = X[:: max(1, len(X) // _PROBE_ROWS)]
    for j, a in enumerate(names):
        near = np.flatnonzero(~np.any(few[:, j, None] > few + slack, axis=0))
        below = near[~np.any(X[:, j, None] > X[:, near] + slack[near], axis=0)]
        yield from ((a, names[k]) for k in below if k != j and _breaks_off(columns, a, names[k]))


def _breaks_off(columns: Columns, small: str, large: str) -> bool:
    """Whether large - small, which is nowhere below zero, would be if there were no order."""
    a, b = columns.values[small], columns.values[large]
    present = ~np.isnan(a + b)
    a, b = a[present], b[present]
    if len(a) < MIN_ROWS:
        return False
    telling = (a > a.min()) & (b < b.max())
    if np.sum(np.searchsorted(np.sort(b), a[telling])) / len(b) < _MIN_EVIDENCE:
        return False
    gap, value = (b - a)[telling], a[telling]
    irregular = columns.decimals[small] is None
    if irregular and min(len(np.unique(value)), len(np.unique(b[telling]))) < _DISTINCT_SHARE * len(value):
        return False  # on a lattice or mostly at one value, where moving one onto the other would be seen
    equal = gap <= TOLERANCE * np.abs(a).max()
    if np.sum(~equal) < _MIN_STRICT_ROWS:
        return False
    if not columns.whole(small) and len(np.unique(value[equal])) < _MIN_STRICT_ROWS:
        if np.sum(equal) >= _MIN_EVIDENCE:
            return False  # both have the same atom, which is no evidence
        gap, equal = gap[~equal], equal[~equal]
    return _beyond(_next_to_zero(gap, float(np.sum(equal)), whole=columns.whole(small))) >= _MIN_EVIDENCE


def _next_to_zero(gap: Floats, equal: float, *, whole: bool) -> tuple[float, float, float]:
    """The rows in the three intervals from zero on."""
    if whole:
        return equal, float(np.sum(gap == 1)), float(np.sum(gap == 2))
    if equal >= _MIN_EVIDENCE:
        return equal, 0.0, 0.0
    width = np.quantile(gap, max(_EDGE_SHARE, min(1.0, 2 * _MIN_EVIDENCE / len(gap))))
    first, second, third = (float(np.sum((gap > k * width) & (gap <= (k + 1) * width))) for k in range(3))
    return first + equal, second, third


def _beyond(rows: tuple[float, float, float]) -> float:
    """How many rows are expected in the interval before the first, were their logarithms to go on as a parabola."""
    first, second, third = rows
    if first >= second:
        return first
    return min(first**2 / second, first**3 * third / second**3)


def _reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The pairs that do not follow from two others."""
    above: dict[str, set[str]] = {}
    for a, b in pairs:
        above.setdefault(a, set()).add(b)
    return {(a, b) for a, b in pairs if not any(b in above.get(c, ()) for c in above[a] if c != b)}


def _follows(columns: Columns, order: Order, sums: Mapping[str, Form]) -> bool:
    """Whether an order holds because the columns it is a sum of, as identities have it, are never negative."""
    plain = order.expanded(sums)
    falls = (term.coefficient < 0 and (term.transform or columns.not_negative(term.column)) for term in plain.terms)
    return all(falls) and plain.constant <= 0
