"""Great Expectations: the project's own expectations, and one function that runs a suite file on a table.

Importing this takes up to ten seconds (Great Expectations itself), so only the step that validates does. The
expectations here are wide, one for many columns chosen by name or pattern (``fr_*``): a suite stays a page long and
217 columns take a fraction of a second, where one expectation a column takes five and fills a thousand lines.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when Great Expectations is imported

import great_expectations as gx
import polars as pl
from great_expectations.compatibility.pydantic import Field
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.exceptions.exceptions import GreatExpectationsError
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, ColumnMapExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.expectations.registry import list_registered_expectation_implementations
from rdkit import Chem, rdBase

from tabsyn_core.chemistry.rules import RULES, broken
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 5
"""How many offending values a result shows for each column."""

_MISSING = "the column is missing"

_FIXED_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""The run time in every result: equal data then gives equal files and pages, and a new run replaces the last."""

Fault = dict[str, Any]
"""What is wrong with one column or rule: ``column``, ``count`` (rows), ``examples`` (each ``row``, from 0, ``value``
and ``smiles`` if there is such a column), and ``words``, all of it in a sentence."""

_VISIT = re.compile(r"\?d=[^\"']*dataContextId=[^\"']*")

Parameter = dict[str, str]
"""``{"$PARAMETER": "<name>"}``: a value known when the step runs."""

Columns = list[str] | Parameter
"""Column names or patterns such as ``fr_*``."""


class PolarsTable(TableMetricProvider):
    """The batch itself, as polars, for expectations that look at many columns at once."""

    metric_name = "table.polars"

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805  # Great Expectations makes a classmethod of it
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        **_: Any,
    ) -> pl.DataFrame:
        frame, _compute, _accessor = execution_engine.get_compute_domain(metric_domain_kwargs, MetricDomainTypes.TABLE)
        return pl.from_pandas(frame)


class ValidSmiles(ColumnMapMetricProvider):
    """Whether RDKit reads and sanitises each value."""

    condition_metric_name = "column_values.valid_smiles"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[str]", **_: Any) -> "pd.Series[bool]":  # noqa: N805
        with rdBase.BlockLogs():
            return column.map(lambda smiles: Chem.MolFromSmiles(smiles) is not None).astype(bool)


class ExpectColumnValuesToBeValidSmiles(ColumnMapExpectation):
    """Every value is a SMILES that RDKit can read and sanitise."""

    map_metric = "column_values.valid_smiles"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly",)


