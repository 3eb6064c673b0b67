"""Exchange of single atoms: an element in the place of another, an atom in the place of a hydrogen.

What may stand where is what the training molecules have in such places, as often as they have it: a place is an atom's
aromaticity, ring membership, number of heavy neighbours and sum of bond orders, and for an atom at the end of a single
bond, hydrogen among them, the kind of its neighbour. Rigid molecules, which have no bond to cut, vary by this alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem

_ORDERS = {Chem.BondType.SINGLE: 2, Chem.BondType.AROMATIC: 3, Chem.BondType.DOUBLE: 4, Chem.BondType.TRIPLE: 6}
_END_OF_SINGLE_BOND = "end of "

Place = tuple[int, str, int]
"""An atom's index (of a hydrogen, its neighbour's), what kind of place it is in, and its atomic number."""


@dataclass(frozen=True)
class Elements:
    """How often each element stands in each kind of place.

    Attributes:
        counts: Place -> atomic number -> occurrences.
    """

    counts: Mapping[str, Mapping[int, int]]

    @classmethod
    def of(cls, smiles: Iterable[str]) -> "Elements":
        """Count those of molecules."""
        counts: dict[str, Counter[int]] = {}
        for text in smiles:
            for _, place, number in places(Chem.MolFromSmiles(text)):
                counts.setdefault(place, Counter())[number] += 1
        return cls(counts)

    def changed(self, molecule: Any, among: Sequence[Place], rng: np.random.Generator) -> str | None:
        """The molecule with one atom exchanged, as SMILES; None if the draw leaves it as it is or is no molecule.

        Args:
            molecule: With at least one atom that may be exchanged.
            among: Its :func:`places`.
            rng: Draws the place, then the element.
        """
        atom, place, number = among[int(rng.integers(len(among)))]
        found = self.counts.get(place, {})
        if not found:
            return None
        heap = np.cumsum([*found.values()])
        new = [*found][int(np.searchsorted(heap, rng.random() * heap[-1], side="right"))]
        return None if new == number else _exchanged(molecule, atom, number, new)

    def to_json(self) -> dict[str, dict[str, int]]:
        """A JSON-ready dictionary, its order that of the draws."""
        return {place: {str(number): count for number, count in found.items()} for place, found in self.counts.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Mapping[str, int]]) -> "Elements":
        """Read what :meth:`to_json` wrote."""
        return cls({place: {int(number): n for number, n in found.items()} for place, found in content.items()})


def places(molecule: Any) -> list[Place]:
    """The atoms that may be exchanged, hydrogens among them; those with charges, radicals and isotopes stay."""
    found = []
    for atom in molecule.GetAtoms():
        if atom.GetFormalCharge() or atom.GetNumRadicalElectrons() or atom.GetIsotope():
            continue
        found.append((atom.GetIdx(), _place(atom), atom.GetAtomicNum()))
        found += [(atom.GetIdx(), _END_OF_SINGLE_BOND + _kind(atom), 1)] * atom.GetTotalNumHs()
    return found


def _place(atom: Any) -> str:
    orders = [_ORDERS.get(bond.GetBondType(), 0) for bond in atom.GetBonds()]
    if orders == [2]:
        return _END_OF_SINGLE_BOND + _kind(atom.GetNeighbors()[0])
    return f"{int(atom.GetIsAromatic())} {int(atom.IsInRing())} {len(orders)} {sum(orders)}"


def _kind(atom: Any) -> str:
    return f"{atom.GetAtomicNum()} {int(atom.GetIsAromatic())} {int(atom.GetHybridization())}"


def _exchanged(molecule: Any, place: int, old: int, new: int) -> str | None:
    editable = Chem.RWMol(molecule)
    atom = editable.GetAtomWithIdx(place)
    if old == 1:
        _add_hydrogens(atom, -1)
        editable.AddBond(place, editable.AddAtom(Chem.Atom(new)), Chem.BondType.SINGLE)
    elif new == 1:
        _add_hydrogens(atom.GetNeighbors()[0], 1)
        editable.RemoveAtom(place)
    else:
        atom.SetAtomicNum(new)
        atom.SetNumExplicitHs(0)
        atom.SetNoImplicit(False)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    try:
        Chem.SanitizeMol(editable)
        return str(Chem.MolToSmiles(editable))
    except ValueError:  # five bonds to a carbon, an aromatic ring that is none
        return None


def _add_hydrogens(atom: Any, number: int) -> None:
    """Where hydrogens are written out, as in [nH], they do not follow from the other bonds."""
    if atom.GetNumExplicitHs() or (atom.GetIsAromatic() and atom.GetAtomicNum() != 6):
        atom.SetNumExplicitHs(max(atom.GetNumExplicitHs() + number, 0))
    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
