import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tabsyn_core.evaluation.paired import MATTERS, NO_DIFFERENCE, corrected_t_test, holm, paired_table

KEYS = {"target": "y", "model": "ridge", "split": "random", "repeat": 0, "test": "held-out"}


def folds(real, synthetic, both=None, *, score="R2", train_rows=80, test_rows=20, **changes):
    values = {"real": real, "synthetic": synthetic, "real+synthetic": real if both is None else both}
    return pl.DataFrame(
        [
            {**KEYS, "fold": fold, "training": training, "score": score, "value": value, **changes}
            | {"train_rows": train_rows, "test_rows": test_rows}
            for training, each in values.items()
            for fold, value in enumerate(each)
        ],
        schema_overrides={"value": pl.Float64},
    )


def compared(*args, comparison="synthetic vs real", **changes):
    return paired_table(folds(*args, **changes)).row(by_predicate=pl.col("comparison") == comparison, named=True)


BASE = 0.6 + 0.05 * np.sin(np.arange(10))
NOISE = 0.02 * np.cos(3 * np.arange(10))
NOISE -= NOISE.mean()


def test_without_shared_rows_the_test_is_the_paired_t_test():
    differences = np.random.default_rng(0).normal(0.3, 1, 12)
    mean, low, high, p = corrected_t_test(differences, 0.0)
    expected = stats.ttest_1samp(differences, 0.0)
    assert (mean, p) == pytest.approx((differences.mean(), expected.pvalue))
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()))


def test_shared_rows_widen_the_interval_as_nadeau_and_bengio_say():
    differences = np.array([0.02, 0.03, 0.01, 0.04, 0.0])
    mean, low, high, p = corrected_t_test(differences, 1 / 4)
    error = np.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 4) * error)
    assert p == pytest.approx(2 * stats.t.sf(mean / error, 4))


def test_the_correction_keeps_the_error_rate_that_shared_rows_would_raise():
    # Ten folds whose differences have the correlation 1/(1 + 4) that the correction assumes, around no difference.
    rng, correlation = np.random.default_rng(0), 0.2
    shared, own = rng.normal(size=(1000, 1)), rng.normal(size=(1000, 10))
    runs = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    plain, corrected = (np.mean([corrected_t_test(run, ratio)[3] < 0.05 for run in runs]) for ratio in (0.0, 1 / 4))
    assert plain > 0.15
    assert 0.03 < corrected < 0.07


def test_no_difference_at_all_is_none():
    assert corrected_t_test(np.zeros(5), 0.25) == (0, 0, 0, 1)
    found = compared(BASE, BASE)
    assert (found["p"], found["p_wilcoxon"], found["p_holm"], found["effect"], found["share"]) == (1, 1, 1, 0, 0)
    assert found["conclusion"].startswith(NO_DIFFERENCE)


def test_holms_adjustment_of_a_known_example():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])


def test_a_gain_is_put_in_words_with_its_interval_and_p():
    found = compared(BASE, BASE, BASE + 0.1 + NOISE, comparison="real+synthetic vs real")
    assert found["mean_difference"] == pytest.approx(0.1)
    assert found["p"] < 0.001
    assert found["conclusion"].startswith("real+synthetic is better, +0.1 R2 (95 % interval +0.0")
    assert "p < 0.001" in found["conclusion"]
    assert found["effect"] == pytest.approx(0.1 / BASE.std(ddof=1))
    assert found["share"] == pytest.approx(0.1 / BASE.mean())


def test_a_loss_is_put_in_words():
    found = compared(BASE, BASE - 0.1 + NOISE)
    assert found["conclusion"].startswith("synthetic is worse, -0.1")
    assert found["effect"] < 0


def test_of_errors_less_is_better():
    found = compared(BASE, BASE - 0.1 + NOISE, score="MAE")
    assert found["conclusion"].startswith("synthetic is better, -0.1")
    assert "MAE" in found["conclusion"]
    assert found["mean_difference"] < 0 < found["effect"]
    assert found["matters"] == pytest.approx(MATTERS * BASE.mean())


def test_a_gain_too_small_to_matter_is_said_to_be_so():
    found = compared(BASE, BASE + 0.01 + 0.05 * NOISE)
    assert found["conclusion"].startswith("synthetic is better, +0.01")
    assert "less than 0.02 R2, the least that matters" in found["conclusion"]


def test_an_interval_that_holds_nothing_that_matters_is_said_to_be_so():
    small, wide = compared(BASE, BASE + 0.1 * NOISE), compared(BASE, BASE + NOISE)
    assert small["conclusion"].startswith(NO_DIFFERENCE)
    assert "0.02 R2, the least that matters, is outside" in small["conclusion"]
    assert "outside" not in wide["conclusion"]


def test_one_of_many_tests_must_be_surer_than_one_alone():
    gain = BASE + 0.025 + NOISE
    alone = paired_table(folds(BASE, gain))
    assert alone["p"][0] < 0.05
    assert alone["conclusion"][0].startswith("synthetic is better")
    others = [folds(BASE, BASE + NOISE, target=f"other {k}") for k in range(11)]
    among = paired_table(pl.concat([folds(BASE, gain), *others], how="vertical_relaxed"))
    assert among["p"][0] == alone["p"][0]
    assert among["p_holm"][0] == pytest.approx(12 * alone["p"][0])
    assert among["conclusion"][0].startswith(NO_DIFFERENCE)
    assert "for 12 tests" in among["conclusion"][0]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.1), st.sampled_from(["R2", "MAE"]))
def test_nothing_is_claimed_without_the_test(seed, gain, score):
    rng = np.random.default_rng(seed)
    real = rng.normal(0.6, 0.05, 10)
    found = compared(real, real + gain + rng.normal(0, 0.05, 10), score=score)
    assert ("is better" in found["conclusion"] or "is worse" in found["conclusion"]) == (found["p_holm"] < 0.05)
    assert (found["low"] > 0 or found["high"] < 0) == (found["p"] < 0.05)


def test_wilcoxon_stands_beside():
    other = BASE + 0.01 + NOISE
    assert compared(BASE, other)["p_wilcoxon"] == stats.wilcoxon(other - BASE).pvalue


def test_the_more_is_tested_on_and_the_less_trained_on_the_wider_the_interval():
    wide, narrow = (compared(BASE, BASE + NOISE, test_rows=rows) for rows in (40, 10))
    assert wide["high"] - wide["low"] > narrow["high"] - narrow["low"]
    ratio = (1 / 10 + 40 / 80) / (1 / 10 + 10 / 80)
    assert wide["high"] - wide["low"] == pytest.approx(np.sqrt(ratio) * (narrow["high"] - narrow["low"]))


def test_folds_without_both_scores_are_left_out():
    gaps = [None, *(BASE + NOISE)[1:]]
    assert compared(BASE, gaps)["folds"] == 9
    assert compared(BASE, gaps)["p"] == compared(BASE[1:], gaps[1:])["p"]


@pytest.mark.parametrize("values", [[None] * 10, [0.5] + [None] * 9])
def test_fewer_than_two_folds_are_not_tested(values):
    found = compared(BASE, values)
    assert found["p"] is found["mean_difference"] is found["p_holm"] is None
    assert found["conclusion"].startswith("not tested")


def test_rows_that_test_synthetic_rows_have_no_say():
    real = folds(BASE, BASE + NOISE)
    trts = folds(np.ones(10), np.zeros(10)).with_columns(test=pl.lit("synthetic"))
    assert paired_table(pl.concat([real, trts])).equals(paired_table(real))
