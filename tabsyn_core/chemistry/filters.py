"""What is usual among the training molecules: nothing else is proposed.

Limits, each read off the training molecules: elements with their charges, ring sizes, synthetic accessibility (Ertl &
Schuffenhauer, J. Cheminform. 1, 8 (2009)) and structural alerts (Brenk et al., ChemMedChem 3, 435 (2008); PAINS: Baell
& Holloway, J. Med. Chem. 53, 2719 (2010)). How *often* what is allowed occurs is left to the density ratio, which sees
the accessibility and the number of alerts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from rdkit import Chem
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from tabsyn_core.chemistry.workers import map_molecules

try:
    from rdkit.Contrib.SA_Score import sascorer
except ImportError:  # a build of RDKit without its contributed code
    sascorer = None

sa_score = sascorer.calculateScore if sascorer else None
"""How hard a molecule is to make, 1 to 10 (Ertl & Schuffenhauer, 2009); nothing where RDKit does not bring it."""


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
            float(sa_score(molecule)) if sa_score else 0.0,
        )


@dataclass(frozen=True)
class Usual:
    """What occurs among the training molecules.

    Attributes:
        charges: Elements with their charges.
        rings: Ring sizes.
        alerts: Structural alerts.
        difficulty: The largest synthetic accessibility score.
    """

    charges: frozenset[str]
    rings: frozenset[int]
    alerts: frozenset[str]
    difficulty: float

    @classmethod
    def of(cls, oddities: Sequence[Oddity]) -> "Usual":
        """Sum up the training molecules."""
        return cls(
            frozenset().union(*(each.charges for each in oddities)),
            frozenset().union(*(each.rings for each in oddities)),
            frozenset().union(*(each.alerts for each in oddities)),
            max((each.difficulty for each in oddities), default=0.0),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "charges": sorted(self.charges),
            "rings": sorted(self.rings),
            "alerts": sorted(self.alerts),
            "difficulty": self.difficulty,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Usual":
        """The inverse of :meth:`to_json`."""
        sets = {name: frozenset(content[name]) for name in ("charges", "rings", "alerts")}
        return cls(**sets, difficulty=content["difficulty"])

    def allows(self, oddity: Oddity) -> bool:
        """Whether nothing about a molecule is unheard of."""
        return (
            oddity.charges <= self.charges
            and oddity.rings <= self.rings
            and oddity.alerts <= self.alerts
            and oddity.difficulty <= self.difficulty
        )


def oddities(smiles: Sequence[str], *, workers: int = 0) -> list[Oddity]:
    """Judge molecules, valid SMILES; the result does not depend on the number of processes (0 is one a core)."""
    return map_molecules(_oddity, smiles, workers=workers)


def _oddity(smiles: str) -> Oddity:
    return Oddity.of(Chem.MolFromSmiles(smiles))


@cache
def _alerts() -> FilterCatalog:
    parameters = FilterCatalogParams()
    parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.BRENK)
    parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
    return FilterCatalog(parameters)
