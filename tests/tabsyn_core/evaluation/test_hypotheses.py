import numpy as np
import polars as pl
import pytest
from scipy import stats

from tabsyn_core.evaluation.hypotheses import MAX_ROWS, hypothesis_tests, summary
from tabsyn_core.evaluation.tables import align

TESTS = [
    "Kolmogorov-Smirnov",
    "Mann-Whitney U",
    "Wilcoxon signed-rank",
    "Kruskal-Wallis",
    "Anderson-Darling",
    "chi-square",
]


def judge(train, holdout, fake, seed=0):
    return hypothesis_tests(*align({"training": train, "held-out": holdout, "synthetic": fake}, 0).values(), seed)


def only(table, column, test) -> dict:
    return table.row(by_predicate=(pl.col("column") == column) & (pl.col("test") == test), named=True)


def mixed(seed: int, rows: int = 400, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, rows)
    return pl.DataFrame(
        {
            "x": np.where(rng.random(rows) < 0.1, np.nan, x),
            "count": rng.poisson(2 + shift, rows),
            "c": rng.choice(["a", "b", "c", "rare"], rows, p=[0.5, 0.3, 0.195, 0.005]),
        }
    ).with_columns(pl.col("x").fill_nan(None))


@pytest.mark.parametrize("column", ["x", "count"])
@pytest.mark.filterwarnings("ignore:p-value (floored|capped)")
def test_numbers_are_scipys(column):
    train, holdout, fake = mixed(0), mixed(1, 300), mixed(2, 300, shift=0.2)
    found = judge(train, holdout, fake)
    real, made, unseen = (table[column].drop_nulls().to_numpy().astype(float) for table in (train, fake, holdout))
    points = (np.arange(100) + 0.5) / 100
    apart = np.quantile(made, points) - np.quantile(real, points)
    expected = {
        "Kolmogorov-Smirnov": stats.ks_2samp(made, real),
        "Mann-Whitney U": stats.mannwhitneyu(made, real),
        "Wilcoxon signed-rank": stats.wilcoxon(apart),
        "Kruskal-Wallis": stats.kruskal(made, real),
        "Anderson-Darling": stats.anderson_ksamp([real, made], variant="midrank"),
    }
    for test, result in expected.items():
        row = only(found, column, test)
        assert row["statistic"] == pytest.approx(result.statistic, rel=1e-9), test
        if test != "Wilcoxon signed-rank":  # quantiles depend on one another, which scipy's p does not know
            assert row["p"] == pytest.approx(result.pvalue, rel=1e-9), test
    assert only(found, column, "Kolmogorov-Smirnov")["floor_statistic"] == stats.ks_2samp(unseen, real).statistic


def test_effects_are_what_they_are_called():
    train, fake = mixed(0), mixed(2, 300, shift=0.3)
    found = judge(train, fake, fake)
    real, made = (table["count"].to_numpy().astype(float) for table in (train, fake))
    above = np.sign(made[:, None] - real).mean()
    assert only(found, "count", "Mann-Whitney U")["effect"] == pytest.approx(above, abs=1e-12)
    h = only(found, "count", "Kruskal-Wallis")
    total = made.size + real.size
    assert h["effect"] == pytest.approx(h["statistic"] * (total + 1) / (total**2 - 1))
    ks = only(found, "count", "Kolmogorov-Smirnov")
    assert ks["effect"] == ks["statistic"]
    points = (np.arange(100) + 0.5) / 100
    apart = np.quantile(made, points) - np.quantile(real, points)
    assert (apart >= 0).all()
    assert only(found, "count", "Wilcoxon signed-rank")["effect"] == pytest.approx(1)  # no quantile lies lower


