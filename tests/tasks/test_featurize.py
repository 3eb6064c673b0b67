import polars as pl
import pytest

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES
from tabsyn_core.errors import TabsynError
from tasks.featurize import featurize
from tests.tasks.ingestion import run_text


def test_descriptors_stand_between_identifiers_and_targets(tmp_path):
    text = "smiles,y,c\nCCO,1.5,x\nCC[Hg]C,,\n"
    ingested = run_text(text, tmp_path, keep=[{"name": "c", "kind": "categorical"}])
    out = tmp_path / "out"
    reasons = featurize(
        out / "molecules.parquet", descriptors=out / "d.parquet", missing_reasons=out / "m.parquet", workers=1
    )
    table = pl.read_parquet(out / "d.parquet")
    assert table.columns == ["smiles", "inchikey", *DESCRIPTOR_NAMES, "y", "c"]
    assert table["inchikey"].equals(ingested.molecules["inchikey"])
    assert table.select("HeavyAtomCount", "y", "c").rows() == [(3, 1.5, "x"), (4, None, None)]
    assert pl.read_parquet(out / "m.parquet").equals(reasons)
    assert reasons["column"].n_unique() == 12
    assert set(reasons["smiles"]) == {ingested.molecules["smiles"][1]}


def test_a_table_that_ingest_did_not_write(tmp_path):
    other = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(other)
    with pytest.raises(TabsynError, match="lacks the columns"):
        featurize(other, descriptors=tmp_path / "d", missing_reasons=tmp_path / "m")
    with pytest.raises(TabsynError, match="does not exist"):
        featurize(tmp_path / "none.parquet", descriptors=tmp_path / "d", missing_reasons=tmp_path / "m")
