import pytest
from rdkit import Chem

from tabsyn_core.chemistry.filters import Oddity, Usual, oddities

ORDINARY = ["CCO", "c1ccccc1C(=O)NC", "C1CCCC1CN", "Clc1ccccc1OC"]


@pytest.fixture(scope="module")
def usual():
    return Usual.of(oddities(ORDINARY, workers=1))


def allowed(usual, smiles):
    return usual.allows(Oddity.of(Chem.MolFromSmiles(smiles)))


def test_training_molecules_are_usual(usual):
    assert all(allowed(usual, smiles) for smiles in ORDINARY)


@pytest.mark.parametrize(
    ("smiles", "oddity"),
    [
        ("CCBr", "an element"),
        ("CC[NH3+]", "a charge"),
        ("C1CC1CN", "a ring of three"),
        ("CC=O", "an aldehyde, which Brenk alerts to"),
        ("C[C@]12CC[C@H]3[C@@H](CCC4CC(O)CC[C@]34C)[C@@H]1CC[C@@H]2O", "too hard to make"),
    ],
)
def test_what_no_training_molecule_has_is_not_allowed(usual, smiles, oddity):
    assert not allowed(usual, smiles), oddity


def test_a_round_trip_through_json_changes_nothing(usual):
    assert Usual.from_json(usual.to_json()) == usual


def test_a_table_without_rings_allows_none():
    assert not allowed(Usual.of(oddities(["CCO", "CCN"], workers=1)), "C1CCCC1")
