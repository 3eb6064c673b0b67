"""From any table of molecules to one row a molecule; whatever is set apart is listed with its reason."""

import math
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, IDENTIFIERS
from tabsyn_core.chemistry.standardize import Molecule, Rejection, Standardization, standardize
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import write_json, write_parquet
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.schema import Kind
from tasks import paths
from tasks.params import ColumnParams, DataParams, Params
from tasks.readers import Record, Source, read_source
from tasks.stage import ProgressReporter, run_stage

MISSING_TOKENS = frozenset({"", "NA", "NaN", "nan", "null", "NULL"})
"""Texts that mean a gap; spaces around a value do not count."""

_SOURCE_COLUMNS = {"source_file": pl.String, "source_line": pl.Int64, "source_id": pl.String}
_REJECTED_COLUMNS = {
    "file": pl.String,
    "line": pl.Int64,
    "source_id": pl.String,
    "input": pl.String,
    "status": pl.String,
    "reason": pl.String,
}
_DTYPES = {Kind.NUMERIC: pl.Float64, Kind.INTEGER: pl.Int64, Kind.CATEGORICAL: pl.String}

Value = float | int | str | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record that became a molecule, with the values of the modelled columns."""

    record: Record
    molecule: Molecule
    values: dict[str, Value]


def ingest(
    data: DataParams,
    *,
    molecules: Path,
    rejected: Path,
    summary: Path,
    tdc_cache: Path,
    workers: int = 0,
    progress: ProgressCallback = silent,
) -> dict[str, Any]:
    """Read, standardise, merge and account for every record.

    Records whose molecules share an InChIKey are merged into the first of them: a numeric value becomes the median, an
    integer one the median rounded half to even, a categorical one the commonest (of equals, the first in the file);
    gaps do not vote, and disagreement is reported. A record whose modelled columns are all missing is kept: its
    molecule and its gaps are data. A value that cannot be read rejects the whole record, with column and value as the
    reason.

    Args:
        data: The ``data`` section of the params.
        molecules: Written: one row a molecule.
        rejected: Written: one row a record that was rejected, or merged into an earlier one; also when too many were.
        summary: Written: counts, reasons, disagreements and warnings, as JSON.
        tdc_cache: Where ``tdc:<name>`` is kept, as ``<name>.tab``; a file put there is used without PyTDC.
        workers: Processes; 0 is one a core. The result does not depend on it.
        progress: Told the number of molecules standardised.

    Returns:
        The summary; ``records == molecules + rejected + merged``.

    Raises:
        TabsynError: The source cannot be used, a column is absent, has a reserved name or no value at all, or more
            than ``data.max_rejected_share`` of the records were rejected.
    """
    columns = _modelled_columns(data)
    source = open_source(data, tdc_cache)
    entries, rejections = _sort_out(source, columns, data, workers, progress)
    rows, merged, disagreements = _merge(entries, columns)
    write_parquet(rejected, _rejected_table(source, rejections, merged, data))
    _check_share(source, rejections, len(entries), data.max_rejected_share, rejected)
    result = {
        "records": len(source.records),
        "molecules": len(rows),
        "rejected": len(rejections),
        "merged": len(merged),
        "reasons": dict(Counter(reason.kind for _, reason in rejections)),
        "disagreements": disagreements,
        "warnings": [*_text_warnings(rejections), *_constant_warnings(rows, columns)],
    }
    write_parquet(molecules, _molecule_table(source, rows, columns, data.id_column))
    write_json(summary, result)
    return result


def open_source(data: DataParams, tdc_cache: Path) -> Source:
    """Read the source and see that it holds what the params name, as :func:`ingest` does before anything else.

    Raises:
        TabsynError: The source cannot be read, or a column is absent, has a reserved name or no value at all.
    """
    columns = _modelled_columns(data)
    source = read_source(
        data.source,
        smiles_column=data.smiles_column,
        id_column=data.id_column,
        encoding=data.encoding,
        tdc_cache=tdc_cache,
    )
    _check_columns(source, columns, data)
    return source


def _modelled_columns(data: DataParams) -> list[ColumnParams]:
    columns = [*data.targets, *data.keep]
    reserved = {*DESCRIPTOR_NAMES, *IDENTIFIERS, *_SOURCE_COLUMNS}
    for column in columns:
        if column.name in reserved:
            what = "an RDKit descriptor" if column.name in DESCRIPTOR_NAMES else "a column this step writes"
            raise TabsynError(f"column '{column.name}' is named like {what}; rename it in the source and the params.")
    for name, count in Counter(column.name for column in columns).items():
        if count > 1:
            raise TabsynError(f"column '{name}' stands {count} times among data.targets and data.keep; once is enough.")
    return columns


def _check_columns(source: Source, columns: Sequence[ColumnParams], data: DataParams) -> None:
    """See that all columns are there and that each modelled one has a value of its kind at all."""
    source.require(data.smiles_column, holds_molecules=True)
    for name in [*([data.id_column] if data.id_column else []), *(column.name for column in columns)]:
        source.require(name)
    for column in columns:
        present = [(record.line, text) for record in source.records if (text := _text(record, column.name)) is not None]
        if not present:
            raise TabsynError(f"{source.name}: column '{column.name}' has no value in any record; choose another.")
        if all(isinstance(_parse(text, column), Rejection) for _, text in present):
            line, text = present[0]
            raise TabsynError(
                f"{source.name}: column '{column.name}' was declared {column.kind}, but none of its {len(present)} "
                f"values can be read as such; the first is '{text}' on line {line}. "
                "Declare it categorical, or choose another."
            )


def _sort_out(
    source: Source, columns: Sequence[ColumnParams], data: DataParams, workers: int, progress: ProgressCallback
) -> tuple[list[_Entry], list[tuple[Record, Rejection]]]:
    """Each record becomes an entry or a rejection, in the order of the file."""
    read = [_values(record, columns, data.smiles_column) for record in source.records]
    readable = [number for number, values in enumerate(read) if not isinstance(values, Rejection)]
    smiles = [(source.records[number].fields[data.smiles_column] or "").strip() for number in readable]
    options = Standardization(**data.standardize.model_dump(), max_length=data.max_smiles_length)
    found = dict(zip(readable, standardize(smiles, options, workers=workers, progress=progress), strict=True))
    entries: list[_Entry] = []
    rejections: list[tuple[Record, Rejection]] = []
    for number, (record, values) in enumerate(zip(source.records, read, strict=True)):
        molecule = found.get(number)
        if isinstance(values, Rejection):
            rejections.append((record, values))
        elif isinstance(molecule, Molecule):
            entries.append(_Entry(record, molecule, values))
        elif molecule is not None:
            rejections.append((record, molecule))
    return entries, rejections


def _values(record: Record, columns: Sequence[ColumnParams], smiles_column: str) -> dict[str, Value] | Rejection:
    if record.fault:
        return Rejection(*record.fault)
    if _text(record, smiles_column) is None:
        return Rejection("no SMILES")
    values: dict[str, Value] = {}
    for column in columns:
        text = _text(record, column.name)
        value = None if text is None else _parse(text, column)
        if isinstance(value, Rejection):
            return value
        values[column.name] = value
    return values


def _text(record: Record, column: str) -> str | None:
    text = (record.fields.get(column) or "").strip()
    return None if text in MISSING_TOKENS else text


def _parse(text: str, column: ColumnParams) -> Value | Rejection:
    if column.kind is Kind.CATEGORICAL:
        return text
    try:
        number = float(text) if "_" not in text else math.nan  # Python reads 1_0 as 10
    except ValueError:
        number = math.nan
    if math.isnan(number):
        return Rejection(f"column '{column.name}' is not a number", f"'{text}'")
    if math.isinf(number):
        return Rejection(f"column '{column.name}' is infinite", f"'{text}'")
    if column.kind is Kind.NUMERIC:
        return number
    exact = Decimal(text)  # 2**62 + 1 is no float
    if not -(2**63) <= exact < 2**63 or exact != exact.to_integral_value():
        return Rejection(f"column '{column.name}' is not a whole number of 64 bits", f"'{text}'")
    return int(exact)


def _check_share(
    source: Source, rejections: Sequence[tuple[Record, Rejection]], kept: int, allowed: float, listed_in: Path
) -> None:
    if kept and len(rejections) <= allowed * len(source.records):
        return
    commonest = Counter(reason.kind for _, reason in rejections).most_common(3)
    examples = {reason.kind: (record.line, reason) for record, reason in reversed(rejections)}
    listed = "\n".join(
        f"  {count} x {kind} (line {examples[kind][0]}: {examples[kind][1]})" for kind, count in commonest
    )
    raise TabsynError(
        f"{source.name}: {len(rejections)} of {len(source.records)} records were rejected, and no more than "
        f"{allowed:.0%} may be (data.max_rejected_share). The commonest reasons:\n{listed}\n"
        f"{listed_in} lists every one. Check data.smiles_column and the kinds of the columns."
    )


def _merge(
    entries: Sequence[_Entry], columns: Sequence[ColumnParams]
) -> tuple[list[_Entry], list[tuple[_Entry, _Entry]], list[dict[str, Any]]]:
    """One entry a molecule, the (duplicate, first) pairs, and where the values of duplicates differ."""
    groups: dict[str, list[_Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.molecule.inchikey, []).append(entry)
    rows, disagreements = [], []
    for group in groups.values():
        first = group[0]
        values = {
            column.name: _agreed([entry.values[column.name] for entry in group], column.kind) for column in columns
        }
        rows.append(_Entry(first.record, first.molecule, values))
        disagreements += [
            {
                "inchikey": first.molecule.inchikey,
                "column": column.name,
                "lines": [entry.record.line for entry in group],
                "values": [entry.values[column.name] for entry in group],
                "used": values[column.name],
            }
            for column in columns
            if len({entry.values[column.name] for entry in group} - {None}) > 1
        ]
    merged = [(entry, group[0]) for group in groups.values() for entry in group[1:]]
    return rows, sorted(merged, key=lambda pair: pair[0].record.line), disagreements


def _agreed(values: Sequence[Value], kind: Kind) -> Value:
    present: list[Any] = [value for value in values if value is not None]
    if not present:
        return None
    if kind is Kind.CATEGORICAL:
        commonest: str = Counter(present).most_common(1)[0][0]  # of equals, the first counted
        return commonest
    low, high = statistics.median_low(present), statistics.median_high(present)
    # halved before they are added: two values of 1e308 have a sum that is infinite
    return round(Fraction(low + high, 2)) if kind is Kind.INTEGER else low / 2 + high / 2


def _text_warnings(rejections: Sequence[tuple[Record, Rejection]]) -> list[str]:
    """For each column, how many records were lost because it holds text that is no number, and whether censored."""
    lost: dict[str, list[str]] = {}
    for _, reason in rejections:
        if reason.kind.startswith("column "):
            lost.setdefault(reason.kind, []).append(reason.detail)
    return [
        f"{len(texts)} records rejected: {kind}, such as {texts[0]}; {sum(_is_censored(text) for text in texts)} of "
        "them censored. docs/bring-your-own-table.md says what to do"
        for kind, texts in lost.items()
    ]


def _is_censored(text: str) -> bool:
    return text.startswith(("'<", "'>", "'≤", "'≥"))


def _constant_warnings(rows: Sequence[_Entry], columns: Sequence[ColumnParams]) -> list[str]:
    return [
        f"column '{column.name}' has one value only: {next(iter(values))}"
        for column in columns
        if len(values := {row.values[column.name] for row in rows} - {None}) == 1
    ]


def _molecule_table(
    source: Source, rows: Sequence[_Entry], columns: Sequence[ColumnParams], id_column: str | None
) -> pl.DataFrame:
    schema = dict.fromkeys(IDENTIFIERS, pl.String) | _SOURCE_COLUMNS | {c.name: _DTYPES[c.kind] for c in columns}
    return pl.DataFrame(
        [
            (
                row.molecule.smiles,
                row.molecule.inchikey,
                source.name,
                row.record.line,
                _id(row.record, id_column),
                *(row.values[column.name] for column in columns),
            )
            for row in rows
        ],
        schema=schema,
        orient="row",
    )


def _rejected_table(
    source: Source,
    rejections: Sequence[tuple[Record, Rejection]],
    merged: Sequence[tuple[_Entry, _Entry]],
    data: DataParams,
) -> pl.DataFrame:
    found = [(record, "rejected", str(reason)) for record, reason in rejections]
    found += [
        (entry.record, "merged", f"same InChIKey as line {first.record.line}: {first.molecule.inchikey}")
        for entry, first in merged
    ]
    return pl.DataFrame(
        [
            (
                source.name,
                record.line,
                _id(record, data.id_column),
                record.fields.get(data.smiles_column),
                status,
                reason,
            )
            for record, status, reason in sorted(found, key=lambda row: row[0].line)
        ],
        schema=_REJECTED_COLUMNS,
        orient="row",
    )


def _id(record: Record, id_column: str | None) -> str | None:
    return record.fields.get(id_column) if id_column else None


def _run(params: Params, reporter: ProgressReporter) -> str:
    result = ingest(
        params.data,
        molecules=paths.MOLECULES,
        rejected=paths.REJECTED,
        summary=paths.INGEST_SUMMARY,
        tdc_cache=Path(os.environ.get(paths.STATE_VARIABLE, paths.STATE)) / "tdc",
        workers=params.featurize.workers,
        progress=reporter,
    )
    counts = "{records} records: {molecules} molecules, {rejected} rejected, {merged} merged".format(**result)
    return "\n  warning: ".join([f"{counts} ({paths.REJECTED})", *result["warnings"]])


def main() -> None:
    """Run the step as ``params.yaml`` says."""
    run_stage("ingest", _run)


if __name__ == "__main__":
    main()
