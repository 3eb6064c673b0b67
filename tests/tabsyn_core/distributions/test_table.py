import json

import numpy as np
import polars as pl
import pytest

from tabsyn_core.distributions import fit_table, load_distributions, save_distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.schema import TableSchema


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "normal": rng.normal(size=300),
            "gaps": [None if i % 7 == 0 else float(v) for i, v in enumerate(rng.gamma(2, 1, 300))],
            "count": rng.poisson(2, 300),
            "large count": rng.poisson(90, 300),
            "class": rng.choice(["low", "high"], 300),
            "constant": np.zeros(300),
        }
    )


def as_json(distributions):
    return {name: json.dumps(distribution.to_json()) for name, distribution in distributions.items()}


def test_a_column_is_fitted_alike_in_whatever_order_and_company(table):
    fitted = as_json(fit_table(table, TableSchema.infer(table), seed=1))
    backwards = table.select(table.columns[::-1])
    assert as_json(fit_table(backwards, TableSchema.infer(backwards), seed=1)) == fitted
    alone = table.select("normal")
    assert as_json(fit_table(alone, TableSchema.infer(alone), seed=1)) == {"normal": fitted["normal"]}
    assert as_json(fit_table(table, TableSchema.infer(table), seed=2)) != fitted


def test_columns_beyond_the_schema_are_left_alone(table):
    schema = TableSchema.infer(table.drop("class"))
    assert list(fit_table(table, schema, seed=0)) == schema.names


def test_a_missing_column_is_an_error_that_names_it(table):
    with pytest.raises(TabsynError, match="large count"):
        fit_table(table.drop("large count"), TableSchema.infer(table), seed=0)


def test_progress_counts_columns(table):
    reports = []
    fit_table(table, TableSchema.infer(table), seed=0, progress=reports.append)
    assert [report.done for report in reports] == [1, 2, 3, 4, 5, 6]
    assert {(report.total, report.unit) for report in reports} == {(6, "columns")}


def test_the_file_gives_back_schema_and_distributions(table, tmp_path):
    schema = TableSchema.infer(table)
    fitted = fit_table(table, schema, seed=0)
    save_distributions(tmp_path / "distributions.json", schema, fitted)
    read_schema, read = load_distributions(tmp_path / "distributions.json")
    assert read_schema == schema
    assert list(read) == table.columns
    assert as_json(read) == as_json(fitted)
    save_distributions(tmp_path / "again.json", read_schema, read)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "distributions.json").read_bytes()


@pytest.mark.parametrize("content", ["[]", '{"schema": []}', '{"schema": [{"name": "x"}], "distributions": {}}', "{"])
def test_a_file_of_something_else_is_an_error_that_names_it(content, tmp_path):
    path = tmp_path / "distributions.json"
    path.write_text(content)
    with pytest.raises(TabsynError, match=r"distributions\.json"):
        load_distributions(path)


@pytest.mark.parametrize("rows", [1, 2, 10])
def test_tiny_tables_fit_and_sample(table, rows):
    small = table.head(rows)
    for name, distribution in fit_table(small, TableSchema.infer(small), seed=0).items():
        drawn = distribution.sample(20, np.random.default_rng(0))
        assert len(drawn) == 20
        assert drawn.name == name
