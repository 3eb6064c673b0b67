import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rdkit import Chem

from tabsyn_core.chemistry.descriptors import compute_descriptors
from tabsyn_core.chemistry.similarity import nearest_similarity
from tabsyn_core.chemistry.standardize import standardize
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator
from tabsyn_core.molecules import Realizer, RealizerConfig, blocks


@pytest.fixture(scope="module")
def drawn(realizer_of):
    """130 rows, so three blocks of which the last is cut."""
    return realizer_of().sample(130, seed=3)


@pytest.fixture(scope="module")
def choosy(realizer_of):
    """A realizer that chooses by the density ratio, and searches on."""
    return realizer_of(proposals=2, local_search=1)


@pytest.fixture(scope="module")
def chosen(choosy):
    return choosy.sample(64, seed=1)


@pytest.fixture(scope="module")
def saved(choosy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "realizer"
    choosy.save(folder)
    return folder


def keys(smiles):
    return [molecule.inchikey[:14] for molecule in standardize(smiles, workers=1)]


def test_rows_are_the_columns_of_the_table_beside_their_molecules(drawn, training):
    assert drawn.rows.columns == ["smiles", *training.table.columns, "acceptance_weight"]
    assert drawn.rows.select(training.table.columns).schema == training.table.schema
    assert drawn.rows.height == drawn.provenance.height == 130


def test_descriptors_are_those_of_the_molecule_bit_for_bit(drawn, training):
    again = compute_descriptors(drawn.rows["smiles"].to_list(), workers=1)[0]
    names = [name for name in training.table.columns if name in again.columns]
    assert drawn.rows.select(names).equals(again.select(names))


def test_every_molecule_is_valid_standardised_new_and_no_other_rows(drawn, training):
    smiles = drawn.rows["smiles"].to_list()
    assert [molecule.smiles for molecule in standardize(smiles, workers=1)] == smiles
    assert len(set(keys(smiles))) == 130
    assert not set(keys(smiles)) & set(keys(training.smiles))


def test_what_never_varies_in_training_does_not_vary(drawn):
    assert drawn.rows["NumRadicalElectrons"].to_list() == [0] * 130


def test_matched_endpoints_are_those_of_a_training_row_that_is_no_parent(drawn, training):
    rows = drawn.rows.select("logS", "solubility_class", "again")
    measured = [*training.table.select(rows.columns).iter_rows()]
    for row, parents in zip(rows.iter_rows(), drawn.provenance["parents"], strict=True):
        donors = [place for place, each in enumerate(measured) if each == row]
        assert set(donors) - set(parents)


def test_imputed_endpoints_have_the_gaps_of_the_row_at_which_the_walk_began(realizer_of, drawn, training):
    found = realizer_of(endpoints="imputed").sample(64, seed=3)
    assert found.rows["smiles"].equals(drawn.rows["smiles"].head(64))
    assert set(found.rows["solubility_class"]) <= set(training.table["solubility_class"])
    assert found.rows["logS"].null_count() == 0
    starts = found.provenance["parents"].list.first().to_numpy()
    assert found.rows["again"].is_null().to_list() == [bool(row % 3) for row in starts]


def test_provenance_says_whose_pieces_a_molecule_has_and_which_is_nearest(drawn, training):
    provenance = drawn.provenance
    assert provenance["smiles"].equals(drawn.rows["smiles"])
    assert [key[:14] for key in provenance["inchikey"]] == keys(drawn.rows["smiles"].to_list())
    assert provenance["parents"].list.len().min() >= 1
    assert provenance["parents"].list.len().mean() > 2
    assert provenance["parents"].list.explode().is_between(0, len(training.smiles) - 1).all()
    similarity = nearest_similarity(provenance["smiles"].to_list(), training.smiles)
    assert np.array_equal(provenance["similarity"].to_numpy(), similarity)
    assert not {"parents", "nearest", "inchikey"} & set(drawn.rows.columns)


def test_a_row_depends_on_the_seed_alone(drawn, realizer_of):
    realizer = realizer_of()
    assert realizer.sample(70, seed=3).rows.equals(drawn.rows.head(70))
    chunks = [*realizer.sample_chunks(130, seed=3, chunk_size=64)]
    assert [chunk.rows.height for chunk in chunks] == [64, 64, 2]
    assert pl.concat(chunk.rows for chunk in chunks).equals(drawn.rows)
    assert pl.concat(chunk.provenance for chunk in chunks).equals(drawn.provenance)
    other = realizer.sample(64, seed=4).rows
    assert len(set(other["smiles"]) & set(drawn.rows["smiles"])) < 20


def test_several_processes_draw_the_rows_of_one(chosen, saved):
    realizer = Realizer.load(saved)
    realizer.config = replace(realizer.config, workers=2)
    assert realizer.sample(64, seed=1).rows.equals(chosen.rows)


def test_a_chunk_comes_as_soon_as_it_is_drawn(realizer_of):
    told = []
    chunks = realizer_of().sample_chunks(1_000_000, seed=3, chunk_size=10, progress=told.append)
    assert next(chunks).rows.height == 64
    assert [(each.done, each.total) for each in told] == [(64, 1_000_000)]


def test_a_saved_realizer_draws_the_same_rows(choosy, chosen, saved):
    again = Realizer.load(saved)
    assert again.config == choosy.config
    assert again.sample(64, seed=1).rows.equals(chosen.rows)


@pytest.mark.parametrize("name", ["realizer.json", "pieces.parquet", "molecules.parquet"])
def test_a_damaged_folder_is_refused(realizer_of, tmp_path, name):
    realizer_of().save(tmp_path / "realizer")
    (tmp_path / "realizer" / name).write_text("{}", encoding="utf-8")
    with pytest.raises(TabsynError):
        Realizer.load(tmp_path / "realizer")


def test_a_later_format_is_refused(realizer_of, tmp_path):
    realizer_of().save(tmp_path / "realizer")
    about = tmp_path / "realizer/realizer.json"
    about.write_text(about.read_text(encoding="utf-8").replace('"format_version": 2', '"format_version": 9'))
    with pytest.raises(TabsynError, match="format 9"):
        Realizer.load(tmp_path / "realizer")


def test_without_a_choice_weights_are_one_and_with_one_they_are_ratios(drawn, chosen):
    assert drawn.rows["acceptance_weight"].to_list() == [1.0] * 130
    weights = chosen.rows["acceptance_weight"]
    assert weights.min() > 0
    assert weights.n_unique() > 32


def test_apart_keeps_the_nearest_training_row_from_being_a_parent(realizer_of, training):
    out = realizer_of(apart=True).sample(64, seed=1)
    names = training.table.columns[:12]
    known = training.table.select(names).to_numpy().astype(float)
    ordered = np.sort(known, axis=0)

    def ranks(values):
        below, up_to = (
            [np.searchsorted(ordered[:, j], values[:, j], side) for j in range(len(names))]
            for side in ("left", "right")
        )
        return np.add(below, up_to).T / (2 * len(known))

    distance = np.linalg.norm(ranks(out.rows.select(names).to_numpy().astype(float))[:, None] - ranks(known), axis=2)
    for row, parents in zip(distance, out.provenance["parents"], strict=True):
        assert row.min() < row[parents.to_list()].min()


def test_local_search_moves_some_rows_and_keeps_them_new(chosen, saved, training):
    found = keys(chosen.rows["smiles"].to_list())
    assert len(set(found)) == 64
    assert not set(found) & set(keys(training.smiles))
    realizer = Realizer.load(saved)
    realizer.config = replace(realizer.config, local_search=0)
    before = realizer.sample(64, seed=1).rows
    moved = (before["smiles"] != chosen.rows["smiles"]).sum()
    assert 5 < moved < 64


@pytest.mark.parametrize(
    "where",
    [
        {"MolWt": [120, 260]},
        {"RingCount": {0, 1}, "TPSA": [None, 60]},
        {"logS": [-3.5, -1.5]},
        {"solubility_class": "(C) high", "NumHDonors": 1},
        {"again": None},
    ],
)
def test_conditions_are_met_by_every_row(realizer_of, where):
    rows = realizer_of().sample(64, seed=1, where=where).rows
    tests = {
        "MolWt": lambda column: column.is_between(120, 260),
        "RingCount": lambda column: column.is_in([0, 1]),
        "TPSA": lambda column: column <= 60,
        "logS": lambda column: column.is_between(-3.5, -1.5),
        "solubility_class": lambda column: column == "(C) high",
        "NumHDonors": lambda column: column == 1,
        "again": lambda column: column.is_null(),
    }
    assert all(tests[name](rows[name]).all() for name in where)
    again = compute_descriptors(rows["smiles"].to_list(), workers=1)[0]
    assert rows["MolWt"].equals(again["MolWt"])


def test_conditions_no_molecule_meets_end_with_how_near_it_came(realizer_of, training):
    weights = training.table["MolWt"]
    heavy = weights.max() + 2 * weights.std()
    said = r"^only 0 of 256 proposals .* MolWt in .*, 64 are needed; the nearest of the others has MolWt \d+"
    with pytest.raises(TabsynError, match=said):
        realizer_of(effort=4).sample(10, seed=0, where={"MolWt": [heavy, heavy + 0.001]})


def test_conditions_far_beyond_all_molecules_are_refused_at_once(realizer_of):
    with pytest.raises(TabsynError, match=r"^no training row comes near MolWt in \[5000, 6000\]: the nearest has M"):
        realizer_of().sample(10, seed=0, where={"MolWt": [5000, 6000]})


def test_a_search_that_comes_no_nearer_ends_long_before_all_effort(realizer_of, monkeypatch):
    monkeypatch.setattr(blocks, "_STANDSTILL", 128)
    with pytest.raises(TabsynError, match=r"^only 0 of (\d+) proposals") as raised:
        realizer_of(effort=2000).sample(10, seed=0, where={"TPSA": [0.001, 0.002]})
    assert int(str(raised.value).split()[3]) < 2000


def test_of_rows_that_miss_the_conditions_the_nearest_is_told(realizer_of):
    with pytest.raises(TabsynError, match=r"^only [1-9]\d* of ") as raised:
        realizer_of(effort=2).sample(64, seed=0, where={"MolWt": [150, 155]})
    (nearest,) = re.findall(r"the nearest of the others has MolWt ([\d.]+)\. ", str(raised.value))
    assert not 150 <= float(nearest) <= 155


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"MolWeight": [1, 2]}, "did you mean 'MolWt'"),
        ({"MolWt": [3, 2]}, "is empty"),
        ({"solubility_class": "fair"}, r"its levels are \['\(A\) low'"),
    ],
)
def test_conditions_that_are_none_are_refused_at_once(realizer_of, where, said):
    with pytest.raises(TabsynError, match=said):
        realizer_of().sample(10, where=where)


