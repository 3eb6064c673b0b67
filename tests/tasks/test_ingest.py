import gzip
import http.server
import io
import threading
from functools import partial
from pathlib import Path

import fsspec
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from tabsyn_core.errors import TabsynError
from tasks.ingest import main
from tests.tasks.ingestion import run, run_text

ROOT = Path(__file__).parents[2]
TABLE = pl.DataFrame(
    {"smiles": ["CCO", "c1ccccc1", "CC(=O)[O-].[Na+]"], "name": ["a", "b", "c"], "y": [1.5, -2.25, 1e-7]}
)


def sdf(table: pl.DataFrame) -> bytes:
    blocks = []
    for row in table.iter_rows(named=True):
        molecule = Chem.MolFromSmiles(row["smiles"])
        molecule.SetProp("_Name", row["name"])
        molecule.SetProp("y", str(row["y"]))
        molecule.SetProp("smiles", "not what counts in an SDF")
        buffer = io.StringIO()
        with Chem.SDWriter(buffer) as writer:
            writer.write(molecule)
        blocks.append(buffer.getvalue())
    return "".join(blocks).encode()


def parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


FORMATS = {
    "t.csv": (TABLE.write_csv().encode(), [2, 3, 4]),
    "t.tsv": (TABLE.write_csv(separator="\t").encode(), [2, 3, 4]),
    "t.tab": (TABLE.write_csv(separator="\t").encode(), [2, 3, 4]),
    "t.smi": (TABLE.write_csv(separator=" ").encode(), [2, 3, 4]),
    "t.sdf": (sdf(TABLE), [1, 18, 39]),
    "t.parquet": (parquet(TABLE), [1, 2, 3]),
}


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_molecules(tmp_path, name, gz):
    content, lines = FORMATS[name]
    found = run_text(gzip.compress(content) if gz else content, tmp_path, name + gz, id_column="name")
    assert found.molecules["smiles"].to_list() == ["CCO", "c1ccccc1", "CC(=O)O"]
    assert found.molecules["source_id"].to_list() == ["a", "b", "c"]
    assert found.molecules["y"].to_list() == [1.5, -2.25, 1e-7]
    if name == "t.sdf":
        text = content.decode().splitlines()
        lines = [1, *(n + 2 for n, line in enumerate(text) if line == "$$$$")][:3]
    assert found.molecules["source_line"].to_list() == lines


def test_columns_and_dtypes_of_the_outputs(tmp_path):
    text = "smiles,y,n,c\nCCO,1,2,x\nCCC,,,\n"
    columns = [{"name": "n", "kind": "integer"}, {"name": "c", "kind": "categorical"}]
    found = run_text(text, tmp_path, keep=columns)
    assert found.molecules.schema == {
        "smiles": pl.String, "inchikey": pl.String, "source_file": pl.String, "source_line": pl.Int64,
        "source_id": pl.String, "y": pl.Float64, "n": pl.Int64, "c": pl.String,
    }  # fmt: skip
    assert found.molecules.rows()[1][4:] == (None, None, None, None)  # all gaps: kept, for gaps are data
    assert found.rejected.columns == ["file", "line", "source_id", "input", "status", "reason"]


def test_an_smi_file_without_a_header_has_smiles_and_names(tmp_path):
    with pytest.raises(TabsynError, match=r"no column 'y'.*Its columns: smiles, name"):
        run_text("CCO ethanol\nCCC propane\n", tmp_path, "t.smi", id_column="name")


def test_an_sdf_record_that_cannot_be_read_is_rejected_where_it_stands(tmp_path):
    content = sdf(TABLE).decode().replace("V2000", "V9000", 1)
    found = run_text(content, tmp_path, "t.sdf", id_column="name")
    assert found.reasons()[1].startswith("no valid mol block")
    assert found.rejected["source_id"].to_list() == ["a"]
    assert len(found.molecules) == 2