class _WideExpectation(BatchExpectation):
    """An expectation on many columns; a subclass finds the faults."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.polars",)

    def _faults(self, table: pl.DataFrame) -> list[Fault]:
        raise NotImplementedError

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,  # noqa: ARG002  # Great Expectations' signature
        execution_engine: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        faults = self._faults(metrics["table.polars"])
        words = "; ".join(fault["words"] for fault in faults) or "as expected"
        return {"success": not faults, "result": {"observed_value": words, "details": {"faults": faults}}}


class _ColumnsExpectation(_WideExpectation):
    """A wide expectation on chosen columns; a subclass says which rows of one column are wrong."""

    columns: Columns
    excluding: Columns = Field(default_factory=list)

    success_keys: ClassVar[tuple[str, ...]] = ("columns", "excluding")

    def _faults(self, table: pl.DataFrame) -> list[Fault]:
        kwargs = self._get_success_kwargs()
        chosen, absent = _choose(kwargs["columns"], kwargs.get("excluding") or [], table.columns)
        missing = [_fault(name, table.height, note=_MISSING) for name in absent]
        checked = (_rows_fault(table, name, self._wrong(table[name], kwargs)) for name in chosen)
        return missing + [fault for fault in checked if fault["count"]]

    def _wrong(self, values: pl.Series, kwargs: Mapping[str, Any]) -> pl.Series:
        raise NotImplementedError


class ExpectColumnsToBeBetween(_ColumnsExpectation):
    """Every value is finite and within the bounds that are given; missing values pass."""

    min_value: float | Parameter | None = None
    max_value: float | Parameter | None = None

    success_keys: ClassVar[tuple[str, ...]] = ("columns", "excluding", "min_value", "max_value")

    def _wrong(self, values: pl.Series, kwargs: Mapping[str, Any]) -> pl.Series:
        wrong: pl.Series = ~values.is_finite()
        if kwargs.get("min_value") is not None:
            wrong |= values < kwargs["min_value"]
        if kwargs.get("max_value") is not None:
            wrong |= values > kwargs["max_value"]
        return wrong


class ExpectColumnsToHoldWholeNumbers(_ColumnsExpectation):
    """Every value is a whole number, whatever dtype stores it; missing values pass."""

    def _wrong(self, values: pl.Series, kwargs: Mapping[str, Any]) -> pl.Series:  # noqa: ARG002
        return values != values.round() if values.dtype.is_float() else pl.repeat(False, len(values), eager=True)


class ExpectColumnsNotToBeNull(_ColumnsExpectation):
    """No value is missing."""

    def _wrong(self, values: pl.Series, kwargs: Mapping[str, Any]) -> pl.Series:  # noqa: ARG002
        return values.is_null()


class ExpectColumnsNullShareToBeAtMost(_WideExpectation):
    """The share of missing values does not exceed a bound."""

    columns: Columns
    excluding: Columns = Field(default_factory=list)
    max_share: float | Parameter

    success_keys: ClassVar[tuple[str, ...]] = ("columns", "excluding", "max_share")

    def _faults(self, table: pl.DataFrame) -> list[Fault]:
        kwargs = self._get_success_kwargs()
        chosen, absent = _choose(kwargs["columns"], kwargs.get("excluding") or [], table.columns)
        nulls = {name: table[name].null_count() for name in chosen}
        return [_fault(name, table.height, note=_MISSING) for name in absent] + [
            _fault(name, count, note=f"missing in {count} of {table.height} rows ({count / table.height:.1%})")
            for name, count in nulls.items()
            if count > kwargs["max_share"] * table.height
        ]


class ExpectColumnsToHaveDtypes(_WideExpectation):
    """Each column has the polars dtype given for it."""

    dtypes: dict[str, Any]

    success_keys: ClassVar[tuple[str, ...]] = ("dtypes",)

    def _faults(self, table: pl.DataFrame) -> list[Fault]:
        expected = self._get_success_kwargs()["dtypes"]
        found = {name: str(table.schema.get(name, "absent")) for name in expected}
        return [
            _fault(name, table.height, note=f"expected {dtype}, found {found[name]}")
            for name, dtype in expected.items()
            if found[name] != dtype
        ]


class ExpectCategoriesToBeKnown(_WideExpectation):
    """Each categorical column holds only the categories given for it; missing values pass."""

    categories: dict[str, Any]

    success_keys: ClassVar[tuple[str, ...]] = ("categories",)

    def _faults(self, table: pl.DataFrame) -> list[Fault]:
        known: Mapping[str, list[str]] = self._get_success_kwargs()["categories"]
        checked = (
            _rows_fault(table, name, ~table[name].cast(pl.String).is_in(values))
            for name, values in known.items()
            if name in table.columns
        )
        return [fault for fault in checked if fault["count"]]


class ExpectTableToObeyRdkitRules(_WideExpectation):
    """No row breaks an identity, inequality, count or bound that RDKit's definitions force on every molecule."""

    def _faults(self, table: pl.DataFrame) -> list[Fault]:
        marks = broken(table)
        return [
            _rows_fault(table, rule.name, marks[rule.name], rule.columns)
            for rule in RULES
            if rule.name in marks.columns and marks[rule.name].any()
        ]


