"""Real rows in place of synthetic ones, of three tables: nothing may be found that is not there."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tabsyn_core.chemistry.descriptors import compute_descriptors
from tabsyn_core.evaluation import judge
from tabsyn_core.evaluation.hypotheses import hypothesis_tests
from tabsyn_core.evaluation.tables import align

SHARED = Path(__file__).parents[4] / "shared/data"
TARGETS = {"magic/magic04.csv": "class", "adult/adult.csv.gz": "income", "tdc/caco2_wang.csv": "Y"}
ROWS = {"magic/magic04.csv": (500, 250), "adult/adult.csv.gz": (500, 250), "tdc/caco2_wang.csv": (500, 200)}
PARTS = ("training", "held-out", "synthetic")


@pytest.fixture(scope="module", params=TARGETS, ids=["magic", "adult", "caco2"])
def real(request):
    """The path, and the rows in random order, with descriptors where they are molecules'."""
    if not (SHARED / request.param).exists():
        pytest.skip(f"needs ../shared/data/{request.param}")
    table = pl.read_csv(SHARED / request.param, infer_schema_length=None, null_values="?").drop("split", strict=False)
    table = table[np.random.default_rng(0).permutation(table.height)]
    if "Drug" in table.columns:
        table = table.drop_nulls("Drug")[: sum(ROWS[request.param]) + ROWS[request.param][1]]
        descriptors, _ = compute_descriptors(table["Drug"].to_list(), workers=1)
        table = descriptors.with_columns(table["Y"])
    return request.param, table


def split(table, sizes, seed):
    """Training, held-out and further rows."""
    order = np.random.default_rng(seed).permutation(table.height)
    ends = np.cumsum([*sizes, sizes[1]])
    return [table[order[end - size : end]] for end, size in zip(ends, [*sizes, sizes[1]], strict=True)]


@pytest.fixture(scope="module")
def report(real):
    path, table = real
    return judge(*split(table, ROWS[path], 1), targets=[TARGETS[path]], thorough=False, folds=3).report


def test_every_light_is_green(report):
    lights = {line.dimension: (line.light, line.sentence) for line in report.verdict}
    assert {light for light, _ in lights.values()} <= {"green", "grey"}, lights
    assert (lights["chemistry"][0] == "grey") == ("MolWt" not in {each.column for each in report.columns})


def test_classifiers_are_at_a_half_within_their_interval(report):
    for detector in report.whole.detectors:
        assert detector.low <= 0.5 <= detector.high, detector


def test_tests_reject_at_their_nominal_rate(real):
    path, table = real
    splits = 3 if path.startswith("tdc") else 12
    found = pl.concat(
        hypothesis_tests(*align(dict(zip(PARTS, split(table, (150, 100), seed), strict=True)), 0).values(), seed)
        for seed in range(splits)
    )
    for (test,), part in found.drop_nulls("p").group_by("test", maintain_order=True):
        # Columns of one table are no independent tests, so the rate varies more than a binomial would; tests of counts
        # with many ties reject less often than their level.
        assert part.height >= 60
        assert (part["p"] <= 0.05).mean() < 0.13, test
        assert part["rejected"].mean() < 0.03, test
    continuous = found.filter(pl.col("test").is_in(["Mann-Whitney U", "Wilcoxon signed-rank", "chi-square"]))
    assert 0.01 < (continuous["p"] <= 0.05).mean() < 0.1
