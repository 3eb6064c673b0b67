"""Balances that share columns, and by what each family of columns must change for all of them to hold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice

import numpy as np

from tabsyn_core.identities.forms import Floats, Form, Masks

_MAX_WAYS = 40


@dataclass(frozen=True)
class Group:
    """Balances that have columns in common.

    Columns that occur in all balances alike, but for a factor, are a family: only the sum over a family matters. Any
    choice of as many independent families as there are balances can absorb whatever is missing.

    Attributes:
        forms: What must be zero.
    """

    forms: tuple[Form, ...]

    @property
    def columns(self) -> list[str]:
        """The columns, each once."""
        return list(dict.fromkeys(name for form in self.forms for name in form.terms))

    @cached_property
    def families(self) -> dict[tuple[float, ...], dict[str, float]]:
        """How a family occurs in each balance, and the factors of its columns."""
        found: dict[tuple[float, ...], dict[str, float]] = {}
        for name in self.columns:
            slopes = [form.terms.get(name, 0.0) for form in self.forms]
            factor = next(slope for slope in slopes if slope)
            found.setdefault(tuple(round(slope / factor, 9) for slope in slopes), {})[name] = factor
        return found

    @cached_property
    def _ways(self) -> list[tuple[tuple[tuple[float, ...], ...], Floats]]:
        """Choices of families that can absorb anything, and the inverse of how they occur."""
        choices = combinations(self.families, len(self.forms))
        usable = (choice for choice in choices if abs(np.linalg.det(np.array(choice))) > 1e-6)
        return [(choice, np.linalg.inv(np.array(choice).T)) for choice in islice(usable, _MAX_WAYS)]

    def broken(self, rows: Mapping[str, Floats], tolerance: float) -> Masks:
        """The rows in which any balance does not hold, and nothing is missing; shape (rows,)."""
        away = np.stack([np.abs(form.value(rows)) - tolerance * form.magnitude(rows) for form in self.forms])
        return np.asarray(~np.isnan(away).any(axis=0) & (away > 0).any(axis=0))

    def changes(self, rows: Mapping[str, Floats]) -> Iterator[dict[tuple[float, ...], Floats]]:
        """Ways to make all balances hold: families, and the change of each one's sum, shape (rows,)."""
        residual = np.stack([form.value(rows) for form in self.forms])
        size = np.stack([form.magnitude(rows) for form in self.forms]).max(axis=0)
        for choice, inverse in self._ways:
            total = -sum(column[:, None] * each for column, each in zip(inverse.T, residual, strict=True))
            yield dict(zip(choice, np.where(np.abs(total) > 1e-13 * size, total, 0.0), strict=True))


def groups_of(forms: Sequence[Form]) -> list[Group]:
    """Balances in groups that have no column in common."""
    groups: list[list[Form]] = []
    for form in forms:
        near = [group for group in groups if any(form.terms.keys() & other.terms.keys() for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append([*(other for group in near for other in group), form])
    return [Group(tuple(group)) for group in groups]
