import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.errors import TabsynError
from tasks.split import split


def divided(folder, table, fraction=0.2, seed=0, stratify_by=None):
    table.write_parquet(folder / "d.parquet")
    split(
        folder / "d.parquet",
        train=folder / "train.parquet",
        holdout=folder / "holdout.parquet",
        fraction=fraction,
        seed=seed,
        stratify_by=stratify_by,
    )
    return pl.read_parquet(folder / "train.parquet"), pl.read_parquet(folder / "holdout.parquet")


def rows(number, classes=("a", "b", None)):
    labels = [classes[n % len(classes)] for n in range(number)]
    return pl.DataFrame({"n": range(number), "c": labels}, schema={"n": pl.Int64, "c": pl.String})


@settings(max_examples=40, deadline=None)
@given(number=st.integers(2, 120), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1), by=st.booleans())
def test_every_row_is_on_one_side_in_order(tmp_path_factory, number, fraction, seed, by):
    table = rows(number)
    train, holdout = divided(tmp_path_factory.mktemp("split"), table, fraction, seed, "c" if by else None)
    assert pl.concat([train, holdout]).sort("n").equals(table)
    assert train["n"].is_sorted()
    assert holdout["n"].is_sorted()
    assert len(train) >= 1
    assert len(holdout) == min(max(round(fraction * number), 1), number - 1)


def test_classes_keep_their_proportions_rare_ones_and_gaps_too(tmp_path):
    labels = ["a"] * 500 + ["b"] * 100 + ["rare"] * 10 + [None] * 40
    table = pl.DataFrame({"n": range(650), "c": labels})
    for seed in range(5):
        _, holdout = divided(tmp_path, table, 0.2, seed, "c")
        counts = dict(holdout["c"].value_counts().iter_rows())
        for label, expected in (("a", 100), ("b", 20), ("rare", 2), (None, 8)):
            assert abs(counts[label] - expected) <= 1


def test_the_seed_decides(tmp_path):
    table = rows(60)
    assert divided(tmp_path, table, seed=1)[1].equals(divided(tmp_path, table, seed=1)[1])
    assert not divided(tmp_path, table, seed=1)[1].equals(divided(tmp_path, table, seed=2)[1])


def test_every_row_has_the_same_chance(tmp_path):
    table = rows(10, ("a", "a", "a", "b"))
    held = [n for seed in range(300) for n in divided(tmp_path, table, 0.3, seed, "c")[1]["n"]]
    counts = [held.count(n) for n in range(10)]  # 90 expected, standard deviation 8
    assert min(counts) > 55
    assert max(counts) < 125


def test_ten_rows_hold_out_two_and_one_row_is_an_error(tmp_path):
    train, holdout = divided(tmp_path, rows(10), stratify_by="c")
    assert (len(train), len(holdout)) == (8, 2)
    with pytest.raises(TabsynError, match="has 1 row; at least 2 are needed"):
        divided(tmp_path, rows(1))
