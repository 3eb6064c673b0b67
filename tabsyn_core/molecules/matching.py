"""Endpoints of molecules by predictive mean matching: those of a training row of which as much was to be expected.

Trees predict the endpoints from all descriptors. A new molecule gets the measured endpoints, all together, of one of
the training rows whose *cross-fitted* predictions are nearest to its own (Rubin, J. Business & Economic Statistics 4,
87 (1986); Little, ibid. 6, 287 (1988)). What a donor's values have beyond its prediction is the error of a model that
has not seen them, so endpoints spread around what descriptors say as the real ones do, more where real ones do; classes
agree with the numbers they were made from, and gaps come together where they did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from tabsyn_core.boosting import boosted, share_of_columns
from tabsyn_core.files import read_json, read_parquet, write_json

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_DONORS = 5
"""Training rows of which one is the donor; ten give the same figures (solubility, Biogen)."""

_FOLDS = 5
_ROUNDS = 300
_RATE = 0.05
_MOST_LEVELS = 30  # of a class, the others count as one
_CLASS = 2.0  # a probability of one is as far from zero as two standard deviations of a number


@dataclass(frozen=True)
class Matcher:
    """Finds donors of endpoints.

    Attributes:
        models: LightGBM's text form, for each endpoint that varies one a fold.
        spreads: For each of those, what its predictions are divided by.
        expected: Cross-fitted predictions of the training rows, shape (rows, dimensions): one for a number, one a level
            for a class.
    """

    models: tuple[tuple[str, ...], ...]
    spreads: tuple[float, ...]
    expected: Floats

    @classmethod
    def fit(cls, descriptors: Floats, endpoints: pl.DataFrame, seed: int) -> "Matcher":
        """Learn what descriptors (rows, columns), NaN where missing, say about endpoints."""
        fold = np.random.default_rng([seed, 4]).permutation(len(descriptors)) % _FOLDS
        models, spreads, expected = [], [], [np.zeros((len(descriptors), 0))]
        for column in endpoints:
            known, labels, settings, spread = _task(column)
            if len(np.unique(labels)) < 2 or any(len(np.unique(labels[fold[known] != k])) < 2 for k in range(_FOLDS)):
                continue  # nothing to be told apart
            fitted = []
            for k in range(_FOLDS):
                inside = fold[known] != k
                model = boosted(
                    descriptors[known[inside]],
                    labels[inside],
                    0,
                    seed,
                    _ROUNDS,
                    learning_rate=_RATE,
                    feature_fraction=share_of_columns(descriptors.shape[1]),
                    **settings,
                )
                fitted.append(model.model_to_string())
            own = [_predicted(model, descriptors) / spread for model in fitted]
            expected.append(np.choose(fold[:, None], own))
            models.append(tuple(fitted))
            spreads.append(spread)
        return cls(tuple(models), tuple(spreads), np.hstack(expected))

    def donors(self, descriptors: Floats, parents: Sequence[Sequence[int]], rng: np.random.Generator) -> Integers:
        """Draw a training row for each row, shape (rows,); none of its parents, whose values would come home.

        Args:
            descriptors: Shape (rows, columns), as at fitting.
            parents: For each row, training rows that are no donors, unless there are no others.
            rng: Draws among the nearest.
        """
        number = len(self.expected)
        if not self.models:
            return rng.integers(0, number, len(descriptors))
        asked = np.hstack(
            [
                np.mean([_predicted(model, descriptors) for model in fitted], axis=0) / spread
                for fitted, spread in zip(self.models, self.spreads, strict=True)
            ]
        )
        most = min(number, _DONORS + max(map(len, parents), default=0))
        near = NearestNeighbors(n_neighbors=most).fit(self.expected).kneighbors(asked, return_distance=False)
        found = []
        for places, excluded in zip(near, parents, strict=True):
            others = [place for place in places if place not in excluded][:_DONORS]
            among = others or [*places]
            found.append(among[int(rng.integers(len(among)))])
        return np.array(found, dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write it to an existing folder."""
        write_json(folder / "matcher.json", {"models": self.models, "spreads": self.spreads})
        rows = {"row": np.arange(len(self.expected))}
        dimensions = {str(place): values for place, values in enumerate(self.expected.T)}
        pl.DataFrame({**rows, **dimensions}).write_parquet(folder / "matcher.parquet")

    @classmethod
    def load(cls, folder: Path) -> "Matcher":
        """Read what :meth:`save` wrote."""
        about = read_json(folder / "matcher.json")
        expected = read_parquet(folder / "matcher.parquet").drop("row").to_numpy()
        return cls(tuple(map(tuple, about["models"])), tuple(about["spreads"]), expected.astype(np.float64))


def _task(column: pl.Series) -> tuple[Integers, Floats, dict[str, Any], float]:
    """Rows that have the endpoint, labels, LightGBM's settings, and what predictions are divided by."""
    known = np.flatnonzero(column.is_not_null().to_numpy())
    present = column.drop_nulls()
    if column.dtype.is_numeric() and present.n_unique() > 2:
        labels = present.cast(pl.Float64).to_numpy()
        return known, labels, {"objective": "regression"}, float(labels.std())
    counts = present.cast(pl.String).value_counts(sort=True).sort("count", column.name, descending=[True, False])
    levels = counts[column.name].to_list()[:_MOST_LEVELS]
    places = {level: place for place, level in enumerate(levels)}
    labels = np.array([places.get(value, len(levels)) for value in present.cast(pl.String)], dtype=np.float64)
    number = int(labels.max()) + 1 if len(labels) else 0
    return known, labels, {"objective": "multiclass", "num_class": number}, 1 / _CLASS


def _predicted(model: str, descriptors: Floats) -> Floats:
    found = _booster(model).predict(descriptors, num_threads=1)
    return np.reshape(np.asarray(found, dtype=np.float64), (len(descriptors), -1))


@lru_cache(maxsize=256)  # a block asks all of them, and reading takes longer than predicting
def _booster(model: str) -> lgb.Booster:
    return lgb.Booster(model_str=model)
