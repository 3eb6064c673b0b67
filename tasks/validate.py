"""Check the tables at the borders of the pipeline with Great Expectations: ``expectations/*.json``, Data Docs.

``python -m tasks.validate`` checks the molecules and their descriptors, ``python -m tasks.validate synthetic`` the
synthetic table. A suite is a plain Great Expectations file that a reviewer edits; what depends on ``params.yaml`` or
on another table stands there as ``{"$PARAMETER": "name"}``, and :func:`_molecule_parameters`,
:func:`_descriptor_parameters` and :func:`_synthetic_parameters` say what the names mean.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, IDENTIFIERS, INTEGER_DESCRIPTORS
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_parquet, write_json
from tabsyn_core.schema import Kind
from tasks import paths
from tasks.params import ColumnParams, Params
from tasks.stage import run_stage

_FAULTS_SHOWN = 5
"""How many faults of one expectation an error message spells out; the Data Docs hold them all."""

_DTYPES = {Kind.NUMERIC: "Float64", Kind.INTEGER: "Int64", Kind.CATEGORICAL: "String"}
_ORIGIN = {"source_file": "String", "source_line": "Int64", "source_id": "String"}
_IDENTIFIERS = dict.fromkeys(IDENTIFIERS, "String")
_DESCRIPTORS = {name: "Int64" if name in INTEGER_DESCRIPTORS else "Float64" for name in DESCRIPTOR_NAMES}

Runs = Mapping[str, tuple[pl.DataFrame, Mapping[str, Any]]]
"""For each suite its table and the values of its ``$PARAMETER`` entries."""


def validate(
    params: Params,
    *,
    molecules: Path,
    descriptors: Path,
    report: Path,
    suites: Path = paths.EXPECTATIONS,
    data_docs: Path = paths.DATA_DOCS,
    state: Path = paths.STATE / "gx",
) -> dict[str, Any]:
    """Check the molecules and the descriptor table, write the report and rebuild the Data Docs.

    Args:
        params: Says which targets and kept columns there are, and the largest share of missing values.
        molecules: The table ``ingest`` wrote.
        descriptors: The table ``featurize`` wrote.
        report: Where the JSON report goes; equal tables give an equal file.
        suites: The folder of suite files.
        data_docs: The folder of static pages; the pages of other suites stay.
        state: A folder for Great Expectations' own stores.

    Returns:
        The report: for each suite ``rows``, ``columns``, ``expectations``; and ``warnings``, in words.

    Raises:
        TabsynError: A critical expectation failed (the pages are built, the report is not written), a suite file is
            broken, or a table is absent.
    """
    return _validate(_first_runs(params, molecules, descriptors), report, suites, data_docs, state)


def validate_synthetic(
    params: Params,
    *,
    synthetic: Path,
    train: Path,
    report: Path,
    suites: Path = paths.EXPECTATIONS,
    data_docs: Path = paths.DATA_DOCS,
    state: Path = paths.STATE / "gx",
) -> dict[str, Any]:
    """Check the synthetic table against the training table; see :func:`validate`."""
    return _validate(_synthetic_runs(params, synthetic, train), report, suites, data_docs, state)


def build_data_docs(params: Params, data_docs: Path = paths.DATA_DOCS) -> Path:
    """Build the Data Docs of all tables that exist, as when DVC took the stages from its cache.

    Returns:
        The page to open.

    Raises:
        TabsynError: There is no table yet, or a suite file is broken.
    """
    from tasks.expectations import run_suites  # noqa: PLC0415  # ten seconds

    runs = dict(_first_runs(params, paths.MOLECULES, paths.DESCRIPTORS))
    if paths.SYNTHETIC.exists():
        runs |= _synthetic_runs(params, paths.SYNTHETIC, paths.TRAIN)
    run_suites(runs, paths.EXPECTATIONS, paths.STATE / "gx", data_docs)
    return data_docs / "index.html"


def _validate(runs: Runs, report: Path, suites: Path, data_docs: Path, state: Path) -> dict[str, Any]:
    from tasks.expectations import run_suites  # noqa: PLC0415  # ten seconds, which no other step should pay

    results = run_suites(runs, suites, state, data_docs)
    failed = _failures(results, "critical")
    if failed:
        listed = "\n".join(f"  {line}" for line in failed)
        raise TabsynError(f"{len(failed)} critical expectation(s) failed; {data_docs}/index.html has all:\n{listed}")
    outcome = {**results, "warnings": _failures(results, "warning")}
    write_json(report, outcome)
    return outcome


def _first_runs(params: Params, molecules: Path, descriptors: Path) -> Runs:
    molecule_table, descriptor_table = read_parquet(molecules), read_parquet(descriptors)
    return {
        "molecules": (molecule_table, _molecule_parameters(params)),
        "descriptors": (descriptor_table, _descriptor_parameters(params, molecule_table.height)),
    }


def _synthetic_runs(params: Params, synthetic: Path, train: Path) -> Runs:
    return {"synthetic": (read_parquet(synthetic), _synthetic_parameters(params, read_parquet(train)))}


def _molecule_parameters(params: Params) -> dict[str, Any]:
    modelled = _modelled(params)
    dtypes = {**_IDENTIFIERS, **_ORIGIN, **{column.name: _DTYPES[column.kind] for column in modelled}}
    return {
        "columns": list(dtypes),
        "dtypes": dtypes,
        "targets": [column.name for column in modelled],
        "numeric_targets": _numeric(modelled),
    }


def _descriptor_parameters(params: Params, molecules: int) -> dict[str, Any]:
    modelled = _modelled(params)
    dtypes = {**_IDENTIFIERS, **_DESCRIPTORS, **{column.name: _DTYPES[column.kind] for column in modelled}}
    return {
        "molecules": molecules,
        "columns": list(dtypes),
        "dtypes": dtypes,
        "descriptors": list(DESCRIPTOR_NAMES),
        "numeric_targets": _numeric(modelled),
        "max_missing_share": params.validate_.max_missing_share,
    }


def _synthetic_parameters(params: Params, train: pl.DataFrame) -> dict[str, Any]:
    table = train.drop(IDENTIFIERS, strict=False)
    return {
        "columns": table.columns,
        "dtypes": {name: str(dtype) for name, dtype in table.schema.items()},
        "numeric": [name for name, dtype in table.schema.items() if dtype.is_numeric()],
        "complete": [name for name in table.columns if table[name].null_count() == 0],
        "categories": {
            name: table[name].cast(pl.String).drop_nulls().unique().sort().to_list()
            for name, dtype in table.schema.items()
            if not dtype.is_numeric()
        },
        "descriptors": [name for name in DESCRIPTOR_NAMES if name in table.columns],
        "max_missing_share": params.validate_.max_missing_share,
    }


def _modelled(params: Params) -> list[ColumnParams]:
    return [*params.data.targets, *params.data.keep]


def _numeric(columns: Iterable[ColumnParams]) -> list[str]:
    return [column.name for column in columns if column.kind is not Kind.CATEGORICAL]


def _failures(results: Mapping[str, Any], severity: str) -> list[str]:
    return [
        f"suite {suite}, {expectation['expectation']} ({expectation['description']}): {_in_words(expectation)}"
        for suite, result in results.items()
        for expectation in result["expectations"]
        if not expectation["success"] and expectation["severity"] == severity
    ]


def _in_words(expectation: Mapping[str, Any]) -> str:
    faults = expectation["faults"]
    more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
    return "; ".join(fault["words"] for fault in faults[:_FAULTS_SHOWN]) + more


def _run(params: Params, _: object) -> str:
    return _said(validate(params, molecules=paths.MOLECULES, descriptors=paths.DESCRIPTORS, report=paths.VALIDATION))


def _run_synthetic(params: Params, _: object) -> str:
    return _said(
        validate_synthetic(params, synthetic=paths.SYNTHETIC, train=paths.TRAIN, report=paths.SYNTHETIC_VALIDATION)
    )


def _said(outcome: Mapping[str, Any]) -> str:
    warnings: list[str] = outcome["warnings"]
    expectations = sum(len(result["expectations"]) for name, result in outcome.items() if name != "warnings")
    counts = f"{expectations} expectations, {len(warnings)} warning(s) ({paths.DATA_DOCS}/index.html)"
    return "\n  warning: ".join([counts, *warnings])


def main() -> None:
    """Check the molecules and descriptors, or with the word ``synthetic`` the synthetic table."""
    match sys.argv[1:]:
        case []:
            run_stage("validate", _run)
        case ["synthetic"]:
            run_stage("validate_synthetic", _run_synthetic)
        case _:
            sys.exit("usage: python -m tasks.validate [synthetic]")


if __name__ == "__main__":
    main()
