"""What is usual among the training molecules: nothing else is proposed.

Limits, each read off the training molecules: elements with their charges, ring sizes, synthetic accessibility (Ertl &
Schuffenhauer, J. Cheminform. 1, 8 (2009)) and structural alerts (Brenk et al., ChemMedChem 3, 435 (2008); PAINS: Baell
& Holloway, J. Med. Chem. 53, 2719 (2010)). How *often* what is allowed occurs is left to the density ratio, which sees
the accessibility and the number of alerts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

try:
    from rdkit.Contrib.SA_Score import sascorer
except ImportError:  # a build of RDKit without its contributed code
    sascorer = None


@dataclass(frozen=True)
class Oddity:
    """What a molecule is judged by.

    Attributes:
        charges: Each element with each formal charge it has there, such as ``"N+1"``.
        rings: Sizes of its smallest rings.
        alerts: Names of the structural alerts.
        difficulty: Synthetic accessibility, 1 (easy) to 10; 0 where RDKit was built without it.
    """

    charges: frozenset[str]
    rings: frozenset[int]
    alerts: frozenset[str]
    difficulty: float

    @classmethod
    def of(cls, molecule: Any) -> "Oddity":
        """Judge a molecule."""
        return cls(
            frozenset(f"{atom.GetSymbol()}{atom.GetFormalCharge():+d}" for atom in molecule.GetAtoms()),
            frozenset(map(len, molecule.GetRingInfo().AtomRings())),
            frozenset(entry.GetDescription() for entry in _alerts().GetMatches(molecule)),
            float(sascorer.calculateScore(molecule)) if sascorer else 0.0,
        )


@dataclass(frozen=True)
class Usual:
    """What occurs among the training molecules.

    Attributes:
        charges: Elements with their charges.
        rings: Ring sizes.
        alerts: Structural alerts, and how many training molecules have each.
        difficulty: The largest synthetic accessibility score.
        molecules: How many training molecules there are.
    """

    charges: frozenset[str]
    rings: frozenset[int]
    alerts: Mapping[str, int]
    difficulty: float
    molecules: int

    @classmethod
    def of(cls, oddities: Sequence[Oddity]) -> "Usual":
        """Sum up the training molecules."""
        return cls(
            frozenset().union(*(each.charges for each in oddities)),
            frozenset().union(*(each.rings for each in oddities)),
            Counter(name for each in oddities for name in sorted(each.alerts)),
            max((each.difficulty for each in oddities), default=0.0),
            len(oddities),
        )

    def allows(self, oddity: Oddity) -> bool:
        """Whether nothing about a molecule is unheard of."""
        return (
            oddity.charges <= self.charges
            and oddity.rings <= self.rings
            and oddity.alerts <= self.alerts.keys()
            and oddity.difficulty <= self.difficulty
        )


@cache
def _alerts() -> FilterCatalog:
    parameters = FilterCatalogParams()
    parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.BRENK)
    parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
    return FilterCatalog(parameters)
