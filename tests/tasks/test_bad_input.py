import gzip

import polars as pl
import pytest

from tabsyn_core.errors import TabsynError
from tasks.ingest import MISSING_TOKENS
from tests.tasks.ingestion import run, run_text

GOOD = "smiles,y\nCCO,1\nCCC,2\n"


def fails(text, folder, match, name="table.csv", **settings):
    with pytest.raises(TabsynError, match=match):
        run_text(text, folder, name, **settings)
    assert not (folder / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"smiles,y\n"])
@pytest.mark.parametrize("name", ["t.csv", "t.smi", "t.tsv"])
def test_empty_file(tmp_path, content, name):
    if name == "t.smi" and content.startswith(b"smiles"):
        content = b"smiles y\n"
    if name == "t.tsv":
        content = content.replace(b",", b"\t")
    fails(content, tmp_path, "is empty|holds no records", name)


def test_absent_file(tmp_path):
    with pytest.raises(TabsynError, match=r"nowhere\.csv does not exist; check data\.source"):
        run(tmp_path / "nowhere.csv", tmp_path)


def test_missing_column_is_answered_with_the_nearest(tmp_path):
    fails("Smiles,y\nCCO,1\n", tmp_path, r"no column 'smiles'; did you mean 'Smiles'\? Its columns: Smiles, y")
    fails("smiles,LogS\nCCO,1\n", tmp_path, "no column 'y'")
    fails(GOOD, tmp_path, r"no column 'id'\. Its columns: smiles, y", id_column="id")


def test_a_missing_smiles_column_is_answered_with_the_one_that_holds_smiles(tmp_path):
    table = "Drug_ID,Drug,class,y\nCCB1,c1ccccc1O,N,1\nH 95,CCO,C,2\n"
    fails(table, tmp_path, r"no column 'SMILES'; did you mean 'Drug'\?", smiles_column="SMILES")
    fails(table, tmp_path, r"no column 'drug_id'; did you mean 'Drug_ID'\?", smiles_column="Drug", id_column="drug_id")
    fails("a,y\nethanol,1\n", tmp_path, r"no column 'smiles'\. Its columns: a, y")


@pytest.mark.parametrize(("name", "mark", "told"), [
    ("t.csv", ";", "separated by semicolons"),
    ("t.csv", "\t", r"separated by tabs.*\.tsv"),
    ("t.tsv", ",", r"separated by commas.*\.csv"),
])  # fmt: skip
def test_another_delimiter_is_named(tmp_path, name, mark, told):
    fails(GOOD.replace(",", mark), tmp_path, told, name)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0", b"PK\x03\x04\0\0", b"PAR1\0\0PAR1", bytes(range(256))])
def test_not_a_csv(tmp_path, content):
    fails(content, tmp_path, "is not a text file")


def test_not_a_parquet_or_gzip_file(tmp_path):
    fails(GOOD, tmp_path, "is not a Parquet file", "t.parquet")
    fails(GOOD, tmp_path, "is not a whole gzip file", "t.csv.gz")
    fails(gzip.compress(GOOD.encode())[:-12], tmp_path, "is not a whole gzip file", "t.csv.gz")


def test_unknown_format(tmp_path):
    fails(GOOD, tmp_path, r"the format of '\.xlsx' is not known; known are \.csv", "t.xlsx")


def test_wrong_encoding_names_line_and_byte(tmp_path):
    text = "smiles,name,y\nCCO,a,1\nCCC,caf\xe9,2\n".encode("latin-1")
    fails(text, tmp_path, "line 3: byte 0xe9 is not utf-8; set data.encoding")
    fails(GOOD, tmp_path, "there is no encoding 'utf-9'", encoding="utf-9")
    fails(GOOD.encode("utf-16"), tmp_path, "not utf-8|looks like UTF-16")
    assert run_text(text, tmp_path, encoding="latin-1", id_column="name").molecules["source_id"][1] == "caf\xe9"
    assert len(run_text(GOOD.encode("utf-16"), tmp_path, encoding="utf-16").molecules) == 2


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert len(run_text(b"\xef\xbb\xbf" + GOOD.encode(), tmp_path).molecules) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quoted_newlines_and_blank_lines_keep_line_numbers_true(tmp_path, end):
    lines = ["smiles,note,y", 'CCO,"two', 'lines, ""quoted""",1', "", 'C((,"x', "", 'y",2', "CCC,z,3"]
    found = run_text(end.join(lines) + end, tmp_path, id_column="note")
    assert found.molecules["source_line"].to_list() == [2, 8]
    assert found.molecules["source_id"][0].split(end) == ["two", 'lines, "quoted"']
    assert list(found.reasons()) == [5]


def test_an_unclosed_quote_swallows_nothing(tmp_path):
    fails('smiles,y\nCCO,1\nCCC,"2\nCCN,3\n', tmp_path, "line 3: unexpected end of data; is a quote missing")


def test_ragged_lines_are_rejected_by_line(tmp_path):
    found = run_text("smiles,y\nCCO,1\nCCC\nCCN,2,3\n", tmp_path)
    assert found.reasons() == {
        3: "wrong number of fields: 1 where the header has 2",
        4: "wrong number of fields: 3 where the header has 2",
    }


def test_duplicate_column_names_matter_only_where_they_are_used(tmp_path):
    fails("smiles,y,y\nCCO,1,2\n", tmp_path, "columns 2 and 3 are both named 'y'")
    assert len(run_text("smiles,y,,\nCCO,1,a,b\n", tmp_path).molecules) == 1