def test_too_few_new_molecules_say_so_and_what_to_do(realizer_of):
    said = r"of 256 proposals for rows 0 to 64 are new molecules .* realize\.max_similarity"
    with pytest.raises(TabsynError, match=said):
        realizer_of(max_similarity=0.15, effort=4).sample(64)


def test_no_row_is_more_similar_to_a_training_molecule_than_allowed(realizer_of, training):
    rows = realizer_of(max_similarity=0.5).sample(64, seed=0).rows
    assert nearest_similarity(rows["smiles"].to_list(), training.smiles).max() <= 0.5


def test_descriptors_may_be_shared_without_the_molecules(realizer_of, drawn):
    out = realizer_of(share="descriptors-only").sample(64, seed=3)
    assert "smiles" not in out.rows.columns
    assert out.rows.equals(drawn.rows.drop("smiles").head(64))
    assert "smiles" in out.provenance.columns


def test_known_molecules_are_not_drawn_again_nor_their_stereoisomers(realizer_of, drawn):
    known = drawn.provenance["inchikey"].to_list()
    rows = realizer_of().sample(64, seed=3, known=known).rows
    assert not set(keys(rows["smiles"].to_list())) & {key[:14] for key in known}


def test_no_rows_still_have_their_columns(realizer_of, drawn):
    out = realizer_of().sample(0)
    assert out.rows.schema == drawn.rows.schema
    assert out.provenance.schema == drawn.provenance.schema


