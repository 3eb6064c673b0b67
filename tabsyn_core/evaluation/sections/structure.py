"""Columns together: two by two, and all at once."""

from typing import Any

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from tabsyn_core.evaluation.combinations import combination_counts, combination_measures
from tabsyn_core.evaluation.densities import joints
from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.fidelity import correlations
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.joint import cluster_shares, energy_test
from tabsyn_core.evaluation.page.content import (
    ClusterShare,
    Combination,
    Correlations,
    Detector,
    EnergyTest,
    Pair,
    Pairs,
    Projection,
    Spectrum,
    Subset,
    Telltale,
    Whole,
)
from tabsyn_core.evaluation.pairs import pair_measures, spectra, subset_table, worst_pairs
from tabsyn_core.evaluation.projections import projections
from tabsyn_core.evaluation.sections.parts import reading
from tabsyn_core.evaluation.tables import Table

_JOINTS = 6
_COMBINATIONS = 400
_SUBSETS = 60
_PAIR_WORDS = {
    "pearson": "Pearson correlations, mean difference",
    "spearman": "Spearman correlations, mean difference",
    "contingency": "Joint shares of two categories, total variation",
    "correlation_ratio": "Correlation ratio of number and category, mean difference",
    "mutual_information": "Normalised mutual information, mean difference",
    "subsets": "Numbers inside each category, Kolmogorov-Smirnov",
    "spectrum": "Covariance spectrum, total variation",
}
_COVERAGE_WORDS = {
    "alpha_precision": "α-precision: rows lie where real rows lie",
    "beta_recall": "β-recall: rows lie everywhere real rows lie",
    "density": "Density: how deep among real rows",
    "coverage": "Coverage: real rows with a synthetic one nearby",
}


def pairs_section(train: Table, holdout: Table, fake: Table, seed: int) -> Pairs:
    """Columns two by two, the spectrum, and combinations of categories."""
    measured = pair_measures(train, holdout, fake, seed)
    combined = combination_measures(train, holdout, fake, seed)
    figures = [
        reading(words, measured[name]["synthetic"], measured[name]["floor"]) for name, words in _PAIR_WORDS.items()
    ]
    figures += [
        reading("Combinations of categories no real row has", *_beside(combined["unseen"]), unit="share"),
        reading("Combinations of categories, total variation", *_beside(combined["variation"])),
    ]
    worst = worst_pairs(train, holdout, fake, seed=seed)
    numeric = worst.filter(pl.col("kind") == "numeric").select("left", "right").head(_JOINTS).rows()
    shares = spectra(train, holdout, fake, seed).drop_nulls()
    spectrum = {name: tuple(shares[name].head(40)) for name in ("real", "synthetic", "held_out")}
    counts = combination_counts(train, holdout, fake).head(_COMBINATIONS)
    return Pairs(
        figures=tuple(figures),
        worst=tuple(_pair(row) for row in worst.to_dicts()),
        correlations=correlation_matrices(train, holdout, fake),
        joints=joints(train, fake, numeric, seed),
        spectrum=Spectrum(**spectrum) if shares.height else None,
        combinations=tuple(
            Combination(label=row["combination"], real=row["real"], synthetic=row["synthetic"])
            for row in counts.to_dicts()
        ),
        subsets=tuple(_subset(row) for row in subset_table(train, holdout, fake, seed).head(_SUBSETS).to_dicts()),
    )


def _beside(figures: dict[str, Figure]) -> tuple[Figure, Figure]:
    return figures["synthetic"], figures["floor"]


def _pair(row: dict[str, Any]) -> Pair:
    return Pair(
        left=row["left"],
        right=row["right"],
        kind=row["measure"],
        real=row["real"],
        synthetic=row["synthetic"],
        floor=row["held_out"],
        difference=row["difference"],
    )


def _subset(row: dict[str, Any]) -> Subset:
    where = f"{row['category']} = {row['level']}"
    return Subset(columns=(row["column"], where), error=row["ks"], floor=row["floor"], measure="Kolmogorov-Smirnov")


