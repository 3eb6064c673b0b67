"""What the report holds: plain data, the layout of ``report.json`` (see ``report.schema.json``) and of the page.

Everything is optional that a table may not have or a machine may not have computed; the page then says why, in the
words that :attr:`Report.absent` holds. A number that does not exist is ``None``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from tabsyn_core.evaluation.page.columns import (
    Column,
    Density,
    Hypothesis,
    TestSummary,
)
from tabsyn_core.evaluation.page.molecules import Beside, Molecule, Molecules
from tabsyn_core.evaluation.page.reading import Number, Numbers, Reading, Source
from tabsyn_core.evaluation.page.structure import (
    ClusterShare,
    Combination,
    Correlations,
    Detector,
    EnergyTest,
    Joint,
    Pair,
    Pairs,
    Projection,
    Spectrum,
    Subset,
    Telltale,
    Whole,
)
from tabsyn_core.evaluation.page.uses import (
    Attack,
    BrokenRule,
    Chemistry,
    Importance,
    PairedTest,
    Privacy,
    Score,
    Stranger,
    Utility,
)

Dimension = Literal["fidelity", "structure", "utility", "privacy", "chemistry"]
Light = Literal["green", "amber", "red", "grey"]

DIMENSIONS: tuple[Dimension, ...] = ("fidelity", "structure", "utility", "privacy", "chemistry")

__all__ = [
    "DIMENSIONS",
    "Attack",
    "Beside",
    "BrokenRule",
    "Chemistry",
    "ClusterShare",
    "Column",
    "Combination",
    "Correlations",
    "Density",
    "Detector",
    "Dimension",
    "EnergyTest",
    "Fix",
    "Hypothesis",
    "Importance",
    "Joint",
    "Light",
    "Line",
    "Molecule",
    "Molecules",
    "Number",
    "Numbers",
    "Pair",
    "PairedTest",
    "Pairs",
    "Privacy",
    "Projection",
    "Reading",
    "Report",
    "Rows",
    "Score",
    "Source",
    "Spectrum",
    "Stranger",
    "Subset",
    "Telltale",
    "TestSummary",
    "Utility",
    "Whole",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The verdict on one dimension.

    Attributes:
        dimension: Which one.
        light: ``grey`` where it was not judged.
        sentence: What it means, in plain words.
        figures: What it rests on.
    """

    dimension: Dimension
    light: Light
    sentence: str
    figures: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One of the things most worth mending.

    Attributes:
        text: What to mend, in one sentence.
        section: The section of the page that shows it.
        column: The column to open there, if it is one column.
    """

    text: str
    section: Dimension
    column: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """How many rows each table has.

    Attributes:
        training: Real rows the generator saw.
        held_out: Real rows it did not see.
        synthetic: Its rows.
    """

    training: int
    held_out: int
    synthetic: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All there is to say about one synthetic table.

    Attributes:
        title: The page's headline.
        rows: The tables' sizes.
        seed: Of everything random.
        targets: The columns whose prediction is judged.
        versions: Of the libraries that computed it, by name.
        verdict: One line a dimension.
        warnings: What makes the whole report worth less than it looks, a few sentences each.
        fixes: What is most worth mending, at most three.
        columns: Worst first.
        densities: Of the columns, in any order.
        hypotheses: Every test of every column.
        tests: Each test over all columns.
        pairs: Columns together, a few at a time.
        whole: All columns at once.
        utility: What models learn.
        privacy: What the rows give away.
        chemistry: Whether molecules could be like this.
        molecules: What the rows' own molecules are like, where they have SMILES.
        absent: Why a part is missing, in one sentence that stands alone, by its path: ``utility``,
            ``pairs.combinations``, ``whole.energy``.
    """

    title: str
    rows: Rows
    seed: int
    targets: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    verdict: tuple[Line, ...] = ()
    warnings: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    columns: tuple[Column, ...] = ()
    densities: tuple[Density, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    tests: tuple[TestSummary, ...] = ()
    pairs: Pairs | None = None
    whole: Whole | None = None
    utility: Utility | None = None
    privacy: Privacy | None = None
    chemistry: Chemistry | None = None
    molecules: Molecules | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The layout of ``report.json``: single numbers to six significant digits, numbers in sequences to four.

        What is not finite becomes ``None``, so that every JSON reader can read it.
        """
        content: dict[str, Any] = _plain(self, 6)
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Report":
        """The report that :meth:`to_json` wrote.

        Raises:
            pydantic.ValidationError: The content does not have the layout.
        """
        return TypeAdapter(cls).validate_python(content)


def _plain(value: Any, digits: int) -> Any:
    """As JSON knows it."""
    if is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each, 6) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each, 4) for each in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        value = float(f"{float(value):.{digits}g}")
        return value if isfinite(value) else None
    return value
