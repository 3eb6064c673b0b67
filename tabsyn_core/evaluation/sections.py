"""The sections of the report: each asks the measures of one dimension and lays their answers out as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from tabsyn_core.chemistry.descriptors import descriptor_bounds
from tabsyn_core.evaluation.attacks import Risk, attacks, risk_line
from tabsyn_core.evaluation.columns import column_table
from tabsyn_core.evaluation.combinations import combination_counts, combination_measures
from tabsyn_core.evaluation.cross_validation import held_out_folds
from tabsyn_core.evaluation.densities import densities, joints
from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.fidelity import correlations
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.hypotheses import hypothesis_tests, summary
from tabsyn_core.evaluation.joint import cluster_shares, energy_test
from tabsyn_core.evaluation.membership import membership, membership_floor
from tabsyn_core.evaluation.page.content import (
    Attack,
    BrokenRule,
    Chemistry,
    ClusterShare,
    Column,
    Combination,
    Correlations,
    Density,
    Detector,
    EnergyTest,
    Hypothesis,
    Importance,
    Pair,
    PairedTest,
    Pairs,
    Privacy,
    Projection,
    Reading,
    Score,
    Spectrum,
    Subset,
    Telltale,
    TestSummary,
    Utility,
    Whole,
)
from tabsyn_core.evaluation.paired import paired_table
from tabsyn_core.evaluation.pairs import pair_measures, spectra, subset_table, worst_pairs
from tabsyn_core.evaluation.privacy import Copies, copies, nndr, nndr_floor
from tabsyn_core.evaluation.projections import projections
from tabsyn_core.evaluation.strangers import strangest_rows
from tabsyn_core.evaluation.tables import Table
from tabsyn_core.evaluation.utility import importance_agreement, utility_scores

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


@dataclass(frozen=True)
class Columns:
    """What is said of single columns."""

    table: tuple[Column, ...]
    densities: tuple[Density, ...]
    hypotheses: tuple[Hypothesis, ...]
    tests: tuple[TestSummary, ...]


def reading(name: str, synthetic: Figure, floor: Figure | None = None, threshold: str = "", **shown: Any) -> Reading:
    """A figure beside its floor, with its interval: its own, or two standard deviations of the repeats."""
    low, high = synthetic.low, synthetic.high
    return Reading(
        name=name,
        synthetic=synthetic.value,
        floor=None if floor is None else floor.value,
        low=low,
        high=high,
        threshold=threshold,
        why=synthetic.why,
        **shown,
    )


def columns_section(
    train: Table, holdout: Table, fake: Table, families: Mapping[str, str] | None, seed: int
) -> Columns:
    """Every column alone: its distances, its densities, its tests, and the family fitted to it, where one was."""
    table = column_table(train, holdout, fake, _known_supports(train), seed)
    tests = hypothesis_tests(train, holdout, fake, seed)
    return Columns(
        table=tuple(
            Column(**_only(Column, row), family=(families or {}).get(row["column"])) for row in table.to_dicts()
        ),
        densities=densities(train, holdout, fake),
        hypotheses=tuple(Hypothesis(**_only(Hypothesis, row)) for row in tests.to_dicts()),
        tests=tuple(TestSummary(**_only(TestSummary, row)) for row in summary(tests).to_dicts()),
    )


def _known_supports(train: Table) -> pl.DataFrame | None:
    """The bounds that RDKit's definitions force, where the table has those columns."""
    known = [(name, *bounds) for name, bounds in descriptor_bounds().items() if name in train.numeric]
    if not known:
        return None
    return pl.DataFrame(known, schema={"column": pl.String, "lower": pl.Float64, "upper": pl.Float64}, orient="row")


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
        joints=joints(train, fake, numeric),
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
    low, high = (
        (None, None)
        if found.value is None or found.std is None
        else (max(0.0, found.value - 2 * found.std), min(1.0, found.value + 2 * found.std))
    )
    return Detector(
        classifier=name,
        auc=found.value,
        low=low,
        high=high,
        floor=evaluation.floor.c2st[name].value,
        factorised=evaluation.factorised[name].value,
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


def chemistry_section(evaluation: Evaluation, smiles: pl.Series | None) -> Chemistry | None:
    """Rules of chemistry, and the strangest rows; nothing when no rule speaks of these columns."""
    broken, floor = evaluation.figures.violated_share, evaluation.floor.violated_share
    if broken.value is None:
        return None
    lawful = Reading(
        name="Rows that satisfy every rule",
        synthetic=1 - broken.value,
        floor=None if floor.value is None else 1 - floor.value,
        unit="share",
    )
    tables = evaluation.tables
    return Chemistry(
        lawful=lawful,
        rules=tuple(BrokenRule(**_only(BrokenRule, row)) for row in evaluation.rules.to_dicts()),
        strangers=strangest_rows(tables["training"], tables["held-out"], tables["synthetic"], smiles),
    )


def _only(kind: Any, row: dict[str, Any]) -> dict[str, Any]:
    """What the dataclass has a place for."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in row.items() if name in names}


def mean_support_violations(columns: Sequence[Column]) -> tuple[Figure, Figure]:
    """The mean share of values that no real value could be, and the held-out rows' one."""
    pairs = [
        (each.support_violations, each.support_violations_floor or 0.0)
        for each in columns
        if each.support_violations is not None
    ]
    if not pairs:
        none = Figure.none("no column shows a rule that its values obey")
        return none, none
    found, floor = np.array(pairs).mean(axis=0)
    return Figure(float(found)), Figure(float(floor))


def utility_section(
    evaluation: Evaluation, targets: Sequence[str], seed: int, refitted: pl.DataFrame | None = None
) -> Utility:
    """What models learn from the rows; ``refitted`` are folds of :func:`~.cross_validation.cross_validated`."""
    train, holdout, fake = (evaluation.tables[name] for name in ("training", "held-out", "synthetic"))
    scores: list[Score] = []
    importance = []
    for target in targets:
        found = utility_scores(train, holdout, fake, target, targets=targets, seed=seed)
        scores += [Score(**row) for row in found.drop("rows").to_dicts()]
        agreed = importance_agreement(train, fake, target, targets=targets, seed=seed)
        importance.append(
            Importance(target=target, agreement=agreed["spearman"].value, floor=agreed["spearman_floor"].value)
        )
    folds = [held_out_folds(train, holdout, fake, target, targets=targets, seed=seed) for target in targets]
    tests = paired_tests([*folds, *([] if refitted is None else [refitted])])
    return Utility(scores=tuple(scores), tests=tests, importance=tuple(importance))


def paired_tests(folds: Sequence[pl.DataFrame]) -> tuple[PairedTest, ...]:
    """Trainings compared on the same folds, corrected for testing many of them together."""
    return tuple(
        PairedTest(
            target=row["target"],
            model=row["model"],
            comparison=f"{row['comparison']}, {row['score']}, {row['split']}",
            difference=row["mean_difference"],
            low=row["low"],
            high=row["high"],
            p=row["p_holm"],
            conclusion=row["conclusion"],
        )
        for row in paired_table(pl.concat(folds)).to_dicts()
    )


@dataclass(frozen=True)
class PrivacyFigures:
    """What is measured of privacy beyond the main figures.

    Attributes:
        copied: Exact and near copies.
        membership: Of the synthetic rows, and the floor; see :func:`~.membership.membership`.
        ratios: The same of :func:`~.privacy.nndr`.
        risks: One an attack.
    """

    copied: Copies
    membership: tuple[dict[str, Figure], dict[str, Figure]]
    ratios: tuple[dict[str, Figure], dict[str, Figure]]
    risks: tuple[Risk, ...]

    @classmethod
    def of(cls, evaluation: Evaluation, targets: Sequence[str], seed: int, *, thorough: bool) -> "PrivacyFigures":
        """Copies, membership inference, distance ratios and attacks."""
        train, holdout, fake = (evaluation.tables[name] for name in ("training", "held-out", "synthetic"))
        return cls(
            copies(train, holdout, fake, seed),
            (membership(train, holdout, fake, seed), membership_floor(train, holdout, seed)),
            (nndr(train, holdout, fake, seed), nndr_floor(train, holdout, seed)),
            attacks(train, holdout, fake, seed, targets=targets) if thorough else (),
        )

    def section(self, evaluation: Evaluation) -> Privacy:
        """As the report shows it."""
        copied, (found, floor), (ratio, ratio_floor) = self.copied, self.membership, self.ratios
        figures = (
            reading("Exact copies of training rows", copied.exact, copied.exact_floor, unit="share"),
            reading("Near copies of training rows", copied.near, copied.near_floor, unit="share"),
            reading(
                "DCR: rows nearer to training than to held-out rows", evaluation.figures.dcr, evaluation.floor.dcr,
                "0.5 is clean",
            ),
            reading("NNDR to training rows, median", ratio["train_median"], ratio_floor["train_median"]),
            reading("NNDR to training rows, 5 % quantile", ratio["train_low"], ratio_floor["train_low"]),
            reading("Membership by distance, AUC", found["distance_auc"], floor["distance_auc"], "0.5 is clean"),
            reading("Membership by distance, found at 1 % false alarms", found["distance_tpr"], floor["distance_tpr"],
                    "1 % is clean", unit="share"),
            reading("Membership by density ratio, AUC", found["density_auc"], floor["density_auc"], "0.5 is clean"),
            reading("Membership by density ratio, found at 1 % false alarms", found["density_tpr"],
                    floor["density_tpr"], "1 % is clean", unit="share"),
        )  # fmt: skip
        return Privacy(
            risk=risk_line(self.risks, copied, found),
            figures=figures,
            attacks=tuple(_attack(risk) for risk in self.risks),
        )


def _attack(risk: Risk) -> Attack:
    return Attack(
        name=risk.name,
        attack=risk.attack.value,
        control=risk.control.value,
        baseline=risk.baseline.value,
        risk=risk.risk,
        low=risk.low,
        high=risk.high,
        why=risk.why,
    )