def run_suites(
    runs: Mapping[str, tuple[pl.DataFrame, Mapping[str, Any]]], suites: Path, state: Path, data_docs: Path
) -> dict[str, Any]:
    """Run suite files on tables and rebuild the Data Docs.

    The pages keep the newest result of every suite that ever ran with the same ``state``.

    Args:
        runs: For each suite name its table and the values of the suite's ``$PARAMETER`` entries.
        suites: The folder with ``<name>.json`` for each name.
        state: A folder for Great Expectations' own stores; may be deleted at any time.
        data_docs: The folder of the static pages; its entrance is ``index.html``.

    Returns:
        For each suite: ``rows``, ``columns`` and ``expectations``, a list with ``expectation``, ``description``,
        ``severity``, ``success`` and ``faults`` (see :data:`Fault`). Equal tables give equal results.

    Raises:
        TabsynError: A suite file is absent, is not JSON, or holds an expectation that does not exist or has wrong
            or unknown arguments; or the pages cannot be written.
    """
    loaded = {name: _load_suite(suites / f"{name}.json", parameters) for name, (_, parameters) in runs.items()}
    try:
        context = _context(state, data_docs)
        results = {name: _run_suite(context, loaded[name], *runs[name]) for name in runs}
        context.build_data_docs()
        _forget_visitors(data_docs)
    except OSError as error:
        raise TabsynError(f"cannot write {error.filename or data_docs}: {error.strerror}. Free some space.") from error
    return results


def _run_suite(
    context: Any, suite: gx.ExpectationSuite, table: pl.DataFrame, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    name = suite.name
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name,
        data=asset.add_batch_definition_whole_dataframe(name),
        suite=context.suites.add_or_update(suite),
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": table.to_pandas(use_pyarrow_extension_array=True)},
        expectation_parameters=dict(parameters),
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES},
        run_id=RunIdentifier(run_name=name, run_time=_FIXED_TIME),
    )
    # Great Expectations returns results in an order of its own; the suite's order is the reader's.
    order = {expectation.description: index for index, expectation in enumerate(suite.expectations)}
    found = sorted(outcome.results, key=lambda result: order[result.expectation_config.description])
    return {"rows": table.height, "columns": table.width, "expectations": [_summarise(each, table) for each in found]}


def _context(state: Path, data_docs: Path) -> Any:
    """An in-memory project whose suites, results and pages are files, so that pages of earlier steps survive."""
    defaults = InMemoryStoreBackendDefaults()
    for store, folder in (
        (defaults.expectations_store_name, "suites"),
        (defaults.validation_results_store_name, "results"),
    ):
        defaults.stores[store]["store_backend"] = _folder(state / folder)
    defaults.data_docs_sites = {
        "local_site": {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": _folder(data_docs),
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
    }
    quiet = ProgressBarsConfig(globally=False, metric_calculations=False)
    config = DataContextConfig(store_backend_defaults=defaults, analytics_enabled=False, progress_bars=quiet)
    return gx.get_context(mode="ephemeral", project_config=config)


def _forget_visitors(data_docs: Path) -> None:
    """Take the project's id and the time out of the logo's address, which tells a server of each visit to a page."""
    for page in data_docs.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(_VISIT.sub("", text), encoding="utf-8")


def _folder(path: Path) -> dict[str, str]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(path.absolute())}


def _load_suite(path: Path, parameters: Mapping[str, Any]) -> gx.ExpectationSuite:
    content = read_json(path)
    entries = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or content.get("name") != path.stem:
        raise TabsynError(f"suite {path} must hold a name, '{path.stem}', and a list of expectations.")
    expectations = [_load_expectation(path, number, entry) for number, entry in enumerate(entries, start=1)]
    described = [expectation.description for expectation in expectations]
    if None in described or len(set(described)) < len(described):
        raise TabsynError(f"suite {path}: give every expectation a description of its own; readers know it by that.")
    suite = gx.ExpectationSuite(name=path.stem, expectations=expectations, notes=content.get("notes"))
    unknown = set(suite.suite_parameter_options) - set(parameters)
    if unknown:
        raise TabsynError(f"suite {path}: no such parameter: {sorted(unknown)}; there are {sorted(parameters)}.")
    return suite


