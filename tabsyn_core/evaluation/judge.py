"""Files in, report out: judge any synthetic table that lies in a Parquet or CSV file."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.evaluation import Evaluation, evaluate
from tabsyn_core.evaluation.report import write_report
from tabsyn_core.files import read_parquet, write_json
from tabsyn_core.progress import ProgressCallback, silent


def evaluate_files(
    real: Path,
    holdout: Path,
    synthetic: Path,
    targets: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    folds: int = 5,
    progress: ProgressCallback = silent,
) -> Evaluation:
    """Judge files and write ``out/report.html`` (one self-contained page) and ``out/report.json``.

    ``.csv`` and ``.csv.gz`` are CSV, everything else is Parquet. A CSV says nothing of dtypes: beside Parquet training
    rows its columns get theirs, beside CSV training rows they are what all their values allow.

    Raises:
        TabsynError: A file cannot be read or written, a CSV value is none of its column's dtype, or as
            :func:`evaluate`.
    """
    dtypes = None if _is_csv(real) else read_parquet(real).schema
    tables = [_read(path, dtypes) for path in (real, holdout, synthetic)]
    evaluation = evaluate(*tables, targets=targets, seed=seed, folds=folds, progress=progress)
    write_json(out / "report.json", evaluation.details())
    write_report(out / "report.html", evaluation)
    return evaluation


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def _read(path: Path, dtypes: pl.Schema | None) -> pl.DataFrame:
    if not _is_csv(path):
        return read_parquet(path)
    table = _read_csv(path, infer=dtypes is None)
    if dtypes is None:  # a column without values is read as text, which it need not be
        return table.with_columns(pl.lit(None).alias(each.name) for each in table if each.null_count() == len(each))
    return table.with_columns(_cast(table[name], dtype, path) for name, dtype in dtypes.items() if name in table)


def _read_csv(path: Path, *, infer: bool) -> pl.DataFrame:
    """The columns as text, or as what all their values allow; an empty field is a missing value."""
    try:
        return pl.read_csv(path, infer_schema=infer, infer_schema_length=None)
    except FileNotFoundError as error:
        raise TabsynError(f"{path} does not exist; check the path.") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TabsynError(f"{path} is not a CSV file: {error}.") from error


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
