"""Runs in the environment of an external baseline, where nothing of this project is installed.

``python runner.py tabular-argn PARENT`` reads a request a line from stdin, ``{"do": "fit", "table": PATH, ...}`` or
``{"do": "sample", "n": 10, "seed": 0, "to": PATH}``, and answers with a line of JSON. Tables travel as Parquet; the
fitted model stays in this process, which ends with its stdin or with the process PARENT.
"""

import importlib
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_ENOUGH_LEVELS, _ENOUGH_COPIES, _ENOUGH_TREES = 10, 20, 10
_TIMED = (1, 4)  # copies
_RESERVED = 0.9


class TabularARGN:
    """An autoregressive network over discretised columns (Tiwald et al., arXiv:2501.12012), from ``mostlyai-engine``.

    Gaps and text are its own affair. Value protection is off: it replaces rare categories and cuts extremes, which
    none of the others does.
    """

    def fit(self, table: pd.DataFrame, request: dict[str, Any]) -> dict[str, float]:
        """Train until it stops early, as published, or the seconds are over."""
        start, seconds = time.monotonic(), request["seconds"]
        self.engine = importlib.import_module("mostlyai.engine")
        kinds = {True: "TABULAR_CATEGORICAL", False: "TABULAR_NUMERIC_AUTO"}

        class Limited(self.engine.TabularARGN):  # type: ignore[misc, name-defined]
            """Reads its limit, in minutes, when the table is encoded and training begins: the budget is of both."""

            @property
            def max_training_time(self) -> float | None:
                return None if seconds is None else max(start + seconds - time.monotonic(), 1.0) / 60

            @max_training_time.setter
            def max_training_time(self, _: float | None) -> None:
                pass

        self.model = Limited(
            value_protection=False,
            tgt_encoding_types={name: kinds[name in request["categorical"]] for name in table.columns},
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
    little of a correlation, 10 levels and one copy most of it.) A wide table, where one tree a column is all that some
    seconds are enough for, gets one copy, down to two levels, and as many trees as are left.
    """

    def fit(self, table: pd.DataFrame, request: dict[str, Any]) -> dict[str, float]:
        """Train; the table has numbers, then codes of categories with ``sizes`` levels."""
        start, self.sizes, self.width = time.monotonic(), request["sizes"], table.shape[1] - len(request["sizes"])
        codes = table.to_numpy()[:, self.width :].astype(np.int64)
        dummies = [np.eye(size)[column][:, 1:] for size, column in zip(self.sizes, codes.T, strict=True)]
        rows = np.hstack([table.to_numpy(dtype=np.float64)[:, : self.width], *dummies])
        effort = {what: request[what] for what in ("levels", "copies", "trees")}
        if request["seconds"] is not None:
            effort = self._affordable(rows, request, start + _RESERVED * request["seconds"])
        self.model = self._model(rows, request, **effort)
        return effort | {f"published {what}": request[what] for what in effort}

    def _affordable(self, rows: np.ndarray, request: dict[str, Any], deadline: float) -> dict[str, int]:
        """Levels, copies and trees that can be trained before a deadline."""
        levels, copies, trees = request["levels"], request["copies"], request["trees"]
        self._timed(rows[:2], request, 1, 1)  # imports do not count
        a_tree = self._timed(rows, request, 1, 1)
        left = deadline - time.monotonic()
        if a_tree * trees * _ENOUGH_LEVELS > left:
            rounds = left / a_tree
            levels = int(np.clip(rounds / _ENOUGH_TREES, min(2, levels), min(_ENOUGH_LEVELS, levels)))
            return {"levels": levels, "copies": 1, "trees": int(np.clip(rounds / levels, 1, trees))}
        once, several = [self._timed(rows, request, number, trees) for number in _TIMED]
        a_copy = max((several - once) / (_TIMED[1] - _TIMED[0]), 1e-9)
        fixed = max(once - a_copy, 0.0)
        left = deadline - time.monotonic()
        levels = int(np.clip(left / (fixed + _ENOUGH_COPIES * a_copy), min(_ENOUGH_LEVELS, levels), levels))
        copies = int(np.clip((left / levels - fixed) / a_copy, 1, copies))
        levels = int(np.clip(left / (fixed + copies * a_copy), min(2, levels), levels))
        return {"levels": levels, "copies": copies, "trees": trees}

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        """Draw rows."""
        np.random.seed(seed)  # noqa: NPY002  # the package draws from the global state
        drawn = self.model.generate(batch_size=n)
        ends = self.width + np.cumsum([size - 1 for size in self.sizes])
        parts = [drawn[:, end - size + 1 : end] for end, size in zip(ends, self.sizes, strict=True)]
        codes = [np.hstack([np.full((n, 1), 0.5), part]).argmax(1) for part in parts]
        return pd.DataFrame(np.column_stack([drawn[:, : self.width], *codes])).rename(columns=str)

    def _timed(self, rows: np.ndarray, request: dict[str, Any], copies: int, trees: int) -> float:
        """Seconds of one level."""
        start = time.monotonic()
        self._model(rows, request, levels=1, copies=copies, trees=trees)
        return time.monotonic() - start

    def _model(self, rows: np.ndarray, request: dict[str, Any], levels: int, copies: int, trees: int) -> Any:
        model = importlib.import_module("ForestDiffusion").ForestDiffusionModel
        return model(
            rows,
            n_t=levels,
            duplicate_K=copies,
            n_estimators=trees,
            int_indexes=request["whole"],
            n_jobs=1,
            nthread=request["threads"],
            seed=request["seed"],
        )


def _end_with(parent: int) -> None:
    """A fit takes hours: it must not outlive the process that asked for it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Answer requests until stdin ends. Libraries print what they like; it goes to stderr."""
    _end_with(int(sys.argv[2]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    baseline = TabularARGN() if sys.argv[1] == "tabular-argn" else ForestDiffusion()
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        if request["do"] == "fit":
            answer = baseline.fit(pd.read_parquet(request["table"]), request)
        else:
            baseline.sample(request["n"], request["seed"]).to_parquet(request["to"])
        answer["peak megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
