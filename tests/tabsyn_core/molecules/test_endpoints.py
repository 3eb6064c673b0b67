import polars as pl

from tabsyn_core.molecules.endpoints import draw_endpoints

ENDPOINTS = ("logS", "solubility_class", "again")


def drawn(training, seed=0):
    rows = training.table.drop(ENDPOINTS).head(60)
    return rows, draw_endpoints(training.generator, rows, ENDPOINTS, training.table.head(60), seed)


def test_descriptors_stay_and_endpoints_come(training):
    rows, found = drawn(training)
    assert found.select(rows.columns).equals(rows)
    assert found["logS"].null_count() == 0
    assert set(found["solubility_class"]) <= set(training.table["solubility_class"])


def test_an_endpoint_is_missing_where_it_is_in_the_row_alike(training):
    _, found = drawn(training)
    assert found["again"].is_null().equals(training.table["again"].head(60).is_null())


def test_a_seed_draws_again_what_it_drew(training):
    assert drawn(training)[1].equals(drawn(training)[1])
    assert not drawn(training, 1)[1]["logS"].equals(drawn(training)[1]["logS"])


def test_endpoints_follow_the_descriptors(training):
    """Large greasy molecules dissolve worse than small polar ones."""
    rows, _ = drawn(training)
    one = rows.with_columns(MolWt=400.0, MolLogP=6.0, TPSA=0.0, HeavyAtomCount=pl.lit(30, dtype=pl.Int64))
    other = rows.with_columns(MolWt=60.0, MolLogP=-1.0, TPSA=40.0, HeavyAtomCount=pl.lit(4, dtype=pl.Int64))
    like = training.table.head(60)
    greasy, polar = (draw_endpoints(training.generator, each, ENDPOINTS, like, 0)["logS"] for each in (one, other))
    assert greasy.mean() < polar.mean() - 1.5
