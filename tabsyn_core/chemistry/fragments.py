"""Pieces of molecules that may change places: cut at acyclic single bonds, matched by kind and size, joined again.

A *swap* is a molecule taken apart: a piece that hangs on one bond or stands between two, and the rest. The cuts are
those of matched molecular pairs (Hussain & Rea, J. Chem. Inf. Model. 50, 339 (2010)). A piece may take the place of
another if the same kinds of atoms meet at the cut bonds; of those that may, one is drawn that is alike in size and
polarity. Because an exchange within a kind is as likely one way as the other, the training table's own frequencies of
pieces are left as they are, and with them the means of whatever descriptor adds up over pieces.

Pieces are SMILES with ``*`` for a cut bond, written so that joining them is putting one text into another: the piece
begins with its ``*``, and the atom after it takes the place of the ``*`` in the rest. Neighbours keep their order, so
tetrahedral centres keep their sense.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rdkit import Chem

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TRAITS = ("heavy", "polar", "donors", "halogens", "ring")
"""What pieces are compared by: heavy atoms, N and O, those of them with hydrogen, halogens, atoms in rings."""

_SCALES = np.array([1.5, 0.5, 0.5, 1.0, 2.0])
"""Standard deviations of the Gaussian kernel on the traits. Half of each makes rows that trees cannot tell at all
(Biogen: C2ST .49 instead of .56) and that lie nearer to the training rows (DCR share .60 instead of .56)."""

_MOST_PAIRS = 24
"""Pairs of bonds by which a molecule is cut for the library; it has n(n - 1)/2, and larger molecules have plenty."""

_LEAST_WEIGHT = 1e-7
_POLAR, _HALOGENS = {7, 8}, {9, 17, 35, 53}
_RINGS = re.compile(r"(\[[^\]]*\])|%(\d\d)|(\d)")
_FLIPPED = str.maketrans("/\\", "\\/")
_APART = 20  # a molecule rarely has more than ten rings open at once in its SMILES


@dataclass(frozen=True, slots=True)
class Swap:
    """A molecule with one of its pieces marked.

    Attributes:
        kind: The kinds of atoms on both sides of every cut bond.
        traits: Of the piece, shape (5,); see :data:`TRAITS`.
        inside: The piece, and its ``*`` of the first cut.
        outside: For each cut, the part of the rest it leads to: that part, its ``*``, and the atom that it is bound to.
    """

    kind: str
    traits: tuple[int, ...]
    inside: tuple[Any, int]
    outside: tuple[tuple[Any, int, int], ...]

    @property
    def piece(self) -> str:
        """The piece as SMILES that begins with the ``*`` of the first cut."""
        return _text(*self.inside)

    def filled(self, piece: str) -> str:
        """The molecule with another piece of the same kind, as SMILES; RDKit may still refuse it."""
        (part, _, atom), *second = self.outside
        joined = _joined(_text(part, atom), piece)
        return _joined(joined, _renumbered(_text(*second[0][:2]))) if second else joined


def cut_bonds(molecule: Any) -> list[int]:
    """The single bonds outside rings between heavy atoms."""
    return [
        bond.GetIdx()
        for bond in molecule.GetBonds()
        if bond.GetBondType() == Chem.BondType.SINGLE and not bond.IsInRing()
        if bond.GetBeginAtom().GetAtomicNum() > 1 and bond.GetEndAtom().GetAtomicNum() > 1
    ]


def swaps(molecule: Any, bonds: Sequence[int]) -> list[Swap]:
    """Both pieces that one bond holds, or the one between two bonds."""
    atoms = molecule.GetNumAtoms()
    # The two ends of bond k are marked with isotope k: a centre between two cuts must tell one from the other.
    cut = Chem.FragmentOnBonds(molecule, [*bonds], dummyLabels=[(number, number) for number in range(len(bonds))])
    places: list[tuple[int, ...]] = []
    parts = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=places)
    if len(parts) != len(bonds) + 1:  # a salt: no piece of it would keep the others
        return []
    home = {atom: (number, place) for number, part in enumerate(places) for place, atom in enumerate(part)}
    ends = [(bond.GetBeginAtom(), bond.GetEndAtom()) for bond in map(molecule.GetBondWithIdx, bonds)]
    found = []
    for number, part in enumerate(parts):
        inwards = [pair if home[pair[1].GetIdx()][0] == number else pair[::-1] for pair in ends]
        if any(home[inside.GetIdx()][0] != number for _, inside in inwards):
            continue
        kinds = [_kind(pair) for pair in inwards]
        order = sorted(range(len(bonds)), key=kinds.__getitem__)
        outside = []
        for k in order:
            other, place = home[inwards[k][0].GetIdx()]
            outside.append((parts[other], _star(parts[other], places[other], atoms, k), place))
        inside = (part, _star(part, places[number], atoms, order[0]))
        traits = _traits([molecule.GetAtomWithIdx(atom) for atom in places[number] if atom < atoms])
        found.append(Swap(" ".join(sorted(kinds)), traits, inside, tuple(outside)))
    return found


def _star(part: Any, places: Sequence[int], atoms: int, cut: int) -> int:
    """Where a part has the ``*`` of a cut."""
    return next(
        place for place, atom in enumerate(places) if atom >= atoms and part.GetAtomWithIdx(place).GetIsotope() == cut
    )


def _text(part: Any, root: int) -> str:
    return str(Chem.MolToSmiles(part, rootedAtAtom=root)).replace("[1*]", "*")


def _kind(cut: tuple[Any, Any]) -> str:
    return "-".join(_atom_kind(atom) for atom in cut)


def _atom_kind(atom: Any) -> str:
    symbol = atom.GetSymbol()
    return f"{symbol.lower() if atom.GetIsAromatic() else symbol}{int(atom.GetHybridization())}"


def _traits(atoms: Sequence[Any]) -> tuple[int, ...]:
    polar = [atom for atom in atoms if atom.GetAtomicNum() in _POLAR]
    return (
        len(atoms),
        len(polar),
        sum(atom.GetTotalNumHs() > 0 for atom in polar),
        sum(atom.GetAtomicNum() in _HALOGENS for atom in atoms),
        sum(atom.IsInRing() for atom in atoms),
    )


def _joined(rest: str, piece: str) -> str:
    """Put a piece into the place of the first ``*``."""
    place = rest.index("*")
    body = _renumbered(piece[1:])
    if body[0] in "/\\":  # both texts may say on which side of a double bond the cut one lies; one of them is enough
        known = rest[place - 1] if place and rest[place - 1] in "/\\" else ""
        if known:
            body = (body if body[0] == known else body.translate(_FLIPPED))[1:]
    return rest[:place] + body + rest[place + 1 :]


def _renumbered(text: str) -> str:
    """Ring closures that no other text uses."""
    return _RINGS.sub(lambda found: found[1] or f"%{int(found[2] or found[3]) + _APART}", text)


class Pieces:
    """The pieces of the training molecules.

    Attributes:
        table: ``kind``, ``piece``, ``molecule`` (its row), ``weight`` (those of a molecule that hang on one bond add up
            to 1, those between two bonds as well) and the traits; sorted by kind.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table
        self._texts = table["piece"].to_list()
        self._molecules = table["molecule"].to_numpy()
        self._weights = table["weight"].to_numpy()
        self._traits = table.select(TRAITS).to_numpy() / _SCALES
        kinds, starts, counts = np.unique(table["kind"].to_numpy(), return_index=True, return_counts=True)
        spans = zip(kinds, starts, starts + counts, strict=True)
        self._spans = {str(kind): slice(start, end) for kind, start, end in spans}

    @classmethod
    def of(cls, smiles: Sequence[str], share: float, rng: np.random.Generator) -> "Pieces":
        """Cut every molecule.

        Args:
            smiles: One a molecule.
            share: Pieces have at most this share of their molecule's heavy atoms.
            rng: Draws the pairs of bonds of a molecule with many.
        """
        rows = [row for number, text in enumerate(smiles) for row in _rows(number, text, share, rng)]
        schema = {"kind": pl.String, "piece": pl.String, "molecule": pl.Int64, "weight": pl.Float64}
        table = pl.DataFrame(rows, schema=schema | dict.fromkeys(TRAITS, pl.Int64), orient="row")
        return cls(table.sort("kind", maintain_order=True))

    def like(self, swap: Swap, rng: np.random.Generator) -> tuple[str, int] | None:
        """Draw a piece that may take the place of another, and say which molecule it is from; None if there is none."""
        span = self._spans.get(swap.kind)
        if span is None:
            return None
        apart = self._traits[span] - np.array(swap.traits) / _SCALES
        heap = np.cumsum(self._weights[span] * np.exp(-0.5 * np.einsum("ij,ij->i", apart, apart)))
        if heap[-1] < _LEAST_WEIGHT:
            return None
        place = span.start + min(int(np.searchsorted(heap, rng.random() * heap[-1])), len(heap) - 1)
        return self._texts[place], int(self._molecules[place])


def _rows(number: int, smiles: str, share: float, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    molecule = Chem.MolFromSmiles(smiles)
    bonds = cut_bonds(molecule)
    pairs = [*combinations(bonds, 2)]
    if len(pairs) > _MOST_PAIRS:
        pairs = [pairs[place] for place in np.sort(rng.permutation(len(pairs))[:_MOST_PAIRS])]
    for cuts in ([(bond,) for bond in bonds], pairs):
        found = [swap for cut in cuts for swap in swaps(molecule, cut)]
        found = [swap for swap in found if swap.traits[0] <= share * molecule.GetNumHeavyAtoms()]
        yield from ((swap.kind, swap.piece, number, 1 / len(found), *swap.traits) for swap in found)
