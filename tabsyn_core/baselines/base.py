"""What a baseline is: fit a table, sample rows with the same names and dtypes, within a budget of seconds."""

import importlib
import time
from abc import ABC, abstractmethod
from typing import Any, Self

import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.schema import TableSchema


class Baseline(ABC):
    """A rival, behind the same two methods as all the others.

    Attributes:
        schema: The columns it was fitted to.
        effort: What the fit did, for the leaderboard: updates or epochs made and published.
    """

    schema: TableSchema
    effort: dict[str, float]

    def fit(
        self,
        table: pl.DataFrame,
        schema: TableSchema,
        *,
        seed: int,
        seconds: float | None = None,
        progress: ProgressCallback = silent,
    ) -> Self:
        """Fit to a table.

        Args:
            table: At least one row of the schema's columns, with gaps or without; other columns are left alone.
            schema: What is known about the columns.
            seed: The same seed, table and machine give the same baseline, if there is no budget that it runs out of.
            seconds: Budget of wall-clock time after which training stops as it is; None trains as published. Its clock
                starts when :meth:`prepare` has ended.
            progress: Told about updates or epochs.

        Returns:
            Itself.

        Raises:
            TabsynError: The table does not match the schema, cannot be modelled this way, or a package is missing.
        """
        if seconds is not None and not seconds > 0:
            raise TabsynError(f"seconds is {seconds}; it must be more than 0, or None for no budget.")
        if seed < 0:
            raise TabsynError(f"seed is {seed}; it must be at least 0.")
        if table.height == 0:
            raise TabsynError("the table has no rows; a baseline needs at least 1.")
        schema.check(table.select(name for name in table.columns if name in schema.names))
        self.effort = {}
        self.prepare()
        deadline = None if seconds is None else time.monotonic() + seconds
        nulls = table.select(schema.names).with_columns(pl.selectors.float().fill_nan(None))
        self._fit(nulls, schema, seed, deadline, progress)
        self.schema = schema
        return self

    def sample(self, n: int, seed: int) -> pl.DataFrame:
        """Draw ``n`` rows, the same for the same seed, with the names, order and dtypes of the schema.

        Raises:
            TabsynError: Nothing was fitted, or an argument is negative.
        """
        if not hasattr(self, "schema"):
            raise TabsynError("this baseline has not been fitted; call fit or load first.")
        for name, value in (("n", n), ("seed", seed)):
            if value < 0:
                raise TabsynError(f"{name} is {value}; it must be at least 0.")
        return self._sample(n, seed) if n else self.schema.empty()

    def prepare(self) -> None:  # noqa: B027  # most have nothing to prepare
        """Do what takes time and is no part of a fit, such as installing packages; :meth:`fit` does it if need be."""

    @property
    def prepared(self) -> bool:
        """Whether :meth:`prepare` has nothing left to do."""
        return True

    @abstractmethod
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        """Fit to a table with the schema's columns in order, NaN null, until ``time.monotonic()`` is ``deadline``."""

    @abstractmethod
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        """Draw at least one row."""


def require(module: str) -> Any:
    """A module of the ``benchmark`` extra, imported only when it is used.

    Raises:
        TabsynError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".", maxsplit=1)[0]
        raise TabsynError(f'{package} is not installed; pip install "admet-tabsyn[benchmark]".') from error
