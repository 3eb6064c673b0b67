"""The example runs: images become tables and come back, the network draws the digit asked for, bad paths are told."""

import gzip
import importlib
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import silent

FOLDER = Path(__file__).parents[2] / "examples/digits"
FEW = ["--images", "300", "--epochs", "2"]


@pytest.fixture(scope="module")
def digits():
    sys.path.insert(0, str(FOLDER))  # as for a script, which finds its neighbours in its own folder
    yield importlib.import_module("digits")
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def out(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "out"
    digits.main(["--out", str(folder), *FEW])
    return folder


def counted(images, labels):
    """Which image stands with which label how often."""
    return Counter(zip((image.astype(np.uint8).tobytes() for image in images), labels.tolist(), strict=True))


def as_mnist(images):
    """28 × 28 pixels from 0 to 255 that show the same: each pixel three by three, a rim of two."""
    large = np.rint(images.astype(float) * 255 / 16).repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(large, [(0, 0), (2, 2), (2, 2)]).astype(np.uint8)


def idx(array):
    shape = np.array(array.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


# The run


def test_a_run_writes_tables_picture_and_report(out):
    rows = {name: pl.read_parquet(out / f"{name}.parquet") for name in ("real", "holdout", "synthetic")}
    assert {name: table.height for name, table in rows.items()} == {"real": 240, "holdout": 60, "synthetic": 240}
    for table in rows.values():
        assert table.columns == [f"p{row}{column}" for row in range(8) for column in range(8)] + ["digit"]
        pixels = table.drop("digit")
        assert all(dtype.is_integer() for dtype in pixels.dtypes)
        assert 0 <= pixels.to_numpy().min() <= pixels.to_numpy().max() <= 16
        assert sorted(table["digit"].unique()) == list("0123456789")
    with Image.open(out / "digits.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 20  # not a blank page
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_the_same_seed_draws_the_same_rows_and_another_seed_others(digits, out):
    real = pl.read_parquet(out / "real.parquet")
    torch.manual_seed(99)  # what others drew before says nothing
    assert digits.synthesise(real, 2, 0, silent).equals(pl.read_parquet(out / "synthetic.parquet"))
    assert not digits.synthesise(real, 2, 1, silent).equals(pl.read_parquet(out / "synthetic.parquet"))


def test_the_network_draws_the_digit_it_is_asked_for(digits):
    real, _ = digits.split(*digits.load(None), 2000, 0)
    synthetic = digits.synthesise(real, 20, 0, silent)
    reader = LogisticRegression(max_iter=1000).fit(real.select(digits.PIXELS).to_numpy(), real["digit"].to_numpy())
    read = reader.predict(synthetic.select(digits.PIXELS).to_numpy())
    assert (read == synthetic["digit"].to_numpy()).mean() > 0.9
    assert synthetic.select(digits.PIXELS).is_duplicated().mean() < 0.05  # and not one image for each


# Images as tables


def test_images_come_back_from_the_table_with_their_labels(digits):
    images, labels = digits.load(None)
    back = digits.to_images(digits.to_table(images, labels))
    np.testing.assert_array_equal(back[0], images)
    np.testing.assert_array_equal(back[1], labels)


def test_a_pixel_stands_in_the_column_of_its_row_and_column(digits):
    image = np.zeros((1, 8, 8), dtype=np.uint8)
    image[0, 2, 5] = 16
    table = digits.to_table(image, np.array([7]))
    assert table["p25"].item() == 16
    assert table["digit"].item() == "7"
    assert sum(table.drop("digit").row(0)) == 16


def test_every_image_is_a_training_or_a_held_out_row_once_and_keeps_its_label(digits):
    bundled = load_digits()
    parts = digits.split(*digits.load(None), 2000, 3)
    both = digits.to_images(pl.concat(parts))
    assert counted(*both) == counted(bundled.images, bundled.target)
    shares = [part["digit"].value_counts(normalize=True).sort("digit")["proportion"].to_numpy() for part in parts]
    np.testing.assert_allclose(*shares, atol=0.005)


def test_too_few_images_of_a_digit_are_told(digits, tmp_path):
    with pytest.raises(SystemExit, match="at least 20 of each are needed"):
        digits.main(["--images", "150", "--out", str(tmp_path)])


# MNIST


def write_mnist(folder, form):
    """Three digits in one of the forms that MNIST comes in; the path that a user would give."""
    bundled = load_digits()
    images, labels = as_mnist(bundled.images[:3]), bundled.target[:3]
    if form == "npz":
        np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        return folder / "mnist.npz"
    pack, end = (gzip.compress, ".gz") if form == "idx.gz" else (bytes, "")
    (folder / f"train-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
    (folder / f"train-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return folder / "train-images-idx3-ubyte" if form == "idx, its images named" else folder


@pytest.mark.parametrize("form", ["npz", "idx", "idx.gz", "idx, its images named"])
def test_mnist_is_read_and_reduced(digits, tmp_path, form):
    images, labels = digits.load(write_mnist(tmp_path, form))
    np.testing.assert_array_equal(images, load_digits().images[:3])
    np.testing.assert_array_equal(labels, [0, 1, 2])


def test_a_path_that_is_not_there_ends_the_run_with_one_line(digits, tmp_path):
    with pytest.raises(SystemExit) as ended:
        digits.main(["--mnist", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"), *FEW])
    assert str(ended.value).startswith(f"error: {tmp_path / 'nowhere'} does not exist. Give mnist.npz with")
    assert "\n" not in str(ended.value)
    assert not (tmp_path / "out").exists()


IMAGES, LABELS = np.zeros((5, 28, 28), dtype=np.uint8), np.arange(5)


@pytest.mark.parametrize(
    ("files", "given", "told"),
    [
        ({}, "", "there are no idx files of training images in it"),
        ({"train-images-idx3-ubyte": idx(IMAGES)}, "", "train-labels-idx1-ubyte"),
        ({"train-images-idx3-ubyte": b"PNG"}, "", "train-images-idx3-ubyte is not an idx file of bytes"),
        ({"train-images-idx3-ubyte": idx(IMAGES)[:-9]}, "", "cannot reshape"),
        ({"train-images-idx3-ubyte.gz": b"not gzipped"}, "", "gzip"),
        ({"mnist.npz": b"no zip"}, "mnist.npz", "is not MNIST"),
        ({"mnist.npz": b""}, "mnist.npz", "is not MNIST"),
        ({"mnist.npz": {"x_test": IMAGES, "y_train": LABELS}}, "mnist.npz", "x_train"),
        (
            {"mnist.npz": {"x_train": IMAGES, "y_train": LABELS[:4]}},
            "mnist.npz",
            r"28\).* the labels \(4,\)",
        ),
        ({"mnist.npz": {"x_train": IMAGES[:, 4:], "y_train": LABELS}}, "mnist.npz", r"shape \(5, 24, 28\)"),
        ({"mnist.npz": {"x_train": IMAGES, "y_train": LABELS + 9}}, "mnist.npz", "labels other than 0 to 9"),
    ],
)
def test_what_is_not_mnist_is_told_with_the_remedy(digits, tmp_path, files, given, told):
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            np.savez(tmp_path / name, **content)
    with pytest.raises(TabsynError, match=told) as raised:
        digits.load(tmp_path / given)
    assert str(tmp_path / given) in str(raised.value)
    assert "Give mnist.npz with the arrays x_train and y_train, or a folder" in str(raised.value)


# The command line


@pytest.mark.parametrize("wrong", [["--epochs", "0"], ["--epochs", "many"], ["--seed", "-1"], ["--seed", str(2**40)]])
def test_an_option_that_makes_no_sense_is_refused(digits, wrong, capsys):
    with pytest.raises(SystemExit):
        digits.parse(wrong)
    assert "is not a whole number from" in capsys.readouterr().err or wrong[1] == "-1"


def test_help_shows_examples_and_each_is_a_valid_call_as_is_the_readme(digits, capsys):
    with pytest.raises(SystemExit) as ended:
        digits.main(["--help"])
    assert ended.value.code == 0
    lines = [*capsys.readouterr().out.splitlines(), *(FOLDER / "README.md").read_text(encoding="utf-8").splitlines()]
    calls = [line.strip().split("  ")[0].split() for line in lines if line.strip().startswith("python ")]
    assert len(calls) == 5
    for _, script, *arguments in calls:
        assert script == "examples/digits/digits.py"
        assert digits.parse(arguments).out
