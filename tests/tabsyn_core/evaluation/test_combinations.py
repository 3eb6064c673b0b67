import numpy as np
import polars as pl
import pytest

from tabsyn_core.evaluation.combinations import (
    MAX_LEVELS,
    combination_counts,
    combination_measures,
    correlation_ratios,
    cramers_v,
    joint_shares,
    joint_variations,
)
from tabsyn_core.evaluation.fidelity import trend_errors
from tabsyn_core.evaluation.tables import align


def tables(train, holdout, fake):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": fake}, 0).values())


def draw(seed: int, rows: int = 300, same: float = 0.8) -> pl.DataFrame:
    """Two categories of which the second repeats the first with this probability, and one that is on its own."""
    rng = np.random.default_rng(seed)
    first, other = rng.integers(0, 3, (2, rows))
    second = np.where(rng.random(rows) < same, first, other)
    return pl.DataFrame(
        {
            "a": [f"a{i}" for i in first],
            "b": [f"b{i}" for i in second],
            "c": [["x", "y", None][i] for i in rng.integers(0, 3, rows)],
        }
    )


def test_counts_are_those_of_polars_scaled_to_the_training_rows():
    train, holdout, fake = draw(0, 300), draw(1, 100), draw(2, 600)
    found = combination_counts(*tables(train, holdout, fake))
    assert found.columns == ["combination", "real", "held_out", "synthetic"]
    assert found["real"].sum() == 300
    assert found["held_out"].sum() == found["synthetic"].sum() == pytest.approx(300)
    assert found["real"].is_sorted(descending=True)
    for name, table, scale in (("real", train, 1), ("held_out", holdout, 3), ("synthetic", fake, 0.5)):
        counted = {
            f"a={a}, b={b}, " + ("c missing" if c is None else f"c={c}"): count * scale
            for a, b, c, count in table.group_by("a", "b", "c").len().rows()
        }
        assert {k: v for k, v in found.select("combination", name).rows() if v} == pytest.approx(counted)


def test_columns_of_many_levels_are_left_out_and_cells_are_bounded():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "many": [str(i % (MAX_LEVELS + 1)) for i in range(400)],
            "single": ["only"] * 400,
            "seven": [str(i % 7) for i in range(400)],
            "two": rng.choice(["p", "q"], 400),
            "three": rng.choice(["x", "y", "z"], 400),
        }
    )

    def combined(cells: int) -> set[str]:
        found = combination_counts(*tables(table, table, table), max_cells=cells)
        return {part.split("=")[0] for words in found["combination"] for part in words.split(", ")}

    assert combined(10_000) == {"seven", "two", "three"}
    assert combined(42) == {"seven", "two", "three"}
    assert combined(41) == {"two", "three"}
    assert combined(2) == {"two"}


def test_identical_tables_agree():
    found = combination_measures(*tables(*[draw(0)] * 3))
    assert {part.value for figures in found.values() for part in figures.values()} == {0}
    counts = combination_counts(*tables(*[draw(0)] * 3))
    assert counts["real"].to_list() == counts["synthetic"].to_list() == counts["held_out"].to_list()


def test_rows_in_combinations_that_no_training_row_has():
    train = pl.DataFrame({"a": ["x", "y"] * 50, "b": ["x", "y"] * 50})
    fake = pl.DataFrame({"a": ["x", "y", "x", "y"] * 25, "b": ["x", "y", "y", "y"] * 25})
    found = combination_measures(*tables(train, train, fake))
    unseen, floor = found["unseen"]["synthetic"], found["unseen"]["floor"]
    assert (unseen.value, floor.value) == (0.25, 0)
    assert unseen.std == pytest.approx(np.sqrt(0.25 * 0.75 / 100), rel=0.02)
    assert unseen.low < 0.25 < unseen.high < 0.35
    assert found["variation"]["synthetic"].value == 0.25
    assert found["variation"]["floor"].value == 0