def test_chi_square_of_categories_with_the_rarest_as_one():
    train, fake = mixed(0), mixed(2, 300)
    codes = ["a", "b", "c", "rare"]
    counts = np.array([[(table["c"] == code).sum() for code in codes] for table in (train, fake)])
    assert 0 < counts[:, 3].sum() < 10
    joined = np.column_stack([counts[:, :2], counts[:, 2] + counts[:, 3]])
    expected = stats.chi2_contingency(joined, correction=False)
    row = only(judge(train, fake, fake), "c", "chi-square")
    assert row["statistic"] == pytest.approx(expected.statistic, rel=1e-9)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert row["effect"] == pytest.approx(stats.contingency.association(joined), rel=1e-9)
    assert only(judge(train, fake, fake), "c", "Mann-Whitney U")["why"] == "the column is categorical"


def test_chi_square_of_two_categories_is_not_corrected_for_continuity():
    train, fake = (pl.DataFrame({"c": ["a"] * first + ["b"] * (40 - first)}) for first in (15, 25))
    row = only(judge(train, fake, fake), "c", "chi-square")
    expected = stats.chi2_contingency([[15, 25], [25, 15]], correction=False)
    assert row["statistic"] == pytest.approx(expected.statistic)
    assert row["p"] == pytest.approx(expected.pvalue)


def test_chi_square_of_numbers_in_bins_between_pooled_quantiles():
    train, fake = mixed(0).drop_nulls(), mixed(2, shift=0.2).drop_nulls()
    real, made = train["x"].to_numpy(), fake["x"].to_numpy()
    edges = np.quantile(np.concatenate([real, made]), np.arange(1, 10) / 10)
    counts = np.array([np.bincount(np.digitize(values, edges, right=True)) for values in (real, made)])
    assert counts.sum(axis=0).min() > 60
    expected = stats.chi2_contingency(counts, correction=False)
    row = only(judge(train, fake, fake), "x", "chi-square")
    assert row["statistic"] == pytest.approx(expected.statistic, rel=1e-9)
    assert row["effect"] == pytest.approx(stats.contingency.association(counts), rel=1e-9)


def test_p_values_are_adjusted_over_the_columns_of_a_test():
    rng = np.random.default_rng(0)
    train, fake = (pl.DataFrame(rng.normal(shift, 1, (200, 12))) for shift in (0, 0.15))
    found = judge(train, fake, fake)
    for test in TESTS:
        part = found.filter(pl.col("test") == test)
        expected = stats.false_discovery_control(part["p"].to_numpy())
        np.testing.assert_allclose(part["p_adjusted"], expected)
        assert part["rejected"].to_list() == (expected <= 0.05).tolist()
        assert part["p_adjusted"].equals(part["floor_p_adjusted"])


def test_rows_of_the_same_distribution_are_rejected_as_rarely_as_the_floor_and_a_shift_always():
    rng = np.random.default_rng(1)
    train, holdout, fake = (pl.DataFrame(rng.normal(size=(500, 40))) for _ in range(3))
    same = summary(judge(train, holdout, fake))
    assert same["rejected"].max() <= 0.05
    assert same["floor_rejected"].max() <= 0.05
    moved = summary(judge(train, holdout, fake.with_columns(pl.all() + 1)))
    assert moved["rejected"].to_list() == [1.0] * 6
    assert moved["floor_rejected"].equals(same["floor_rejected"])
    effects = dict(zip(moved["test"], moved["effect"], strict=True))
    assert effects["Kolmogorov-Smirnov"] == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=0.04)
    assert effects["Mann-Whitney U"] == pytest.approx(2 * stats.norm.cdf(1 / np.sqrt(2)) - 1, abs=0.04)


def test_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(2)
    train, fake = (pl.DataFrame(rng.normal(size=(300, 200))) for _ in range(2))
    found = judge(train, fake, fake)
    for test in TESTS:
        p = found.filter(pl.col("test") == test)["p"].to_numpy()
        for level in (0.05, 0.2):  # Anderson-Darling's are cut off at 0.25
            assert abs(np.mean(p <= level) - level) < 4 * np.sqrt(level * (1 - level) / p.size), (test, level)