def _load_expectation(path: Path, number: int, entry: Any) -> Any:
    where = f"suite {path}, expectation {number}"
    if not isinstance(entry, dict) or not {"type", "kwargs"} <= set(entry):
        raise TabsynError(f"{where}: an expectation is an object with type, kwargs, severity and description.")
    try:
        return ExpectationConfiguration(**entry).to_domain_obj()
    except GreatExpectationsError as error:
        nearest = difflib.get_close_matches(str(entry["type"]), list_registered_expectation_implementations(), n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else "."
        raise TabsynError(f"{where} ({entry['type']}): {error}{hint}") from error
    except (TypeError, ValueError) as error:
        raise TabsynError(f"{where} ({entry['type']}): {error}.") from error


def _summarise(result: Any, table: pl.DataFrame) -> dict[str, Any]:
    config = result.expectation_config
    return {
        "expectation": config.type,
        "description": config.description,
        "severity": str(getattr(config.severity, "value", config.severity)),
        "success": bool(result.success),
        "faults": [] if result.success else _faults_of(result, table),
    }


def _faults_of(result: Any, table: pl.DataFrame) -> list[Fault]:
    """The faults of any expectation, the library's own ones included."""
    detail, kwargs = result.result, result.expectation_config.kwargs
    if "faults" in detail.get("details", {}):
        return list(detail["details"]["faults"])
    if "column_list" in kwargs:
        return [_fault("the columns", table.height, note=_columns_in_words(kwargs["column_list"], table.columns))]
    column = kwargs.get("column", "the table")
    if "column" in kwargs and column not in table.columns:
        return [_fault(column, table.height, note=_MISSING)]
    if "observed_value" in detail:
        return [_fault(column, table.height, note=f"observed {detail['observed_value']}")]
    if "partial_unexpected_index_list" not in detail:
        return [_fault(column, table.height, note=f"it could not be checked: {_exception(result.exception_info)}")]
    rows = detail["partial_unexpected_index_list"]
    return [_fault(column, detail["unexpected_count"], [_example(table, row, table[column][row]) for row in rows])]


def _exception(info: Any) -> str:
    """The first message in what Great Expectations says about exceptions: one entry, or one for each metric."""
    entries = [info, *(entry for entry in info.values() if isinstance(entry, dict))]
    return next((entry["exception_message"] for entry in entries if entry.get("exception_message")), "no reason known")


def _columns_in_words(expected: list[str], found: list[str]) -> str:
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    return f"missing {missing}, unknown {unknown}" if missing or unknown else "they are in another order"


def _choose(wanted: Iterable[str], excluded: Iterable[str], present: list[str]) -> tuple[list[str], list[str]]:
    """The columns that match, and the plain names that are absent; a pattern may match nothing."""
    chosen = [name for name in present if any(fnmatchcase(name, pattern) for pattern in wanted)]
    absent = [name for name in wanted if name not in present and not set(name) & set("*?[")]
    return [name for name in chosen if not any(fnmatchcase(name, pattern) for pattern in excluded)], absent


def _rows_fault(table: pl.DataFrame, name: str, wrong: pl.Series, show: Iterable[str] = ()) -> Fault:
    """The fault of the rows where ``wrong`` is true; ``show`` names the columns to show where ``name`` is not one."""
    rows = wrong.fill_null(False).arg_true()
    columns = list(show) or [name]
    values = table.select(columns)[rows.head(EXAMPLES)].rows(named=True)
    examples = [
        _example(table, row, value if show else value[name])
        for row, value in zip(rows.head(EXAMPLES), values, strict=True)
    ]
    return _fault(name, len(rows), examples)


def _example(table: pl.DataFrame, row: int, value: Any) -> dict[str, Any]:
    label = {"smiles": table["smiles"][row]} if "smiles" in table.columns else {}
    return {"row": int(row), "value": value if value is None else _plain(value), **label}


def _plain(value: Any) -> Any:
    """A value JSON can hold: not finite numbers become text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return str(value) if isinstance(value, float) and not abs(value) < float("inf") else value


def _fault(column: str, count: int, examples: Iterable[dict[str, Any]] = (), note: str = "") -> Fault:
    shown = list(examples)
    rows = f"{count} row{'' if count == 1 else 's'}, such as {', '.join(map(_example_in_words, shown))}"
    return {"column": column, "count": count, "examples": shown, "words": f"{column}: {note or rows}"}


def _example_in_words(example: Mapping[str, Any]) -> str:
    value, smiles = example["value"], f", {example['smiles']}" if "smiles" in example else ""
    shown = ", ".join(f"{name} = {each}" for name, each in value.items()) if isinstance(value, dict) else value
    return f"{shown} (row {example['row']}{smiles})"
