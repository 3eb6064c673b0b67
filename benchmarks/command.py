"""What the scripts of this folder have in common as programs: they end with one line, not with a traceback."""

import argparse
import sys
from collections.abc import Callable, Sequence

from cells import Cell

from tabsyn_core.errors import TabsynError

_INTERRUPTED = 130


def ending(main: Callable[[], None]) -> None:
    """Run a program; what the user can mend is one line, and Ctrl-C says that nothing is lost."""
    try:
        main()
    except TabsynError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("\nstopped; finished cells are kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def some(cells: Sequence[Cell], hint: Callable[[], str]) -> Sequence[Cell]:
    """The cells, if there is any to write a page of.

    Raises:
        TabsynError: There is none.
    """
    if not cells:
        raise TabsynError(f"no cell of these tables, seeds and settings is known, so no page is written; {hint()}.")
    return cells


def seed(text: str) -> int:
    """A seed of the command line."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no seed: give a whole number of at least 0")
    return int(text)
