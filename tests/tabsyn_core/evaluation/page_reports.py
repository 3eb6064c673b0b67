"""Reports for the page's tests: one with every part, made up, and one with none."""

import numpy as np

from tabsyn_core.evaluation.page.content import (
    Attack,
    Beside,
    BrokenRule,
    Chemistry,
    ClusterShare,
    Column,
    Combination,
    Correlations,
    Density,
    Detector,
    EnergyTest,
    Fix,
    Hypothesis,
    Importance,
    Joint,
    Line,
    Molecule,
    Molecules,
    Pair,
    PairedTest,
    Pairs,
    Privacy,
    Projection,
    Reading,
    Report,
    Rows,
    Score,
    Spectrum,
    Stranger,
    Subset,
    Telltale,
    TestSummary,
    Utility,
    Whole,
)

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1h7"/></svg>'


def bare() -> Report:
    """A report of which nothing could be computed."""
    return Report(title="Nothing", rows=Rows(training=3, held_out=1, synthetic=2), seed=0)


def complete(columns: int = 30, *, title: str = "A synthetic table", shift: float = 0.0) -> Report:
    """Every part filled; ``shift`` moves the figures, so that two reports differ."""
    rng = np.random.default_rng(columns)
    names = [f"column {place}" for place in range(columns - 1)]
    return Report(
        title=title,
        rows=Rows(training=1000, held_out=200, synthetic=900),
        seed=4,
        targets=("column 1",),
        versions={"rdkit": "2026.9.1"},
        verdict=(
            Line(
                dimension="fidelity", light="green", sentence="Columns are right.", figures=(_reading("Shape", shift),)
            ),
            Line(dimension="structure", light="amber", sentence="Pairs are nearly right."),
            Line(dimension="utility", light="red", sentence="Little can be learnt."),
            Line(dimension="privacy", light="grey", sentence="Privacy was not judged."),
        ),
        fixes=(
            Fix(text="Mend one column.", section="fidelity", column=names[-1]),
            Fix(text="Mend the rules.", section="chemistry"),
        ),
        columns=(*(_column(name, place / columns) for place, name in enumerate(names)), _category()),
        densities=(*(_density(name, place, rng) for place, name in enumerate(names)), _bars()),
        hypotheses=tuple(each for name in names for each in _hypotheses(name)),
        tests=(
            TestSummary(test="Kolmogorov-Smirnov", effect_name="D", columns=columns, rejected=0.4, floor_rejected=0.0),
        ),
        pairs=_pairs(names),
        whole=_whole(rng),
        utility=_utility(names),
        privacy=_privacy(),
        chemistry=_chemistry(),
        molecules=_molecules(rng),
    )


def _reading(name: str, value: float, **more: object) -> Reading:
    return Reading(name=name, synthetic=value, floor=0.03, **more)  # type: ignore[arg-type]


def _column(name: str, error: float) -> Column:
    return Column(
        column=name,
        kind="numeric",
        error=error,
        error_low=max(0, error - 0.01),
        error_high=error + 0.01,
        floor=0.01,
        wasserstein=error / 2,
        wasserstein_floor=0.02,
        missing_real=0.0,
        missing_synthetic=0.1,
        support="whole, at least 0",
        support_violations=0.2,
        tail_low=-0.1,
        family="gamma" if error else "normal",
    )


def _category() -> Column:
    return Column(column="colour", kind="categorical", error=None, family="categorical")


def _density(name: str, place: int, rng: np.random.Generator) -> Density:
    steps, quantiles = np.sort(rng.normal(size=9)), np.sort(rng.normal(size=(3, 12)))
    heights = rng.random((3, 8))
    return Density(
        column=name,
        edges=tuple(steps),
        smooth=place % 2 == 1,
        real=tuple(heights[0]),
        synthetic=tuple(heights[1]),
        held_out=tuple(heights[2]),
        quantiles_real=tuple(quantiles[0]),
        quantiles_synthetic=tuple(quantiles[1]),
        quantiles_held_out=tuple(quantiles[2]),
    )


def _bars() -> Density:
    return Density(column="colour", labels=("red", "blue"), real=(0.4, 0.6), synthetic=(0.5, 0.5), held_out=(0.3, 0.7))


def _hypotheses(name: str) -> tuple[Hypothesis, ...]:
    return (
        Hypothesis(
            column=name,
            test="Kolmogorov-Smirnov",
            null="one distribution",
            statistic=0.2,
            effect=0.2,
            effect_name="D",
            p=1e-5,
            p_adjusted=1e-4,
            rejected=True,
            floor_effect=0.1,
            floor_p_adjusted=0.5,
            floor_rejected=False,
        ),
        Hypothesis(column=name, test="chi-square", null="one distribution", why="all values are the same"),
    )


