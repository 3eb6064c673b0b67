"""How near molecules are to known ones: Tanimoto similarity of ECFP4 fingerprints.

Rogers & Hahn, J. Chem. Inf. Model. 50, 742 (2010): Morgan fingerprints of radius 2, 2,048 bits, without
stereochemistry, so that stereoisomers have a similarity of 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity

Floats = NDArray[np.float64]

_ECFP4 = GetMorganGenerator(radius=2, fpSize=2048)


class Neighbours:
    """Finds the nearest of known molecules.

    Args:
        smiles: The known molecules, at least one.
    """

    def __init__(self, smiles: Sequence[str]) -> None:
        self._known = [fingerprint(Chem.MolFromSmiles(text)) for text in smiles]

    def nearest(self, molecule: Any) -> tuple[int, float]:
        """The row of the nearest known molecule, and its Tanimoto similarity in [0, 1]."""
        similarities = BulkTanimotoSimilarity(fingerprint(molecule), self._known)
        row = int(np.argmax(similarities))
        return row, float(similarities[row])

    def nearest_other(self, row: int) -> float:
        """A known molecule's similarity to the nearest of the others; 0 if there is no other."""
        others = [*self._known[:row], *self._known[row + 1 :]]
        return max(BulkTanimotoSimilarity(self._known[row], others), default=0.0)


def fingerprint(molecule: Any) -> Any:
    """ECFP4 as a bit vector."""
    return _ECFP4.GetFingerprint(molecule)


def nearest_similarity(smiles: Sequence[str], known: Sequence[str]) -> Floats:
    """Tanimoto similarity of every molecule to the nearest known one, shape (molecules,)."""
    neighbours = Neighbours(known)
    return np.array([neighbours.nearest(Chem.MolFromSmiles(text))[1] for text in smiles])
