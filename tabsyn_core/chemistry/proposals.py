"""New molecules by a few random steps from a training molecule: pieces exchanged, linkers exchanged, atoms exchanged.

After several steps a proposal has parts of several molecules and much of none. Each step is as likely backwards as
forwards, up to the width of the kernel that finds alike pieces, so steps do not drift away from the training molecules
as a population (a Markov chain that leaves their distribution of parts unchanged); what they do not keep is which
parts occur together, and that is what :mod:`tabsyn_core.molecules` chooses for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from rdkit import Chem

from tabsyn_core.chemistry.elements import Elements, Place, places
from tabsyn_core.chemistry.fragments import Pieces, cut_bonds, swaps

SHARE = 0.6
"""The largest share of a molecule's heavy atoms that one step exchanges: with all of it, the walk would start anew."""

_HANGING, _BETWEEN = 0.4, 0.4
"""Probabilities of exchanging a piece on one bond and one between two, where there are bonds; otherwise an atom is
exchanged."""

_TRIES = 30
"""Times a step is tried before the walk ends where it is."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A molecule that may be new.

    Attributes:
        smiles: Neither standardised nor known to be different from the training molecules.
        parents: Rows of the training molecules that it was made from, each once; the first is where the walk began.
    """

    smiles: str
    parents: tuple[int, ...]


@dataclass(frozen=True)
class Proposer:
    """Proposes molecules.

    Attributes:
        smiles: The training molecules.
        pieces: Theirs.
        elements: Theirs.
    """

    smiles: tuple[str, ...]
    pieces: Pieces
    elements: Elements

    @classmethod
    def of(cls, smiles: Sequence[str], rng: np.random.Generator) -> "Proposer":
        """Learn from training molecules, valid SMILES."""
        return cls(tuple(smiles), Pieces.of(smiles, SHARE, rng), Elements.of(smiles))

    def start(self, row: int) -> Proposal:
        """A training molecule, before the first step."""
        return Proposal(self.smiles[row], (row,))

    def walk(self, start: Proposal, steps: int, rng: np.random.Generator) -> Proposal | None:
        """Take steps, fewer where there are no more to take; None if not even one."""
        current, molecule, done = start, Chem.MolFromSmiles(start.smiles), 0
        while done < steps and (after := self._step(current, molecule, rng)) is not None:
            (current, molecule), done = after, done + 1
        return current if done else None

    def _step(self, current: Proposal, molecule: Any, rng: np.random.Generator) -> tuple[Proposal, Any] | None:
        """The next proposal, and its SMILES as RDKit has read it."""
        bonds, among = cut_bonds(molecule), cache(partial(places, molecule))
        for _ in range(_TRIES):
            drawn = self._drawn(molecule, bonds, among, rng)
            if drawn is not None and (changed := Chem.MolFromSmiles(drawn[0])) is not None:
                smiles, parent = drawn
                return Proposal(smiles, tuple(dict.fromkeys([*current.parents, *parent]))), changed
        return None

    def _drawn(
        self, molecule: Any, bonds: Sequence[int], among: Callable[[], list[Place]], rng: np.random.Generator
    ) -> tuple[str, list[int]] | None:
        """One exchange: the molecule, and whom the new piece is from."""
        chance = rng.random()
        cuts = min(1 if chance < _HANGING else 2 if chance < _HANGING + _BETWEEN else 0, len(bonds))
        if cuts == 0:
            changed = self.elements.changed(molecule, among(), rng) if among() else None
            return None if changed is None else (changed, [])
        found = swaps(molecule, [int(bond) for bond in rng.choice(bonds, cuts, replace=False)])
        if not found:
            return None
        swap = found[rng.integers(len(found))]
        if swap.traits[0] > SHARE * molecule.GetNumHeavyAtoms():
            return None
        like = self.pieces.like(swap, rng)
        return None if like is None or like[0] == swap.piece else (swap.filled(like[0]), [like[1]])
