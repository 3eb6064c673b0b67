"""The one exception a user is meant to read, and a check that raises it."""

from typing import Any

import numpy as np


class TabsynError(Exception):
    """Something the user can mend.

    The message names what was wrong (file, row, column, value) and how to put it right. Command lines print
    it without a traceback.
    """


def check_whole(*arguments: tuple[str, Any, int]) -> None:
    """See that arguments (name, value, least) are whole numbers, none below its least, and a seed below 2³².

    Raises:
        TabsynError: One is not.
    """
    for name, value, least in arguments:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise TabsynError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
        if name == "seed" and value >= 2**32:
            raise TabsynError(f"seed is {value}; it must be less than 2**32.")