@pytest.mark.parametrize("argument", [{"n": -1}, {"n": 1, "seed": -1}, {"n": 1, "chunk_size": 0}])
def test_arguments_out_of_range_are_named(realizer_of, argument):
    with pytest.raises(TabsynError, match="of at least"):
        [*realizer_of().sample_chunks(**argument)]


def test_a_realizer_that_was_not_fitted_says_so():
    with pytest.raises(TabsynError, match="has not been fitted"):
        Realizer().sample(1)
    with pytest.raises(TabsynError, match="has not been fitted"):
        Realizer().save("nowhere")


def test_molecules_in_another_order_than_their_rows_are_refused(training):
    smiles = training.smiles[1:] + training.smiles[:1]
    with pytest.raises(TabsynError, match=r"are not those of its molecule .* in the order of the rows"):
        Realizer().fit(smiles, training.table, training.generator)


def test_a_few_molecules_in_the_place_of_others_are_warned_about(training):
    smiles = training.smiles[:]
    smiles[0], smiles[1] = smiles[1], smiles[0]
    with pytest.warns(UserWarning, match=r"the descriptors of row 0 .* 1 of 20 rows that were looked at"):
        Realizer(RealizerConfig(proposals=1, workers=1)).fit(smiles, training.table, training.generator)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"smiles": [float("nan")] * 180}, "row 0 has no SMILES"),
        ({"table": {"MolWt": [1.0]}}, "the table is a builtins.dict, not a polars DataFrame"),
        ({"generator": None}, "the generator is None; give a Generator"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_arguments_of_another_kind_are_refused(training, changes, said):
    arguments = {"smiles": training.smiles, "table": training.table, "generator": training.generator} | changes
    with pytest.raises(TabsynError, match=said):
        Realizer().fit(**arguments)


def test_the_folder_of_a_generator_is_told_from_a_realizers(training, tmp_path):
    training.generator.save(tmp_path / "generator")
    with pytest.raises(TabsynError, match=r"but a generator: load it with Generator\.load"):
        Realizer.load(tmp_path / "generator")
    with pytest.raises(TabsynError, match="is no folder of a realizer but none"):
        Realizer.load(tmp_path / "nowhere")


def test_settings_of_another_kind_are_refused():
    with pytest.raises(TabsynError, match="config is 'molecules'; give a RealizerConfig"):
        Realizer("molecules")


def test_a_private_generator_is_refused(training, tmp_path):
    training.generator.save(tmp_path / "generator")
    private = Generator.load(tmp_path / "generator")
    private.privacy = object()
    with pytest.raises(TabsynError, match="guarantee does not cover"):
        Realizer().fit(training.smiles, training.table, private)


def test_a_generator_of_another_table_is_refused(training):
    with pytest.raises(TabsynError, match=r"has columns \['logS'\] that the table lacks"):
        Realizer().fit(training.smiles, training.table.drop("logS"), training.generator)
    with pytest.raises(TabsynError, match=r"it lacks the table's endpoints \['new'\]; fit it to this"):
        Realizer().fit(training.smiles, training.table.with_columns(new=1.0), training.generator)


def test_molecules_are_read_back_by_rdkit(drawn):
    assert all(Chem.MolFromSmiles(smiles) is not None for smiles in drawn.rows["smiles"])
