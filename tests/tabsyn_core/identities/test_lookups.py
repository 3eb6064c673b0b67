"""Constants, levels that are looked up, and levels that are cut from a number."""

import json

import numpy as np
import polars as pl
import pytest

from tabsyn_core.identities import Identities
from tabsyn_core.schema import TableSchema


def discover(table):
    return Identities.discover(table, TableSchema.infer(table))


def assert_restored(table, identities):
    assert identities.complete(table.drop(identities.dependent)).equals(table)
    assert identities.obeyed(table).all()
    again = Identities.from_json(json.loads(json.dumps(identities.to_json())))
    assert again == identities
    assert again.complete(table.drop(identities.dependent)).equals(table)


@pytest.fixture
def schooling():
    rng = np.random.default_rng(0)
    level = rng.choice(8, 2000, p=[0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.2, 0.4])
    names = np.array(["none", "1st-4th", "5th-6th", "HS", "College", "Bachelors", "Masters", "Doctorate"])
    return pl.DataFrame({"number": level + 1, "school": names[level], "age": rng.integers(17, 90, 2000)})


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_a_number_that_a_category_determines_is_looked_up(schooling, dtype):
    table = schooling.with_columns(pl.col("school").cast(dtype))
    identities = discover(table)
    assert identities.describe() == {"number": "number is looked up by school (8 levels)"}
    assert_restored(table, identities)


def test_one_row_that_disagrees_is_enough_to_refuse(schooling):
    schooling[1234, "number"] = schooling["number"][1234] % 8 + 1
    assert discover(schooling).dependent == ()


def test_a_chain_of_categories_is_looked_up_by_the_finest():
    rng = np.random.default_rng(0)
    city = rng.integers(0, 40, 4000)
    table = pl.DataFrame(
        {
            "country": np.char.add("country", (city // 10).astype(str)),
            "city": np.char.add("city", city.astype(str)),
            "region": np.char.add("region", (city // 5).astype(str)),
        }
    )
    table = table.with_columns(
        pl.when(pl.col("city") == "city7").then(None).otherwise("region").alias("region"),
        abroad=pl.col("country") == "country3",
    )
    identities = discover(table)
    assert identities.dependent == ("country", "region", "abroad")
    assert {rewrite.key for rewrite in identities.rewrites} == {"city"}
    assert_restored(table, identities)


def test_a_missing_key_is_a_level():
    rng = np.random.default_rng(0)
    key = rng.choice(["a", "b", "c"], 900)
    table = pl.DataFrame({"key": key, "value": [{"a": "x", "b": "y", "c": "z"}[k] for k in key]})
    table = table.with_columns(key=pl.when(pl.col("key") == "b").then(None).otherwise("key"))
    identities = discover(table)
    assert identities.dependent == ("value",)
    assert_restored(table, identities)


@pytest.mark.parametrize("levels", [600, 3000])
def test_names_that_are_seen_once_or_twice_determine_nothing(levels):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"name": rng.integers(0, levels, 1200).astype(str), "coin": rng.choice(["h", "t"], 1200)})
    first = table.unique("name", keep="first").select("name", "coin")
    assert discover(table.drop("coin").join(first, on="name", maintain_order="left")).dependent == ()


def test_independent_categories_determine_nothing():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"c{j}": rng.integers(0, 3 + j, 500).astype(str) for j in range(6)})
    assert discover(table.with_columns(rare=pl.Series(np.arange(500) == 7))).dependent == ()


def test_a_class_that_is_cut_from_a_number_gets_round_cuts():
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(-2.5, 2, 1000), 2)
    table = pl.DataFrame({"logS": x, "class": np.where(x <= -3, "low", np.where(x < 0, "medium", "high"))})
    table = table.with_columns(
        logS=pl.when(pl.Series(rng.random(1000) < 0.1)).then(None).otherwise("logS"),
    ).with_columns(pl.when(pl.col("logS").is_null()).then(pl.lit("unknown")).otherwise("class").alias("class"))
    identities = discover(table)
    assert identities.dependent == ("class",)
    assert "'low' up to -3" in identities.describe()["class"]
    assert_restored(table, identities)
    between = identities.complete(pl.DataFrame({"logS": [-3.0, -2.999, -0.0001, 0.0, 99.0, None]}))
    assert between["class"].to_list() == ["low", "medium", "medium", "high", "high", "unknown"]


def test_a_class_that_a_number_merely_foretells_is_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    table = pl.DataFrame({"x": x, "class": np.where(x + 0.1 * rng.normal(size=1000) > 0, "high", "low")})
    assert discover(table).dependent == ()


@pytest.mark.parametrize("level", [7, 2.5, "only", True, None], ids=["integer", "float", "text", "boolean", "missing"])
def test_a_constant_is_left_out_and_comes_back(level):
    table = pl.DataFrame({"x": np.random.default_rng(0).normal(size=100)})
    dtype = pl.Float64 if level is None else None
    table = table.with_columns(pl.Series("same", [level] * 100, dtype=dtype))
    identities = discover(table)
    assert identities.dependent == ("same",)
    assert_restored(table, identities)
    other = table.with_columns(pl.lit(None).cast(table["same"].dtype).alias("same"))
    assert identities.obeyed(other).all() == (level is None)


def test_a_constant_is_not_left_out_if_nothing_else_is_there_or_few_rows_show_it():
    table = pl.DataFrame({"a": [1] * 100, "b": ["x"] * 100})
    assert discover(table).dependent == ()
    assert discover(table[:20].with_columns(x=pl.int_range(20))).dependent == ()
