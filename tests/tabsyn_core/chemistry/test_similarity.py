import pytest
from rdkit import Chem

from tabsyn_core.chemistry.similarity import Neighbours, nearest_similarity

KNOWN = ["CCO", "c1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)O"]


def test_a_known_molecule_and_its_stereoisomer_have_similarity_one():
    assert Neighbours(KNOWN).nearest(Chem.MolFromSmiles("OC(=O)c1ccccc1")) == (1, 1.0)
    assert nearest_similarity(["C[C@H](N)O"], ["C[C@@H](N)O"]) == pytest.approx([1.0])


def test_what_shares_no_environment_has_similarity_zero():
    assert nearest_similarity(["BrBr"], KNOWN).tolist() == [0.0]


def test_the_nearest_other_is_not_the_molecule_itself():
    neighbours = Neighbours(["CCO", "CCO", "CCCCCCCCN"])
    assert neighbours.nearest_other(0) == 1.0
    assert neighbours.nearest_other(2) < 0.5
    assert Neighbours(["CCO"]).nearest_other(0) == 0.0


def test_similarity_is_tanimoto_of_ecfp4():
    # ethanol and methanol by hand: environments {CH3, CH2, OH, C-CH2.., C(C)O, OC..} and {CH3, OH, CO, OC}
    assert nearest_similarity(["CO"], ["CCO"])[0] == pytest.approx(2 / 8, abs=0.15)
