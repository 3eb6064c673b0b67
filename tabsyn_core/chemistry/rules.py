"""What RDKit's own definitions force on every molecule: exact identities, inequalities, counts and bounds.

A row that breaks a rule cannot be the descriptors of any molecule. Each rule carries the equation in words and the
place in RDKit that forces it. They follow from definitions, not from a sample; the margin of LabuteASA and the two
rules that compare ring matches with rings or hydroxyls rest on bounds short of a proof. All hold on 12,370 molecules,
with salts, metals, radicals, isotopes, cages, dummy and single atoms among them. Plausible relations that such
molecules break are left out: ``fr_benzene <= NumAromaticCarbocycles`` (phenoxazones), ``fr_C_O_noCOO <= fr_C_O``
(isocyanates), ``SMR_VSA5 >= 0`` (the buried carbon of iodoform has a negative area).

The ``Ipc`` column is ln(1 + Ipc) throughout, as the product stores it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import polars as pl

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, INTEGER_DESCRIPTORS, descriptor_bounds

EXACT = 1e-6
"""Tolerance of most rules: the rounding of float64 sums is below 1e-11, so this only forgives printing and parsing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One identity or inequality.

    Attributes:
        name: A short, unique name.
        equation: The rule in words and symbols.
        source: Where in RDKit it is forced.
        gap: How far a row is from the rule, as a share of the larger of 1 and the magnitude compared with;
            0 or less where it is obeyed exactly.
        tolerance: The largest gap that still counts as obeying.
    """

    name: str
    equation: str
    source: str
    gap: pl.Expr
    tolerance: float = EXACT

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the rule speaks of, each once, in the order of the equation."""
        return tuple(dict.fromkeys(self.gap.meta.root_names()))

    def applies_to(self, columns: Iterable[str]) -> bool:
        """Whether every column of the rule is among ``columns``."""
        return set(self.columns) <= set(columns)

    @property
    def violated(self) -> pl.Expr:
        """True in each row that breaks the rule; a row with a gap in one of its columns does not."""
        known = pl.all_horizontal(pl.col(name).is_not_null() for name in self.columns)
        return (known & (self.gap > self.tolerance)).fill_null(value=False).alias(self.name)


def violations(table: pl.DataFrame) -> pl.DataFrame:
    """Count, for each rule whose columns are all in ``table``, the rows that break it.

    Args:
        table: Descriptors under their RDKit names, ``Ipc`` as ln(1 + Ipc); other columns are ignored.

    Returns:
        One row a rule, in the order of :data:`RULES`: ``rule``, ``equation``, ``columns`` (list), ``violated``
        (rows), ``share`` (of all rows; 0 in an empty table), ``example`` (number of the first such row, or null).
    """
    marks = broken(table)
    rules = [rule for rule in RULES if rule.name in marks.columns]
    counts = [int(marks[rule.name].sum()) for rule in rules]
    return pl.DataFrame(
        {
            "rule": [rule.name for rule in rules],
            "equation": [rule.equation for rule in rules],
            "columns": [list(rule.columns) for rule in rules],
            "violated": counts,
            "share": [count / max(table.height, 1) for count in counts],
            "example": [
                marks[rule.name].arg_max() if count else None for rule, count in zip(rules, counts, strict=True)
            ],
        },
        schema={
            "rule": pl.String,
            "equation": pl.String,
            "columns": pl.List(pl.String),
            "violated": pl.Int64,
            "share": pl.Float64,
            "example": pl.Int64,
        },
    )


def obeys(table: pl.DataFrame) -> pl.Series:
    """Tell which rows satisfy every rule whose columns are all in ``table``.

    Args:
        table: As for :func:`violations`.

    Returns:
        A Boolean series ``obeys`` of length ``table.height``, without nulls.
    """
    marks = broken(table)
    if marks.width == 0:
        return pl.repeat(value=True, n=table.height, dtype=pl.Boolean, eager=True).alias("obeys")
    return (~marks.select(pl.any_horizontal(pl.all())).to_series()).alias("obeys")


