"""What rows must obey besides the columns that are recomputed: balances, lattices and orders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tabsyn_core.chemistry.definitions import Transform
from tabsyn_core.identities.forms import TOLERANCE, Floats, Form, Masks, describe_product, describe_terms

WHOLE = 100.0
"""How far from a whole number a lattice's number may be, as a multiple of the tolerance."""

NOTHING = Form({})


@dataclass(frozen=True, slots=True)
class Term:
    """coefficient · transform(column)."""

    coefficient: float
    column: str
    transform: Transform = ""

    def describe(self) -> str:
        """The transformed column in symbols."""
        return _SYMBOLS[self.transform].format(self.column)


@dataclass(frozen=True, slots=True)
class Order:
    """Σ term + constant <= 0, wherever all its columns are present.

    Attributes:
        terms: What is summed.
        constant: What is added.
    """

    terms: tuple[Term, ...]
    constant: float = 0.0

    @classmethod
    def between(cls, small: str, large: str) -> "Order":
        """The order that one column is at most another."""
        return cls((Term(1.0, small), Term(-1.0, large)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, each once."""
        return tuple(dict.fromkeys(term.column for term in self.terms))

    @property
    def pair(self) -> tuple[str, str] | None:
        """The smaller and the larger column, if it is an order of just these two."""
        plain = [(term.coefficient, term.transform) for term in self.terms] == [(1.0, ""), (-1.0, "")]
        return (self.terms[0].column, self.terms[1].column) if plain and not self.constant else None

    def obeyed(self, values: Mapping[str, Floats], *, tolerance: float = TOLERANCE) -> Masks:
        """Which rows obey it; a row with a gap does; shape (rows,)."""
        parts = self._parts(values)
        size = abs(self.constant) + sum(np.abs(part) for part in parts)
        return np.asarray(~(self.constant + sum(parts) > tolerance * size))

    def value(self, values: Mapping[str, Floats]) -> Floats:
        """Σ term + constant, shape (rows,)."""
        return np.asarray(self.constant + sum(self._parts(values)))

    def _parts(self, values: Mapping[str, Floats]) -> list[Floats]:
        return [term.coefficient * transformed(term.transform, values[term.column]) for term in self.terms]

    def expanded(self, sums: Mapping[str, Form]) -> "Order":
        """The order with each column that is a sum of others replaced by those."""
        total: dict[tuple[str, Transform], float] = {}
        constant, queue = self.constant, [*self.terms]
        while queue:
            term = queue.pop(0)
            form = sums.get(term.column)
            if form is None or (term.transform and ([*form.terms.values()] != [1.0] or form.constant)):
                key = (term.column, term.transform)
                total[key] = total.get(key, 0.0) + term.coefficient
            else:
                constant += term.coefficient * form.constant
                queue += [Term(term.coefficient * c, name, term.transform) for name, c in form.terms.items()]
        return Order(tuple(Term(coefficient, *key) for key, coefficient in total.items() if coefficient), constant)

    def describe(self) -> str:
        """The order in symbols: ``"a + b <= c"``."""
        below = {term.describe(): term.coefficient for term in self.terms if term.coefficient > 0}
        above = {term.describe(): -term.coefficient for term in self.terms if term.coefficient < 0}
        left, right = max(self.constant, 0.0), max(-self.constant, 0.0)
        return f"{describe_terms(below, left)} <= {describe_terms(above, right)}"


@dataclass(frozen=True, slots=True)
class Balance:
    """Σ coefficient · column + constant = 0, wherever all its columns are present."""

    form: Form

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns."""
        return tuple(self.form.terms)

    def obeyed(self, values: Mapping[str, Floats], *, tolerance: float = TOLERANCE) -> Masks:
        """Which rows obey it; a row with a gap does; shape (rows,)."""
        return ~(np.abs(self.form.value(values)) > tolerance * self.form.magnitude(values))

    def walls(self) -> tuple[Order, Order]:
        """The equation as two inequalities."""
        up = tuple(Term(c, name) for name, c in self.form.terms.items())
        down = tuple(Term(-c, name) for name, c in self.form.terms.items())
        return Order(up, self.form.constant), Order(down, -self.form.constant)

    def describe(self) -> str:
        """The balance in symbols: ``"a + b = c + d"``."""
        terms, constant = self.form.terms, self.form.constant
        left = describe_terms({name: c for name, c in terms.items() if c > 0}, max(constant, 0.0))
        return f"{left} = {describe_terms({name: -c for name, c in terms.items() if c < 0}, max(-constant, 0.0))}"


@dataclass(frozen=True, slots=True)
class Lattice:
    """column ** power · Π factor ** power + offset is a whole number, wherever it is defined.

    Attributes:
        column: The column that is moved to the nearest point of the lattice.
        factors: What it is multiplied with.
        offset: What is added.
        power: What the column is raised to.
    """

    column: str
    factors: tuple[Form, ...]
    offset: Form = NOTHING
    power: float = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns, each once."""
        others = (name for form in (*self.factors, self.offset) for name in form.terms)
        return tuple(dict.fromkeys((self.column, *others)))

    def factor(self, values: Mapping[str, Floats]) -> Floats:
        """What the column is multiplied with, NaN where it cannot be, shape (rows,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            product = np.prod([form.value(values) ** form.power for form in self.factors], axis=0)
        return np.where(np.isfinite(product), product, np.nan)

    def number(self, values: Mapping[str, Floats]) -> Floats:
        """What must be whole, NaN where it is not defined, shape (rows,)."""
        return np.asarray(
            self._raised(values[self.column], self.power) * self.factor(values) + self.offset.value(values)
        )

    def point(self, number: Floats, values: Mapping[str, Floats]) -> Floats:
        """The column's value at a whole number, NaN where there is none, shape (rows,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            raised = (number - self.offset.value(values)) / self.factor(values)
        return self._raised(np.where(np.isfinite(raised), raised, np.nan), 1 / self.power)

    @staticmethod
    def _raised(x: Floats, power: float) -> Floats:
        if power == 1:
            return x
        with np.errstate(divide="ignore", invalid="ignore"):
            raised = x**power
        return np.where(np.isfinite(raised), raised, np.nan)

    def obeyed(self, values: Mapping[str, Floats], *, tolerance: float = TOLERANCE) -> Masks:
        """Which rows obey it; a row with a gap does; shape (rows,)."""
        number = self.number(values)
        return ~(np.abs(number - np.round(number)) > WHOLE * tolerance)

    def describe(self) -> str:
        """The lattice in words: ``"a * b is whole"``."""
        if self.offset.terms and not any(form.terms for form in self.factors):
            (step,) = (form.constant for form in self.factors)
            others = {name: c / step for name, c in self.offset.terms.items()}
            return f"{describe_terms({self.column: 1.0, **others})} is a multiple of {1 / step:.6g}"
        column = Form({self.column: 1.0}, power=self.power)
        text = describe_product([form.describe() for form in (column, *self.factors)], (column, *self.factors))
        return f"{text} {describe_terms(self.offset.terms)} is whole" if self.offset.terms else f"{text} is whole"


def transformed(transform: Transform, x: Floats) -> Floats:
    """A column as a term sees it, shape (rows,)."""
    if transform == "abs":
        return np.abs(x)
    if transform == "positive":
        return np.where(np.isnan(x), np.nan, x > 0)
    if transform == "log1p":
        return np.log1p(np.maximum(x, 0.0))
    return x


Constraint = Order | Balance | Lattice


def columns_of(constraints: Iterable[Constraint]) -> set[str]:
    """All columns that constraints speak of."""
    return {name for constraint in constraints for name in constraint.columns}


_SYMBOLS: dict[Transform, str] = {"": "{}", "abs": "|{}|", "positive": "[{} > 0]", "log1p": "ln(1 + {})"}
