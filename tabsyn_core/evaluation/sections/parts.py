"""What sections are made of: figures as the page reads them."""

from dataclasses import fields
from typing import Any

from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.page.content import Reading


def reading(name: str, synthetic: Figure, floor: Figure | None = None, threshold: str = "", **shown: Any) -> Reading:
    """A figure beside its floor, with its interval: its own, or two standard deviations of the repeats."""
    low, high = synthetic.low, synthetic.high
    return Reading(
        name=name,
        synthetic=synthetic.value,
        floor=None if floor is None else floor.value,
        low=low,
        high=high,
        threshold=threshold,
        why=synthetic.why,
        **shown,
    )


def only(kind: Any, row: dict[str, Any]) -> dict[str, Any]:
    """What the dataclass has a place for."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in row.items() if name in names}
