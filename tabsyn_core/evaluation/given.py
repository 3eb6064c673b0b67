"""Tables that someone gives: Parquet or CSV files, read as the training table's columns."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tabsyn_core.errors import TabsynError

_SEPARATORS = {";": "semicolon", "\t": "tab", "|": "bar"}


def read_tables(paths: Sequence[Path]) -> dict[Path, pl.DataFrame]:
    """Read files, the training rows first.

    ``.csv`` and ``.csv.gz`` are CSV, everything else is Parquet. A CSV says nothing of dtypes: beside Parquet training
    rows its columns get theirs, beside CSV training rows they are what all their values allow.

    Raises:
        TabsynError: A file is absent or cannot be read, or a CSV value is none of its column's dtype.
    """
    for path in paths:
        if not path.exists():
            raise TabsynError(f"{path} does not exist; check the path.")
        if path.is_dir():
            raise TabsynError(f"{path} is a folder; name a Parquet or CSV file in it.")
    dtypes = None if _is_csv(paths[0]) else _read_parquet(paths[0]).schema
    return {path: _read(path, dtypes) for path in paths}


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def _read(path: Path, dtypes: pl.Schema | None) -> pl.DataFrame:
    if not _is_csv(path):
        return _read_parquet(path)
    _check_separator(path)
    table = _read_csv(path, infer=dtypes is None)
    if dtypes is None:  # a column without values is read as text, which it need not be
        return table.with_columns(pl.lit(None).alias(each.name) for each in table if each.null_count() == len(each))
    return table.with_columns(_cast(table[name], dtype, path) for name, dtype in dtypes.items() if name in table)


def _read_csv(path: Path, *, infer: bool) -> pl.DataFrame:
    """The columns as text, or as what all their values allow; an empty field is a missing value."""
    try:
        return pl.read_csv(path, infer_schema=infer, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TabsynError(
            f"{path} is not a CSV file: {_first_line(error)}. It needs a line of column names and as many fields, "
            "separated by commas, in every other line, in UTF-8."
        ) from error


def _check_separator(path: Path) -> None:
    """See that the fields are not set apart by something else than a comma."""
    try:
        with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
            first, second = file.readline(), file.readline()
    except (OSError, UnicodeDecodeError):  # what reads the whole file says what is wrong with it
        return
    found = max(_SEPARATORS, key=first.count)
    if "," in first or found not in first:
        return
    decimal = ", decimal_comma=True" if "," in second else ""
    raise TabsynError(
        f"{path} looks {_SEPARATORS[found]}-separated: its line of column names has {first.count(found)} of {found!r} "
        "and no comma. Fields are separated by commas here. Write it anew: "
        f"pl.read_csv('{path}', separator={found!r}{decimal}).write_parquet('{path.name.partition('.')[0]}.parquet')"
    )


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TabsynError(
            f"{path} is not a Parquet file: {_first_line(error)}. Give Parquet, or CSV with a name that ends in .csv "
            "or .csv.gz."
        ) from error
    if index := [name for name in table.columns if name.startswith("__index_level_")]:
        raise TabsynError(
            f"{path} holds a pandas index as column {index[0]}; write it with to_parquet(..., index=False)."
        )
    return table


def _first_line(error: Exception) -> str:
    """What a library says, without its advice to programmers."""
    return str(error).partition("\n")[0].strip().rstrip(".")


def _cast(text: pl.Series, dtype: pl.DataType, path: Path) -> pl.Series:
    """The values of a CSV column as the training table has them; text and categories stay text."""
    if dtype.is_numeric():
        numbers = text.cast(pl.Float64, strict=False)  # also where pandas wrote 3.0 for an integer
        values = numbers.cast(dtype, strict=False)
        wrong = values.is_null() | (values != numbers if dtype.is_integer() else False)
    elif dtype == pl.Boolean:
        truths = {"true": True, "false": False}
        values = text.str.to_lowercase().replace_strict(truths, default=None, return_dtype=pl.Boolean)
        wrong = values.is_null()
    else:
        return text
    for row in (wrong & text.is_not_null()).arg_true().head(1):
        raise TabsynError(
            f"{path}, row {row + 1}, column '{text.name}': '{text[row]}' is not {dtype}, which the training table has "
            "there. Correct the value, or leave the field empty if it is missing."
        )
    return values
