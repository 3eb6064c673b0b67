"""TVAE and CTGAN (Xu, Skoularidou, Cuesta-Infante & Veeramachaneni, NeurIPS 2019) from their authors' package."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import polars as pl
from joblib import parallel_config  # type: ignore[import-untyped]
from typing_extensions import override

from tabsyn_core.baselines.base import Baseline, require
from tabsyn_core.baselines.complete import Complete
from tabsyn_core.progress import Progress, ProgressCallback
from tabsyn_core.reproducible import reproducible
from tabsyn_core.schema import TableSchema


class _OutOfTimeError(Exception):
    pass


@dataclass(eq=False, kw_only=True)
class _FromPackage(Baseline):
    """What both have in common.

    Gaps are filled (:mod:`tabsyn_core.baselines.complete`). The package counts epochs and no seconds; it writes down
    the losses of every epoch, and there the time is looked at: a fit that has none left ends with that epoch.

    Attributes:
        epochs: Published epochs; a budget in seconds makes fewer, but one at least.
        batch_size: Rows an update, a multiple of 10.
        threads: CPU threads; fixed, because their number changes the last bits of a sum.
        options: Other arguments of the package's class, such as the sizes of its networks.
    """

    named: ClassVar[str]
    epochs: int = 300
    batch_size: int = 500
    threads: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        model = getattr(require("ctgan"), self.named)
        self.complete = Complete.of(table, schema)
        self.effort = {"epochs": 0, "published epochs": self.epochs}
        numbers, codes = self.complete.split(table)
        width, columns = numbers.shape[1], numbers.shape[1] + codes.shape[1]
        if not columns:
            return

        def watch(epochs: int) -> None:
            self.effort["epochs"] = epochs
            progress(Progress(epochs, self.epochs, "epochs", self.named.lower()))
            if deadline is not None and time.monotonic() > deadline:
                raise _OutOfTimeError

        self.model = _watched(model, watch)(epochs=self.epochs, batch_size=self.batch_size, **self.options)
        self.model.set_random_state(seed)
        frame = pd.concat([pd.DataFrame(numbers), pd.DataFrame(codes)], axis=1)
        frame.columns = pd.Index([str(place) for place in range(columns)])
        # One process: columns are transformed in several otherwise, which a small table does not pay for.
        with reproducible(self.threads), parallel_config("sequential"), suppress(_OutOfTimeError):
            self.model.fit(frame, [str(place) for place in range(width, columns)])

    @override
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        width, columns = len(self.complete.medians), len(self.complete.medians) + len(self.complete.sizes)
        if not columns:
            return self.complete.join(np.empty((n, 0)), np.empty((n, 0), dtype=np.int64))
        self.model.set_random_state(seed)
        with reproducible(self.threads):
            drawn = self.model.sample(n)
        numbers = drawn.iloc[:, :width].to_numpy(dtype=np.float64)
        return self.complete.join(numbers, drawn.iloc[:, width:].to_numpy(dtype=np.int64))


class TVAE(_FromPackage):
    """A variational autoencoder over mode-specific normalised numbers and one-hot categories."""

    named = "TVAE"


class CTGAN(_FromPackage):
    """A conditional GAN over the same, trained by sampling."""

    named = "CTGAN"


def _watched(model: Any, watch: Callable[[int], None]) -> Any:
    """The package's class, but ``watch`` is told the number of epochs whenever losses are written down."""

    class Watched(model):  # type: ignore[misc]
        @property
        def loss_values(self) -> pd.DataFrame | None:
            return self.written

        @loss_values.setter
        def loss_values(self, losses: pd.DataFrame | None) -> None:
            self.written = losses
            if losses is not None and len(losses):
                watch(int(losses["Epoch"].iloc[-1]) + 1)

    return Watched
