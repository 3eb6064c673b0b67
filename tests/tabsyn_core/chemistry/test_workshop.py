from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rdkit import Chem

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, compute_descriptors
from tabsyn_core.chemistry.filters import Oddity, Usual, oddities
from tabsyn_core.chemistry.proposals import Proposer
from tabsyn_core.chemistry.similarity import Neighbours
from tabsyn_core.chemistry.standardize import Standardization, standardize
from tabsyn_core.chemistry.workshop import ABOUT, SKELETON, Workshop, crew, further, tasks

SMILES = tuple(
    Chem.CanonSmiles(f"{left}{middle}{right}")
    for left in ("CCOc1ccc(", "CC(C)Nc1ccc(", "FC(F)(F)c1ccc(", "COC(=O)c1ccc(")
    for middle in ("C(=O)N", "CCN", "NC(=O)C", "OCC")
    for right in ("C2CCNCC2)cc1", "Cc2ccccn2)cc1", "CC(N)=O)cc1", "CCO)cc1")
)


def workshop(rng, **limits):
    parts = {
        "proposer": Proposer.of(SMILES, rng),
        "neighbours": Neighbours(SMILES),
        "usual": Usual.of(oddities(SMILES, workers=1)),
        "known": tuple(molecule.inchikey[:SKELETON] for molecule in standardize(SMILES, workers=1)),
        "max_similarity": 1.0,
        "options": Standardization(),
    }
    return Workshop(**{**parts, **limits})


@pytest.fixture(scope="module")
def shop():
    return workshop(np.random.default_rng(0))


def work(shop, number=100):
    return tasks((7,), [shop.proposer.start(place % 64) for place in range(number)], (2, 4))


@pytest.fixture(scope="module")
def made(shop):
    return pl.concat(map(shop.make, work(shop)))


def test_a_candidate_has_its_descriptors_and_what_is_known_of_it(made):
    assert made.columns == [*ABOUT, *DESCRIPTOR_NAMES]
    again = compute_descriptors(made["smiles"].to_list(), workers=1)[0]
    assert made.select(DESCRIPTOR_NAMES).equals(again)
    assert made.height > 30


def test_candidates_are_standardised_new_and_usual(made, shop):
    molecules = standardize(made["smiles"].to_list(), workers=1)
    assert [molecule.smiles for molecule in molecules] == made["smiles"].to_list()
    assert [molecule.inchikey for molecule in molecules] == made["inchikey"].to_list()
    assert not {molecule.inchikey[:SKELETON] for molecule in molecules} & set(shop.known)
    assert all(shop.usual.allows(Oddity.of(Chem.MolFromSmiles(smiles))) for smiles in made["smiles"])


def test_a_candidate_names_its_start_and_its_parents(made):
    for origin, parents in made.select("origin", "parents").iter_rows():
        assert parents[0] == origin % 64
    assert made["origin"].is_sorted()


def test_a_task_has_no_molecule_twice(shop):
    same = tasks((1,), [shop.proposer.start(0)] * 32, (1, 1))
    keys = shop.make(same[0])["inchikey"].str.head(SKELETON)
    assert keys.n_unique() == len(keys)


def test_candidates_do_not_depend_on_the_number_of_processes(shop, made):
    with crew(shop, 2) as make:
        assert pl.concat(make(work(shop))).equals(made)


def test_what_is_too_similar_is_left_out(shop, made):
    limited = replace(shop, max_similarity=0.6)
    kept = pl.concat(map(limited.make, work(limited)))
    assert kept["similarity"].max() <= 0.6 < made["similarity"].max()


def test_the_next_round_is_as_large_as_the_last_ones_yield_asks_for():
    assert further(256, 0, 0, 256) == 256
    assert further(100, 156, 256, 256) == 192  # 1.1 times 164, in tasks of 32
    assert further(1, 200, 256, 256) == 32
    assert further(250, 6, 256, 256) == 256  # never more than at first
