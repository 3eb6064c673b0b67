"""Is one training better than another? A paired test over folds, the size of the difference, and words for both."""

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from tabsyn_core.evaluation.resampling import LOWER_IS_BETTER
from tabsyn_core.evaluation.tables import Floats

MATTERS = 0.02
"""The smallest difference that matters: of MAE this share of what real rows give, of other scores this much."""

SIGNIFICANCE = 0.05

NO_DIFFERENCE = "no difference that this test can see"

_REFERENCE = "real"
_HELD_OUT = "held-out"  # rows tested on, and the split of a generator that was not fitted anew
_COMPARED = ("synthetic", "real+synthetic")
_KEYS = ("target", "model", "score", "split")
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*_KEYS, "comparison"), pl.String),
    "folds": pl.Int64,
    **dict.fromkeys(
        ("mean_difference", "low", "high", "p", "p_holm", "p_wilcoxon", "effect", "share", "matters"), pl.Float64
    ),
    "conclusion": pl.String,
}


def corrected_t_test(differences: Floats, ratio: float) -> tuple[float, float, float, float]:
    """The corrected resampled t-test (Nadeau & Bengio, Machine Learning 52 (2003), 239).

    Training sets of different folds share rows, so their differences vary together and the plain t-test finds
    differences where there are none. The variance of the mean is therefore taken as ``1/n + ratio`` times the variance
    of the differences, instead of ``1/n``; for repeated cross-validation see Bouckaert & Frank (PAKDD 2004).

    Args:
        differences: One a fold, at least two.
        ratio: Rows tested on by rows trained on; 0 gives the plain paired t-test.

    Returns:
        The mean, the bounds of its 95 % interval, and the two-sided p; 1 where all differences are 0.
    """
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    error = spread * float(np.sqrt(1 / len(differences) + ratio))
    if error == 0:
        return mean, mean, mean, float(mean == 0)
    student = stats.t(len(differences) - 1)
    half = float(student.ppf(0.975)) * error
    return mean, mean - half, mean + half, 2 * float(student.sf(abs(mean) / error))


def holm(p: Floats) -> Floats:
    """Adjust the p of several tests so that all stand together (Holm, Scand. J. Stat. 6 (1979), 65)."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def paired_table(scores: pl.DataFrame) -> pl.DataFrame:
    """Test, for every target, model, score and split, whether other training rows do better than real ones.

    ``synthetic vs real`` (TSTR minus TRTR) says what is lost by training on synthetic rows alone, ``real+synthetic vs
    real`` what is gained by adding them. A difference is claimed only if ``p_holm`` is below 0.05, for every test of
    the same comparison and split is one more chance to find something by luck. Wilcoxon's test takes folds for
    independent, which they are not; it stands beside the other for those who doubt the normal distribution.

    Args:
        scores: Of :func:`~.cross_validation.cross_validated` or :func:`~.cross_validation.held_out_folds`, or several
            of them under one another.

    Returns:
        ``target``, ``model``, ``score``, ``split``, ``comparison``; ``folds`` in which both trainings have the score;
        ``mean_difference`` in units of the score, its 95 % interval ``low`` and ``high`` and ``p``, of
        :func:`corrected_t_test`, each as if alone; ``p_holm`` over all tests of the comparison and split;
        ``p_wilcoxon``; ``effect``, the improvement (positive is better, whatever the score) in standard deviations over
        folds of the score that real rows give; ``share``, the improvement as a share of that score, where it is
        positive; ``matters``, the smallest difference that does (:data:`MATTERS`); ``conclusion`` in words, which
        begins with :data:`NO_DIFFERENCE` or says which is better. Where fewer than two folds have both scores
        there are no numbers.
    """
    wide = scores.filter(pl.col("test") == _HELD_OUT).pivot(
        "training", index=[*_KEYS, "repeat", "fold"], values=["value", "train_rows", "test_rows"]
    )
    rows = [
        {**dict(zip(_KEYS, key, strict=True)), "comparison": f"{other} vs {_REFERENCE}", **_tested(part, other)}
        for key, part in wide.group_by(*_KEYS, maintain_order=True)
        for other in _COMPARED
    ]
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["comparison"], row["split"]), []).append(row)
    for family in families.values():
        tested = [row for row in family if "p" in row]
        for row, adjusted in zip(tested, holm(np.array([row["p"] for row in tested])), strict=True):
            row["p_holm"] = float(adjusted)
        for row in family:
            row["conclusion"] = _conclusion(row, len(tested))
    return pl.DataFrame(rows, schema=_SCHEMA)


def _tested(part: pl.DataFrame, other: str) -> dict[str, Any]:
    """The numbers of one comparison over the folds that have both scores."""
    part = part.drop_nulls([f"value_{other}", f"value_{_REFERENCE}"])
    if part.height < 2:
        return {"folds": part.height}
    reference = part[f"value_{_REFERENCE}"].to_numpy()
    differences = part[f"value_{other}"].to_numpy() - reference
    ratio = float(np.mean(part[f"test_rows_{_REFERENCE}"].to_numpy() / part[f"train_rows_{_REFERENCE}"].to_numpy()))
    mean, low, high, p = corrected_t_test(differences, ratio)
    lower = part["score"][0] in LOWER_IS_BETTER
    better, level, spread = -mean if lower else mean, float(reference.mean()), float(reference.std(ddof=1))
    return {
        "folds": part.height,
        "mean_difference": mean,
        "low": low,
        "high": high,
        "p": p,
        "p_wilcoxon": float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0,
        "effect": better / spread if spread > 0 else None,
        "share": better / level if level > 0 else None,
        "matters": MATTERS * level if lower else MATTERS,
    }


def _conclusion(row: dict[str, Any], tests: int) -> str:
    if "p" not in row:
        return f"not tested: {row['folds']} folds have both scores, and a test needs two"
    score, matters = row["score"], f"{row['matters']:.2g} {row['score']}"
    mean, low, high = (f"{row[name]:+.2g}" for name in ("mean_difference", "low", "high"))
    evidence = f"{mean} {score} (95 % interval {low} to {high}), {_p(row['p'])}"
    if tests > 1:
        evidence += f" ({row['p_holm']:.2g} by Holm's correction for {tests} tests)"
    if row["split"] == _HELD_OUT:
        evidence += ", of these synthetic rows only"
    if row["p_holm"] >= SIGNIFICANCE:
        small = max(abs(row["low"]), abs(row["high"])) < row["matters"]
        return f"{NO_DIFFERENCE}: {evidence}" + (f"; {matters}, the least that matters, is outside" if small else "")
    improved = (row["mean_difference"] < 0) == (score in LOWER_IS_BETTER)
    claim = f"{row['comparison'].removesuffix(f' vs {_REFERENCE}')} is {'better' if improved else 'worse'}, {evidence}"
    return claim + (
        f"; less than {matters}, the least that matters" if abs(row["mean_difference"]) < row["matters"] else ""
    )


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
