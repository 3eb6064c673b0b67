"""Judge images as a table: a small DCGAN learns handwritten digits, tabsyn_core.evaluation says how well.

Each pixel becomes a column (p00 to p77, row and column of the pixel, ink from 0 to 16), and so does the digit. Nothing
in the evaluation knows that the rows are images; the picture beside it is there to compare its verdict with your eyes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from dcgan import DIGITS, INK, SIDE, Images, Labels, draw, train
from matplotlib.figure import Figure as Canvas
from mnist import read_mnist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation import evaluate_files
from tabsyn_core.files import atomic_path, write_parquet
from tabsyn_core.progress import Progress, ProgressCallback

PIXELS = [f"p{row}{column}" for row in range(SIDE) for column in range(SIDE)]
HELD_OUT = 0.2
MIN_OF_EACH = 20
"""Fewer images of a digit are not split and learnt from: what is held out of them would be two or three."""

EXAMPLES = """\
examples:
  python examples/digits/digits.py                                   the 1,797 digits of scikit-learn
  python examples/digits/digits.py --images 300 --epochs 5           a quick look at what comes out
  python examples/digits/digits.py --seed 1 --out out/digits-1       another split, another network
  python examples/digits/digits.py --mnist mnist.npz --epochs 30     MNIST; or a folder of its idx files

The folder then holds real.parquet, holdout.parquet, synthetic.parquet, digits.png, report.html and report.json.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example; what the user can mend ends it with one line."""
    options = parse(arguments)
    try:
        run(options)
    except TabsynError as error:
        sys.exit(f"error: {error}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, or ``arguments`` in its place."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("out/digits"), metavar="FOLDER", help="out/digits if not given")
    add("--mnist", type=Path, metavar="PATH", help="mnist.npz or a folder of idx files, instead of the bundled digits")
    add("--images", type=_at_least(1), default=12_500, metavar="N", help="at most so many, 12500 if not given")
    add("--epochs", type=_at_least(1), default=200, metavar="N", help="of training, 200 if not given")
    add("--seed", type=_at_least(0), default=0, metavar="N", help="of split, training and drawing, 0 if not given")
    return parser.parse_args(arguments)


def _at_least(least: int) -> Callable[[str], int]:
    """The type of an option that is a whole number from ``least`` on; seeds of all libraries end at 2³¹."""

    def whole(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) < 2**31:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {2**31 - 1}")
        return int(text)

    return whole


def run(options: argparse.Namespace) -> None:
    """Images in; tables, picture and report out."""
    out = options.out
    files = {name: out / f"{name}.parquet" for name in ("real", "holdout", "synthetic")}
    real, holdout = split(*load(options.mnist), options.images, options.seed)
    write_parquet(files["real"], real)
    write_parquet(files["holdout"], holdout)
    begin = time.monotonic()
    with progress_bar("training") as progress:
        synthetic = synthesise(real, options.epochs, options.seed, progress)
    write_parquet(files["synthetic"], synthetic)
    draw_beside(out / "digits.png", real, synthetic)
    trained = time.monotonic()
    with progress_bar("judging") as progress:
        evaluate_files(
            files["real"], files["holdout"], [files["synthetic"]], ["digit"], out, seed=options.seed, progress=progress
        )
    print(f"trained in {trained - begin:.0f} s, judged in {time.monotonic() - trained:.0f} s")
    print(f"real beside generated digits: {out / 'digits.png'}\nthe report: {out / 'report.html'}")


# Images and tables


def load(mnist: Path | None) -> tuple[Images, Labels]:
    """MNIST from a file, or the digits that scikit-learn brings (Alpaydin & Kaynak, 1998).

    Raises:
        TabsynError: The file is not MNIST.
    """
    if mnist is not None:
        return read_mnist(mnist)
    bundled = load_digits()
    return bundled.images.astype(np.uint8), bundled.target.astype(np.int64)


def split(images: Images, digits: Labels, most: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """At most so many of the images, drawn at random, as training and held-out rows with equal shares of each digit.

    Raises:
        TabsynError: A digit occurs fewer than 20 times among them.
    """
    drawn = np.random.default_rng([seed, 0]).permutation(len(images))[:most]
    counts = np.bincount(digits[drawn], minlength=DIGITS)
    if counts.min() < MIN_OF_EACH:
        raise TabsynError(
            f"there are {counts.min()} images of the digit {counts.argmin()}, and at least {MIN_OF_EACH} of each are "
            "needed; give more images or a larger --images."
        )
    parts = train_test_split(drawn, test_size=HELD_OUT, stratify=digits[drawn], random_state=seed)
    real, holdout = (to_table(images[rows], digits[rows]) for rows in parts)
    return real, holdout


def synthesise(real: pl.DataFrame, epochs: int, seed: int, progress: ProgressCallback) -> pl.DataFrame:
    """As many rows as there are real ones, of a DCGAN that learnt those; digits are asked for as often as they come."""
    images, digits = to_images(real)
    generator = train(images, digits, epochs, seed=seed, progress=progress)
    wanted = np.random.default_rng([seed, 1]).choice(digits, len(digits))
    return to_table(draw(generator, wanted, seed=seed), wanted)


def to_table(images: Images, digits: Labels) -> pl.DataFrame:
    """A row an image: 64 columns of ink and ``digit``, which is text because a 9 is not three times a 3."""
    pixels = pl.DataFrame(images.reshape(len(images), -1), schema=PIXELS, orient="row")
    return pixels.with_columns(digit=pl.Series(digits).cast(pl.String))


def to_images(table: pl.DataFrame) -> tuple[Images, Labels]:
    """The inverse of :func:`to_table`."""
    images = table.select(PIXELS).to_numpy().reshape(-1, SIDE, SIDE)
    return images.copy(), table["digit"].cast(pl.Int64).to_numpy().copy()


def draw_beside(path: Path, real: pl.DataFrame, synthetic: pl.DataFrame) -> None:
    """A PNG of the first ten of each digit, a line a digit, real on the left and generated on the right."""
    canvas = Canvas(figsize=(10.4, 5.2), layout="constrained")
    pair = canvas.subplots(1, 2, gridspec_kw={"wspace": 0.05})
    for axes, (name, table) in zip(pair, {"real": real, "generated": synthetic}.items(), strict=True):
        axes.imshow(_contact_sheet(*to_images(table)), cmap="gray_r", vmin=0, vmax=INK, interpolation="nearest")
        axes.set_title(name)
        axes.set_axis_off()
    with atomic_path(path) as temporary:
        canvas.savefig(temporary, format="png", dpi=100, metadata={"Software": None})


def _contact_sheet(images: Images, digits: Labels) -> Images:
    """Ten times ten images with a rim of one pixel; white where a digit has fewer than ten."""
    sheet = np.zeros((DIGITS, 10, SIDE + 2, SIDE + 2), dtype=np.uint8)
    for digit in range(DIGITS):
        found = images[digits == digit][:10]
        sheet[digit, : len(found), 1:-1, 1:-1] = found
    return sheet.transpose(0, 2, 1, 3).reshape(DIGITS * (SIDE + 2), -1)


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressCallback]:
    """A bar on standard error that starts anew when another unit is counted."""
    with tqdm(desc=title, file=sys.stderr) as bar:

        def show(report: Progress) -> None:
            if bar.total != report.total or report.done < bar.n:
                bar.reset(report.total)
            bar.unit = f" {report.unit}"
            bar.set_postfix({name: f"{value:.2f}" for name, value in report.figures.items()}, refresh=False)
            bar.update(report.done - bar.n)

        yield show


if __name__ == "__main__":
    main()
