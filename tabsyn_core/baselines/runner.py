"""Runs in the environment of an external baseline, where nothing of this project is installed.

``python runner.py tabular-argn`` reads a request a line from stdin, ``{"do": "fit", "table": PATH, ...}`` or
``{"do": "sample", "n": 10, "seed": 0, "to": PATH}``, and answers with a line of JSON. Tables travel as Parquet; the
fitted model stays in this process, which ends with its stdin.
"""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_ENOUGH_LEVELS, _ENOUGH_COPIES = 10, 20
_TIMED = (1, 4)  # copies
_RESERVED = 0.9


class TabularARGN:
    """An autoregressive network over discretised columns (Tiwald et al., arXiv:2501.12012), from ``mostlyai-engine``.

    Gaps and text are its own affair. Value protection is off: it replaces rare categories and cuts extremes, which
    none of the others does.
    """

    def fit(self, table: pd.DataFrame, request: dict[str, Any]) -> dict[str, float]:
        """Train until it stops early, as published, or the seconds are over."""
        engine = importlib.import_module("mostlyai.engine")
        kinds = {True: "TABULAR_CATEGORICAL", False: "TABULAR_NUMERIC_AUTO"}
        seconds = request["seconds"]
        self.engine = engine
        self.model = engine.TabularARGN(
            value_protection=False,
            tgt_encoding_types={name: kinds[name in request["categorical"]] for name in table.columns},
            max_training_time=None if seconds is None else seconds / 60,
            random_state=request["seed"],
            device=request["device"],
        )
        self.model.fit(table)
        told = pd.read_csv(Path(self.model.workspace_path_) / "ModelStore" / "model-data" / "progress-messages.csv")
        return {"epochs": float(told["epoch"].max()), "published epochs": 100.0}

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        """Draw rows."""
        self.engine.set_random_state(seed)
        drawn: pd.DataFrame = self.model.sample(n_samples=n)
        return drawn


class ForestDiffusion:
    """Flow matching with gradient-boosted trees (Jolicoeur-Martineau et al., AISTATS 2024), from ``ForestDiffusion``.

    Categories are dummies without the first level, and the level is the largest dummy above one half or the first, as
    in the package, whose own dummies take column 1 for a part of column 11. The package cannot be stopped: a budget in
    seconds is met by fewer copies of the rows, down to 20, then fewer noise levels, down to 10, then fewer of both, as
    told by the time of a level with one copy and with four. (On 600 rows of three columns, 10 levels and 20 copies lose
    little of a correlation, 10 levels and one copy most of it.)
    """

    def fit(self, table: pd.DataFrame, request: dict[str, Any]) -> dict[str, float]:
        """Train; the table has numbers, then codes of categories with ``sizes`` levels."""
        start, self.sizes, self.width = time.monotonic(), request["sizes"], table.shape[1] - len(request["sizes"])
        codes = table.to_numpy()[:, self.width :].astype(np.int64)
        dummies = [np.eye(size)[column][:, 1:] for size, column in zip(self.sizes, codes.T, strict=True)]
        rows = np.hstack([table.to_numpy(dtype=np.float64)[:, : self.width], *dummies])
        levels, copies = request["levels"], request["copies"]
        if request["seconds"] is not None:
            once, several = [self._timed(rows, request, number) for number in _TIMED]
            a_copy = max((several - once) / (_TIMED[1] - _TIMED[0]), 1e-9)
            fixed = max(once - a_copy, 0.0)
            left = _RESERVED * (request["seconds"] - (time.monotonic() - start))
            levels = int(np.clip(left / (fixed + _ENOUGH_COPIES * a_copy), min(_ENOUGH_LEVELS, levels), levels))
            copies = int(np.clip((left / levels - fixed) / a_copy, 1, copies))
            levels = int(np.clip(left / (fixed + copies * a_copy), 2, levels))
        self.model = self._model(rows, request, levels, copies)
        published = {f"published {what}": request[what] for what in ("levels", "copies")}
        return {"levels": levels, "copies": copies, **published}

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        """Draw rows."""
        np.random.seed(seed)  # noqa: NPY002  # the package draws from the global state
        drawn = self.model.generate(batch_size=n)
        ends = self.width + np.cumsum([size - 1 for size in self.sizes])
        parts = [drawn[:, end - size + 1 : end] for end, size in zip(ends, self.sizes, strict=True)]
        codes = [np.hstack([np.full((n, 1), 0.5), part]).argmax(1) for part in parts]
        return pd.DataFrame(np.column_stack([drawn[:, : self.width], *codes])).rename(columns=str)

    def _timed(self, rows: np.ndarray, request: dict[str, Any], copies: int) -> float:
        self._model(rows[:2], request, 1, 1)  # imports do not count
        start = time.monotonic()
        self._model(rows, request, 1, copies)
        return time.monotonic() - start

    def _model(self, rows: np.ndarray, request: dict[str, Any], levels: int, copies: int) -> Any:
        model = importlib.import_module("ForestDiffusion").ForestDiffusionModel
        return model(
            rows,
            n_t=levels,
            duplicate_K=copies,
            int_indexes=request["whole"],
            n_jobs=1,
            nthread=request["threads"],
            seed=request["seed"],
        )


def main() -> None:
    """Answer requests until stdin ends. Libraries print what they like; it goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    baseline = TabularARGN() if sys.argv[1] == "tabular-argn" else ForestDiffusion()
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        if request["do"] == "fit":
            answer = baseline.fit(pd.read_parquet(request["table"]), request)
            answer["peak megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        else:
            baseline.sample(request["n"], request["seed"]).to_parquet(request["to"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