def _pairs(names: list[str]) -> Pairs:
    ones = np.eye(len(names))
    half, none = (tuple(map(tuple, np.where(ones > 0, 1, value))) for value in (0.5, 0.0))
    unknown = (tuple([None] * len(names)), *none[1:])
    return Pairs(
        figures=(
            _reading("Trend", 0.1),
            Reading(name="Mutual information", synthetic=None, why="it was not asked for"),
        ),
        worst=(
            Pair(left=names[0], right=names[1], kind="Pearson", real=0.5, synthetic=0.0, floor=0.4, difference=0.5),
        ),
        correlations=Correlations(columns=tuple(names), real=half, synthetic=none, held_out=unknown),
        joints=(
            Joint(
                left=names[0],
                right=names[1],
                left_edges=(0, 1, 2),
                right_edges=(0, 5, 9),
                real=((0.1, 0.2), (0.3, 0.4)),
                synthetic=((0.4, 0.3), (0.2, 0.1)),
            ),
        ),
        spectrum=Spectrum(real=(3, 1, 0.1), synthetic=(2, 1.5, 0.0), held_out=(3, 1, 0.2)),
        combinations=(
            Combination(label="red, round", real=40, synthetic=30),
            Combination(label="blue, square", real=0, synthetic=3),
        ),
        subsets=(Subset(columns=(names[0], names[1], "colour"), error=0.3, floor=0.1),),
    )


def _whole(rng: np.random.Generator) -> Whole:
    sources = ("real", "synthetic", "held-out") * 5
    return Whole(
        detectors=(
            Detector(classifier="lightgbm", auc=0.7, low=0.65, high=0.75, floor=0.5, factorised=0.99),
            Detector(classifier="logistic", auc=None, why="there are too few rows"),
        ),
        telltales=(Telltale(column="colour", gain=0.6),),
        coverage=(_reading("α-precision", 0.9),),
        energy=EnergyTest(statistic=0.2, p=0.001, floor=0.1, floor_p=0.4),
        clusters=(
            ClusterShare(cluster="1", real=0.6, synthetic=0.5, held_out=0.6),
            ClusterShare(cluster="2", real=0.4, synthetic=0.5),
        ),
        projections=tuple(
            Projection(
                method=method,
                x=tuple(rng.normal(size=15)),
                y=tuple(rng.normal(size=15)),
                source=sources,
                cluster=("1", "2", "1") * 5,
                x_label=f"{method} across",
            )
            for method in ("PCA", "LDA")
        ),
    )


def _utility(names: list[str]) -> Utility:
    return Utility(
        scores=(
            Score(
                target=names[1],
                model="LightGBM",
                training="synthetic",
                test="held-out",
                score="R²",
                value=0.6,
                low=0.5,
                high=0.7,
            ),
            Score(target=names[1], model="LightGBM", training="real", test="held-out", score="R²", value=0.8),
            Score(
                target=names[1],
                model="linear",
                training="real + synthetic",
                test="synthetic",
                score="R²",
                value=None,
                why="the target is constant",
            ),
        ),
        tests=(
            PairedTest(
                target=names[1],
                model="LightGBM",
                comparison="synthetic vs real",
                score="R2",
                split="held-out",
                difference=-0.2,
                p=0.01,
                conclusion="Synthetic rows teach less.",
            ),
        ),
        importance=(
            Importance(
                target=names[1], agreement=0.5, columns=(names[0], "colour"), real=(0.7, 0.3), synthetic=(0.4, 0.6)
            ),
        ),
    )


def _privacy() -> Privacy:
    return Privacy(
        risk="No row can be found again.",
        figures=(_reading("Exact copies", 0.0, unit="share"),),
        attacks=(
            Attack(name="singling out", attack=0.2, control=0.1, baseline=0.1, risk=0.11, low=0.0, high=0.2),
            Attack(name="linkability", attack=None, why="there are too few rows"),
        ),
    )


def _chemistry() -> Chemistry:
    return Chemistry(
        lawful=Reading(name="Rows that satisfy every rule", synthetic=0.25, floor=1.0, unit="share"),
        rules=(BrokenRule(rule="rings", equation="rings <= atoms", rows=675, share=0.75, floor=0.0),),
        strangers=(Stranger(row=7, distance=3.2, nearest="aspirin", smiles="CC(=O)O", svg=SVG, why="colour is odd"),),
    )


def _molecules(rng: np.random.Generator) -> Molecules:
    return Molecules(
        figures=(
            _reading("Validity: rows with a molecule", 0.99, unit="share"),
            _reading("Novelty: no training molecule", 0.98, unit="share"),
            _reading("SNN: similarity to the nearest training molecule, mean", 0.5),
        ),
        distances=(_reading("MolWt", 0.2),),
        similarity=_density("Tanimoto similarity", 0, rng),
        properties=(_density("MolWt", 1, rng),),
        drawn=(
            Molecule(
                row=3,
                smiles="CCO",
                svg=SVG,
                neighbour=11,
                neighbour_smiles="CCN",
                neighbour_svg=None,
                similarity=0.25,
                values=(
                    Beside(name="MolWt", synthetic=46.07, real=None),
                    Beside(name="colour", synthetic="red", real="blue"),
                ),
            ),
        ),
    )
