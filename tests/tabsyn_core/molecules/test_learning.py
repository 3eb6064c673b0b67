import polars as pl
import pytest

from tabsyn_core.errors import TabsynError
from tabsyn_core.molecules import Realizer, RealizerConfig
from tabsyn_core.molecules.learning import learn
from tabsyn_core.progress import silent

CONFIG = RealizerConfig(workers=1, proposals=1)


def learnt(smiles, rows=None):
    return learn(CONFIG, smiles, pl.DataFrame({"MolWt": [1.0] * (rows or len(smiles))}), 0, silent)


@pytest.mark.parametrize("gap", [None, ""])
def test_a_row_without_smiles_is_named(gap):
    with pytest.raises(TabsynError, match="row 1 has no SMILES"):
        learnt(["CCO", gap, "CCN"])


def test_what_is_no_molecule_is_named():
    with pytest.raises(TabsynError, match=r"row 2: 'C1CC' is no molecule \(not a SMILES"):
        learnt(["CCO", "CCN", "C1CC"])


def test_smiles_and_rows_must_be_as_many():
    with pytest.raises(TabsynError, match="2 SMILES for 3 rows"):
        learnt(["CCO", "CCN"], rows=3)


def test_too_few_molecules_to_cut_are_counted():
    rigid = ["c1ccccc1", "C1CCCC1", "c1ccc2ccccc2c1"] * 40
    with pytest.raises(TabsynError, match="only 49 of 169 training molecules have a bond to cut, 50 are needed"):
        learnt([*rigid, *(f"c1ccccc1{'C' * k}" for k in range(1, 50))])


def test_one_scaffold_is_refused():
    with pytest.raises(TabsynError, match="share one scaffold"):
        learnt([f"c1ccccc1{'C' * k}" for k in range(1, 60)])


def test_a_table_without_descriptors_has_no_molecules(training):
    table = training.table.select("logS", "solubility_class", "again")
    with pytest.raises(TabsynError, match="no RDKit descriptors"):
        Realizer(CONFIG).fit(training.smiles, table, training.generator)


def test_limits_that_no_proposal_keeps_are_said_at_fitting(training):
    config = RealizerConfig(workers=1, proposals=2, max_similarity=0.05, min_steps=1, max_steps=1)
    with pytest.raises(TabsynError, match=r"proposals are new molecules within .* raise realize\.max_similarity"):
        learn(config, training.smiles[:70], training.table[:70], 0, silent)
