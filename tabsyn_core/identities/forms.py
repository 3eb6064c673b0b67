"""One column as a function of others: a product of powers of linear forms, a maximum or a minimum."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Masks = NDArray[np.bool_]

TOLERANCE = 1e-9
"""How far a float may be from its identity, relative to the terms; integers must agree exactly."""


@dataclass(frozen=True, slots=True)
class Form:
    """A linear form raised to a power: (constant + Σ coefficient · column) ** power.

    Attributes:
        terms: The coefficient of each column.
        constant: What is added to them.
        power: What a product raises the sum to.
    """

    terms: Mapping[str, float]
    constant: float = 0.0
    power: float = 1

    def value(self, values: Mapping[str, Floats]) -> Floats:
        """The linear form without its power, shape (rows,)."""
        return np.asarray(self.constant + sum(c * values[name] for name, c in self.terms.items()))

    def magnitude(self, values: Mapping[str, Floats]) -> Floats:
        """The sum of the absolute terms, shape (rows,): what rounding errors are relative to."""
        return np.asarray(abs(self.constant) + sum(np.abs(c * values[name]) for name, c in self.terms.items()))

    def describe(self) -> str:
        """The form in symbols, without its power."""
        return describe_terms(self.terms, self.constant)


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

    def obeyed(self, values: Mapping[str, Floats], *, tolerance: float = TOLERANCE) -> Masks:
        """Which rows obey it, gaps included: the column is missing exactly where an input is; shape (rows,)."""
        found, expected = values[self.column], self.value(values)
        away = np.abs(found - expected)
        if self.decimals == 0:
            near = away < 1e-6  # whole numbers: the sums are exact, ratios nearly
        else:
            linear = len(self.forms) == 1 and self.forms[0].power == 1
            near = away <= tolerance * (self.forms[0].magnitude(values) if linear else np.abs(found))
        return np.asarray(near | (np.isnan(found) & np.isnan(expected)))

    def holds(self, values: Mapping[str, Floats], *, tolerance: float = TOLERANCE) -> bool:
        """Whether every row obeys it, and any row is not missing."""
        return bool(self.obeyed(values, tolerance=tolerance).all()) and not np.isnan(values[self.column]).all()

    def describe(self) -> str:
        """The right-hand side in symbols."""
        texts = [form.describe() for form in self.forms]
        if self.combine == "product":
            return describe_product(texts, self.forms)
        texts = [f"|{text}|" for text in texts] if self.absolute else texts
        return f"{self.combine}({', '.join(texts)})" if len(texts) > 1 else texts[0]


def sums_of(identities: Iterable[Identity]) -> dict[str, Form]:
    """The columns that are linear in others, and how."""
    return {i.column: i.forms[0] for i in identities if len(i.forms) == 1 and i.forms[0].power == 1 and not i.absolute}


def numbers(values: pl.Series) -> Floats:
    """Floats with NaN for gaps, shape (rows,)."""
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _product(forms: Sequence[Floats], powers: Sequence[float]) -> Floats:
    multiplied = np.prod([form**power for form, power in zip(forms, powers, strict=True) if power > 0], axis=0)
    divided = np.prod([form**-power for form, power in zip(forms, powers, strict=True) if power < 0], axis=0)
    gap = np.isnan(multiplied + divided)
    quotient = np.divide(multiplied, divided, out=np.zeros(np.broadcast(multiplied, divided).shape), where=divided != 0)
    return np.where(gap, np.nan, quotient)


def snap(numbers: Floats) -> Floats:
    """Numbers that are whole but for rounding, made whole; the others cut to the 12 digits that all machines agree on.

    Small numbers are never made 0: they may be due to their units.
    """
    nearest = np.round(numbers)
    close = np.abs(numbers - nearest) < np.where(np.abs(numbers) < 100, 1e-8, 1e-11) * np.abs(numbers)
    return np.where(close & (nearest != 0), nearest, [float(f"{number:.12g}") for number in numbers])


def describe_terms(terms: Mapping[str, float], constant: float = 0.0) -> str:
    """A sum in symbols: ``"2 * a - b + 1"``."""
    parts = [_signed(c, name) for name, c in terms.items()]
    if constant or not parts:
        parts.append(f"{'-' if constant < 0 else '+'} {abs(constant):.6g}")
    text = " ".join(parts)
    return f"-{text[2:]}" if text.startswith("-") else text[2:]


def _signed(coefficient: float, name: str) -> str:
    size = "" if abs(coefficient) == 1 else f"{abs(coefficient):.6g} * "
    return f"{'-' if coefficient < 0 else '+'} {size}{name}"


def describe_product(texts: Sequence[str], forms: Sequence[Form]) -> str:
    """A product of powers in symbols, given its forms in symbols: ``"a * (b - c)^2 / d"``."""
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
