"""The registered model: what ``mlflow.pyfunc.load_model`` and ``mlflow models serve`` run.

MLflow copies this file into the model (models-from-code: nothing is pickled) beside ``tabsyn_core``, so it may
import that package and the pinned requirements, and nothing else of this project.
"""

import logging
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator

RANGES = {"n_rows": (1, 1_000_000), "seed": (0, 2**32 - 1), "num_steps": (1, 1_000)}
"""The params of ``predict`` and the values each may take, both ends included."""

_PANDAS_DTYPES: dict[pa.DataType, pd.api.extensions.ExtensionDtype] = {
    pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(), pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip


class GeneratorModel(PythonModel):
    """Rows like the table the generator was fitted on."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load safetensors and JSON from the model's artifacts."""
        self._generator = Generator.load(Path(context.artifacts["generator"]))
        _make_unknown_params_an_error()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Sample rows.

        Args:
            context: Not used; MLflow passes it.
            model_input: ``None`` or a frame without rows. Conditions on columns are not supported yet.
            params: ``n_rows``, ``seed`` and ``num_steps`` of the diffusion sampler; MLflow fills in the defaults of
                the signature.

        Returns:
            ``n_rows`` rows, with the column names and order of the fitted table. Integer columns have pandas'
            nullable dtypes (``Int64``) whether or not a value is missing, so that dtypes never depend on the draw.

        Raises:
            MlflowException: ``INVALID_PARAMETER_VALUE`` (HTTP 400) for conditions or a param out of its range.
        """
        del context
        _refuse_conditions(model_input)
        wanted = _check_params(params or {})
        try:
            rows = self._generator.sample(wanted["n_rows"], seed=wanted["seed"], num_steps=wanted["num_steps"])
        except TabsynError as error:
            raise _invalid(str(error)) from error
        return to_pandas(rows)


def to_pandas(table: pl.DataFrame) -> pd.DataFrame:
    """The same values in pandas: integers and booleans nullable, floats with NaN, text as objects with ``None``."""
    frame: pd.DataFrame = table.to_arrow().to_pandas(types_mapper=_PANDAS_DTYPES.get)
    return frame


def _refuse_conditions(given: Any) -> None:
    if given is not None and not (hasattr(given, "__len__") and len(given) == 0):
        raise _invalid(
            "conditions on columns are not supported: pass None or a frame without rows, and ask for rows with "
            'params={"n_rows": ...}.'
        )


def _check_params(params: dict[str, Any]) -> dict[str, int]:
    """The params as integers; where ``predict`` is called without MLflow's signature check, the only check.

    Raises:
        MlflowException: One is unknown, missing, not whole, or out of its range.
    """
    if params.keys() != RANGES.keys():
        raise _wrong_params(f"got {', '.join(params) or 'none'}")
    for name, (lowest, highest) in RANGES.items():
        if not isinstance(params[name], Integral) or not lowest <= params[name] <= highest:
            raise _invalid(f"{name} is {params[name]!r}; it must be a whole number between {lowest} and {highest}.")
    return {name: int(params[name]) for name in RANGES}


def _wrong_params(found: str) -> MlflowException:
    return _invalid(f"the params are {', '.join(RANGES)}; {found}.")


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
    if separator and all(repr(name) in supported for name in RANGES):  # another model's params are its own business
        raise _wrong_params("unknown: " + found.removeprefix("Unrecognized params ").strip("[]"))
    return True


set_model(GeneratorModel())
