import resource

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_json, read_parquet, write_json, write_parquet


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert read_json(path) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("old", "new"):
        with atomic_path(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["new"]


def test_equal_tables_are_equal_files(tmp_path):
    table = pl.DataFrame({"x": [1.5, None], "label": ["a", None]})
    write_parquet(tmp_path / "one.parquet", table)
    write_parquet(tmp_path / "two.parquet", table)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert read_parquet(tmp_path / "one.parquet").equals(table)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TabsynError, match=r"cannot write .*file/a\.json: .*folder you may write to"):
        write_json(tmp_path / "file" / "a.json", {})


def write_safetensors(path, values):
    with atomic_path(path) as temporary:
        save_file({"values": np.array(values)}, temporary)


NOISE = np.random.default_rng(0).normal(size=20_000)


@pytest.mark.parametrize(
    ("write", "small", "big"),
    [
        (write_json, [1.0], NOISE.tolist()),
        (write_parquet, pl.DataFrame({"x": [1.0]}), pl.DataFrame({"x": NOISE})),
        (write_safetensors, [1.0], NOISE),
    ],
    ids=["json", "parquet", "safetensors"],
)
def test_a_full_disk_is_told_in_plain_words(tmp_path, write, small, big):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "file"
    write(path, small)
    old = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # the kernel refuses longer files, as a full disk does
    try:
        with pytest.raises(TabsynError, match="Free some space"):
            write(path, big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old


def test_absent_and_broken_files_are_named(tmp_path):
    (tmp_path / "broken").write_text("{")
    with pytest.raises(TabsynError, match=r"nothing\.json does not exist; run the step that makes it"):
        read_json(tmp_path / "nothing.json")
    with pytest.raises(TabsynError, match="not valid JSON"):
        read_json(tmp_path / "broken")
    with pytest.raises(TabsynError, match="is not a Parquet file"):
        read_parquet(tmp_path / "broken")
