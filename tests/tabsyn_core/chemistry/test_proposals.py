import csv
import random
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, rdBase

from tabsyn_core.chemistry.fragments import cut_bonds
from tabsyn_core.chemistry.proposals import Proposer

TABLE = Path(__file__).parents[3] / "data/raw/solubility.csv"


@pytest.fixture(scope="module")
def proposer():
    with TABLE.open(encoding="utf-8") as lines:
        texts = random.Random(0).sample([row["smiles"] for row in csv.DictReader(lines)], 400)
    molecules = [Chem.MolFromSmiles(text) for text in texts]
    flexible = [molecule for molecule in molecules if len(cut_bonds(molecule)) > 4 and molecule.GetNumHeavyAtoms() > 12]
    return Proposer.of([Chem.MolToSmiles(molecule) for molecule in flexible[:96]], np.random.default_rng(0))


@pytest.fixture(scope="module")
def walked(proposer):
    """Walks by their seed."""
    with rdBase.BlockLogs():
        walks = {seed: proposer.walk(proposer.start(seed % 96), 4, np.random.default_rng(seed)) for seed in range(192)}
    return {seed: walk for seed, walk in walks.items() if walk}


def test_nearly_every_molecule_proposes_a_molecule(walked):
    assert len(walked) > 185
    assert all(Chem.MolFromSmiles(walk.smiles) is not None for walk in walked.values())


def test_most_are_new_and_several_molecules_gave_to_each(walked, proposer):
    new = [walk for walk in walked.values() if Chem.CanonSmiles(walk.smiles) not in proposer.smiles]
    assert len(new) > 150
    assert np.mean([len(walk.parents) for walk in walked.values()]) > 3
    assert all(len(set(walk.parents)) == len(walk.parents) for walk in walked.values())


def test_a_walk_begins_at_its_first_parent(walked):
    assert all(walk.parents[0] == seed % 96 for seed, walk in walked.items())


def test_walks_do_not_drift_in_what_adds_up_over_pieces(walked, proposer):
    def means(texts):
        molecules = [Chem.MolFromSmiles(text) for text in texts]
        counts = [
            (m.GetNumHeavyAtoms(), sum(a.GetAtomicNum() in (7, 8) for a in m.GetAtoms()), m.GetRingInfo().NumRings())
            for m in molecules
        ]
        return np.mean(counts, axis=0), np.std(counts, axis=0)

    mean, spread = means(proposer.smiles)
    assert (np.abs(means([walk.smiles for walk in walked.values()])[0] - mean) < 0.35 * spread + 0.05).all()


def test_the_same_seed_is_the_same_walk(proposer, walked):
    with rdBase.BlockLogs():
        assert proposer.walk(proposer.start(7), 4, np.random.default_rng(7)) == walked[7]


def test_a_molecule_that_nothing_can_be_done_to_proposes_nothing():
    proposer = Proposer.of(["[Na+].[Cl-]"], np.random.default_rng(0))
    assert proposer.walk(proposer.start(0), 3, np.random.default_rng(0)) is None


def test_a_walk_goes_on_from_where_it_was(proposer, walked):
    start = walked[1]
    with rdBase.BlockLogs():
        further = proposer.walk(start, 1, np.random.default_rng(1))
    assert further.parents[: len(start.parents)] == start.parents