def test_parquet_columns_that_hold_no_plain_values_are_left_alone(tmp_path):
    table = TABLE.with_columns(nested=pl.lit([1, 2]), raw=pl.lit(b"\xff"), flag=pl.lit(value=True))
    found = run_text(parquet(table), tmp_path, "t.parquet", keep=[{"name": "flag", "kind": "categorical"}])
    assert found.molecules["flag"].to_list() == ["true"] * 3
    with pytest.raises(TabsynError, match="no column 'raw'"):
        run_text(parquet(table), tmp_path, "t.parquet", keep=[{"name": "raw", "kind": "categorical"}])


def test_memory_and_file_urls(tmp_path):
    content, _ = FORMATS["t.csv"]
    with fsspec.open("memory://folder/t.csv", "wb") as file:
        file.write(content)
    (tmp_path / "t.csv").write_bytes(content)
    assert len(run("memory://folder/t.csv", tmp_path).molecules) == 3
    assert len(run(f"file://{tmp_path}/t.csv", tmp_path).molecules) == 3


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if "forbidden" in self.path:
            self.send_error(403)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


def test_http_url_and_its_credentials_stay_out_of_the_outputs(tmp_path):
    (tmp_path / "t.csv").write_bytes(FORMATS["t.csv"][0])
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}"
        found = run(f"http://{place}/t.csv?token=secret", tmp_path)
        for name in ("absent", "forbidden"):
            with pytest.raises(TabsynError, match=rf"{name}\.csv does not exist or may not be read"):
                run(f"http://{place}/{name}.csv", tmp_path)
        server.shutdown()
    assert found.molecules["source_file"].unique().to_list() == [f"http://{place}/t.csv"]


def test_the_error_of_a_file_system_shows_no_credentials(tmp_path):
    with pytest.raises(TabsynError, match=r"ftp://\*\*\*@127\.0\.0\.1:1/t\.csv cannot be read") as caught:
        run("ftp://me:hunter2@127.0.0.1:1/t.csv?token=hunter2", tmp_path)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(TabsynError, match="cannot be read: ValueError: Protocol not known") as caught:
        run("nosuch://me:hunter2@host/t.csv?token=hunter2", tmp_path)
    assert "hunter2" not in str(caught.value)


def test_tdc_files_are_looked_for_in_the_state_folder_of_the_project(tmp_path, monkeypatch):
    source = yaml.safe_load((ROOT / "params.yaml").read_text())
    source["data"] |= {"source": "tdc:mine", "watch": "data/raw", "smiles_column": "Drug", "id_column": None}
    source["data"]["targets"] = [{"name": "Y", "kind": "numeric"}]
    worktree, state = tmp_path / "worktree", tmp_path / "state"
    (state / "tdc").mkdir(parents=True)
    worktree.mkdir()
    (state / "tdc/mine.tab").write_text("Drug\tY\nCCO\t1\nCCC\t2\n")
    (worktree / "params.yaml").write_text(yaml.safe_dump(source))
    monkeypatch.chdir(worktree)
    monkeypatch.setenv("ADMET_TABSYN_STATE_DIR", str(state))
    main()
    assert pl.read_parquet("data/interim/molecules.parquet")["smiles"].to_list() == ["CCO", "CCC"]


def test_duplicates_merge_by_the_stated_rule(tmp_path):
    text = (
        "smiles,name,y,n,c\n"
        "CCO,first,1,1,b\n"
        "OCC,second,2,2,a\n"
        "C(C)O,third,9,,a\n"
        "CCC,other,5,5,a\n"
        "CCO.Cl,salt,4,4,b\n"
        "CCC,again,,5,a\n"
    )
    columns = [{"name": "n", "kind": "integer"}, {"name": "c", "kind": "categorical"}]
    found = run_text(text, tmp_path, keep=columns, id_column="name")
    ethanol, propane = found.molecules.rows(named=True)
    assert (ethanol["y"], ethanol["n"], ethanol["c"]) == (3.0, 2, "b")  # medians; a tie goes to the first in the file
    assert (ethanol["source_line"], ethanol["source_id"]) == (2, "first")
    assert (propane["y"], propane["n"], propane["c"]) == (5.0, 5, "a")
    assert found.reasons()[6] == f"same InChIKey as line 2: {ethanol['inchikey']}"
    assert {(entry["column"], *entry["lines"]) for entry in found.summary["disagreements"]} == {
        (column, 2, 3, 4, 6) for column in "ync"
    }