def broken(table: pl.DataFrame) -> pl.DataFrame:
    """Mark which rows break which rules.

    Args:
        table: As for :func:`violations`.

    Returns:
        One Boolean column a rule whose columns are all in ``table``, under the rule's name; no nulls.
    """
    present = {name for name, dtype in table.schema.items() if dtype.is_numeric()}
    rules = [rule for rule in RULES if rule.applies_to(present)]
    needed = sorted({name for rule in rules for name in rule.columns})
    if not needed:
        return pl.DataFrame()
    return table.select(pl.col(needed).cast(pl.Float64).fill_nan(None)).select(rule.violated for rule in rules)


def _equal(left: pl.Expr, right: pl.Expr, equation: str, source: str) -> Rule:
    return Rule(equation, equation, source, (left - right).abs() / _scale(right))


def _at_most(left: pl.Expr, right: pl.Expr, equation: str, source: str) -> Rule:
    return Rule(equation, equation, source, (left - right) / _scale(right))


def _sum(whole: str, parts: list[str], source: str) -> Rule:
    return _equal(_total(parts), pl.col(whole), f"{whole} = {' + '.join(parts)}", source)


def _same_total(name: str, parts: list[str], source: str) -> Rule:
    gap = (_total(parts) - _total(_SMR)).abs() / _scale(_total(_SMR))
    return Rule(f"sum of {name} = sum of SMR_VSA", f"{' + '.join(parts)} = {' + '.join(_SMR)}", source, gap)


def _ordered(small: str, large: str, source: str) -> Rule:
    return _at_most(pl.col(small), pl.col(large), f"{small} <= {large}", source)


def _needs(group: str, least: int, column: str, source: str) -> Rule:
    equation = f"{group} > 0 needs {column} >= {least}"
    return _at_most(least * pl.col(group).clip(0, 1), pl.col(column), equation, source)


def _bounded(name: str, lower: float | None, upper: float | None) -> Rule:
    below = [lower - pl.col(name)] if lower is not None else []
    above = [pl.col(name) - upper] if upper is not None else []
    equation = f"{f'{lower:g} <= ' if below else ''}{name}{f' <= {upper:g}' if above else ''}"
    return Rule(equation, equation, "the definition of the descriptor", pl.max_horizontal(*below, *above))


def _whole(name: str) -> Rule:
    away = (pl.col(name) - pl.col(name).round()).abs()
    return Rule(f"{name} is whole", f"{name} is a whole number", "RDKit returns an integer", away)


def _whole_product(density: str, source: str) -> Rule:
    number = pl.col(density) * pl.col("HeavyAtomCount")
    equation = f"{density} * HeavyAtomCount is a whole number"
    return Rule(equation, equation, source, (number - number.round()).abs())


def _scale(right: pl.Expr) -> pl.Expr:
    return pl.max_horizontal(pl.lit(1.0), right.abs())


def _total(names: Iterable[str]) -> pl.Expr:
    return reduce(add, (pl.col(name) for name in names))


def _numbered(prefix: str, number: int) -> list[str]:
    return [f"{prefix}{index}" for index in range(1, number + 1)]


_SMR = _numbered("SMR_VSA", 10)
_VSA = {
    "PEOE_VSA": _numbered("PEOE_VSA", 14),
    "SlogP_VSA": _numbered("SlogP_VSA", 12),
    "EState_VSA": _numbered("EState_VSA", 11),
}
_AROMATIC_RING_GROUPS = [
    f"fr_{ring}"
    for ring in ("benzene", "pyridine", "imidazole", "furan", "thiophene", "thiazole", "oxazole", "tetrazole")
]

