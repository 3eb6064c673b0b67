import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr
from sklearn.metrics import normalized_mutual_info_score

from tabsyn_core.evaluation.fidelity import trend_errors
from tabsyn_core.evaluation.pairs import MIN_ROWS, SUBSET_ROWS, pair_measures, spectra, subset_table, worst_pairs
from tabsyn_core.evaluation.tables import align

MEASURES = ["pearson", "spearman", "contingency", "correlation_ratio", "mutual_information", "subsets", "spectrum"]


def tables(train, holdout, fake):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": fake}, 0).values())


def values(train, holdout, fake, part="synthetic", **options) -> dict:
    return {
        name: figures[part].value for name, figures in pair_measures(*tables(train, holdout, fake), **options).items()
    }


def mixed(seed: int, rows: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "x": base,
            "y": base + 0.5 * rng.normal(size=rows),
            "count": np.floor(np.exp(base)),
            "kind": np.where(base + rng.normal(size=rows) / 3 > 0, "high", "low"),
            "sign": np.where(base > 0, "plus", "minus"),
        }
    )


def apart(table: pl.DataFrame, seed: int = 9) -> pl.DataFrame:
    """The same columns without dependence."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame([table[name].gather(rng.permutation(table.height)) for name in table.columns])


def test_identical_tables_have_no_error(train):
    real = train.drop("smiles", "inchikey")
    found = pair_measures(*tables(real, real, real))
    assert list(found) == MEASURES
    for name, figures in found.items():
        if name == "contingency":  # one categorical column
            assert "fewer than two categorical columns" in figures["synthetic"].why
        else:
            assert figures["synthetic"].value == pytest.approx(0, abs=1e-9), name


def test_columns_without_dependence_are_far_beyond_the_floor_in_every_measure():
    train, holdout, fake = (mixed(seed, 1000) for seed in range(3))
    good, poor, floor = (
        values(train, holdout, fake),
        values(train, holdout, apart(fake)),
        values(train, holdout, fake, "floor"),
    )
    for name in MEASURES:
        assert poor[name] > 3 * max(good[name], floor[name]), name
        assert good[name] < 0.1


def test_correlations_and_trend_agree():
    train, fake = mixed(0), apart(mixed(1))
    found = values(train, fake, fake)
    numbers, labels = ["x", "y", "count"], ["kind", "sign"]
    assert found["pearson"] == pytest.approx(
        2 * trend_errors(*tables(train.select(numbers), fake.select(numbers), fake.select(numbers))[:2]).mean()
    )
    assert found["contingency"] == pytest.approx(
        trend_errors(*tables(train.select(labels), fake.select(labels), fake.select(labels))[:2])[0]
    )
    upper = np.triu_indices(3, k=1)
    expected = np.abs(spearmanr(train.select(numbers))[0] - spearmanr(fake.select(numbers))[0])[upper]
    assert found["spearman"] == pytest.approx(expected.mean(), abs=1e-9)


def test_mutual_information_is_scikit_learns():
    rng = np.random.default_rng(0)
    train = pl.DataFrame({"a": rng.choice(["x", "y", "z"], 300)}).with_columns(b=pl.col("a"), n=rng.integers(0, 4, 300))
    fake = apart(train)
    pairs = [("a", "b"), ("a", "n"), ("b", "n")]
    expected = [
        abs(normalized_mutual_info_score(train[i], train[j]) - normalized_mutual_info_score(fake[i], fake[j]))
        for i, j in pairs
    ]
    # A number of four values has a bin for each, since bins lie between quantiles.
    assert values(train, train, fake)["mutual_information"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert expected[0] > 0.9


def test_rare_levels_count_as_one_where_information_is_measured():
    train = pl.DataFrame({"id": [f"{i:02}" for i in range(30) for _ in range(40 - i)]})
    train = train.with_columns(c=pl.col("id").cast(pl.Int64) % 2 == 0)
    fake = apart(train)
    common = [table["id"].str.replace("[2-9].", "rare") for table in (train, fake)]  # the first twenty stay
    expected = [
        normalized_mutual_info_score(part, table["c"]) for part, table in zip(common, (train, fake), strict=True)
    ]
    found = values(train, train, fake)["mutual_information"]
    assert found == pytest.approx(expected[0] - expected[1], abs=1e-9)
    assert found > 0.2


def test_an_atom_has_a_bin_of_its_own():
    rng = np.random.default_rng(0)
    train = pl.DataFrame({"x": np.where(rng.random(2000) < 0.95, 0, rng.random(2000))}).with_columns(c=pl.col("x") > 0)
    assert values(train, train, apart(train))["mutual_information"] > 0.95


def test_subsets_are_the_mean_of_scipys_statistics():
    train, fake = mixed(0), apart(mixed(1))
    expected = [
        ks_2samp(
            train.filter(pl.col(category) == level)[number], fake.filter(pl.col(category) == level)[number]
        ).statistic
        for number in ("x", "y", "count")
        for category in ("kind", "sign")
        for level in train[category].unique()
    ]
    assert values(train, fake, fake)["subsets"] == pytest.approx(np.mean(expected), abs=1e-9)
    found = subset_table(*tables(train, fake, fake))
    assert found.height == 12
    assert found["ks"].mean() == pytest.approx(np.mean(expected), abs=1e-9)
    assert found["ks"].equals(found["floor"])


def test_the_subset_that_differs_stands_first():
    train, holdout, fake = (mixed(seed, 1500) for seed in range(3))
    wrong = fake.with_columns(pl.when(pl.col("sign") == "minus").then(-pl.col("y")).otherwise("y").alias("y"))
    row = subset_table(*tables(train, holdout, wrong)).row(0, named=True)
    assert (row["column"], row["category"], row["level"]) == ("y", "sign", "minus")
    assert row["ks"] > 0.5
    assert row["floor"] < 0.1
    assert row["rows_real"] == train.filter(sign="minus").height
    assert row["rows_synthetic"] == wrong.filter(sign="minus").height


def test_all_tables_are_drawn_to_the_rows_of_the_smallest():
    for rows in ((100, 300, 400), (400, 100, 300), (300, 400, 100)):
        found = subset_table(*tables(*(mixed(seed, n) for seed, n in enumerate(rows)))).filter(
            column="x", category="sign"
        )
        assert found["rows_real"].sum() == found["rows_synthetic"].sum() == 100
        assert found["floor"].null_count() == 0

    # 20 rows span at most 19 dimensions.
    wide = [pl.DataFrame(np.random.default_rng(n).normal(size=(n, 30))) for n in (20, 300, 400)]
    for three in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        found = spectra(*tables(*(wide[i] for i in three)))
        assert found.drop("component")[19:].max().row(0) == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_large_subset_stands_before_a_small_one_whose_distance_may_be_chance():
    levels = ["large"] * 400 + ["small"] * 40
    real = pl.DataFrame({"x": [0.0] * 440, "c": levels})
    fake = pl.DataFrame({"x": [0.0] * 320 + [1.0] * 80 + [0.0] * 28 + [1.0] * 12, "c": levels})
    found = subset_table(*tables(real, real, fake)).select("level", "ks", "floor")
    assert found.rows() == [("large", 0.2, 0), ("small", 0.3, 0)]


def test_levels_with_few_values_are_no_subsets():
    rows = 4 * SUBSET_ROWS
    for values_of_a in (SUBSET_ROWS - 1, SUBSET_ROWS):
        table = pl.DataFrame({"x": np.arange(rows) * 1.0, "c": ["a"] * values_of_a + ["b"] * (rows - values_of_a)})
        levels = subset_table(*tables(table, table, table))["level"].to_list()
        assert sorted(levels) == (["b"] if values_of_a < SUBSET_ROWS else ["a", "b"])
    gaps = table.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(None).otherwise("x").alias("x"))
    assert subset_table(*tables(gaps, table, table))["level"].to_list() == ["b"]
    unheld = table.with_columns(c=pl.lit("b"))
    found = subset_table(*tables(table, unheld, table))
    assert found.filter(pl.col("level") == "a")["floor"].to_list() == [None]


def test_worst_pairs_are_those_that_were_broken():
    train, holdout, fake = (mixed(seed, 1000) for seed in range(3))
    rng = np.random.default_rng(0)
    broken = fake.with_columns(fake["sign"].gather(rng.permutation(1000)))
    found = worst_pairs(*tables(train, holdout, broken))
    assert found.columns == ["left", "right", "kind", "measure", "real", "synthetic", "held_out", "difference", "floor"]
    assert found.height == 10
    assert (found["difference"] - found["floor"]).is_sorted(descending=True)
    assert all("sign" in pair for pair in found[:4].select("left", "right").rows())
    worst = {tuple(row[:2]): row for row in found.rows()}
    assert worst["kind", "sign"][2:4] == ("categorical", "Cramér's V")
    assert worst["x", "sign"][2:4] == ("mixed", "correlation ratio")
    row = found.row(by_predicate=(pl.col("left") == "x") & (pl.col("right") == "y"), named=True)
    assert (row["kind"], row["measure"]) == ("numeric", "Spearman correlation")
    for name, table in (("real", train), ("synthetic", broken), ("held_out", holdout)):
        assert row[name] == pytest.approx(spearmanr(table["x"], table["y"])[0], abs=1e-9)
    assert row["difference"] == pytest.approx(abs(row["synthetic"] - row["real"]))
    assert row["floor"] == pytest.approx(abs(row["held_out"] - row["real"]))
    assert worst_pairs(*tables(train, holdout, broken), k=3).equals(found[:3])


def test_pairs_that_rest_on_a_few_rows_are_not_listed():
    rare = np.arange(400) < SUBSET_ROWS
    train = pl.DataFrame({"a": rare * 1.0, "b": rare * 2.0, "c": np.where(rare, "x", "y")})
    fake = pl.DataFrame({"a": rare * 1.0, "b": rare[::-1] * 2.0, "c": np.where(rare, "x", "y")})
    assert worst_pairs(*tables(train, train, fake)).select("left", "right").rows()[:2] == [("a", "b"), ("b", "c")]
    fewer = train.with_columns(b=pl.Series(np.arange(400) < SUBSET_ROWS - 1) * 1.0)
    assert worst_pairs(*tables(fewer, fewer, fake)).select("left", "right").rows() == [("a", "c")]


def test_a_dependence_that_the_synthetic_rows_do_not_define_is_lost():
    train = mixed(0)
    row = (
        worst_pairs(*tables(train, train, train.with_columns(y=pl.lit(1.0))))
        .filter(right="y", left="x")
        .row(0, named=True)
    )
    assert row["synthetic"] is None
    assert row["difference"] == row["real"] > 0.8


def test_the_spectrum_of_columns_that_repeat_one_another_and_of_independent_ones():
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    same = pl.DataFrame({"a": x, "b": np.exp(x), "c": 3 * x})
    free = pl.DataFrame(rng.normal(size=(2000, 3)), schema=["a", "b", "c"])
    found = spectra(*tables(same, same, free))
    assert found["component"].to_list() == [1, 2, 3]
    assert found["real"].to_list() == pytest.approx([1, 0, 0], abs=1e-9)
    assert found["synthetic"].to_list() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert values(same, same, free)["spectrum"] == pytest.approx(2 / 3, abs=0.03)
    assert values(same, same, free, "floor")["spectrum"] == pytest.approx(0, abs=1e-9)
    constant = same.with_columns(pl.all() * 0.0)
    assert values(same, same, constant)["spectrum"] == 1
    assert spectra(*tables(same, same, constant))["synthetic"].to_list() == [None] * 3


def test_the_number_of_rows_of_any_table_does_not_matter():
    base = (2000, 200, 200)
    for rows in ((200, 200, 200), (2000, 200, 2000), (5000, 200, 3000)):
        few, many = (values(*(mixed(seed, n) for seed, n in enumerate(sizes))) for sizes in (base, rows))
        for name in MEASURES:
            assert many[name] == pytest.approx(few[name], abs=0.05), name


def test_the_spread_is_that_of_further_samples():
    train, holdout = mixed(0, 600), mixed(1, 600)
    found = [pair_measures(*tables(train, holdout, apart(mixed(seed, 600), seed))) for seed in range(2, 14)]
    for name in ("pearson", "spearman", "contingency", "correlation_ratio", "subsets"):
        parts = [figures[name]["synthetic"] for figures in found]
        assert np.mean([part.std for part in parts]) == pytest.approx(
            np.std([part.value for part in parts], ddof=1), rel=0.7
        ), name
        assert all(0 <= part.low < part.value < part.high for part in parts)


def test_what_cannot_be_measured_says_why():
    train = mixed(0)

    def reasons(*columns):
        part = train.select(columns)
        found = pair_measures(*tables(part, part, part))
        return {name: figures["synthetic"].why for name, figures in found.items() if figures["floor"].value is None}

    assert list(reasons("kind", "sign")) == ["pearson", "spearman", "correlation_ratio", "subsets", "spectrum"]
    assert list(reasons("x", "y")) == ["contingency", "correlation_ratio", "subsets"]
    assert list(reasons("x")) == MEASURES[:-1]
    assert reasons("x")["mutual_information"] == "fewer than two columns vary"
    assert all(reasons("kind").values())
    for part in (train.select("x"), train.select("kind"), train.select("x", "y"), train.select("kind", "sign")):
        assert worst_pairs(*tables(part, part, part)).height == part.width - 1
        assert subset_table(*tables(part, part, part)).height == 0
        assert spectra(*tables(part, part, part)).height == part.select(pl.selectors.numeric()).width


def test_constant_columns_are_not_judged():
    train, fake = mixed(0), apart(mixed(1))
    same, once = (
        train.with_columns(same=pl.lit(1.0), empty=pl.lit(None, dtype=pl.Float64)),
        fake.with_columns(same=pl.lit(1.0), empty=pl.lit(None, dtype=pl.Float64)),
    )
    one, other = values(train, train, fake), values(same, same, once)
    for name in ("pearson", "spearman", "correlation_ratio", "mutual_information", "spectrum"):
        assert other[name] == pytest.approx(one[name], abs=1e-9), name


@pytest.mark.parametrize("rows", [1, 3, MIN_ROWS - 1])
def test_a_few_rows_are_not_judged(rows):
    train, few = mixed(0), mixed(1, rows)
    for three in ((few, train, train), (train, few, train), (train, train, few)):
        found = pair_measures(*tables(*three))
        assert {part.why for figures in found.values() for part in figures.values()} == {
            f"pairs need at least 20 rows of each kind; there are {rows}"
        }
        assert worst_pairs(*tables(*three)).height <= 10
        assert subset_table(*tables(*three)).height == 0
        assert spectra(*tables(*three)).height == 3


def test_at_most_so_many_pairs_are_looked_at_and_the_same_of_both():
    rng = np.random.default_rng(0)
    wide = pl.DataFrame(rng.normal(size=(60, 80)))
    found = pair_measures(*tables(wide, wide, wide))["mutual_information"]
    assert found["synthetic"].value == found["floor"].value == 0
    other = pl.DataFrame(rng.normal(size=(60, 80)))
    found = pair_measures(*tables(wide, other, other))["mutual_information"]
    assert found["synthetic"].value == found["floor"].value > 0


def test_the_same_seed_gives_the_same_bits():
    three = tables(mixed(0, 300), mixed(1, 100), mixed(2, 300))
    for measure in (worst_pairs, subset_table, spectra):
        assert measure(*three, seed=3).equals(measure(*three, seed=3))
        assert not measure(*three, seed=3).equals(measure(*three, seed=4))
    first, again, other = (pair_measures(*three, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e308, 1e308) | st.none(), min_size=25, max_size=25), st.integers(0, 2**25))
def test_figures_lie_in_their_ranges_whatever_the_numbers(numbers, bits):
    labels = ["a" if bits >> i & 1 else "b" for i in range(25)]
    schema = {"x": pl.Float64, "y": pl.Float64, "c": pl.String, "d": pl.String}
    first = pl.DataFrame({"x": numbers, "y": numbers[::-1], "c": labels, "d": labels[::-1]}, schema=schema)
    second = pl.DataFrame({"x": numbers[::-1], "y": numbers[::-1], "c": labels, "d": labels}, schema=schema)
    found = pair_measures(*tables(first, second, first.with_columns(pl.col("c").reverse())))
    for name, figures in found.items():
        for part in figures.values():
            assert (part.value is None) == (part.why is not None)
            assert part.value is None or 0 <= part.value <= (2 if name in ("pearson", "spearman") else 1)
