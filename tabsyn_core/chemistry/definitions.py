"""How RDKit's own definitions tie descriptors together: exact functions, totals, whole numbers and orders.

Each is used only on a table where it holds on every row, for some definitions have exceptions: bonds are
``HeavyAtomCount + RingCount - 1`` in a molecule of one fragment without cages only, where RDKit's symmetrised rings
are as many as the graph's independent cycles.

The ``Ipc`` column is ln(1 + Ipc) throughout, as the product stores it.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Transform = Literal["", "abs", "positive", "log1p"]
"""A column itself, its absolute value, 1 where it is above 0 and 0 elsewhere, or ln(1 + column)."""


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


class Whole(NamedTuple):
    """A number that is whole for every molecule: column ** power times the factors, plus the offset.

    Attributes:
        column: The descriptor.
        factors: As the forms of a :class:`Definition`.
        source: Where in RDKit it is defined.
        offset: The coefficient of each column that is added.
        power: What the descriptor is raised to.
    """

    column: str
    factors: tuple[tuple[dict[str, float], float, float], ...]
    source: str
    offset: dict[str, float] = {}  # noqa: RUF012  # never changed
    power: float = 1


class Ordering(NamedTuple):
    """small + constant <= large.

    Attributes:
        small: Coefficients of columns; ``|column|`` is the absolute value, ``column > 0`` is 1 where it is so and 0
            elsewhere, and ``ln(1 + column)`` its logarithm.
        large: The same for the other side.
        source: Where in RDKit it is forced.
        constant: What is added to the smaller side.
        note: What is to be said after the equation.
    """

    small: dict[str, float]
    large: dict[str, float]
    source: str
    constant: float = 0.0
    note: str = ""

    @property
    def equation(self) -> str:
        """The order in words and symbols."""
        (first, least), (whole, _) = next(iter(self.small.items())), next(iter(self.large.items()))
        if first.endswith(" > 0"):
            return f"{first} needs {whole} >= {least:g}"
        return f"{_side(self.small)} <= {_side(self.large)}{self.note}"


def _sum(whole: str, *parts: str, source: str) -> Definition:
    return Definition(whole, "product", ((dict.fromkeys(parts, 1.0), 0.0, 1),), absolute=False, source=source)


def _extreme(column: str, combine: Literal["max", "min"], *of: str, source: str) -> Definition:
    return Definition(column, combine, tuple(({name: 1.0}, 0.0, 1) for name in of), absolute=True, source=source)


def parsed(text: str) -> tuple[Transform, str]:
    """The transform and the column of one part of an :class:`Ordering`."""
    ways: tuple[tuple[Transform, str, str], ...] = (
        ("abs", "|", "|"),
        ("positive", "", " > 0"),
        ("log1p", "ln(1 + ", ")"),
    )
    for transform, before, after in ways:
        if text.startswith(before) and text.endswith(after):
            return transform, text.removeprefix(before).removesuffix(after)
    return "", text


def _side(parts: dict[str, float]) -> str:
    return " + ".join(text if slope == 1 else f"{slope:g} * {text}" for text, slope in parts.items())


def _at_most(small: str, large: str, source: str, note: str = "") -> Ordering:
    return Ordering({small: 1.0}, {large: 1.0}, source, note=note)


def _total_at_most(parts: Iterable[str], whole: str, source: str) -> Ordering:
    return Ordering(dict.fromkeys(parts, 1.0), {whole: 1.0}, source)


def _needs(group: str, least: int, column: str, source: str) -> Ordering:
    return Ordering({f"{group} > 0": least}, {column: 1.0}, source)


def _numbered(prefix: str, number: int) -> list[str]:
    return [f"{prefix}{index}" for index in range(1, number + 1)]


_LOOPS = "GraphMol/Descriptors/Lipinski.cpp: each ring is counted in exactly one of the two"
_SATURATED = "GraphMol/Descriptors/Lipinski.cpp: a saturated ring has no aromatic bond"
_FRAGMENT = "FragmentDescriptors.csv: every match of the left pattern holds one of the right"
_EIGENVALUES = "BCUT.cpp: highest and lowest eigenvalue of one matrix"
_DENSITY = "Chem/Descriptors.py, _FingerprintDensity: distinct environments over heavy atoms"
_RADII = "MorganGenerator: a larger radius keeps all environments"
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

SURFACES: dict[str, list[str]] = {
    "SMR_VSA": _numbered("SMR_VSA", 10),
    "PEOE_VSA": _numbered("PEOE_VSA", 14),
    "SlogP_VSA": _numbered("SlogP_VSA", 12),
    "EState_VSA": _numbered("EState_VSA", 11),
}
"""Families of descriptors that share out one total (MolSurf.cpp: each atom's Labute contribution falls in exactly one
bin of each family); the first is compared with the others."""

BALANCES: tuple[dict[str, float], ...] = (
    *(
        dict.fromkeys(family, 1.0) | dict.fromkeys(SURFACES["SMR_VSA"], -1.0)
        for name, family in SURFACES.items()
        if name != "SMR_VSA"
    ),
    # Lipinski.cpp: donors are atoms and NHOHCount hydrogens; exact but for ammonia, water and the like
    {"NHOHCount": 1.0, "fr_NH2": -1.0, "fr_SH": 1.0, "NumHDonors": -1.0},
)
"""The coefficients of sums that are zero, none of which can be solved for a column without leaving its support."""

WHOLES: tuple[Whole, ...] = (
    *(Whole(f"FpDensityMorgan{radius}", (({"HeavyAtomCount": 1.0}, 0.0, 1),), _DENSITY) for radius in (1, 2, 3)),
    Whole("SPS", (({"HeavyAtomCount": 1.0}, 0.0, 1),), "Chem/SpacialScore.py: a whole score over heavy atoms"),
    Whole(
        "FractionCSP3",
        (({"HeavyAtomCount": 1.0, "NumHeteroatoms": -1.0}, 0.0, 1),),
        "Lipinski.cpp, calcFractionCSP3: sp3 carbons over carbons",
    ),
    Whole(
        "MolWt",
        (({}, 1 / 1.008, 1),),
        "Chem/Descriptors.py: the same sum with and without hydrogens",
        offset={"HeavyAtomMolWt": -1 / 1.008},
    ),
    Whole(  # the number of bonds
        "Kappa1",
        (
            ({"HeavyAtomCount": 1.0, "HallKierAlpha": 1.0}, 0.0, 0.5),
            ({"HeavyAtomCount": 1.0, "HallKierAlpha": 1.0}, -1.0, 1),
        ),
        "ConnectivityDescriptors.cpp, kappa1Helper",
        offset={"HallKierAlpha": -1.0},
        power=-0.5,
    ),
    Whole(  # the number of paths of two bonds
        "Kappa2",
        (
            ({"HeavyAtomCount": 1.0, "HallKierAlpha": 1.0}, -1.0, 0.5),
            ({"HeavyAtomCount": 1.0, "HallKierAlpha": 1.0}, -2.0, 1),
        ),
        "ConnectivityDescriptors.cpp, kappa2Helper",
        offset={"HallKierAlpha": -1.0},
        power=-0.5,
    ),
)
"""Numbers that are whole for every molecule, but for isotopes of hydrogen in the weight."""

ORDERINGS: tuple[Ordering, ...] = (
    _at_most("NumSaturatedCarbocycles", "NumAliphaticCarbocycles", _SATURATED),
    _at_most("NumSaturatedHeterocycles", "NumAliphaticHeterocycles", _SATURATED),
    _total_at_most(
        (
            f"fr_{ring}"
            for ring in ("benzene", "pyridine", "imidazole", "furan", "thiophene", "thiazole", "oxazole", "tetrazole")
        ),
        "RingCount",
        "FragmentDescriptors.csv: each match is another ring; not NumAromaticRings, for the patterns also match a"
        " ring of aromatic atoms whose bonds are not all aromatic",
    ),
    _needs("NumSpiroAtoms", 2, "RingCount", "Lipinski.cpp: an atom shared by two rings"),
    _needs("NumBridgeheadAtoms", 2, "RingCount", "Lipinski.cpp: an atom of two rings that share two bonds or more"),
    _needs("fr_bicyclic", 2, "RingCount", "FragmentDescriptors.csv: [R2][R2], atoms in two rings"),
    _at_most("MinPartialCharge", "MaxPartialCharge", _CHARGES),
    _at_most("MinEStateIndex", "MaxEStateIndex", _ESTATES),
    *(
        _at_most(f"BCUT2D_{weight}{low}", f"BCUT2D_{weight}{high}", _EIGENVALUES)
        for weight, low, high in (("MW", "LOW", "HI"), ("CHG", "LO", "HI"), ("LOGP", "LOW", "HI"), ("MR", "LOW", "HI"))
    ),
    Ordering(
        {"TPSA": 1.0},
        {"NOCount": 36.5},
        "MolSurf.cpp, getTPSAAtomContribs: only N and O contribute, ammonium (36.5) the most",
    ),
    _at_most("HeavyAtomMolWt", "MolWt", "Chem/Descriptors.py: the same sum without hydrogens"),
    _at_most(
        "ln(1 + AvgIpc)",
        "Ipc",
        "Chem/GraphDescriptors.py, Ipc: AvgIpc times the sum of coefficients, the first of which is 1",
        note=" (stored as ln(1 + Ipc))",
    ),
    _at_most("FpDensityMorgan1", "FpDensityMorgan2", _RADII),
    _at_most("FpDensityMorgan2", "FpDensityMorgan3", _RADII),
    _total_at_most(
        ("NOCount", "fr_halogen", "fr_SH"),
        "NumHeteroatoms",
        "Lipinski.cpp: N, O, halogens and thiol S are different heteroatoms",
    ),
    _total_at_most(
        ("NOCount", "fr_halogen", "fr_SH"),
        "HeavyAtomCount",
        "Lipinski.cpp: all of them are heavy; dummy atoms make NumHeteroatoms itself larger",
    ),
    _total_at_most(
        ("fr_NH0", "fr_NH1", "fr_NH2"), "NOCount", "FragmentDescriptors.csv: a nitrogen has one number of hydrogens"
    ),
    Ordering(
        {"fr_NH1": 1.0, "fr_NH2": 2.0, "fr_Ar_OH": 1.0, "fr_Al_OH": 1.0},
        {"NHOHCount": 1.0},
        "Lipinski.cpp, calcLipinskiHBD: counts the hydrogens on N and O",
    ),
    Ordering({"NHOHCount": 1.0}, {"NOCount": 4.0}, "four on ammonium are the most"),
    _at_most("NumHDonors", "NumHeteroatoms", "Lipinski.cpp: donors are N, O or S"),
    _at_most("NumHAcceptors", "NumHeteroatoms", "Lipinski.cpp: acceptors are N, O or S"),
    _at_most("NumUnspecifiedAtomStereoCenters", "NumAtomStereoCenters", "Lipinski.cpp: a subset"),
    *(
        _at_most(part, whole, _FRAGMENT)
        for part, whole in (
            ("fr_COO", "fr_COO2"),
            ("fr_phenol", "fr_Ar_OH"),
            ("fr_phenol_noOrthoHbond", "fr_phenol"),
            ("fr_nitro_arom", "fr_nitro"),
            ("fr_nitro_arom_nonortho", "fr_nitro_arom"),
            ("fr_Ar_NH", "fr_Ar_N"),
            ("fr_Ar_NH", "fr_NH1"),
            ("fr_priamide", "fr_amide"),
            ("fr_prisulfonamd", "fr_sulfonamd"),
            ("NumAmideBonds", "fr_amide"),
            ("fr_methoxy", "fr_ether"),
            ("fr_ketone_Topliss", "fr_ketone"),
            ("fr_Al_OH_noTert", "NHOHCount"),
            ("fr_nitrile", "fr_NH0"),
            ("fr_quatN", "NOCount"),
        )
    ),
    Ordering({"fr_urea": 2.0}, {"fr_amide": 1.0}, "FragmentDescriptors.csv: a urea is two"),
    Ordering(
        {"fr_ester": 1.0},
        {"fr_ether": 2.0},
        "FragmentDescriptors.csv: the bridging O of an ester is an ether O; an anhydride is two esters on one",
    ),
    _needs("fr_alkyl_halide", 1, "fr_halogen", "FragmentDescriptors.csv: not <=, for a halonium has two"),
    _needs("fr_imide", 2, "fr_amide", "FragmentDescriptors.csv: an imide nitrogen carries two carbonyls"),
    _needs("fr_barbitur", 1, "fr_urea", "FragmentDescriptors.csv: the ring holds a urea"),
)
"""Orders that every molecule obeys."""

LINEAR_PARTS: tuple[Ordering, ...] = (
    _at_most("MinEStateIndex", "MinAbsEStateIndex", _ESTATES),
    Ordering({"MaxEStateIndex": -1.0}, {"MinAbsEStateIndex": 1.0}, _ESTATES),
    _at_most("MinAbsEStateIndex", "|MaxEStateIndex|", _ESTATES),
    _at_most("MinAbsEStateIndex", "|MinEStateIndex|", _ESTATES),
    Ordering({"NumRotatableBonds": 1.0}, {"HeavyAtomCount": 1.0}, "Lipinski.cpp: bonds outside rings", constant=1.0),
    Ordering({"ExactMolWt": 1.0}, {"MolWt": 1.0249}, "PeriodicTable: as the rule of that name"),
    Ordering({"MolWt": 0.9751}, {"ExactMolWt": 1.0}, "PeriodicTable: as the rule of that name"),
    Ordering({"LabuteASA": 1.0}, dict.fromkeys(SURFACES["SMR_VSA"], 1.06), "MolSurf.cpp: hydrogens", constant=-1.6),
    Ordering(dict.fromkeys(SURFACES["SMR_VSA"], 0.94), {"LabuteASA": 1.0}, "MolSurf.cpp: hydrogens", constant=-1.6),
)
"""Orders that :mod:`tabsyn_core.chemistry.rules` states with maxima and minima, as what a single change can mend."""
