from itertools import combinations

import numpy as np
import pytest
from rdkit import Chem

from tabsyn_core.chemistry.fragments import TRAITS, Pieces, cut_bonds, swaps

MOLECULES = (
    "CC(=O)Nc1ccc(OCC(N)=O)cc1",
    "C[C@H](F)C(=O)N1CCC(c2ccccc2)CC1",  # a centre at a cut
    "OC[C@@H](Nc1ccncc1)c1ccccc1",  # a centre between two cuts
    "C/C=C/C(=O)N[C@@H](C)/C=C\\c1ccco1",  # double bonds on both sides of a cut
    "F/C=C/C=C\\Cl",
    "COc1ccc2c(c1)c1ccccc1n2CCN(C)C",
    "CC(C)(C)OC(=O)N1CCN(c2nc(-c3ccsc3)cs2)CC1",
    "c1ccc(-c2ccc(-c3ccccn3)cc2)cc1",
    "C[N+](C)(C)CCOP(=O)([O-])OCC",
)


def read(smiles):
    return Chem.MolFromSmiles(smiles)


@pytest.mark.parametrize("smiles", MOLECULES)
@pytest.mark.parametrize("cuts", [1, 2])
def test_a_molecule_with_its_own_piece_put_back_is_itself(smiles, cuts):
    molecule = read(smiles)
    for bonds in combinations(cut_bonds(molecule), cuts):
        found = swaps(molecule, bonds)
        assert len(found) == (2 if cuts == 1 else 1)
        for swap in found:
            assert Chem.CanonSmiles(swap.filled(swap.piece)) == Chem.CanonSmiles(smiles)


def test_bonds_in_rings_and_double_bonds_are_not_cut():
    assert cut_bonds(read("c1ccc2ccccc2c1")) == []
    assert cut_bonds(read("C=C")) == []
    assert len(cut_bonds(read("CC(=O)c1ccccc1"))) == 2
    assert cut_bonds(read("[2H]C")) == []  # a hydrogen that is written out is no piece


def test_a_salt_is_not_cut():
    salt = read("CCN.OC(=O)C")
    assert all(swaps(salt, [bond]) == [] for bond in cut_bonds(salt))


def test_pieces_come_with_their_size_and_polarity():
    molecule = read("OCCc1ccc(F)cc1")
    found = [swap for bond in cut_bonds(molecule) for swap in swaps(molecule, [bond])]
    traits = {swap.piece: dict(zip(TRAITS, swap.traits, strict=True)) for swap in found}
    assert traits["*CCO"] == {"heavy": 3, "polar": 1, "donors": 1, "halogens": 0, "ring": 0}
    assert traits["*c1ccc(F)cc1"] == {"heavy": 7, "polar": 0, "donors": 0, "halogens": 1, "ring": 6}


def test_a_piece_is_drawn_only_where_the_same_kinds_of_atoms_meet():
    library = Pieces.of(["CCOc1ccccc1", "CCCc1ccccn1", "CCNC(C)=O"], 1.0, np.random.default_rng(0))
    molecule = read("COc1ccc(F)cc1")
    on_oxygen = next(
        swap for bond in cut_bonds(molecule) for swap in swaps(molecule, [bond]) if swap.piece == "*c1ccc(F)cc1"
    )
    drawn = {library.like(on_oxygen, np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {("*c1ccccc1", 0)}  # the pyridine hangs on carbon


def test_of_pieces_that_fit_the_alike_are_drawn_each_as_often_as_the_others():
    small, large = ["CCc1ccccc1"] * 30, ["CCCCCCCCCCc1ccccc1"] * 30
    library = Pieces.of([*small, *large], 1.0, np.random.default_rng(0))
    molecule = read("CCc1ccccc1")
    swap = next(s for bond in cut_bonds(molecule) for s in swaps(molecule, [bond]) if s.piece == "*CC")
    drawn = [library.like(swap, np.random.default_rng(seed)) for seed in range(60)]
    assert {piece for piece, _ in drawn} == {"*CC"}
    assert len({molecule for _, molecule in drawn}) > 15  # any of the thirty


def test_a_piece_without_its_like_has_no_place_to_go():
    library = Pieces.of(["CCCc1ccccc1"], 1.0, np.random.default_rng(0))
    molecule = read("CSC")
    assert library.like(swaps(molecule, cut_bonds(molecule)[:1])[0], np.random.default_rng(0)) is None


def test_pieces_are_at_most_their_share_of_the_molecule_and_weigh_one_a_molecule():
    library = Pieces.of(MOLECULES, 0.5, np.random.default_rng(0)).table
    sizes = [read(smiles).GetNumHeavyAtoms() for smiles in MOLECULES]
    assert all(heavy <= 0.5 * sizes[row] for heavy, row in library.select("heavy", "molecule").iter_rows())
    hanging = library.filter(~library["kind"].str.contains(" "))
    for weights in hanging.partition_by("molecule"):
        assert weights["weight"].sum() == pytest.approx(1)


def test_no_molecules_no_pieces():
    assert Pieces.of([], 1.0, np.random.default_rng(0)).table.is_empty()
