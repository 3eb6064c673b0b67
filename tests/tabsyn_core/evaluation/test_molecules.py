"""Molecules with known answers: copies, strangers, pieces of one training molecule, and what cannot be read."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import Descriptors
from rdkit.DataStructs import TanimotoSimilarity
from scipy.stats import wasserstein_distance

from tabsyn_core.chemistry.similarity import fingerprint
from tabsyn_core.evaluation import judge
from tabsyn_core.evaluation.molecules import MEASURES, molecule_measures
from tabsyn_core.evaluation.structures import PROPERTIES, Structures, parts_of

BIPHENYL, TOLUENE, ETHANOL = "c1ccc(-c2ccccc2)cc1", "Cc1ccccc1", "CCO"
STEROID = "C1CCC2C(C1)CCC1C2CCC2CCCC21"
REAL = [BIPHENYL, TOLUENE, ETHANOL, "CC(=O)Oc1ccccc1C(=O)O", "c1ccc2ccccc2c1", "CCCCN", "OC1CCCCC1", "c1ccncc1CC"]


def values(train, holdout, synthetic, **how):
    found = molecule_measures(train, holdout, synthetic, **how)
    assert tuple(found.figures) == tuple(found.floor) == MEASURES
    return {name: figure.value for name, figure in found.figures.items()}


def test_copies_of_the_training_molecules_are_valid_like_them_and_not_new():
    found = values(REAL, REAL[:4], REAL)
    assert {name: found[name] for name in ("validity", "uniqueness", "snn")} == {
        "validity": 1, "uniqueness": 1, "snn": 1,
    }  # fmt: skip
    assert found["novelty"] == 0
    for name in ("scaffold_similarity", "fragment_similarity"):
        same = molecule_measures(REAL, REAL, REAL).figures[name]
        assert same.value == pytest.approx(1)
    assert all(found[f"wasserstein_{name.replace(' ', '_')}"] < 0.6 for name in PROPERTIES)


def test_the_floor_is_the_figure_of_the_held_out_molecules_in_their_place():
    first, second = molecule_measures(REAL, REAL[:4], REAL[4:]), molecule_measures(REAL, REAL[4:], REAL[:4])
    for name in ("validity", "uniqueness", "novelty", "snn", "internal_diversity", "fragment_similarity"):
        assert first.floor[name] == second.figures[name]
        assert first.figures[name] == second.floor[name]


def test_shares_count_what_they_say():
    given = [ETHANOL, "OCC", "C(", None, "", "CCS", "C[C@H](F)Cl", "C[C@@H](F)Cl"]
    found = values(REAL, REAL, given)
    assert found["validity"] == 5 / 8
    assert found["uniqueness"] == 3 / 5  # ethanol is written twice, and enantiomers are one molecule
    assert found["novelty"] == 3 / 5


def test_similarity_and_diversity_are_means_of_tanimoto_similarities():
    prints = {text: fingerprint(Chem.MolFromSmiles(text)) for text in (BIPHENYL, TOLUENE, STEROID, "Cc1ccccc1C")}
    found = molecule_measures([BIPHENYL, TOLUENE], [BIPHENYL], [STEROID, "Cc1ccccc1C"])
    near = [max(TanimotoSimilarity(prints[text], prints[real]) for real in (BIPHENYL, TOLUENE)) for text in (STEROID, "Cc1ccccc1C")]  # fmt: skip  # noqa: E501
    assert found.figures["snn"].value == pytest.approx(np.mean(near))
    assert found.figures["internal_diversity"].value == pytest.approx(
        1 - TanimotoSimilarity(prints[STEROID], prints["Cc1ccccc1C"])
    )
    assert found.nearest.columns == ["row", "smiles", "neighbour", "neighbour_smiles", "similarity"]
    assert found.nearest["row"].to_list() == [1, 0]
    assert found.nearest["neighbour_smiles"][0] == TOLUENE
    assert found.nearest["similarity"].to_list() == pytest.approx(sorted(near, reverse=True))


def test_cosines_are_those_of_counts():
    naphthyl = "c1ccc2ccccc2c1"
    found = values([BIPHENYL, "Cc1ccc(-c2ccccc2)cc1", naphthyl], [BIPHENYL], [BIPHENYL])
    assert found["scaffold_similarity"] == pytest.approx(2 / np.sqrt(5))  # counts 2 and 1 against 1 and 0
    assert values([TOLUENE], [TOLUENE], [TOLUENE])["scaffold_similarity"] is None  # one ring is no such scaffold
    anisole, phenetole = "COc1ccccc1", "CCOc1ccccc1"
    parts = [Counter(parts_of(text).fragments) for text in (anisole, phenetole)]
    product = sum(count * parts[1][name] for name, count in parts[0].items())
    lengths = [np.sqrt(sum(count**2 for count in each.values())) for each in parts]
    expected = product / np.prod(lengths)
    assert 0 < expected < 1
    assert values([anisole], [anisole], [phenetole])["fragment_similarity"] == pytest.approx(expected)


def test_a_piece_of_one_training_molecule_is_a_leak_and_of_two_it_is_not():
    def leaks(train, synthetic):
        found = values(train, [ETHANOL], synthetic)
        return found["scaffold_leakage"], found["substructure_leakage"]

    amide, ester = "CNC(=O)CCc1ccc2[nH]ccc2c1", "CCOCCc1ccc2[nH]ccc2c1"  # 9 heavy atoms of indole on an ethylene
    assert leaks([amide, ETHANOL], [ester]) == (1, 1)
    assert leaks([amide, "FCCc1ccc2[nH]ccc2c1"], [ester]) == (0, 0)
    assert leaks([amide, ETHANOL], [TOLUENE]) == (0, 0)
    assert leaks([amide, amide], [ester]) == (1, 1)  # a molecule that is there twice is one molecule
    small = ["CNC(=O)Cc1ccccc1", "CCOCc1ccccc1"]  # benzyl has 7 heavy atoms
    assert leaks(small[:1], small[1:]) == (1, 0)


def test_property_distances_are_wasserstein_distances_in_training_deviations():
    weights = [np.array([Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in part]) for part in (REAL, REAL[:4])]
    expected = wasserstein_distance(weights[0], weights[1]) / weights[0].std()
    assert values(REAL, REAL[:4], REAL[:4])["wasserstein_MolWt"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("train", "holdout", "synthetic", "why"),
    [
        (["C("], REAL, REAL, "no SMILES of the training rows is a molecule"),
        (REAL, REAL, [None, "C("], "no SMILES of the synthetic rows is a molecule"),
        (REAL, REAL, [], "the synthetic table has no row"),
    ],
)
def test_what_cannot_be_measured_says_why(train, holdout, synthetic, why):
    found = molecule_measures(train, holdout, synthetic)
    assert found.figures["snn"].value is None
    assert found.figures["snn"].why == why
    assert found.nearest.is_empty()


def test_a_hold_out_without_molecules_leaves_figures_without_a_floor():
    found = molecule_measures(REAL, [None], REAL[:3])
    assert found.figures["snn"].value == 1
    assert found.floor["snn"].why == "no SMILES of the held-out rows is a molecule"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*REAL, "C(", None, STEROID]), max_size=8))
def test_shares_and_similarities_lie_between_0_and_1(synthetic):
    found = values(REAL[:5], REAL[5:], synthetic)
    assert all(0 <= found[name] <= 1 + 1e-12 for name in MEASURES[:9] if found[name] is not None)


def test_every_bond_is_cut_on_both_sides_and_small_pieces_are_left_out():
    assert parts_of("CCCCCCCCCCCC").pieces == {"C" * length + "[*:1]" for length in (8, 9, 10, 11)}
    assert parts_of(BIPHENYL).pieces == frozenset()  # two times six heavy atoms
    assert Structures.read(["[*]CC", "CC"], 1).keys[0] != Structures.read(["CC"], 1).keys[0]


@pytest.fixture(scope="module")
def judged(molecules):
    """Real molecules in place of synthetic ones, and training molecules as they are."""
    train, holdout, fake = molecules[:120], molecules[120:180], molecules[180:240]
    chosen = ["smiles", "MolWt", "TPSA", "MolLogP", "logS", "solubility_class"]
    tables = [table.select(chosen) for table in (train, holdout, fake)]
    tables[2] = tables[2].with_columns(acceptance_weight=pl.lit(1.0))
    how = {"targets": ["logS", "solubility_class"], "folds": 2, "thorough": False}
    return {"new": judge(*tables, **how), "copied": judge(tables[0], tables[1], tables[0][:60], **how)}


def test_rows_with_smiles_get_a_section_and_flat_metrics(judged):
    report, metrics = judged["new"].report, judged["new"].metrics()
    assert len(report.columns) == 5  # neither smiles nor acceptance_weight is judged as a column
    assert metrics["molecules"].keys() == metrics["floor"]["molecules"].keys() == set(MEASURES)
    assert metrics["molecules"]["validity"] == 1
    assert [each.name.partition(":")[0] for each in report.molecules.figures[:3]] == [
        "Validity",
        "Uniqueness",
        "Novelty",
    ]
    assert len(report.molecules.drawn) == 12
    first = report.molecules.drawn[0]
    assert "<svg" in first.svg
    assert [each.name for each in first.values] == ["logS", "solubility_class", "MolWt", "MolLogP", "TPSA"]
    similarities = [each.similarity for each in report.molecules.drawn]
    assert similarities == sorted(similarities, reverse=True)
    assert len(report.molecules.properties) == len(report.molecules.distances) == len(PROPERTIES)


def test_real_molecules_leave_the_lights_as_they_are_and_copies_turn_privacy_red(judged):
    def light(name, dimension):
        return next(line for line in judged[name].report.verdict if line.dimension == dimension)

    assert light("new", "privacy").light == light("new", "chemistry").light == "green"
    copied = light("copied", "privacy")
    assert copied.light == "red"
    shown = {each.name: each for each in copied.figures}
    assert shown["Molecules of the training table"].synthetic == 1
    assert shown["Similarity to the nearest training molecule"].synthetic == 1


def test_rows_without_molecules_turn_chemistry_red_and_a_table_without_smiles_is_named(molecules):
    tables = [
        table.select("smiles", "MolWt", "TPSA") for table in (molecules[:100], molecules[100:160], molecules[160:220])
    ]
    broken = judge(tables[0], tables[1], tables[2].with_columns(smiles=pl.lit("C(")), folds=2, thorough=False)
    assert {line.dimension: line.light for line in broken.report.verdict}["chemistry"] == "red"
    assert broken.report.molecules.drawn == ()
    partly = judge(tables[0], tables[1].drop("smiles"), tables[2], folds=2, thorough=False)
    assert partly.report.molecules is None
    assert partly.report.absent["molecules"].endswith("the held-out table has no column 'smiles'.")
    assert "molecules" not in partly.metrics()
