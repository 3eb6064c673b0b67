from collections import Counter

import numpy as np
import pytest
from rdkit import Chem, rdBase

from tabsyn_core.chemistry.elements import Elements, places

BENZENES = ["Cc1ccccc1", "Fc1ccccc1", "Clc1ccccc1", "c1ccncc1", "c1cc[nH]c1", "Oc1ccccc1"]


def changes(smiles, counts, draws=600):
    molecule = Chem.MolFromSmiles(smiles)
    among = places(molecule)
    with rdBase.BlockLogs():
        found = [counts.changed(molecule, among, np.random.default_rng(seed)) for seed in range(draws)]
    return Counter(found)


def test_only_what_stands_in_such_places_is_put_there():
    found = changes("Cc1ccccc1", Elements.of(["Cc1ccccc1", "Fc1ccccc1"]))
    assert set(found) == {None, "Fc1ccccc1", "c1ccccc1", "Cc1ccccc1C", "Cc1cccc(C)c1", "Cc1ccc(C)cc1",
                          "Cc1ccccc1F", "Cc1cccc(F)c1", "Cc1ccc(F)cc1"}  # fmt: skip


def test_an_element_is_drawn_as_often_as_it_stands_in_such_places():
    counts = Elements.of(["Cc1ccccc1"] * 5 + ["Fc1ccccc1"] * 5 + ["c1ccccc1"] * 5)
    at_ring = counts.counts["end of 6 1 3"]
    assert at_ring == {6: 5, 9: 5, 1: 5 * (5 + 5 + 6)}
    found = changes("c1ccccc1", counts, 4000)  # six of twelve places are hydrogens
    assert found["Cc1ccccc1"] / 4000 == pytest.approx(6 / 12 * 5 / 90, rel=0.25)
    found = changes("Cc1ccccc1", counts, 4000)  # one of fifteen places is the methyl
    assert found["c1ccccc1"] / 4000 == pytest.approx(1 / 15 * 80 / 90, rel=0.25)


def test_rings_change_their_elements_and_stay_aromatic():
    found = changes("c1ccccc1", Elements.of(BENZENES))
    assert found["c1ccncc1"] > 0
    assert all(Chem.MolFromSmiles(smiles) is not None for smiles in found if smiles)


def test_hydrogens_that_are_written_out_go_and_come():
    counts = Elements.of(["c1cc[nH]c1", "Cn1cccc1"])
    assert "Cn1cccc1" in changes("c1cc[nH]c1", counts)
    assert "c1cc[nH]c1" in changes("Cn1cccc1", counts)


def test_charges_radicals_and_isotopes_stay():
    counts = Elements.of(["C[N+](C)(C)C", "[13CH3]C", "C[CH2]", "CCO", "CCN", "CCF"])
    for smiles, kept in (("C[N+](C)(C)C", "[N+]"), ("[13CH3]CC", "[13C")):
        assert all(kept in found for found in changes(smiles, counts) if found)


def test_what_was_never_seen_is_left_alone():
    assert set(changes("C#C", Elements.of(["CCO"]))) == {None}


def test_a_round_trip_through_json_draws_the_same():
    counts = Elements.of(BENZENES)
    again = Elements.from_json(counts.to_json())
    assert changes("Cc1ccncc1", again) == changes("Cc1ccncc1", counts)
