import numpy as np
import polars as pl
import pytest
from dependent import dependent_rows, dependent_table, fitted_generator

from tabsyn_core.conditions import parse_conditions
from tabsyn_core.config import ChainConfig, DiffusionConfig, GeneratorConfig, VAEConfig
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator

WANTED = [
    {"acid": True},  # drawn by diffusion
    {"class": "large"},  # cut from a column that a head draws
    {"city": "Basel"},  # 1 % of the rows
    {"country": ["Italy", "France"]},  # looked up
    {"weight": [130, None]},  # drawn by a head, after what decides it
    {"rings": 2},
    {"rings": {0, 5}, "acid": {True, False}},
    {"graph": [9, 12]},  # a sum
    {"area": 0.0},
    {"slow": None},
    {"slow": [None, -0.5], "country": "Italy"},
    {"size": [1.2, 2], "class": "large", "acid": True},
]


def meeting(table, where):
    conditions = parse_conditions(where, fitted_generator().schema)
    return table.filter(pl.Series(np.all([c.met(table[c.column]) for c in conditions], axis=0)))


@pytest.mark.parametrize("where", WANTED, ids=str)
def test_conditions_are_met_and_what_depends_on_them_follows(where):
    rows = fitted_generator().sample(500, seed=2, where=where)
    assert rows.schema == dependent_table().schema
    assert meeting(rows, where).equals(rows)
    assert fitted_generator().identities.obeyed(rows).mean() >= 0.999
    real = meeting(dependent_rows(50_000, seed=1), where)
    for column in ("size", "weight", "rings"):
        tolerance = 0.2 * dependent_table()[column].std()
        assert rows[column].mean() == pytest.approx(real[column].mean(), abs=tolerance), column
        assert rows[column].std() == pytest.approx(real[column].std(), abs=tolerance), column
    for mark in (pl.col("acid"), pl.col("area") > 0, pl.col("slow").is_null(), pl.col("country") == "Italy"):
        found, expected = (table.select(mark).to_series().mean() for table in (rows, real))
        assert found == pytest.approx(expected, abs=0.13), mark


def test_conditions_that_no_row_meets_together_are_refused():
    with pytest.raises(TabsynError, match="one by one but not together"):
        fitted_generator().sample(10, where={"size": [-3, -2], "weight": [150, 200]})


def test_rows_of_a_seed_do_not_depend_on_their_number_under_conditions():
    generator, where = fitted_generator(), {"class": "large", "rings": [3, None]}
    rows = generator.sample(300, seed=4, where=where)
    assert generator.sample(20, seed=4, where=where).equals(rows.head(20))
    assert pl.concat([*generator.sample_chunks(300, seed=4, where=where, chunk_size=1)]).equals(rows)
    assert not generator.sample(20, seed=5, where=where).equals(rows.head(20))
    assert generator.sample(0, where=where).schema == rows.schema


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"weihgt": 100}, "did you mean 'weight'"),
        ({"class": "hugh"}, "class in"),
        ({"weight": [900, 1000]}, "no training row meets weight"),
        ({"class": "large", "size": [None, 0]}, "class in.*size in|size in.*class in|no training row meets"),
        ({"city": None}, "city in"),
    ],
)
def test_what_cannot_be_met_is_said_with_the_column(where, message):
    with pytest.raises(TabsynError, match=message):
        fitted_generator().sample(3, where=where)


def test_what_no_proposal_meets_says_how_many_there_were():
    table = pl.DataFrame({"a": np.arange(60) % 7, "b": np.arange(60) // 7})
    config = GeneratorConfig(
        vae=VAEConfig(num_updates=2, width=4, batch_size=8),
        diffusion=DiffusionConfig(width=16, num_blocks=1, batch_size=8),
        chain=ChainConfig(core=None),
        num_updates=3,
        proposals=1,
    )
    generator = Generator(config).fit(table, seed=0)
    with pytest.raises(TabsynError, match=r"only 0 of \d+ proposals meet a in \[100, None\].*widen"):
        generator.sample(3, where={"a": [100, None]}, num_steps=1)


@pytest.mark.parametrize(("column", "levels"), [("class", 3), ("acid", 2), ("city", 5), ("country", 3), ("rings", 7)])
def test_balanced_levels_have_equally_many_rows(column, levels):
    rows = fitted_generator().sample(levels * 10 + 1, balance=column, seed=3)
    assert sorted(rows[column].value_counts()["count"]) == [10] * (levels - 1) + [11]
    assert rows[column].head(levels * 5).n_unique() > 1  # in random order
    assert fitted_generator().identities.obeyed(rows).all()


def test_balance_keeps_to_the_conditions():
    rows = fitted_generator().sample(60, balance="country", where={"country": {"France", "Italy"}, "rings": [1, 3]})
    assert dict(rows["country"].value_counts().iter_rows()) == {"France": 30, "Italy": 30}
    assert rows["rings"].is_between(1, 3).all()