@pytest.mark.parametrize(
    ("values", "median"), [([1, 2], 2), ([2, 3], 2), ([2**62, 2**62 + 2], 2**62 + 1), ([2**63 - 1], 2**63 - 1)]
)
def test_an_integer_median_is_exact_and_rounds_half_to_even(tmp_path, values, median):
    text = "smiles,n\n" + "".join(f"CCO,{value}\n" for value in values)
    found = run_text(text, tmp_path, targets=[{"name": "n", "kind": "integer"}])
    assert found.molecules["n"].to_list() == [median]


RECORD = st.tuples(
    st.sampled_from(["CCO", "OCC", "CCN", "CCN.Cl", "C((", "", "c1cccc1", "[Fe]"]),
    st.one_of(
        st.sampled_from(["", "NA", "NaN", "null", "inf", "text", "1_0", "1e308", "-1e308"]), st.floats().map(repr)
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORD, min_size=1, max_size=12))
def test_counts_add_up_whatever_the_records(tmp_path, records):
    text = "smiles,y\nCCCC,1\n" + "".join(f"{smiles},{value}\n" for smiles, value in records)
    found = run_text(text, tmp_path)
    assert found.summary["records"] == len(records) + 1
    assert found.molecules["y"].is_finite().drop_nulls().all()


def test_the_embedded_table(tmp_path):
    targets = [{"name": "logS", "kind": "numeric"}, {"name": "solubility_class", "kind": "categorical"}]
    found = run(ROOT / "data/raw/solubility.csv", tmp_path, targets=targets, id_column="name")
    assert found.summary["records"] == 1282
    assert found.summary["rejected"] == 0
    assert found.summary["merged"] > 0


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
    file = tmp_path / "t.csv"
    file.write_bytes(FORMATS["t.csv"][0] + b"C((,d,1\nCCO,e,2\n")
    for folder in (tmp_path / "a", tmp_path / "b"):
        run(file, folder, id_column="name")
    for name in ("molecules.parquet", "rejected.parquet", "ingest.json"):
        assert (tmp_path / "a/out" / name).read_bytes() == (tmp_path / "b/out" / name).read_bytes()


def test_tdc_reads_pytdcs_cache(tmp_path):
    file = ROOT.parent / "shared/data/tdc/caco2_wang.csv"
    if not file.exists():
        pytest.skip("../shared/data/tdc is absent")
    cache = tmp_path / "tdc"
    cache.mkdir()
    table = pl.read_csv(file, infer_schema=False).select("Drug_ID", "Drug", "Y")[:60]
    table.write_csv(cache / "caco2_wang.tab", separator="\t")
    target = [{"name": "Y", "kind": "numeric"}]
    found = run("tdc:Caco2_Wang", tmp_path, smiles_column="Drug", id_column="Drug_ID", targets=target)
    assert found.summary["records"] == 60
    assert found.molecules["source_id"][0] == "H 95/71"
    assert found.molecules["source_file"][0] == "tdc:Caco2_Wang"


def test_tdc_without_pytdc_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tdc.metadata", None)
    with pytest.raises(TabsynError, match=r'pip install "admet-tabsyn\[tdc\]"'):
        run("tdc:caco2_wang", tmp_path)


def test_a_misspelt_tdc_name_is_answered_with_the_nearest(tmp_path):
    pytest.importorskip("tdc", reason="PyTDC is not installed: the tdc extra")
    with pytest.raises(TabsynError, match="did you mean tdc:caco2_wang"):
        run("tdc:caco2_wong", tmp_path)