def test_a_dependence_that_is_lost_shows_beyond_the_floor():
    found = combination_measures(*tables(draw(0, 2000), draw(1, 1000), draw(2, 1000, same=0)))
    assert found["variation"]["floor"].value < 0.07
    # Of nine pairs the three equal ones hold 0.8 + 0.2 / 3 of the rows, and a third where nothing repeats.
    assert found["variation"]["synthetic"].value == pytest.approx(0.8 + 0.2 / 3 - 1 / 3, abs=0.06)


def test_the_number_of_rows_of_the_larger_table_does_not_matter():
    few, many = (
        combination_measures(*tables(draw(0, 2000), draw(1, 100), draw(2, rows)))["variation"]["synthetic"]
        for rows in (100, 5000)
    )
    assert many.value == pytest.approx(few.value, abs=0.06)
    assert many.value > 0.07
    assert few.std is None
    assert many.std > 0


@pytest.mark.parametrize(
    "columns", [{"x": [1.0, 2.0, 3.0]}, {"c": ["only"] * 3}, {"c": pl.Series([None] * 3, dtype=pl.String)}]
)
def test_a_table_without_categories_to_combine(columns):
    table = pl.DataFrame(columns)
    assert combination_counts(*tables(table, table, table)).height == 0
    for figures in combination_measures(*tables(table, table, table)).values():
        for part in figures.values():
            assert part.value is None
            assert "no categorical column with 2 to 20 levels" in part.why


def test_a_hundred_columns_do_not_overflow():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"c{j}": rng.choice([f"{i}" for i in range(15)], 100) for j in range(100)})
    found = combination_counts(*tables(table, table, table))
    assert found["combination"][0].count("=") == 3  # 15 ** 3 is below 10,000


def test_joint_variations_are_the_categorical_part_of_the_trend():
    real, other, _ = tables(draw(0, 300), draw(1, 200, same=0.3), draw(2, 10))
    found = joint_variations(joint_shares(real), joint_shares(other), real)
    np.testing.assert_allclose(found, trend_errors(real, other), atol=1e-12)


def test_cramers_v_is_scipys():
    from scipy.stats.contingency import association

    frame = draw(0).with_columns(pl.col("c").fill_null("missing"), d=pl.lit("same"))
    found = cramers_v(tables(frame, frame, frame)[0])
    for i, first in enumerate("abc"):
        for j, second in enumerate("abc"):
            counts = frame.group_by(first).agg(
                (pl.col(second) == level).sum().alias(level) for level in frame[second].unique()
            )
            assert found[i, j] == pytest.approx(association(counts.drop(first).to_numpy()), abs=1e-9)
    assert np.isnan(found[3]).all()
    missing = cramers_v(tables(draw(0), draw(0), draw(0))[0])
    np.testing.assert_allclose(missing, found[:3, :3])  # a missing value is a level


def test_correlation_ratios_are_roots_of_the_variance_between_levels():
    rng = np.random.default_rng(0)
    frame = draw(0)
    frame = frame.with_columns(
        pl.Series("x", rng.normal(size=300)) + frame["a"].str.tail(1).cast(pl.Float64),
        pl.Series("y", np.where(np.arange(300) % 5 == 0, np.nan, rng.normal(1e6, 1e-3, 300))).fill_nan(None),
        same=pl.lit(0.1),
    )
    found = correlation_ratios(tables(frame, frame, frame)[0])
    for i, category in enumerate("abc"):
        for j, number in enumerate("xy"):
            part = (
                frame.select(category, number).drop_nulls(number).with_columns(pl.col(number) - pl.col(number).mean())
            )
            between = part.group_by(category).agg(pl.col(number).sum() ** 2 / pl.len())[number].sum()
            assert found[i, j] == pytest.approx(np.sqrt(between / (part[number] ** 2).sum()), rel=1e-5)
    assert np.isnan(found[:, 2]).all()
    assert found[0, 0] > 0.5 > found[2, 0]