_LOOPS = "GraphMol/Descriptors/Lipinski.cpp: each ring is counted in exactly one of the two"
_SATURATED = "GraphMol/Descriptors/Lipinski.cpp: a saturated ring has no aromatic bond"
_BINS = "MolSurf.cpp: each atom's Labute contribution falls in exactly one bin of each family"
_FRAGMENT = "FragmentDescriptors.csv: every match of the left pattern holds one of the right"
_EIGENVALUES = "BCUT.cpp: highest and lowest eigenvalue of one matrix"
_CHARGES = "Chem/Descriptors.py, _ChargeDescriptors"
_ESTATES = "Chem/EState/EState.py: extremes of one array"
_DENSITY = "Chem/Descriptors.py, _FingerprintDensity: distinct environments over heavy atoms"

_RINGS = (
    _sum("RingCount", ["NumAromaticRings", "NumAliphaticRings"], _LOOPS),
    _sum("NumAromaticRings", ["NumAromaticCarbocycles", "NumAromaticHeterocycles"], _LOOPS),
    _sum("NumAliphaticRings", ["NumAliphaticCarbocycles", "NumAliphaticHeterocycles"], _LOOPS),
    _sum("NumSaturatedRings", ["NumSaturatedCarbocycles", "NumSaturatedHeterocycles"], _LOOPS),
    _sum("NumHeterocycles", ["NumAromaticHeterocycles", "NumAliphaticHeterocycles"], _LOOPS),
    _ordered("NumSaturatedCarbocycles", "NumAliphaticCarbocycles", _SATURATED),
    _ordered("NumSaturatedHeterocycles", "NumAliphaticHeterocycles", _SATURATED),
    _at_most(
        _total(_AROMATIC_RING_GROUPS),
        pl.col("RingCount"),
        f"{' + '.join(_AROMATIC_RING_GROUPS)} <= RingCount",
        "FragmentDescriptors.csv: each match is another ring; not NumAromaticRings, for the patterns also match a"
        " ring of aromatic atoms whose bonds are not all aromatic",
    ),
    _needs("NumSpiroAtoms", 2, "RingCount", "Lipinski.cpp: an atom shared by two rings"),
    _needs("NumBridgeheadAtoms", 2, "RingCount", "Lipinski.cpp: an atom of two rings that share two bonds or more"),
    _needs("fr_bicyclic", 2, "RingCount", "FragmentDescriptors.csv: [R2][R2], atoms in two rings"),
)

_EXTREMES = (
    _equal(
        pl.col("MaxAbsPartialCharge"),
        pl.max_horizontal(pl.col("MaxPartialCharge").abs(), pl.col("MinPartialCharge").abs()),
        "MaxAbsPartialCharge = max(|MaxPartialCharge|, |MinPartialCharge|)",
        _CHARGES,
    ),
    _equal(
        pl.col("MinAbsPartialCharge"),
        pl.min_horizontal(pl.col("MaxPartialCharge").abs(), pl.col("MinPartialCharge").abs()),
        "MinAbsPartialCharge = min(|MaxPartialCharge|, |MinPartialCharge|)",
        _CHARGES,
    ),
    _ordered("MinPartialCharge", "MaxPartialCharge", _CHARGES),
    _equal(
        pl.col("MaxAbsEStateIndex"),
        pl.max_horizontal(pl.col("MaxEStateIndex").abs(), pl.col("MinEStateIndex").abs()),
        "MaxAbsEStateIndex = max(|MaxEStateIndex|, |MinEStateIndex|)",
        _ESTATES,
    ),
    _at_most(
        pl.col("MinAbsEStateIndex"),
        pl.min_horizontal(pl.col("MaxEStateIndex").abs(), pl.col("MinEStateIndex").abs()),
        "MinAbsEStateIndex <= min(|MaxEStateIndex|, |MinEStateIndex|)",
        _ESTATES,
    ),
    _at_most(
        pl.max_horizontal(pl.col("MinEStateIndex"), -pl.col("MaxEStateIndex")),
        pl.col("MinAbsEStateIndex"),
        "max(MinEStateIndex, -MaxEStateIndex) <= MinAbsEStateIndex",
        _ESTATES,
    ),
    _ordered("MinEStateIndex", "MaxEStateIndex", _ESTATES),
    *(
        _ordered(f"BCUT2D_{weight}{low}", f"BCUT2D_{weight}{high}", _EIGENVALUES)
        for weight, low, high in (("MW", "LOW", "HI"), ("CHG", "LO", "HI"), ("LOGP", "LOW", "HI"), ("MR", "LOW", "HI"))
    ),
)

