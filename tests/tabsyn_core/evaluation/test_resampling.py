import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score, roc_auc_score

from tabsyn_core.evaluation.resampling import bootstrap_counts, interval, score_names, scores


def repeated(counts):
    return np.repeat(np.arange(len(counts)), counts.astype(int))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 60), st.integers(0, 2))
def test_scores_of_values_are_those_of_scikit_learn_and_scipy_of_the_repeated_rows(seed, rows, decimals):
    rng = np.random.default_rng(seed)
    labels = 50 + np.round(rng.normal(size=rows), decimals)
    predicted = np.round(labels + rng.normal(size=rows), decimals)
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=4).astype(float)
    found = scores(labels, predicted, counts, classes=False)
    for sample, each in enumerate(counts):
        y, p = labels[repeated(each)], predicted[repeated(each)]
        if np.ptp(y) == 0:
            assert all(np.isnan(values[sample]) for values in found.values())
            continue
        assert found["MAE"][sample] == pytest.approx(mean_absolute_error(y, p))
        assert found["R2"][sample] == pytest.approx(r2_score(y, p), rel=1e-6, abs=1e-9)
        expected = spearmanr(y, p).statistic if np.ptp(p) > 0 else 0.0
        assert found["Spearman"][sample] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 60), st.integers(2, 4), st.integers(1, 3))
def test_scores_of_classes_are_the_means_over_classes_of_scikit_learns(seed, rows, classes, decimals):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    predicted = np.round(rng.random((rows, classes)), decimals)
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=4).astype(float)
    found = scores(labels, predicted, counts, classes=True)
    for sample, each in enumerate(counts):
        y, p = labels[repeated(each)], predicted[repeated(each)]
        for name, score in (("AUROC", roc_auc_score), ("AUPRC", average_precision_score)):
            if np.ptp(y) == 0:
                assert np.isnan(found[name][sample])
            else:
                expected = np.mean([score(y == label, p[:, label]) for label in np.unique(y)])
                assert found[name][sample] == pytest.approx(expected)


def test_many_samples_of_many_rows_are_the_samples_one_by_one():
    rng = np.random.default_rng(0)
    labels, counts = rng.normal(size=3000), rng.poisson(1.0, (200, 3000)).astype(float)
    predicted = labels + rng.normal(size=3000)
    together = scores(labels, predicted, counts, classes=False)
    for sample in (0, 99, 199):
        alone = scores(labels, predicted, counts[[sample]], classes=False)
        assert {name: values[sample] for name, values in together.items()} == pytest.approx(
            {name: values[0] for name, values in alone.items()}
        )


def test_the_first_sample_is_all_rows_and_every_other_as_many_draws():
    counts = bootstrap_counts(30, np.random.default_rng(0))
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 30).all()
    assert len(np.unique(counts[1:], axis=0)) == len(counts) - 1


def test_the_interval_of_a_mean_error_is_that_of_its_standard_error():
    rng = np.random.default_rng(0)
    labels, error = np.zeros(2000), rng.exponential(size=2000)
    labels[0] = 1e-9  # a constant has no score
    found = scores(labels, error, bootstrap_counts(2000, rng), classes=False)["MAE"]
    low, high = interval(found[1:])
    assert (low + high) / 2 == pytest.approx(error.mean(), abs=0.01)
    assert (high - low) / 2 == pytest.approx(1.96 * error.std() / np.sqrt(2000), rel=0.1)


def test_samples_without_a_score_are_left_out_of_the_interval():
    assert interval(np.array([np.nan, np.nan])) == (None, None)
    assert interval(np.array([np.nan, 2.0, 2.0])) == (2.0, 2.0)


def test_predictions_that_are_all_equal_order_nothing():
    found = scores(np.arange(5.0), np.ones(5), np.ones((1, 5)), classes=False)
    assert found["Spearman"][0] == 0
    tied = scores(np.array([0, 1, 1, 0]), np.full((4, 2), 0.5), np.ones((1, 4)), classes=True)
    assert (tied["AUROC"][0], tied["AUPRC"][0]) == (0.5, 0.5)


@pytest.mark.parametrize("classes", [True, False])
def test_every_named_score_is_given(classes):
    predicted = np.eye(2) if classes else np.arange(2.0)
    assert tuple(scores(np.arange(2), predicted, np.ones((1, 2)), classes=classes)) == score_names(classes=classes)