def correlation_matrices(train: Table, holdout: Table, fake: Table) -> Correlations | None:
    """Pearson correlations of the numeric columns that vary, in the order of a clustering of the real ones.

    What belongs together is then seen together. ``None`` with fewer than two such columns.
    """
    matrices = [correlations(table.numbers) for table in (train, fake, holdout)]
    kept = np.flatnonzero(~np.isnan(np.diag(matrices[0])))
    if kept.size < 2:
        return None
    matrices = [np.nan_to_num(matrix[np.ix_(kept, kept)]) for matrix in matrices]
    distance = np.round(1 - np.abs(matrices[0]), 9)
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform((distance + distance.T) / 2), "average"))
    real, synthetic, held_out = (tuple(map(tuple, np.round(matrix[np.ix_(order, order)], 3))) for matrix in matrices)
    names = tuple(train.numeric[kept[j]] for j in order)
    return Correlations(columns=names, real=real, synthetic=synthetic, held_out=held_out)


def whole_section(evaluation: Evaluation, seed: int, *, thorough: bool) -> tuple[Whole, dict[str, str]]:
    """All columns at once, and why parts of it are missing."""
    train, holdout, fake = (evaluation.tables[name] for name in ("training", "held-out", "synthetic"))
    energy = energy_test(train, holdout, fake, seed)
    clusters = cluster_shares(train, holdout, fake, seed)
    drawn = projections(train, holdout, fake, seed) if thorough else None
    found, floor = evaluation.figures, evaluation.floor
    whole = Whole(
        detectors=tuple(_detector(evaluation, name) for name in found.c2st),
        telltales=tuple(Telltale(**row) for row in evaluation.telltales.head(15).to_dicts()),
        coverage=tuple(
            reading(words, found.coverage[name], floor.coverage[name]) for name, words in _COVERAGE_WORDS.items()
        ),
        energy=EnergyTest(
            statistic=energy.statistic.value,
            low=energy.statistic.low,
            high=energy.statistic.high,
            p=energy.p_value.value,
            floor=energy.floor.value,
            floor_p=energy.floor_p_value.value,
            why=energy.statistic.why,
        ),
        clusters=tuple(ClusterShare(**{**row, "cluster": str(row["cluster"])}) for row in clusters.shares.to_dicts()),
        cluster_figures=(
            reading("Cluster shares, total variation", clusters.tvd, clusters.tvd_floor),
            reading("Log-cluster metric", clusters.log_cluster, clusters.log_cluster_floor),
        ),
        projections=tuple(
            _projection(str(method), dots, drawn.explained)
            for (method,), dots in drawn.dots.group_by("method", maintain_order=True)
        )
        if drawn
        else (),
    )
    return whole, {f"whole.projections.{method}": why for method, why in (drawn.why if drawn else {}).items()}


def _detector(evaluation: Evaluation, name: str) -> Detector:
    found = evaluation.figures.c2st[name]
    return Detector(
        classifier=name,
        auc=found.value,
        low=found.low,
        high=found.high,
        floor=evaluation.floor.c2st[name].value,
        factorised=evaluation.factorised[name].value,
        alone=evaluation.alone.value if name == "lightgbm" else None,
        why=found.why,
    )


_AXES = {
    "PCA": ("first principal component", "second principal component"),
    "LDA": ("what tells the means of synthetic and real rows apart", "what varies most at a right angle to it"),
    "t-SNE": ("", ""),
}


def _projection(method: str, dots: pl.DataFrame, explained: tuple[float, float]) -> Projection:
    labels = _AXES[method]
    if method == "PCA":
        labels = (f"{labels[0]}, {explained[0]:.0%} of the variance", f"{labels[1]}, {explained[1]:.0%}")
    return Projection(
        method=method,
        x=tuple(dots["x"]),
        y=tuple(dots["y"]),
        source=tuple(dots["source"]),
        cluster=tuple(map(str, dots["cluster"])),
        x_label=labels[0],
        y_label=labels[1],
    )
