import polars as pl

from tabsyn_core.molecules.reference import Reference

TABLE = pl.DataFrame({"MolWt": [1.0, 2.0, 3.0, 4.0], "TPSA": [0.0, None, 5.0, 9.0], "RingCount": [1, 1, 1, 1]})


def test_rows_keep_what_all_training_rows_share():
    rows = pl.DataFrame(
        {"MolWt": [9.0, 9.0, None], "TPSA": [None, 1.0, 1.0], "RingCount": [1, 2, 1]},
        schema_overrides={"MolWt": pl.Float64},
    )
    assert Reference(TABLE).possible(rows)["TPSA"].to_list() == [None]


def test_what_is_never_below_zero_stays_there():
    table = TABLE.with_columns(MinEStateIndex=pl.Series([-1.0, 0.0, 1.0, 2.0]))
    rows = table.head(3).with_columns(MolWt=pl.Series([-0.1, 0.0, 9.0]), MinEStateIndex=-5.0)
    assert Reference(table).possible(rows)["MolWt"].to_list() == [0.0, 9.0]


def test_endpoints_do_not_count():
    reference = Reference(TABLE.with_columns(logS=1.0))
    assert reference.columns == ("MolWt", "TPSA", "RingCount")


def test_the_nearest_training_row_must_be_no_parent():
    rows = pl.DataFrame(
        {
            "MolWt": [1.1, 1.1, 3.9, 3.9],
            "TPSA": [0.0, 0.0, 9.0, 9.0],
            "RingCount": [1, 1, 1, 1],
            "parents": [[0], [2, 3], [3, 1], [0, 1, 2]],
        }
    )
    kept = Reference(TABLE).apart(rows)
    assert kept["parents"].to_list() == [[2, 3], [0, 1, 2]]


def test_no_rows_stay_none():
    none = TABLE.clear().with_columns(parents=pl.lit(None, dtype=pl.List(pl.Int64)))
    assert Reference(TABLE).apart(none).is_empty()
    assert Reference(TABLE).possible(none).is_empty()
