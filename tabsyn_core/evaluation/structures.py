"""Molecules read, taken apart and described one by one, in several processes where there are many."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, rdMMPA, rdMolDescriptors
from rdkit.Chem.QED import qed
from rdkit.Chem.Scaffolds import MurckoScaffold

from tabsyn_core.chemistry.filters import sa_score
from tabsyn_core.chemistry.workers import map_molecules
from tabsyn_core.progress import ProgressCallback

PROPERTIES = ("MolWt", "MolLogP", "TPSA", "qed", *(("SA score",) if sa_score else ()))
"""What molecules are compared by as numbers: the properties of MOSES, and the polar surface."""

SPECIFIC = 8
"""A piece says who it is from when it has at least so many heavy atoms and only one training molecule has it."""

_CONNECTIVITY = 14  # letters of an InChIKey that leave stereochemistry, isotopes and protons out
_ATOMS = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops]")

Rows = NDArray[np.int64]
Answer = TypeVar("Answer")


class Parts(NamedTuple):
    """What a molecule is made of.

    Attributes:
        rings: How many it has.
        scaffold: Its Bemis-Murcko scaffold without stereochemistry; empty without a ring.
        fragments: What is left when all BRICS bonds are cut.
        pieces: Both sides of every bond that matched pairs are cut at, those of at least :data:`SPECIFIC` heavy atoms.
    """

    rings: int
    scaffold: str
    fragments: tuple[str, ...]
    pieces: frozenset[str]


@dataclass(frozen=True)
class Structures:
    """The molecules of one table.

    Attributes:
        smiles: Of the rows that have a molecule.
        keys: What tells each from others: the first block of its InChIKey.
        places: Their rows.
        rows: All rows of the table.
    """

    smiles: tuple[str, ...]
    keys: tuple[str, ...]
    places: Rows
    rows: int

    @classmethod
    def read(cls, smiles: Sequence[str | None], workers: int) -> "Structures":
        """Read SMILES; what RDKit cannot read, or has no atoms, is left out."""
        keys = map_molecules(_key, smiles, workers=workers)
        found = [(text, key, row) for row, (text, key) in enumerate(zip(smiles, keys, strict=True)) if text and key]
        return cls(
            tuple(text for text, _, _ in found),
            tuple(key for _, key, _ in found),
            np.array([row for *_, row in found], dtype=np.int64),
            len(smiles),
        )

    def take(self, rows: Rows) -> "Structures":
        """These of the molecules."""
        return Structures(
            tuple(self.smiles[row] for row in rows),
            tuple(self.keys[row] for row in rows),
            self.places[rows],
            self.rows,
        )

    def distinct(self) -> "Structures":
        """Each molecule where it first occurs."""
        return self.take(np.sort(np.unique(self.keys, return_index=True)[1])) if self.keys else self

    def draw(self, size: int, rng: np.random.Generator) -> "Structures":
        """So many of them at random, in order."""
        return self if size >= len(self.keys) else self.take(np.sort(rng.permutation(len(self.keys))[:size]))


def _key(smiles: str | None) -> str | None:
    """What tells a molecule from others, stereoisomers apart; ``None`` for what is no molecule."""
    molecule = None if smiles is None else Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        return None
    key: str = Chem.MolToInchiKey(molecule)[:_CONNECTIVITY]  # type: ignore[no-untyped-call]
    return key or str(Chem.MolToSmiles(molecule, isomericSmiles=False))  # InChI does not know dummy atoms


def each_molecule(
    function: Callable[[str], Answer],
    tables: Sequence[Structures],
    workers: int,
    progress: ProgressCallback,
    phase: str,
) -> list[list[Answer]]:
    """Ask something of every molecule of every table."""
    smiles = [text for table in tables for text in table.smiles]
    found = iter(map_molecules(function, smiles, workers=workers, phase=phase, progress=progress))
    return [[*islice(found, len(table.smiles))] for table in tables]


def parts_of(smiles: str) -> Parts:
    """Take a valid molecule apart."""
    molecule = Chem.MolFromSmiles(smiles)
    broken = Chem.FragmentOnBRICSBonds(molecule)
    cut = rdMMPA.FragmentMol(molecule, minCuts=1, maxCuts=1, maxCutBonds=100, resultsAsMols=False)
    sides = (side for _, both in cut for side in both.split(".") if "*" in side)
    return Parts(
        molecule.GetRingInfo().NumRings(),
        str(MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)),  # type: ignore[no-untyped-call]
        tuple(Chem.MolToSmiles(broken).split(".")),
        frozenset(side for side in sides if len(_ATOMS.findall(side)) > SPECIFIC),  # the cut bond's end is one
    )


def properties_of(smiles: str) -> tuple[float, ...]:
    """:data:`PROPERTIES` of a valid molecule."""
    molecule: Any = Chem.MolFromSmiles(smiles)
    measures: tuple[Callable[[Any], float], ...] = (
        Descriptors.MolWt,  # type: ignore[attr-defined]
        Crippen.MolLogP,  # type: ignore[attr-defined]
        rdMolDescriptors.CalcTPSA,
        qed,
        *((sa_score,) if sa_score else ()),
    )
    return tuple(float(measure(molecule)) for measure in measures)