_SURFACES = (
    *(_same_total(name, parts, _BINS) for name, parts in _VSA.items()),
    Rule(
        "LabuteASA is the sum of SMR_VSA and the hydrogens",
        f"|LabuteASA - ({' + '.join(_SMR)})| <= 1.6 + 6 % of the sum",
        # One lumped term stands for all hydrogens: 1.37, and a share of each atom's area on top: -5.5 % for Cs, -5 %
        # for K, -3.6 % for I, -0.8 % for C, +4 % for a deuterium atom.
        "MolSurf.cpp, getLabuteAtomContribs: the families leave out hContrib, which LabuteASA adds",
        (pl.col("LabuteASA") - _total(_SMR)).abs() - 1.6 - 0.06 * _total(_SMR),
    ),
    _at_most(
        pl.col("TPSA"),
        36.5 * pl.col("NOCount"),
        "TPSA <= 36.5 * NOCount",
        "MolSurf.cpp, getTPSAAtomContribs: only N and O contribute, ammonium (36.5) the most",
    ),
    _equal(
        pl.col("SMR_VSA8"), pl.lit(0.0), "SMR_VSA8 = 0", "Crippen.cpp: no atom type has a refractivity in [3.63, 3.80)"
    ),
    _equal(pl.col("SlogP_VSA9"), pl.lit(0.0), "SlogP_VSA9 = 0", "Crippen.cpp: no atom type has a logP in [0.30, 0.40)"),
)

_WEIGHTS_AND_SHAPES = (
    _ordered("HeavyAtomMolWt", "MolWt", "Chem/Descriptors.py: the same sum without hydrogens"),
    Rule(
        "ExactMolWt is near MolWt",
        "|ExactMolWt - MolWt| <= 2.5 % of MolWt",
        "PeriodicTable: commonest isotope and average weight differ by 2.44 % (Pu) at most, 1.9 % without Zn, Mo",
        (pl.col("ExactMolWt") - pl.col("MolWt")).abs() / _scale(pl.col("MolWt")),
        tolerance=0.025,
    ),
    _equal(
        pl.col("Phi") * pl.col("HeavyAtomCount"),
        pl.col("Kappa1") * pl.col("Kappa2"),
        "Phi * HeavyAtomCount = Kappa1 * Kappa2",
        "ConnectivityDescriptors.cpp, calcPhi",
    ),
    _at_most(
        (1 + pl.col("AvgIpc")).log(),
        pl.col("Ipc"),
        "ln(1 + AvgIpc) <= Ipc (stored as ln(1 + Ipc))",
        "Chem/GraphDescriptors.py, Ipc: AvgIpc times the sum of coefficients, the first of which is 1",
    ),
    _ordered("FpDensityMorgan1", "FpDensityMorgan2", "MorganGenerator: a larger radius keeps all environments"),
    _ordered("FpDensityMorgan2", "FpDensityMorgan3", "MorganGenerator: a larger radius keeps all environments"),
    *(_whole_product(f"FpDensityMorgan{radius}", _DENSITY) for radius in (1, 2, 3)),
)

