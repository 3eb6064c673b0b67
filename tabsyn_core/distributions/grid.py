"""The grid on which a column was measured: whole numbers, cents, even numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_DECIMALS = 6
_ON = 1e-6  # steps within which a bound is on the grid
_MIN_VALUES = 20  # fewer distinct values do not show a grid of decimals, or one coarser than whole numbers


@dataclass(frozen=True, slots=True)
class Grid:
    """The values (offset + k · stride) / 10 ** decimals, for all whole k.

    Attributes:
        decimals: Decimal places.
        stride: Units of the last place between neighbours, such as 2 where all are even or all are odd.
        offset: In units of the last place, from 0 to below ``stride``.
    """

    decimals: int
    stride: int = 1
    offset: int = 0

    @classmethod
    def of(cls, values: Floats, *, whole: bool = False, noise: float = 0.0) -> "Grid | None":
        """The coarsest grid that distinct values are on, or None if they need more than six decimals.

        Args:
            values: Distinct values, shape ``[n]``.
            whole: They are whole numbers, however few.
            noise: How far off the grid they may lie, as a share of the largest of them.
        """
        if len(values) < _MIN_VALUES:
            return cls(0) if whole else None
        largest = float(np.abs(values).max())
        for decimals in range(1 if whole else _MAX_DECIMALS + 1):
            if largest * 10**decimals >= 2**50:
                break
            rounded = np.round(values, decimals)
            if np.all(np.abs(rounded - values) <= noise * largest):
                units = np.round(rounded * 10.0**decimals).astype(np.int64)
                stride = int(np.gcd.reduce(units - units[0]))
                return cls(decimals, stride, int(units[0]) % stride)
        return cls(0) if whole else None

    @property
    def step(self) -> float:
        """Between neighbours."""
        return self.stride / 10.0**self.decimals

    def round(self, x: Floats) -> Floats:
        """The nearest values on the grid, shape ``[n]``."""
        return np.round(x, self.decimals) if self.stride == 1 else self._values(np.round(self._places(x)))

    def within(self, lower: float | None, upper: float | None) -> tuple[float | None, float | None]:
        """Bounds moved inwards onto the grid."""
        if lower is not None:
            lower = float(self._values(np.ceil(self._places(np.float64(lower)) - _ON)))
        if upper is not None:
            upper = float(self._values(np.floor(self._places(np.float64(upper)) + _ON)))
        return lower, upper

    def _places(self, x: Floats | np.float64) -> Floats:
        return np.asarray((x * 10.0**self.decimals - self.offset) / self.stride)

    def _values(self, places: Floats) -> Floats:
        return np.round((places * self.stride + self.offset) / 10.0**self.decimals, self.decimals)
