"""How molecules are realised."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tabsyn_core.chemistry.standardize import Standardization
from tabsyn_core.errors import TabsynError, check_whole


@dataclass(frozen=True, slots=True)
class RealizerConfig:
    """Budgets and limits of a :class:`~tabsyn_core.molecules.Realizer`.

    Attributes:
        min_steps: The fewest exchanges between a training molecule and a proposal.
        max_steps: The most.
        proposals: Candidates of which one is kept; 1 keeps them as they come, without a density ratio.
        local_search: Metropolis steps after that, each with one further candidate a row.
        endpoints: ``"matched"``: those of a training row of which as much was to be expected
            (:mod:`tabsyn_core.molecules.matching`); ``"imputed"``: drawn by the generator's imputation.
        apart: Whether the training row nearest to a kept one must be none of those its molecule was made from.
        max_similarity: The highest ECFP4 Tanimoto similarity to a training molecule that is allowed.
        share: Whether rows carry their SMILES, or only descriptors and endpoints.
        effort: Proposals a row, of blocks of 64, after which conditions count as not to be met.
        workers: Processes; 0 is one a core. The rows do not depend on it.
        standardization: As at ingestion.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    min_steps: int = 3
    max_steps: int = 6
    proposals: int = 4
    local_search: int = 0
    endpoints: Literal["matched", "imputed"] = "matched"
    apart: bool = True
    max_similarity: float = 1.0
    share: Literal["molecules", "descriptors-only"] = "molecules"
    effort: int = 200
    workers: int = 0
    standardization: Standardization = field(default_factory=Standardization)

    def __post_init__(self) -> None:
        """Refuse what cannot be realised."""
        for name, low in (("min_steps", 1), ("proposals", 1), ("local_search", 0), ("workers", 0)):
            check_whole((f"realize.{name}", getattr(self, name), low))
        check_whole(
            ("realize.max_steps", self.max_steps, self.min_steps), ("realize.effort", self.effort, self.proposals)
        )
        if not (isinstance(self.max_similarity, int | float) and 0 < self.max_similarity <= 1):
            raise TabsynError(f"realize.max_similarity is {self.max_similarity!r}; it must be above 0 and at most 1.")
        for name, one, other in (
            ("share", "molecules", "descriptors-only"),
            ("endpoints", "matched", "imputed"),
        ):
            if (value := getattr(self, name)) not in (one, other):
                raise TabsynError(f"realize.{name} is '{value}'; it must be '{one}' or '{other}'.")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RealizerConfig":
        """Read what :func:`dataclasses.asdict` gave."""
        return cls(**{**content, "standardization": Standardization(**content["standardization"])})
