"""Density-ratio rejection: of several proposals, keep those a discriminator takes for real.

A classifier of real rows against proposals estimates p(x) / q(x) = d(x) / (1 − d(x)) (Goodfellow et al. 2014, proof of
proposition 1; Azadi et al., Discriminator Rejection Sampling, ICLR 2019). It is cross-fitted, so that the score of a
row never comes from a model that was trained on it, calibrated on those held-out scores by Platt's method, and kept
small: a discriminator that knew its training rows would ask for copies of them. What it gets wrong in single columns
is mended by :mod:`tabsyn_core.margins`.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from tabsyn_core.boosting import boosted, share_of_columns
from tabsyn_core.margins import Margins

Floats = NDArray[np.float64]

_FOLDS = 5
_ROUNDS = 80
_NO_CHOICE = 0.85  # of proposals that are kept


@dataclass(frozen=True)
class DensityRatio:
    """log p(x) / q(x), estimated.

    Attributes:
        models: LightGBM's text form, one model a fold.
        slope: Of the calibration.
        intercept: Of the calibration.
        margins: What is added so that rows that are kept have the training table's columns.
    """

    models: tuple[str, ...]
    slope: float
    intercept: float
    margins: Margins | None = None

    @classmethod
    def fit(cls, real: Floats, proposals: Floats, categorical: int, seed: int) -> "DensityRatio":
        """Tell real rows (n, columns) from proposals (m, columns); the last ``categorical`` columns are codes."""
        features = np.vstack([real, proposals])
        labels = np.repeat([1, 0], [len(real), len(proposals)])
        weights = np.repeat([1.0, len(real) / len(proposals)], [len(real), len(proposals)])
        scores, models = np.zeros(len(labels)), []
        for known, unknown in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(features, labels):
            model = boosted(
                features[known],
                labels[known],
                categorical,
                seed,
                _ROUNDS,
                weight=weights[known],
                objective="binary",
                learning_rate=0.1,
                feature_fraction=share_of_columns(features.shape[1]),
                lambda_l2=1.0,
            )
            scores[unknown] = np.asarray(model.predict(features[unknown], raw_score=True))
            models.append(model.model_to_string())
        platt = LogisticRegression().fit(scores[:, None], labels, sample_weight=weights)
        # A negative slope says that the discriminator found nothing but noise: then every proposal is as good.
        return cls(tuple(models), max(float(platt.coef_[0, 0]), 0.0), float(platt.intercept_[0]))

    def balanced(self, real: Floats, proposals: Floats, share: float) -> "DensityRatio":
        """The ratio with the margins of real rows (n, columns), where a ``share`` of such proposals is kept.

        The proposals (m, columns) must be others than those it was fitted to; a share near 1 leaves no choice.
        """
        if share > _NO_CHOICE or len(proposals) == 0:
            return self
        return replace(self, margins=Margins.fit(real, proposals, self.log_ratio(proposals), share))

    def log_ratio(self, rows: Floats) -> Floats:
        """Estimate log p/q of new rows (n, columns), shape (n,)."""
        raw = [np.asarray(each.predict(rows, raw_score=True, num_threads=1)) for each in self._boosters]
        return np.asarray(self.slope * np.mean(raw, axis=0) + self.intercept)

    def log_weight(self, rows: Floats) -> Floats:
        """What :func:`keep` is to choose by, shape (n,): log p/q, with what the margins add."""
        return self.log_ratio(rows) + self.correction(rows)

    def correction(self, rows: Floats) -> Floats:
        """What the margins add to the log weight, shape (n,)."""
        return np.zeros(len(rows)) if self.margins is None else self.margins.log_weight(rows)

    @cached_property
    def _boosters(self) -> list[lgb.Booster]:
        return [lgb.Booster(model_str=text) for text in self.models]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        margins = self.margins and asdict(self.margins)
        return {"models": list(self.models), "slope": self.slope, "intercept": self.intercept, "margins": margins}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "DensityRatio":
        """The inverse of :meth:`to_json`; one that was written before there were margins has none."""
        steps = content.get("margins")
        margins = None
        if steps is not None:
            margins = Margins(*(tuple(map(tuple, steps[name])) for name in ("cuts", "heights")))
            if [len(cuts) + 1 for cuts in margins.cuts] != [*map(len, margins.heights)]:
                raise ValueError("margins need one height more than cuts")
        return cls(tuple(content["models"]), content["slope"], content["intercept"], margins)


def keep(log_weights: Floats, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``n`` of the proposals without replacement with these weights (Gumbel top-k), in their own order."""
    chosen = np.argsort(-(log_weights + rng.gumbel(size=len(log_weights))), kind="stable")[:n]
    return np.sort(chosen)