_ATOMS_AND_GROUPS = (
    _at_most(
        _total(["NOCount", "fr_halogen", "fr_SH"]),
        pl.col("NumHeteroatoms"),
        "NOCount + fr_halogen + fr_SH <= NumHeteroatoms",
        "Lipinski.cpp: N, O, halogens and thiol S are different heteroatoms",
    ),
    _at_most(
        _total(["NOCount", "fr_halogen", "fr_SH"]),
        pl.col("HeavyAtomCount"),
        "NOCount + fr_halogen + fr_SH <= HeavyAtomCount",
        "Lipinski.cpp: all of them are heavy; dummy atoms make NumHeteroatoms itself larger",
    ),
    _at_most(
        _total(["fr_NH0", "fr_NH1", "fr_NH2"]),
        pl.col("NOCount"),
        "fr_NH0 + fr_NH1 + fr_NH2 <= NOCount",
        "FragmentDescriptors.csv: a nitrogen has one number of hydrogens",
    ),
    _at_most(
        pl.col("fr_NH1") + 2 * pl.col("fr_NH2") + pl.col("fr_Ar_OH") + pl.col("fr_Al_OH"),
        pl.col("NHOHCount"),
        "fr_NH1 + 2 * fr_NH2 + fr_Ar_OH + fr_Al_OH <= NHOHCount",
        "Lipinski.cpp, calcLipinskiHBD: counts the hydrogens on N and O",
    ),
    _at_most(pl.col("NHOHCount"), 4 * pl.col("NOCount"), "NHOHCount <= 4 * NOCount", "four on ammonium are the most"),
    _ordered("NumHDonors", "NumHeteroatoms", "Lipinski.cpp: donors are N, O or S"),
    _ordered("NumHAcceptors", "NumHeteroatoms", "Lipinski.cpp: acceptors are N, O or S"),
    _at_most(
        pl.col("NumRotatableBonds"),
        (pl.col("HeavyAtomCount") - 1).clip(lower_bound=0),
        "NumRotatableBonds <= max(HeavyAtomCount - 1, 0)",
        "Lipinski.cpp: bonds outside rings between heavy atoms form a forest",
    ),
    _ordered("NumUnspecifiedAtomStereoCenters", "NumAtomStereoCenters", "Lipinski.cpp: a subset"),
    _sum("fr_COO", ["fr_Al_COO", "fr_Ar_COO"], "FragmentDescriptors.csv: the carbon beside the acid is C or c"),
    _sum("fr_Nhpyrrole", ["fr_Ar_NH"], "FragmentDescriptors.csv: both are [nH]"),
    *(
        _ordered(part, whole, _FRAGMENT)
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
    _at_most(
        2 * pl.col("fr_urea"), pl.col("fr_amide"), "2 * fr_urea <= fr_amide", "FragmentDescriptors.csv: a urea is two"
    ),
    _at_most(
        pl.col("fr_ester"),
        2 * pl.col("fr_ether"),
        "fr_ester <= 2 * fr_ether",
        "FragmentDescriptors.csv: the bridging O of an ester is an ether O; an anhydride is two esters on one",
    ),
    _needs("fr_alkyl_halide", 1, "fr_halogen", "FragmentDescriptors.csv: not <=, for a halonium has two"),
    _needs("fr_imide", 2, "fr_amide", "FragmentDescriptors.csv: an imide nitrogen carries two carbonyls"),
    _needs("fr_barbitur", 1, "fr_urea", "FragmentDescriptors.csv: the ring holds a urea"),
)

_COUNTS = tuple(_whole(name) for name in DESCRIPTOR_NAMES if name in INTEGER_DESCRIPTORS)

_BOUNDS = (
    *(_bounded(name, lower, upper) for name, (lower, upper) in descriptor_bounds().items()),
    _bounded("LabuteASA", 0, None),
    _bounded("MolMR", 0, None),
)

RULES: tuple[Rule, ...] = (
    *_RINGS,
    *_EXTREMES,
    *_SURFACES,
    *_WEIGHTS_AND_SHAPES,
    *_ATOMS_AND_GROUPS,
    *_COUNTS,
    *_BOUNDS,
)
"""Every rule: relations between columns first, then counts and bounds of single columns."""
