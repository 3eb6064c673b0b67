"""Whether molecules could have the rows."""

import polars as pl

from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.page.content import BrokenRule, Chemistry, Reading
from tabsyn_core.evaluation.sections.parts import only
from tabsyn_core.evaluation.strangers import strangest_rows


def chemistry_section(evaluation: Evaluation, smiles: pl.Series | None) -> Chemistry | None:
    """Rules of chemistry, and the strangest rows; nothing when no rule speaks of these columns."""
    broken, floor = evaluation.figures.violated_share, evaluation.floor.violated_share
    if broken.value is None:
        return None
    lawful = Reading(
        name="Rows that satisfy every rule",
        synthetic=1 - broken.value,
        floor=None if floor.value is None else 1 - floor.value,
        unit="share",
    )
    tables = evaluation.tables
    return Chemistry(
        lawful=lawful,
        rules=tuple(BrokenRule(**only(BrokenRule, row)) for row in evaluation.rules.to_dicts()),
        strangers=strangest_rows(tables["training"], tables["held-out"], tables["synthetic"], smiles),
    )
