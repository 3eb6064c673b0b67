"""How noticeable it is to change a column, and numbers hashed from a row that share changes out among columns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tabsyn_core.identities.columns import Columns
from tabsyn_core.identities.forms import Floats

Hashes = NDArray[np.uint64]

_FROM_ATOM = 4.0  # a change away from a value that is repeated is as bad as one by so many standard deviations
_MIN_ATOM_ROWS = 5  # rows that repeat a value
_ATOM_SHARE = 0.01  # and the share of all rows that they are


@dataclass(frozen=True, slots=True)
class Profile:
    """What decides how noticeable it is to change a column.

    Attributes:
        lower: The lowest value that may be chosen.
        upper: The highest.
        spread: The standard deviation.
        decimals: Decimal places, ``None`` for an irregular float.
        atoms: Values of an irregular float that are repeated often.
        repeated: The share of rows whose value occurs in another row too.
        gaps: The share of rows in which it is missing.
    """

    lower: float
    upper: float
    spread: float
    decimals: int | None = None
    atoms: tuple[float, ...] = ()
    repeated: float = 0.0
    gaps: float = 0.0

    @classmethod
    def of(cls, x: Floats, decimals: int | None, bounds: tuple[float | None, float | None]) -> "Profile":
        """Read the profile off a column, gaps included, and off its bounds."""
        x, rows = x[~np.isnan(x)], len(x)
        levels, counts = np.unique(x, return_counts=True)
        often = levels[counts >= max(_MIN_ATOM_ROWS, _ATOM_SHARE * len(x))] if decimals is None else levels[:0]
        lower, upper = bounds
        return cls(
            float(levels[0]) if lower is None else max(float(levels[0]), lower),
            float(levels[-1]) if upper is None else min(float(levels[-1]), upper),
            float(np.std(x)) or 1.0,
            decimals,
            tuple(often.tolist()),
            float(counts[counts > 1].sum() / len(x)),
            1 - len(x) / rows,
        )

    def rounded(self, x: Floats, towards: Floats) -> Floats:
        """Values on the column's decimals and within its bounds, rounded up where ``towards`` is positive."""
        if self.decimals is not None:
            unit = 10.0**self.decimals
            scaled = np.round(x * unit, 6)
            x = np.round(np.where(towards > 0, np.ceil(scaled), np.floor(scaled)) / unit, self.decimals)
        return np.clip(x, self.lower, self.upper)

    def cost(self, x: Floats, moved: Floats, weight: Floats) -> Floats:
        """How noticeable a change is, in weighted standard deviations; infinite where there is none; shape (rows,)."""
        off = np.full(len(x), self.repeated if self.decimals is None else 0.0)
        if self.atoms:
            off += _FROM_ATOM * np.isin(x, self.atoms)
        return np.where(moved == x, np.inf, weight * np.abs(moved - x) / self.spread + off)


def profiles_of(columns: Columns, names: Iterable[str]) -> dict[str, Profile]:
    """The profile of each named column."""
    bounds = {name: (columns.schema[name].lower, columns.schema[name].upper) for name in names}
    return {name: Profile.of(columns.values[name], columns.decimals[name], bounds[name]) for name in bounds}


def hashed(columns: Mapping[str, Floats]) -> Hashes:
    """One number a row that depends on all its values (Steele et al., Fast splittable generators, 2014), (rows,)."""
    keys = np.zeros(len(next(iter(columns.values()), ())), dtype=np.uint64)
    for x in columns.values():
        keys = mixed(keys ^ np.where(np.isnan(x), 0.5, x + 0.0).view(np.uint64))
    return keys


def mixed(keys: Hashes) -> Hashes:
    """Other numbers, as good as independent of the first, shape (rows,)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))


def weights(keys: Hashes, count: int, salt: int) -> Floats:
    """Numbers from 0 to 2 for each of some columns and rows, shape (count, rows)."""
    numbers = np.stack([mixed(keys ^ np.uint64(1000 * salt + j + 1)) for j in range(count)])
    return np.asarray((numbers >> np.uint64(11)) * 2.0**-52)
