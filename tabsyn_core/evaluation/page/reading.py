"""One number beside its floor, and the types of what the report holds."""

from dataclasses import dataclass
from typing import Literal

Source = Literal["real", "held-out", "synthetic"]
Number = float | None
Numbers = tuple[Number, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One number beside its floor, which is the same number with real held-out rows in place of the synthetic ones.

    Attributes:
        name: What is measured.
        synthetic: The number of the synthetic rows.
        floor: The number of the held-out rows.
        low: Lower bound of the synthetic number's 95 % interval.
        high: Upper bound.
        threshold: In words, what is good: "0.5 is clean; green up to 0.55".
        unit: How it is printed: ``number`` with three decimals, ``share`` as a percentage, ``count`` as an integer.
        why: Why there is no number.
    """

    name: str
    synthetic: Number
    floor: Number = None
    low: Number = None
    high: Number = None
    threshold: str = ""
    unit: Literal["number", "share", "count"] = "number"
    why: str | None = None
