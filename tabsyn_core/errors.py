"""The one exception a user is meant to read."""


class TabsynError(Exception):
    """Something the user can mend.

    The message names what was wrong (file, row, column, value) and how to put it right. Command lines print
    it without a traceback.
    """
