"""Every column alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tabsyn_core.chemistry.descriptors import descriptor_bounds
from tabsyn_core.evaluation.columns import column_table, mean_violations_spread
from tabsyn_core.evaluation.densities import densities
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.hypotheses import hypothesis_tests, summary
from tabsyn_core.evaluation.page.content import Column, Density, Hypothesis, TestSummary
from tabsyn_core.evaluation.sections.parts import only
from tabsyn_core.evaluation.tables import Table


@dataclass(frozen=True)
class Columns:
    """What is said of single columns."""

    table: tuple[Column, ...]
    densities: tuple[Density, ...]
    hypotheses: tuple[Hypothesis, ...]
    tests: tuple[TestSummary, ...]


def columns_section(
    train: Table, holdout: Table, fake: Table, families: Mapping[str, str] | None, seed: int
) -> Columns:
    """Every column alone: its distances, its densities, its tests, and the family fitted to it, where one was."""
    table = column_table(train, holdout, fake, _known_supports(train), seed)
    tests = hypothesis_tests(train, holdout, fake, seed)
    return Columns(
        table=tuple(
            Column(
                **only(Column, row),
                family=(families or {}).get(row["column"]),
                note=_note(row["column"], {"training": train, "held-out": holdout, "synthetic": fake}),
            )
            for row in table.to_dicts()
        ),
        densities=densities(train, holdout, fake),
        hypotheses=tuple(Hypothesis(**only(Hypothesis, row)) for row in tests.to_dicts()),
        tests=tuple(TestSummary(**only(TestSummary, row)) for row in summary(tests).to_dicts()),
    )


_WITHOUT = {
    ("training", "held-out", "synthetic"): "There is no value of it in any table: nothing can be compared.",
    ("synthetic",): "No synthetic row has a value of it, though real rows do: the column was lost, and its error is 1.",
    ("training",): "No training row has a value of it, though synthetic rows do: they are made up, and its error is 1.",
    ("held-out",): "No held-out row has a value of it: its floor says nothing.",
    ("training", "synthetic"): "Only held-out rows have a value of it: there is nothing to compare, and no floor.",
    (
        "held-out",
        "synthetic",
    ): "Only training rows have a value of it: the column was lost, and there is no floor.",
    ("training", "held-out"): "No real row has a value of it, though synthetic rows do: they are made up.",
}


def _note(column: str, tables: Mapping[str, Table]) -> str | None:
    """That all of its values are missing somewhere, and what follows."""
    place = tables["training"].feature_names.index(column)
    without = tuple(name for name, table in tables.items() if np.isnan(table.features[:, place]).all())
    return _WITHOUT.get(without)


def _known_supports(train: Table) -> pl.DataFrame | None:
    """The bounds that RDKit's definitions force, where the table has those columns."""
    known = [(name, *bounds) for name, bounds in descriptor_bounds().items() if name in train.numeric]
    if not known:
        return None
    return pl.DataFrame(known, schema={"column": pl.String, "lower": pl.Float64, "upper": pl.Float64}, orient="row")


def mean_support_violations(columns: Sequence[Column], train: Table, fake: Table) -> tuple[Figure, Figure]:
    """The mean share of values that no real value could be, and the held-out rows' one."""
    pairs = [
        (each.support_violations, each.support_violations_floor or 0.0)
        for each in columns
        if each.support_violations is not None
    ]
    if not pairs:
        none = Figure.none("no column shows a rule that its values obey")
        return none, none
    found, floor = np.array(pairs).mean(axis=0)
    spread = mean_violations_spread(train, fake, _known_supports(train))
    return Figure(float(found)).within(spread), Figure(float(floor))