def test_ten_percent_invalid_smiles(tmp_path):
    rows = [f"{'C' * n}O,{n}" if n % 10 else f"C(({n},{n}" for n in range(1, 101)]
    found = run_text("smiles,y\n" + "\n".join(rows), tmp_path, max_rejected_share=0.5)
    assert found.summary["rejected"] == 10
    assert found.summary["reasons"] == {"not a SMILES": 10}
    assert found.rejected["input"][0] == "C((10"


def test_too_many_rejected_stops_with_the_commonest_reasons_and_all_of_them_in_a_file(tmp_path):
    text = "smiles,y\nethanol,1\nbenzene,2\nc1cccc1,3\nCCO,4\n"
    told = r"3 of 4 records were rejected(.|\n)*2 x not a SMILES \(line 2(.|\n)*rejected\.parquet lists every one"
    with pytest.raises(TabsynError, match=told):
        run_text(text, tmp_path, max_rejected_share=0.5)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rejected.parquet"]
    assert pl.read_parquet(tmp_path / "out/rejected.parquet")["line"].to_list() == [2, 3, 4]
    with pytest.raises(TabsynError, match="1 of 1 records were rejected"):
        run_text("smiles,y\nethanol,1\n", tmp_path, max_rejected_share=1.0)


def test_a_5000_character_smiles(tmp_path):
    found = run_text(f"smiles,y\nCCO,1\n{'C' * 5000},2\n", tmp_path)
    assert found.reasons() == {3: "SMILES longer than 400 characters: 5000"}
    assert found.rejected["input"][0] == "C" * 5000


def test_salts_metals_isotopes_radicals_and_single_atoms_are_molecules(tmp_path):
    smiles = ["CC(=O)[O-].[Na+]", "CC[Hg]C", "[13CH4]", "C[CH2]", "[Fe]", "C", "[Na+].[Cl-]", "[2H]C"]
    found = run_text("smiles,y\n" + "".join(f"{text},1\n" for text in smiles), tmp_path)
    assert found.summary["molecules"] == len(smiles)


def test_all_targets_missing(tmp_path):
    fails("smiles,y\nCCO,\nCCC,NA\n", tmp_path, "column 'y' has no value in any record")
    found = run_text("smiles,y\nCCO,\nCCC,1\n", tmp_path)  # one row without any value is kept: gaps are data
    assert found.molecules["y"].to_list() == [None, 1.0]


@pytest.mark.parametrize("token", sorted(MISSING_TOKENS))
def test_missing_tokens(tmp_path, token):
    found = run_text(f"smiles,y\nCCO, {token} \nCCC,1\n{token},2\n", tmp_path)
    assert found.molecules["y"].to_list() == [None, 1.0]
    assert found.reasons() == ({4: "no SMILES"})


def test_a_constant_target_is_allowed_with_a_warning(tmp_path):
    found = run_text("smiles,y\nCCO,2\nCCC,2.0\n", tmp_path)
    assert found.summary["warnings"] == ["column 'y' has one value only: 2.0"]
    assert run_text(GOOD, tmp_path).summary["warnings"] == []


def test_text_among_numbers_rejects_the_record_by_column_and_value(tmp_path):
    found = run_text("smiles,y\nCCO,1\nCCC,>100\nCCN,1_0\n", tmp_path)
    assert found.reasons() == {3: "column 'y' is not a number: '>100'", 4: "column 'y' is not a number: '1_0'"}
    [warning] = found.summary["warnings"][:1]
    assert warning.startswith("2 records rejected: column 'y' is not a number, such as '>100'; 1 of them censored")


def test_a_target_without_any_number_is_an_error(tmp_path):
    fails("smiles,y\nCCO,\nCCC,low\nCCN,high\n", tmp_path, "none of its 2 values .* first is 'low' on line 3")


def test_a_fraction_among_integers_is_rejected(tmp_path):
    target = [{"name": "y", "kind": "integer"}]
    found = run_text("smiles,y\nCCO,1\nCCC,2.0\nCCN,2.5\nCCS,1e30\n", tmp_path, targets=target)
    assert found.molecules["y"].to_list() == [1, 2]
    assert found.reasons()[4] == "column 'y' is not a whole number of 64 bits: '2.5'"
    assert 5 in found.reasons()


def test_infinities_are_rejected_and_the_largest_floats_kept(tmp_path):
    found = run_text("smiles,y\nCCO,1e308\nOCC,1e308\nCCC,inf\nCCN,-Infinity\nCCS,1e999\n", tmp_path)
    assert found.molecules["y"].to_list() == [1e308]  # and their median does not overflow
    assert found.reasons()[4] == "column 'y' is infinite: 'inf'"
    assert found.summary["reasons"] == {"column 'y' is infinite": 3}


@pytest.mark.parametrize("name", ["MolWt", "inchikey", "source_line"])
def test_a_column_with_a_reserved_name(tmp_path, name):
    columns = [{"name": name, "kind": "numeric"}]
    fails(f"smiles,{name}\nCCO,1\n", tmp_path, f"'{name}' is named like", targets=columns)
    fails(f"smiles,y,{name}\nCCO,1,1\n", tmp_path, f"'{name}' is named like", keep=columns)


def test_a_column_listed_twice(tmp_path):
    fails(GOOD, tmp_path, "'y' stands 2 times", keep=[{"name": "y", "kind": "numeric"}])


@pytest.mark.parametrize("number", [1, 10])
def test_few_rows(tmp_path, number):
    found = run_text("smiles,y\n" + "".join(f"{'C' * n}O,{n}\n" for n in range(1, number + 1)), tmp_path)
    assert found.summary["molecules"] == number


def test_an_unwritable_output(tmp_path):
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(TabsynError, match="cannot write"):
        run_text(GOOD, tmp_path)
