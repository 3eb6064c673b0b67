import pytest

from tabsyn_core.chemistry.scaffolds import scaffold_groups
from tabsyn_core.errors import TabsynError


def test_molecules_of_one_framework_share_a_group():
    toluene, phenol, pyridine, ethane, hexane, biphenyl, diphenylmethane = scaffold_groups(
        ["Cc1ccccc1", "Oc1ccccc1", "c1ccncc1", "CC", "CCCCCC", "c1ccccc1-c1ccccc1", "c1ccccc1Cc1ccccc1"]
    )
    assert toluene == phenol
    assert ethane == hexane
    assert len({toluene, pyridine, ethane, biphenyl, diphenylmethane}) == 5


def test_stereochemistry_makes_no_other_framework():
    left, right = scaffold_groups(["C[C@H]1CCO[C@@H]1C", "C[C@@H]1CCO[C@H]1C"])
    assert left == right


def test_groups_are_numbered_from_zero_without_gaps():
    groups = scaffold_groups(["c1ccccc1", "C", "C1CCCC1", "CC"])
    assert sorted(set(groups.tolist())) == [0, 1, 2]
    assert scaffold_groups([]).tolist() == []


@pytest.mark.parametrize("smiles", ["nonsense", "C1CC", None])
def test_what_is_no_molecule_is_named(smiles):
    with pytest.raises(TabsynError, match=r"row 1: .*correct or remove"):
        scaffold_groups(["C", smiles])
