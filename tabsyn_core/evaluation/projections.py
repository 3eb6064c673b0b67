"""Real and synthetic rows in a plane, three ways: what varies most, what tells them apart, and who is near to whom."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from openTSNE import TSNE  # type: ignore[import-untyped]
from openTSNE.initialization import rescale  # type: ignore[import-untyped]
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from tabsyn_core.evaluation.joint import cluster_centres, nearest_centre
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

_METHODS = ("PCA", "LDA", "t-SNE")
_DOTS = 800
_AXES = 200
_PERPLEXITY = 30.0
_NO_VARIANCE = 1e-9
_NO_DIRECTION = 1e-9

MIN_ROWS = 5
"""Fewer rows of either kind are no picture."""


@dataclass(frozen=True)
class Projections:
    """The dots of three pictures.

    Attributes:
        dots: ``method`` ("PCA", "LDA", "t-SNE"), ``x``, ``y``, ``source`` ("real", "synthetic"), ``cluster`` (of
            :func:`~.joint.cluster_shares`) and ``row`` (its index in the training or the synthetic table, as aligned).
        explained: The shares of variance that the two axes of the PCA explain; zeros where there is none.
        why: For each method without dots the reason, in plain words.
    """

    dots: pl.DataFrame
    explained: tuple[float, float]
    why: dict[str, str]


@one_thread()
def projections(train: Table, holdout: Table, fake: Table, seed: int) -> Projections:
    """Draw as many training as synthetic rows, at most 800 of each, as dots in a plane.

    Rows are the points of :func:`~.privacy.points`; all three methods see them along their principal components, of
    which a table wider than 200 dimensions keeps the first 200.

    - ``PCA``: the first two components of both kinds together, so x and y are what varies most.
    - ``LDA``: x is the direction along which the mean synthetic row lies farthest from the mean real one for the
      spread within either kind (covariances shrunk after Ledoit & Wolf, 2004), in standard deviations of that spread,
      to the right what is synthetic; y is the first principal component at a right angle to it. The direction is
      learnt on one half of the rows and the dots are the other half, so that they lie apart only where a plane tells
      unseen rows apart. Dependence that is lost without moving a mean does not show here.
    - ``t-SNE``: near rows stay near (van der Maaten & Hinton, 2008), from the PCA on; distances between groups and the
      sizes of groups mean nothing.

    Returns:
        The dots, and the reason for each method that has none: fewer than :data:`MIN_ROWS` rows of either kind, rows
        that are all equal, means that are.
    """
    rows = min(len(train), len(fake), _DOTS)
    if rows < MIN_ROWS:
        return _nothing(f"a projection needs at least {MIN_ROWS} rows of each kind; there are {rows}")
    rng = np.random.default_rng([seed, 33])
    drawn = [np.sort(rng.permutation(len(table))[:rows]) for table in (train, fake)]
    both = np.vstack([points(t.take(chosen), train, holdout) for t, chosen in zip((train, fake), drawn, strict=True)])
    places, shares = _components(both)
    if places.shape[1] == 0:
        return _nothing("all rows are equal")
    known = pl.DataFrame(
        {
            "source": np.repeat(["real", "synthetic"], rows),
            "cluster": nearest_centre(both, cluster_centres(train, holdout, fake, seed)),
            "row": np.concatenate(drawn),
        }
    )
    everyone = np.arange(2 * rows)
    pictures = {
        "PCA": (everyone, _plane(places)),
        "LDA": _discriminant(places, rng),
        "t-SNE": (everyone, _neighbourhoods(places, seed)),
    }
    return Projections(
        dots=pl.concat([_dots(method, known[shown], plane) for method, (shown, plane) in pictures.items()]),
        explained=shares,
        why={"LDA": "real and synthetic rows have the same mean, or no spread"} if not pictures["LDA"][0].size else {},
    )


def _nothing(why: str) -> Projections:
    known = pl.DataFrame(schema={"source": pl.String, "cluster": pl.Int64, "row": pl.Int64})
    return Projections(_dots("", known, np.empty((0, 2))), (0.0, 0.0), dict.fromkeys(_METHODS, why))


def _dots(method: str, known: pl.DataFrame, plane: Floats) -> pl.DataFrame:
    return known.select(
        pl.lit(method).alias("method"), pl.Series("x", plane[:, 0]), pl.Series("y", plane[:, 1]), pl.all()
    )


def _components(both: Floats) -> tuple[Floats, tuple[float, float]]:
    """The rows along their principal components that vary, and the shares of variance of the first two."""
    varied = both[:, np.ptp(both, axis=0) > 0]
    if varied.shape[1] == 0:
        return varied, (0.0, 0.0)
    model = PCA(svd_solver="full").fit(varied)
    shares = model.explained_variance_ratio_
    # What is left of a component without variance is rounding, which a discriminant would scale up to a signal.
    kept = min(_AXES, int(np.count_nonzero(shares > _NO_VARIANCE)))
    return model.transform(varied)[:, :kept], (float(shares[0]), float(shares[1]) if kept > 1 else 0.0)


def _plane(places: Floats) -> Floats:
    """The first two components, the second 0 where there is only one."""
    return np.column_stack([places[:, 0], places[:, 1] if places.shape[1] > 1 else np.zeros(len(places))])


def _discriminant(places: Floats, rng: np.random.Generator) -> tuple[Codes, Floats]:
    """Which rows are shown, and where; none where no direction tells the kinds apart."""
    rows = len(places) // 2
    halves = np.split(rng.permutation(rows), [rows // 2])
    shown, learnt = (np.sort(np.concatenate([half, rows + half])) for half in halves)
    # Least squares stands where eigenvectors fail: with a covariance that is singular for all its shrinkage.
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(places[learnt], learnt >= rows)
    direction = model.coef_[0]
    spread = np.sqrt(direction @ model.covariance_ @ direction)
    if spread < _NO_DIRECTION:
        return np.empty(0, dtype=np.int64), np.empty((0, 2))
    across = np.zeros(len(places))
    if places.shape[1] > 1:
        rest = places - np.outer(places @ direction, direction) / (direction @ direction)
        across = PCA(1, svd_solver="full").fit_transform(rest)[:, 0]
    return shown, np.column_stack([places @ direction / spread, across])[shown]


def _neighbourhoods(places: Floats, seed: int) -> Floats:
    """Exact neighbours, one thread, begun at the principal components: the same bits for the same rows."""
    model = TSNE(
        perplexity=min(_PERPLEXITY, (len(places) - 1) / 3),
        initialization=rescale(_plane(places)),
        neighbors="exact",
        negative_gradient_method="bh",
        n_jobs=1,
        random_state=seed,
    )
    return np.asarray(model.fit(places), dtype=np.float64)
