"""When a traffic light of the report is green, amber or red. Apart from the measures, so that reading them is quick."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from tabsyn_core.errors import TabsynError

Limits = tuple[float, float]
"""The largest excess over the floor that is green, and the largest that is amber."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Up to which excess over its floor a figure is green, and up to which amber; beyond it is red.

    Attributes:
        shape: Mean error over columns: 0.02 is what a tenth of the rows off by a fifth of a column's range looks like.
        supports: Share of values that no real value could be.
        trend: Mean error over pairs of columns.
        c2st: AUC of boosted trees above 0.5: at 0.6 two rows in three look alike to them, at 0.8 one in three.
        utility: Loss of R² or AUROC by training on synthetic rows instead of real ones.
        copies: Share of rows that are copies of training rows, over the hold-out's share: five in a thousand are few.
        dcr: Share of rows nearer to training than to held-out rows, above 0.5.
        membership: AUC of telling training rows from others by the synthetic rows, above 0.5.
        similarity: Mean Tanimoto similarity of molecules to their nearest training molecule.
        attack: Privacy risk of the worst attack (Giomi et al., 2023), by its lower bound.
        chemistry: Share of rows that break a rule which RDKit's definitions force.

    Raises:
        TabsynError: A green threshold lies above its amber one, or below 0.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    shape: Limits = (0.02, 0.1)
    supports: Limits = (0.001, 0.05)
    trend: Limits = (0.02, 0.1)
    c2st: Limits = (0.1, 0.3)
    utility: Limits = (0.05, 0.15)
    copies: Limits = (0.005, 0.02)
    dcr: Limits = (0.05, 0.15)
    membership: Limits = (0.05, 0.15)
    similarity: Limits = (0.03, 0.1)
    attack: Limits = (0.05, 0.2)
    chemistry: Limits = (0.01, 0.2)

    def __post_init__(self) -> None:
        for field in fields(self):
            green, amber = getattr(self, field.name)
            if not 0 <= green <= amber:
                raise TabsynError(
                    f"evaluate.thresholds.{field.name} is [{green}, {amber}]; it must be [green, amber] with "
                    "0 <= green <= amber."
                )
