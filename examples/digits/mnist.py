"""Reads MNIST (LeCun et al., 1998) from the files people have of it, reduced to the size of scikit-learn's digits."""

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np
from dcgan import DIGITS, INK, SIDE, Images, Labels
from numpy.typing import NDArray

from tabsyn_core.errors import TabsynError

_REMEDY = (
    "Give mnist.npz with the arrays x_train and y_train, or a folder that holds train-images-idx3-ubyte and "
    "train-labels-idx1-ubyte, gzipped or not"
)
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, zlib.error)


def read_mnist(path: Path) -> tuple[Images, Labels]:
    """The training images of MNIST and their digits.

    Of the 28 × 28 pixels the rim of 2 is cut off, where MNIST has next to no ink; the 24 × 24 left become 8 × 8 by the
    mean of each 3 × 3, in whole sixteenths of full ink.

    Args:
        path: ``mnist.npz`` as Keras has it, a folder of idx files, or the idx file of the images.

    Raises:
        TabsynError: The file does not exist or does not hold MNIST.
    """
    if not path.exists():
        raise TabsynError(f"{path} does not exist. {_REMEDY}.")
    try:
        images, labels = _read_npz(path) if path.suffix == ".npz" else _read_idx_pair(path)
    except _UNREADABLE as error:
        raise TabsynError(f"{path} is not MNIST: {error}. {_REMEDY}.") from error
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise TabsynError(
            f"{path} is not MNIST: the images have the shape {images.shape} and the labels {labels.shape}, where "
            f"(n, 28, 28) and (n,) are expected. {_REMEDY}."
        )
    if not np.isin(labels, np.arange(DIGITS)).all():
        raise TabsynError(f"{path} is not MNIST: it has labels other than 0 to 9. {_REMEDY}.")
    blocks = images[:, 2:26, 2:26].reshape(-1, SIDE, 3, SIDE, 3).mean(axis=(2, 4))
    return np.rint(blocks * (INK / 255)).astype(np.uint8), labels.astype(np.int64)


def _read_npz(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    with np.load(path) as arrays:
        return arrays["x_train"], arrays["y_train"]


def _read_idx_pair(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    found = sorted(path.glob("train-images?idx3-ubyte*")) if path.is_dir() else [path]
    if not found:
        raise FileNotFoundError("there are no idx files of training images in it")
    labels = found[0].with_name(found[0].name.replace("images", "labels").replace("idx3", "idx1"))
    return _read_idx(found[0]), _read_idx(labels)


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes: two zeros, 8 for bytes, how many axes, each axis' length in big-endian, the values."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} is not an idx file of bytes")
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
