"""RDKit descriptors that are exact functions of others, by RDKit's own definitions.

Each is used only on a table where it holds on every row, for some definitions have exceptions: bonds are
``HeavyAtomCount + RingCount - 1`` in a molecule of one fragment without cages only, where RDKit's symmetrised rings
are as many as the graph's independent cycles.
"""

from typing import Literal, NamedTuple


class Definition(NamedTuple):
    """One column as a product, maximum or minimum of powers of linear forms.

    Attributes:
        column: The descriptor that follows from the others.
        combine: How the forms are put together.
        forms: Each form as coefficients, constant and power: (constant + Σ coefficient · column) ** power.
        absolute: Whether the forms' absolute values are meant.
        source: Where in RDKit it is defined.
    """

    column: str
    combine: Literal["product", "max", "min"]
    forms: tuple[tuple[dict[str, float], float, int], ...]
    absolute: bool
    source: str


def _sum(whole: str, *parts: str, source: str) -> Definition:
    return Definition(whole, "product", ((dict.fromkeys(parts, 1.0), 0.0, 1),), absolute=False, source=source)


def _extreme(column: str, combine: Literal["max", "min"], *of: str, source: str) -> Definition:
    return Definition(column, combine, tuple(({name: 1.0}, 0.0, 1) for name in of), absolute=True, source=source)


_LOOPS = "GraphMol/Descriptors/Lipinski.cpp: each ring is counted in exactly one of the two"
_CHARGES = "Chem/Descriptors.py, _ChargeDescriptors"
_ESTATES = "Chem/EState/EState.py: extremes of one array"

DEFINITIONS: tuple[Definition, ...] = (
    _sum("RingCount", "NumAromaticRings", "NumAliphaticRings", source=_LOOPS),
    _sum("NumAromaticRings", "NumAromaticCarbocycles", "NumAromaticHeterocycles", source=_LOOPS),
    _sum("NumAliphaticRings", "NumAliphaticCarbocycles", "NumAliphaticHeterocycles", source=_LOOPS),
    _sum("NumSaturatedRings", "NumSaturatedCarbocycles", "NumSaturatedHeterocycles", source=_LOOPS),
    _sum("NumHeterocycles", "NumAromaticHeterocycles", "NumAliphaticHeterocycles", source=_LOOPS),
    _sum("fr_COO", "fr_Al_COO", "fr_Ar_COO", source="FragmentDescriptors.csv: the carbon beside the acid is C or c"),
    _sum("fr_Nhpyrrole", "fr_Ar_NH", source="FragmentDescriptors.csv: both are [nH]"),
    _extreme("MaxAbsPartialCharge", "max", "MaxPartialCharge", "MinPartialCharge", source=_CHARGES),
    _extreme("MinAbsPartialCharge", "min", "MaxPartialCharge", "MinPartialCharge", source=_CHARGES),
    _extreme("MaxAbsEStateIndex", "max", "MaxEStateIndex", "MinEStateIndex", source=_ESTATES),
    Definition(
        "Kappa1",  # A (A - 1)² / P², with A + α for A and P + α for P; P = A + rings - 1 bonds
        "product",
        (
            ({"HeavyAtomCount": 1.0, "HallKierAlpha": 1.0}, 0.0, 1),
            ({"HeavyAtomCount": 1.0, "HallKierAlpha": 1.0}, -1.0, 2),
            ({"HeavyAtomCount": 1.0, "RingCount": 1.0, "HallKierAlpha": 1.0}, -1.0, -2),
        ),
        absolute=False,
        source="ConnectivityDescriptors.cpp, kappa1Helper",
    ),
    Definition(
        "Phi",
        "product",
        (({"Kappa1": 1.0}, 0.0, 1), ({"Kappa2": 1.0}, 0.0, 1), ({"HeavyAtomCount": 1.0}, 0.0, -1)),
        absolute=False,
        source="ConnectivityDescriptors.cpp, calcPhi",
    ),
)
"""Every definition, each of which recomputes an aggregate: a total, an extreme, an index."""
