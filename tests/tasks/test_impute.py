import polars as pl
import pytest
from small_project import molecule_table, tiny_generator

from tabsyn_core.errors import TabsynError
from tasks.impute import impute_rows


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("impute") / "generator"
    tiny_generator(molecule_table().drop("smiles", "inchikey")).save(folder)
    return folder


def with_gaps():
    return molecule_table().head(8).drop("solubility_class").with_columns(logS=pl.lit(None, pl.Float64))


def written(table, path):
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_each_file_is_one_completion_with_the_identifiers_in_front(generator, tmp_path, name):
    gaps = with_gaps()
    given = written(gaps, tmp_path / name)
    files = impute_rows(generator, given, tmp_path / "out", draws=3, num_steps=2)
    assert [file.name for file in files] == [f"rows-{number}{given.suffix}" for number in (1, 2, 3)]
    tables = [pl.read_csv(file) if file.suffix == ".csv" else pl.read_parquet(file) for file in files]
    for table in tables:
        assert table.columns == molecule_table().columns
        assert table["smiles"].to_list() == gaps["smiles"].to_list()
        assert table["MolWt"].to_list() == pytest.approx(gaps["MolWt"].to_list(), rel=1e-12)
        assert table.select("logS", "solubility_class").null_count().row(0) == (0, 0)
    assert not tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("rows.xlsx", {}, "should end in .parquet or .csv"),
        ("rows.csv", {"assay": pl.lit(1)}, r"rows\.csv: columns \['assay'\] are not in the table"),
        ("rows.csv", {"NumHDonors": pl.lit(1.5)}, r"rows\.csv, row 1: 1\.5 in column 'NumHDonors' is not Int64"),
        ("rows.csv", {"MolWt": pl.lit("heavy")}, r"rows\.csv, row 1: 'heavy' in column 'MolWt' is not Float64"),
    ],
)
def test_what_cannot_be_filled_in_is_named(generator, tmp_path, name, change, told):
    with_gaps().with_columns(**change).write_csv(tmp_path / name)
    with pytest.raises(TabsynError, match=told):
        impute_rows(generator, tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_file_no_rows_and_no_table_are_told_apart(generator, tmp_path):
    written(with_gaps().clear(), tmp_path / "empty.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    for name, told in (
        ("absent.csv", "does not exist"),
        ("empty.parquet", "no rows"),
        ("text.parquet", "cannot be read"),
    ):
        with pytest.raises(TabsynError, match=told):
            impute_rows(generator, tmp_path / name, tmp_path / "out")
