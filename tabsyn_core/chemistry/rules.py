"""What RDKit's own definitions force on every molecule: exact identities, inequalities, counts and bounds.

A row that breaks a rule cannot be the descriptors of any molecule. Each rule carries the equation in words and the
place in RDKit that forces it. They follow from definitions, not from a sample; the margin of LabuteASA and the two
rules that compare ring matches with rings or hydroxyls rest on bounds short of a proof. All hold on 12,370 molecules,
with salts, metals, radicals, isotopes, cages, dummy and single atoms among them. Plausible relations that such
molecules break are left out: ``fr_benzene <= NumAromaticCarbocycles`` (phenoxazones), ``fr_C_O_noCOO <= fr_C_O``
(isocyanates), ``SMR_VSA5 >= 0`` (the buried carbon of iodoform has a negative area).

The ``Ipc`` column is ln(1 + Ipc) throughout, as the product stores it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import polars as pl

from tabsyn_core.chemistry.definitions import DEFINITIONS, ORDERINGS, SURFACES, Definition, Ordering, parsed
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


def rules_of(table: pl.DataFrame) -> tuple[str, ...]:
    """Name the rules that every row of a table obeys, those with absent columns too.

    A table without a descriptor most often lacks it because it never varied, as ``SMR_VSA8`` does, and then it was 0. A
    rule of which at least one column is there is read with 0 for those that are not, and is believed only if
    every row obeys it so.

    Args:
        table: As for :func:`violations`.
    """
    marks = broken(_with_absent(table, RULES))
    present = set(table.columns)
    return tuple(
        rule.name
        for rule in RULES
        if present & set(rule.columns) and rule.name in marks.columns and not marks[rule.name].any()
    )


def obeys_all(table: pl.DataFrame, names: Collection[str]) -> pl.Series:
    """Tell which rows satisfy the named rules, with 0 for absent columns; see :func:`rules_of`.

    Returns:
        A Boolean series ``obeys`` of length ``table.height``, without nulls.
    """
    rules = [rule for rule in RULES if rule.name in names]
    if not rules:
        return pl.repeat(value=True, n=table.height, dtype=pl.Boolean, eager=True).alias("obeys")
    needed = sorted({name for rule in rules for name in rule.columns})
    numbers = _with_absent(table, rules).select(pl.col(needed).cast(pl.Float64).fill_nan(None))
    return numbers.select((~pl.any_horizontal(rule.violated for rule in rules)).alias("obeys")).to_series()


def _with_absent(table: pl.DataFrame, rules: Iterable[Rule]) -> pl.DataFrame:
    absent = {name for rule in rules for name in rule.columns} - set(table.columns)
    return table.with_columns(pl.lit(0.0).alias(name) for name in sorted(absent))


def _equal(left: pl.Expr, right: pl.Expr, equation: str, source: str) -> Rule:
    return Rule(equation, equation, source, (left - right).abs() / _scale(right))


def _at_most(left: pl.Expr, right: pl.Expr, equation: str, source: str) -> Rule:
    return Rule(equation, equation, source, (left - right) / _scale(right))


def _defined(definition: Definition) -> Rule:
    """A sum, or the larger or smaller of absolute values."""
    whole, parts = definition.column, [name for terms, _, _ in definition.forms for name in terms]
    if not definition.absolute:
        return _equal(_total(parts), pl.col(whole), f"{whole} = {' + '.join(parts)}", definition.source)
    sizes = [pl.col(name).abs() for name in parts]
    extreme = pl.max_horizontal(sizes) if definition.combine == "max" else pl.min_horizontal(sizes)
    equation = f"{whole} = {definition.combine}({', '.join(f'|{name}|' for name in parts)})"
    return _equal(pl.col(whole), extreme, equation, definition.source)


def _same_total(name: str, parts: list[str], source: str) -> Rule:
    gap = (_total(parts) - _total(_SMR)).abs() / _scale(_total(_SMR))
    return Rule(f"sum of {name} = sum of SMR_VSA", f"{' + '.join(parts)} = {' + '.join(_SMR)}", source, gap)


def _ordered(ordering: Ordering) -> Rule:
    small, large = (reduce(add, map(_part, side, side.values())) for side in (ordering.small, ordering.large))
    return _at_most(small, large, ordering.equation, ordering.source)


def _part(text: str, slope: float) -> pl.Expr:
    transform, name = parsed(text)
    column = pl.col(name)
    ways = {"": column, "abs": column.abs(), "positive": column.clip(0, 1), "log1p": (1 + column).log()}
    return slope * ways[transform]


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


_SMR = SURFACES["SMR_VSA"]

_BINS = "MolSurf.cpp: each atom's Labute contribution falls in exactly one bin of each family"
_ESTATES = "Chem/EState/EState.py: extremes of one array"
_DENSITY = "Chem/Descriptors.py, _FingerprintDensity: distinct environments over heavy atoms"

_SUMS_AND_EXTREMES = tuple(
    _defined(definition) for definition in DEFINITIONS if definition.absolute or len(definition.forms) == 1
)

_ESTATE_BOUNDS = (
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
)

_SURFACES = (
    *(_same_total(name, parts, _BINS) for name, parts in SURFACES.items() if parts != _SMR),
    Rule(
        "LabuteASA is the sum of SMR_VSA and the hydrogens",
        f"|LabuteASA - ({' + '.join(_SMR)})| <= 1.6 + 6 % of the sum",
        # One lumped term stands for all hydrogens: 1.37, and a share of each atom's area on top: -5.5 % for Cs, -5 %
        # for K, -3.6 % for I, -0.8 % for C, +4 % for a deuterium atom.
        "MolSurf.cpp, getLabuteAtomContribs: the families leave out hContrib, which LabuteASA adds",
        (pl.col("LabuteASA") - _total(_SMR)).abs() - 1.6 - 0.06 * _total(_SMR),
    ),
    _equal(
        pl.col("SMR_VSA8"), pl.lit(0.0), "SMR_VSA8 = 0", "Crippen.cpp: no atom type has a refractivity in [3.63, 3.80)"
    ),
    _equal(pl.col("SlogP_VSA9"), pl.lit(0.0), "SlogP_VSA9 = 0", "Crippen.cpp: no atom type has a logP in [0.30, 0.40)"),
)

_WEIGHTS_AND_SHAPES = (
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
    *(_whole_product(f"FpDensityMorgan{radius}", _DENSITY) for radius in (1, 2, 3)),
)

_BONDS = (
    _at_most(
        pl.col("NumRotatableBonds"),
        (pl.col("HeavyAtomCount") - 1).clip(lower_bound=0),
        "NumRotatableBonds <= max(HeavyAtomCount - 1, 0)",
        "Lipinski.cpp: bonds outside rings between heavy atoms form a forest",
    ),
)

_COUNTS = tuple(_whole(name) for name in DESCRIPTOR_NAMES if name in INTEGER_DESCRIPTORS)

_BOUNDS = (
    *(_bounded(name, lower, upper) for name, (lower, upper) in descriptor_bounds().items()),
    _bounded("LabuteASA", 0, None),
    _bounded("MolMR", 0, None),
)

RULES: tuple[Rule, ...] = (
    *_SUMS_AND_EXTREMES,
    *_ESTATE_BOUNDS,
    *_SURFACES,
    *_WEIGHTS_AND_SHAPES,
    *_BONDS,
    *map(_ordered, ORDERINGS),
    *_COUNTS,
    *_BOUNDS,
)
"""Every rule: relations between columns first, then counts and bounds of single columns."""
