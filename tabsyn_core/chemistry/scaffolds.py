"""Molecules that share a ring system: groups that a fair split keeps on one side."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from tabsyn_core.chemistry.workers import map_molecules
from tabsyn_core.errors import TabsynError


def scaffold_groups(smiles: Sequence[str], *, workers: int = 1) -> NDArray[np.int64]:
    """Number molecules by their framework: ring systems and the linkers between them, without stereochemistry.

    Frameworks are those of Bemis & Murcko (J. Med. Chem. 39 (1996), 2887) as RDKit computes them, which keeps atom and
    bond types. All molecules without a ring have the same, empty one.

    Args:
        smiles: One a molecule.
        workers: Processes; 0 is one a core. The result does not depend on it.

    Returns:
        Shape (molecules,): equal numbers are equal frameworks, 0 upwards in the order of their SMILES.

    Raises:
        TabsynError: A SMILES cannot be read; the message names the row.
    """
    frameworks = map_molecules(_framework, smiles, workers=workers)
    for row, framework in enumerate(frameworks):
        if framework is None:
            raise TabsynError(f"row {row}: {smiles[row]!r} is no SMILES that RDKit can read; correct or remove it.")
    return np.unique([str(framework) for framework in frameworks], return_inverse=True)[1].astype(np.int64)


def _framework(smiles: str | None) -> str | None:
    molecule = None if smiles is None else Chem.MolFromSmiles(smiles)
    return None if molecule is None else str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule))  # type: ignore[no-untyped-call]