def test_both_sides_are_tested_at_the_same_number_of_rows():
    # One value against another: U is the number of pairs.
    train, holdout = pl.DataFrame({"x": [0.0] * 50}), pl.DataFrame({"x": [1.0] * 20})
    row = only(judge(train, holdout, pl.DataFrame({"x": [1.0] * 300})), "x", "Mann-Whitney U")
    assert row["statistic"] == row["floor_statistic"] == 50 * 20
    many = pl.DataFrame({"x": [0.0] * (MAX_ROWS + 1)})
    row = only(judge(many, many + 1, many + 1), "x", "Mann-Whitney U")
    assert row["statistic"] == MAX_ROWS**2


def test_columns_that_cannot_be_tested_say_why():
    rows = 40
    train = pl.DataFrame(
        {
            "same": [1.0] * rows,
            "empty": pl.Series([None] * rows, dtype=pl.Float64),
            "single": ["only"] * rows,
            "unique": [str(i) for i in range(rows)],
            "late": np.arange(rows) * 1.0,
        }
    )
    holdout = train.with_columns(late=pl.lit(None, dtype=pl.Float64))
    found = judge(train, holdout, train)
    whys = {column: only(found, column, "chi-square")["why"] for column in train.columns}
    assert whys == {
        "same": "all values are the same",
        "empty": "a test needs at least 3 values of each kind; there are 0",
        "single": "all values are the same",
        "unique": "fewer than two levels are expected five times on either side",
        "late": "held-out rows: a test needs at least 3 values of each kind; there are 0",
    }
    untested = found.filter(pl.col("why").is_not_null() & (pl.col("column") != "late"))
    assert untested.height == 4 * 6
    assert untested.select("statistic", "effect", "p", "p_adjusted", "rejected").null_count().row(0) == (24,) * 5
    assert summary(found)["columns"].to_list() == [1] * 6
    assert summary(found)["floor_rejected"].to_list() == [None] * 6


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_a_few_rows(rows):
    found = judge(mixed(0, rows), mixed(1, rows), mixed(2, rows))
    assert found.height == 3 * 6
    assert found["p"].drop_nulls().is_between(0, 1).all()
    assert (found["p"].is_null() | found["rejected"].is_not_null()).all()
    assert (found["p"].is_not_null() | found["why"].is_not_null()).all()


def test_a_table_of_one_kind_of_column():
    for columns in (["x", "count"], ["c"]):
        found = judge(*(mixed(seed).select(columns) for seed in range(3)))
        assert found["column"].unique(maintain_order=True).to_list() == columns
        assert found["test"].to_list() == TESTS * len(columns)


def test_the_last_bits_of_a_sum_are_no_difference():
    train = pl.DataFrame({"x": [0.1, 0.3, 0.5] * 30})
    fake = pl.DataFrame({"x": [0.1, 0.1 + 0.2, 0.5] * 30})
    assert (train["x"] != fake["x"]).any()
    assert only(judge(train, train, fake), "x", "Kolmogorov-Smirnov")["statistic"] == 0


def test_identical_rows_are_never_rejected(train):
    real = train.drop("smiles", "inchikey")
    found = judge(real, real, real)
    assert found["rejected"].any() is False
    assert found["effect"].abs().max() == pytest.approx(0, abs=1e-9)


def test_the_effect_of_anderson_darling_is_a_size_and_no_count_of_rows():
    found = {}
    for rows in (200, 2_000):
        draws = [np.random.default_rng(seed).normal(size=rows) for seed in range(3)]
        tables = [pl.DataFrame({"x": draws[0]}), pl.DataFrame({"x": draws[1]}), pl.DataFrame({"x": draws[2] + 0.5})]
        found[rows] = only(judge(*tables), "x", "Anderson-Darling")
    assert found[2_000]["statistic"] > 5 * found[200]["statistic"]
    assert found[2_000]["effect"] == pytest.approx(found[200]["effect"], abs=0.08)
    assert all(row["floor_effect"] < 0.5 * row["effect"] for row in found.values())
    apart = only(judge(tables[0], tables[1], tables[2] + 100), "x", "Anderson-Darling")
    assert apart["effect"] == pytest.approx(1, abs=1e-3)


def test_the_same_seed_gives_the_same_bits():
    tables = mixed(0, 300), mixed(1, 100), mixed(2, 300)
    first, again, other = (judge(*tables, seed=seed) for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)
