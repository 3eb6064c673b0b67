"""The registered model: what ``mlflow.pyfunc.load_model`` and ``mlflow models serve`` run.

MLflow copies this file into the model (models-from-code: nothing is pickled) beside ``tabsyn_core``, so it may
import that package and the pinned requirements, and nothing else of this project.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from tabsyn_core.conform import conform
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator
from tabsyn_core.molecules import Realizer
from tabsyn_core.schema import TableSchema

RANGES = {"n_rows": (1, 1_000_000), "seed": (0, 2**32 - 1), "num_steps": (1, 1_000)}
"""The whole numbers among the params of ``predict`` and the values each may take, both ends included."""

PARAMS = (*RANGES, "where", "realize", "impute")
"""All params of ``predict``."""

MOLECULES = "molecules"
"""The value of ``realize`` that asks for rows backed by molecules."""

_MOST_ROWS = RANGES["n_rows"][1]

_PANDAS_DTYPES: dict[pa.DataType, pd.api.extensions.ExtensionDtype] = {
    pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(), pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The params of one call, checked."""

    n_rows: int
    seed: int
    num_steps: int
    where: dict[str, Any]
    realize: str
    impute: bool


class GeneratorModel(PythonModel):
    """Rows like the table the generator was fitted on."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load safetensors and JSON from the model's artifacts."""
        self._generator = Generator.load(Path(context.artifacts["generator"]))
        realizer = context.artifacts.get("realizer")
        self._realizer = None if realizer is None else Realizer.load(Path(realizer))
        _make_unknown_params_an_error()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Sample rows, with conditions or without, or fill in the gaps of given ones.

        Args:
            context: Not used; MLflow passes it.
            model_input: Conditions: a frame, or a list of dictionaries, with some of the table's columns. Each row is
                a request for rows with the values it holds; a missing value leaves its column free. ``None`` or no
                rows at all ask for rows without conditions. With ``impute``, rows whose gaps are to be filled in; a
                column that is not there is a gap in every row.
            params: MLflow fills in the defaults of the signature.
                ``n_rows``: rows for each row of conditions, not used with ``impute``; ``seed``; ``num_steps`` of the
                diffusion sampler; ``where``: further conditions on all rows as a JSON object, for what equality cannot
                say, such as ``{"MolWt": [200, 350], "RingCount": [null, 2]}`` (see
                :mod:`tabsyn_core.conditions`); ``realize``: ``"molecules"`` for rows that are the descriptors of new
                molecules (:mod:`tabsyn_core.molecules`), if the model was registered with them; ``impute``: whether to
                fill in gaps instead.

        Returns:
            ``n_rows`` rows for each request, one request after the other, or the given rows completed, with the column
            names and order of the fitted table; rows backed by molecules have ``smiles`` before those (unless only
            descriptors are shared) and ``acceptance_weight`` after them. Integer columns have pandas' nullable dtypes
            (``Int64``) whether or not a value is missing, so that dtypes never depend on the draw.

        Raises:
            MlflowException: ``INVALID_PARAMETER_VALUE`` (HTTP 400) for a column that the table does not have, a
                condition that cannot be met, or a param that is unknown or out of its range.
        """
        del context
        wanted = _check_params(params or {})
        try:
            given = _read_rows(model_input, self._generator.schema)
            return to_pandas(self._imputed(given, wanted) if wanted.impute else self._sampled(given, wanted))
        except TabsynError as error:
            raise _invalid(str(error)) from error

    def _sampled(self, conditions: pl.DataFrame, wanted: _Wanted) -> pl.DataFrame:
        """The rows of each request; the seed of request k is ``seed`` + k."""
        requests = conditions.to_dicts() or [{}]
        if wanted.n_rows * len(requests) > _MOST_ROWS:
            raise TabsynError(f"{len(requests)} requests of {wanted.n_rows} rows are more than {_MOST_ROWS:,} in all.")
        drawn = []
        for place, request in enumerate(requests):
            equal = {name: value for name, value in request.items() if value is not None}
            if twice := sorted(equal.keys() & wanted.where.keys()):
                raise TabsynError(f"columns {twice} are in where and among the conditions; name each in one of them.")
            where = {**wanted.where, **equal}
            drawn.append(self._drawn(wanted, wanted.seed + place, where))
        return pl.concat(drawn)

    def _drawn(self, wanted: _Wanted, seed: int, where: dict[str, Any]) -> pl.DataFrame:
        if wanted.realize != MOLECULES:
            return self._generator.sample(wanted.n_rows, seed=seed, where=where, num_steps=wanted.num_steps)
        if self._realizer is None:
            raise TabsynError(
                "this version was registered without molecules; set realize.num_rows and register.molecules in"
                " params.yaml and run the pipeline again, or leave realize out."
            )
        return self._realizer.sample(wanted.n_rows, seed=seed, where=where).rows

    def _imputed(self, given: pl.DataFrame, wanted: _Wanted) -> pl.DataFrame:
        if wanted.where or wanted.realize or not given.height:
            raise TabsynError("impute fills in the rows of the input: pass at least one, no where and no realize.")
        return self._generator.impute(given, seed=wanted.seed, num_steps=wanted.num_steps)[0]


def _read_rows(given: Any, schema: TableSchema) -> pl.DataFrame:
    """The input as rows of the table, null where it says nothing; no rows for any form of nothing.

    Raises:
        TabsynError: It is no table, a column is unknown, or a value is none of its column's dtype.
    """
    if given is None or (hasattr(given, "__len__") and len(given) == 0):
        return schema.empty()
    one = isinstance(given, Mapping) and not any(isinstance(values, list | np.ndarray) for values in given.values())
    try:
        frame = pd.DataFrame([given] if one else given).rename(columns=str)
        rows: pl.DataFrame = pl.from_pandas(frame)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise TabsynError(
            f"the input is no table ({error}); pass a frame (over HTTP dataframe_records), or a list of records with"
            " one value a column."
        ) from error
    return conform(rows, schema, "the input")


def to_pandas(table: pl.DataFrame) -> pd.DataFrame:
    """The same values in pandas: integers and booleans nullable, floats with NaN, text as objects with ``None``."""
    frame: pd.DataFrame = table.to_arrow().to_pandas(types_mapper=_PANDAS_DTYPES.get)
    return frame


def _check_params(params: dict[str, Any]) -> _Wanted:
    """The params with their types; where ``predict`` is called without MLflow's signature check, the only check.

    Raises:
        MlflowException: One is unknown, missing, of another type, or out of its range.
    """
    if params.keys() != set(PARAMS):
        raise _wrong_params(f"got {', '.join(params) or 'none'}")
    for name, (lowest, highest) in RANGES.items():
        if not isinstance(params[name], Integral) or not lowest <= params[name] <= highest:
            raise _invalid(f"{name} is {params[name]!r}; it must be a whole number between {lowest} and {highest}.")
    if not isinstance(params["impute"], bool | np.bool_):
        raise _invalid(f"impute is {params['impute']!r}; it must be true or false.")
    if params["realize"] not in ("", MOLECULES):
        raise _invalid(f'realize is {params["realize"]!r}; it must be "{MOLECULES}", or "" for rows without molecules.')
    numbers = {name: int(params[name]) for name in RANGES}
    where = _read_where(params["where"])
    return _Wanted(**numbers, where=where, realize=params["realize"], impute=bool(params["impute"]))


def _read_where(text: Any) -> dict[str, Any]:
    try:
        where = json.loads(text) if text else {}
    except (TypeError, json.JSONDecodeError) as error:
        raise _invalid(f"where is {text!r}, which is not JSON ({error}); {_WHERE}") from error
    if not isinstance(where, dict):
        raise _invalid(f"where is {text!r}, which is no JSON object; {_WHERE}")
    return where


_WHERE = 'write for example {"MolWt": [200, 350], "RingCount": 2}.'


def _wrong_params(found: str) -> MlflowException:
    return _invalid(f"the params are {', '.join(PARAMS)}; {found}.")


def _invalid(message: str) -> MlflowException:
    error: MlflowException = MlflowException.invalid_parameter_value(message)
    return error


def _make_unknown_params_an_error() -> None:
    """Turn MLflow's warning about params outside the signature into an error.

    MLflow 3.17 drops such params before ``predict`` sees them (``mlflow.models.utils._enforce_params_schema``)
    and offers no switch for it; the warning it logs on the way is the only trace. A logging filter may raise, and
    what it raises reaches the caller of ``predict``, or the HTTP client as status 400. See
    ``docs/decisions/0004-registry.md``; the tests fail if a later MLflow words the warning otherwise.
    """
    logger = logging.getLogger("mlflow.models.utils")
    logger.setLevel(logging.WARNING)  # the warning must be made even where MLflow was told to be quiet
    already = [getattr(present, "__name__", "") for present in logger.filters]
    if _refuse_dropped_params.__name__ not in already:  # a model loaded twice runs this file twice
        logger.addFilter(_refuse_dropped_params)


def _refuse_dropped_params(record: logging.LogRecord) -> bool:
    found, separator, supported = record.getMessage().partition(" are ignored for inference. Supported params are: ")
    if separator and all(repr(name) in supported for name in PARAMS):  # another model's params are its own business
        raise _wrong_params("unknown: " + found.removeprefix("Unrecognized params ").strip("[]"))
    return True


set_model(GeneratorModel())
