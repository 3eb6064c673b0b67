"""What the report holds of the molecules that synthetic rows come with."""

from dataclasses import dataclass

from tabsyn_core.evaluation.page.columns import Density
from tabsyn_core.evaluation.page.reading import Number, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One value of a molecule beside that of its nearest training molecule.

    Attributes:
        name: What it is.
        synthetic: The synthetic molecule's, a number or a category.
        real: The training molecule's.
    """

    name: str
    synthetic: Number | str
    real: Number | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Molecule:
    """A synthetic molecule beside the training molecule it is nearest to.

    Attributes:
        row: Its row in the synthetic table, from 0.
        smiles: Its SMILES.
        svg: Its drawing, if it could be drawn.
        neighbour: The row of the nearest training molecule.
        neighbour_smiles: Its SMILES.
        neighbour_svg: Its drawing.
        similarity: Tanimoto similarity of the two, 1 for equal fingerprints.
        values: Values of both.
    """

    row: int
    smiles: str
    svg: str | None
    neighbour: int
    neighbour_smiles: str
    neighbour_svg: str | None
    similarity: float
    values: tuple[Beside, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Molecules:
    """The molecules of the synthetic rows, where they have SMILES.

    Attributes:
        figures: Validity, uniqueness, novelty, similarity, leakage.
        distances: Wasserstein distances of properties.
        similarity: How similar molecules are to their nearest training molecule.
        properties: The properties' densities.
        drawn: Some molecules, nearest to a training molecule first.
    """

    figures: tuple[Reading, ...] = ()
    distances: tuple[Reading, ...] = ()
    similarity: Density | None = None
    properties: tuple[Density, ...] = ()
    drawn: tuple[Molecule, ...] = ()
