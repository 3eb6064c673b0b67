"""The molecules of the synthetic rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tabsyn_core.evaluation.densities import densities
from tabsyn_core.evaluation.molecules import MoleculeMeasures
from tabsyn_core.evaluation.page.content import Beside, Density, Molecule, Molecules
from tabsyn_core.evaluation.sections.parts import reading
from tabsyn_core.evaluation.strangers import drawing
from tabsyn_core.evaluation.structures import PROPERTIES
from tabsyn_core.evaluation.tables import Floats, Table

_DRAWN = 12
_TARGETS = 3
_SHOWN = ("MolWt", "MolLogP", "TPSA")
_SHARES = ("validity", "uniqueness", "novelty", "scaffold_leakage", "substructure_leakage")
_WORDS = {
    "validity": "Validity: rows with a molecule",
    "uniqueness": "Uniqueness: distinct molecules",
    "novelty": "Novelty: no training molecule",
    "snn": "SNN: similarity to the nearest training molecule, mean",
    "internal_diversity": "Internal diversity: how unlike each other",
    "scaffold_similarity": "Scaffolds: cosine of counts",
    "fragment_similarity": "BRICS fragments: cosine of counts",
    "frechet_chemnet": "Fréchet ChemNet distance; smaller with more molecules",
    "scaffold_leakage": "Molecules with the scaffold of exactly one training molecule",
    "substructure_leakage": "Molecules with a piece of exactly one training molecule",
}


def molecules_section(found: MoleculeMeasures, train: Table, fake: Table, targets: Sequence[str]) -> Molecules:
    """The measures, and some molecules drawn beside their nearest training molecules, with their rows' values.

    Args:
        found: The measures.
        train: The training rows, in the order of the SMILES that were measured.
        fake: The synthetic rows, likewise.
        targets: Columns whose values are shown, the first three.
    """
    figures, floor = found.figures, found.floor
    columns = ("training", "held-out", "synthetic")
    near = [_column("Tanimoto similarity", found.similarities[name]) for name in columns]
    return Molecules(
        figures=tuple(
            reading(words, figures[name], floor[name], unit="share" if name in _SHARES else "number")
            for name, words in _WORDS.items()
        ),
        distances=tuple(
            reading(name, figures[key], floor[key])
            for name in PROPERTIES
            if figures[key := f"wasserstein_{name.replace(' ', '_')}"].value is not None
        ),
        similarity=next(iter(_densities(near)), None),
        properties=_densities([found.properties[name] for name in columns]),
        drawn=_drawn(found, train, fake, targets[:_TARGETS]),
    )


def _densities(tables: list[Table]) -> tuple[Density, ...]:
    return densities(tables[0], tables[1], tables[2]) if all(map(len, tables)) else ()


def _column(name: str, values: Floats) -> Table:
    return Table((name,), (), (), values[:, None], np.empty((len(values), 0), dtype=np.int64), (name,))


def _drawn(found: MoleculeMeasures, train: Table, fake: Table, targets: Sequence[str]) -> tuple[Molecule, ...]:
    """Molecules at equal steps from the most to the least similar one."""
    places = np.unique(np.linspace(0, found.nearest.height - 1, _DRAWN).round().astype(int))
    return tuple(
        Molecule(
            row=row["row"],
            smiles=row["smiles"],
            svg=drawing(row["smiles"]),
            neighbour=row["neighbour"],
            neighbour_smiles=row["neighbour_smiles"],
            neighbour_svg=drawing(row["neighbour_smiles"]),
            similarity=row["similarity"],
            values=tuple(
                Beside(name=name, synthetic=_value(fake, row["row"], name), real=_value(train, row["neighbour"], name))
                for name in (*targets, *(name for name in _SHOWN if name in train.numeric))
            ),
        )
        for row in (found.nearest.row(int(place), named=True) for place in places if found.nearest.height)
    )


def _value(table: Table, row: int, name: str) -> Any:
    """A number, a category, or nothing."""
    if name in table.numeric:
        number = table.numbers[row, table.numeric.index(name)]
        return None if np.isnan(number) else float(number)
    place = table.categorical.index(name)
    code = table.codes[row, place]
    return None if code < 0 else table.levels[place][code]
