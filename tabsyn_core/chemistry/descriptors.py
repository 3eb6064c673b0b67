"""The 217 two-dimensional RDKit descriptors of a molecule, each under its RDKit name and with RDKit's value.

One departure: ``Ipc`` is stored as ``ln(1 + Ipc)``. Ipc (Bonchev & Trinajstic, J. Chem. Phys. 67, 4517 (1977), eq. 6)
grows exponentially with the number of atoms, passes 1e40 for large drugs and is infinite in float32. It is 0 for a
single atom, where a plain logarithm does not exist; above 1e6, a dozen atoms or so, the 1 is below every rounding
that matters.

Speed: RDKit computes some arrays once for each descriptor that reads them. Here the E-state indices, the
characteristic polynomial behind ``Ipc`` and ``AvgIpc`` and the properties behind ``qed`` are computed once a molecule,
and QED's alerts are searched in one call. The formulas and the order of their sums stay RDKit's, so the values are the
same bit for bit.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from rdkit import Chem
from rdkit.Chem import QED, Descriptors, Graphs, rdMolDescriptors
from rdkit.Chem.rdfiltercatalog import FilterCatalog, FilterCatalogEntry, SmartsMatcher
from rdkit.Chem.rdPartialCharges import ComputeGasteigerCharges
from rdkit.ML.InfoTheory import entropy

from tabsyn_core.chemistry.workers import map_molecules
from tabsyn_core.errors import TabsynError
from tabsyn_core.progress import ProgressCallback, silent

IDENTIFIERS = ("smiles", "inchikey")
"""Columns that name a molecule; every other column of a table is modelled."""

_RDKIT: dict[str, Callable[..., Any]] = dict(Descriptors.descList)

DESCRIPTOR_NAMES: tuple[str, ...] = tuple(_RDKIT)
"""All of RDKit's two-dimensional descriptors, in RDKit's order."""

_PROBE = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")

INTEGER_DESCRIPTORS: frozenset[str] = frozenset(
    # Asked of RDKit itself: BertzCT and BalabanJ return a plain 0 for some molecules, but not for aspirin.
    name for name, function in _RDKIT.items() if isinstance(function(_PROBE), int)
)  # fmt: skip
"""The descriptors for which RDKit returns Python integers: counts of atoms, electrons, bonds, rings and matches."""

_NOT_BELOW_ZERO = (
    *sorted(INTEGER_DESCRIPTORS - {"NumValenceElectrons"}),  # charges count there: [Na+2] has -1
    *("MolWt", "HeavyAtomMolWt", "ExactMolWt", "TPSA", "SPS", "BertzCT", "AvgIpc", "Ipc"),
    *("MaxAbsEStateIndex", "MinAbsEStateIndex", "MaxAbsPartialCharge", "MinAbsPartialCharge"),
    *("FpDensityMorgan1", "FpDensityMorgan2", "FpDensityMorgan3"),
    *("Chi0", "Chi1", *(f"Chi{order}{kind}" for order in range(5) for kind in "nv")),
)
_SHARES = ("qed", "FractionCSP3")
_CHARGED = ("MaxPartialCharge", "MinPartialCharge", "MaxAbsPartialCharge", "MinAbsPartialCharge", "BCUT2D_")


def descriptor_bounds() -> dict[str, tuple[float | None, float | None]]:
    """Hard (lower, upper) bounds that RDKit's definitions force on every molecule.

    Only columns with a bound are listed. Left out, because some molecule breaks the plausible bound: the ``*_VSA*``
    bins (the buried carbon of CI4 has a negative area), ``Kappa2``, ``Kappa3`` and ``Phi`` (single atoms),
    ``BalabanJ`` (several fragments), ``NumValenceElectrons`` (odd ions).
    """
    return dict.fromkeys(_NOT_BELOW_ZERO, (0.0, None)) | dict.fromkeys(_SHARES, (0.0, 1.0))


def compute_descriptors(
    smiles: Sequence[str], *, workers: int = 0, progress: ProgressCallback = silent
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compute all descriptors of all molecules.

    Args:
        smiles: One molecule each.
        workers: Processes; 0 is one a core. The result does not depend on it.
        progress: Told the number of molecules done.

    Returns:
        The table, one row a molecule in order and one column a descriptor (Int64 or Float64, null where RDKit gives
        no finite value), and the reasons for the nulls: ``smiles``, ``column``, ``reason``, one row a null.

    Raises:
        TabsynError: A SMILES does not parse, or a worker process died.
    """
    rows = map_molecules(_describe, smiles, workers=workers, progress=progress)
    matrix = np.array([values for values, _ in rows], dtype=np.float64).reshape(len(rows), len(DESCRIPTOR_NAMES))
    table = pl.from_numpy(matrix, schema=list(DESCRIPTOR_NAMES)).fill_nan(None)
    missing = [
        (text, column, reason)
        for text, (_, reasons) in zip(smiles, rows, strict=True)
        for column, reason in reasons.items()
    ]
    return (
        table.with_columns(pl.col(sorted(INTEGER_DESCRIPTORS)).cast(pl.Int64)),
        pl.DataFrame(missing, schema=dict.fromkeys(("smiles", "column", "reason"), pl.String), orient="row"),
    )


def _describe(smiles: str) -> tuple[list[float], dict[str, str]]:
    """The values in the order of the names, NaN where there is none, and the reason for each NaN."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise TabsynError(f"'{smiles}' is not a valid SMILES; run ingest, which sets such records apart.")
    computed = _compute(molecule)
    values = [float(computed[name]) for name in DESCRIPTOR_NAMES]
    finite = [value if math.isfinite(value) else math.nan for value in values]
    missing = [name for name, value in zip(DESCRIPTOR_NAMES, values, strict=True) if not math.isfinite(value)]
    return finite, {name: _why_missing(molecule, name) for name in missing}


def _compute(molecule: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict(_information(molecule))
    values |= {name: _call(function, molecule) for name, function in _FUNCTIONS.items() if name not in values}
    values["qed"] = _call(partial(_qed, values), molecule)
    return values


def _call(function: Callable[[Any], Any], molecule: Any) -> Any:
    try:
        return function(molecule)
    except Exception:  # noqa: BLE001  as RDKit's own CalcMolDescriptors: whatever fails is missing, its reason follows
        return math.nan


def _information(molecule: Any) -> Iterator[tuple[str, float]]:
    """``AvgIpc`` and ``Ipc`` from one characteristic polynomial (rdkit.Chem.GraphDescriptors.Ipc).

    RDKit's algorithm takes a time that grows with the fourth power of the number of atoms: half a second for 300.
    """
    adjacency = np.equal(Chem.GetDistanceMatrix(molecule, False), 1).astype(np.float64)
    coefficients = abs(Graphs.CharacteristicPolynomial(molecule, adjacency))  # type: ignore[no-untyped-call]
    average = entropy.InfoEntropy(coefficients)  # type: ignore[attr-defined]
    yield "AvgIpc", average
    yield "Ipc", math.log1p(sum(coefficients) * average)


def _qed(values: dict[str, Any], molecule: Any) -> float:
    """``qed`` from descriptors already known (rdkit.Chem.QED.properties)."""
    if any(atom.GetAtomicNum() == 1 for atom in molecule.GetAtoms()):  # QED removes these first
        return float(_RDKIT["qed"](molecule))
    properties = QED.QEDproperties(  # type: ignore[no-untyped-call]
        MW=values["MolWt"],
        ALOGP=values["MolLogP"],
        HBA=sum(len(molecule.GetSubstructMatches(pattern)) for pattern in QED.Acceptors),
        HBD=values["NumHDonors"],
        PSA=values["TPSA"],
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(molecule, rdMolDescriptors.NumRotatableBondsOptions.Strict),
        AROM=len(Chem.GetSSSR(Chem.DeleteSubstructs(Chem.Mol(molecule), QED.AliphaticRings))),
        ALERTS=len(_ALERTS.GetMatches(molecule)),
    )
    return float(_RDKIT["qed"](molecule, qedProperties=properties))


def _why_missing(molecule: Any, name: str) -> str:
    if name.startswith(_CHARGED) and (element := _without_charge(molecule)):
        salt = len(Chem.GetMolFrags(molecule)) > 1
        return f"no Gasteiger charge parameters for {element}" + (", one of several fragments" if salt else "")
    if molecule.GetNumHeavyAtoms() == 0:
        return "no heavy atoms"
    try:
        return f"RDKit returns {_RDKIT[name](molecule)}"
    except Exception as error:  # noqa: BLE001  the reason is whatever RDKit says
        return f"RDKit fails: {error}"


def _without_charge(molecule: Any) -> str | None:
    """The first element RDKit has no Gasteiger parameters for, with its hybridisation, if there is one."""
    try:
        ComputeGasteigerCharges(molecule, 12, True)
    except ValueError as error:
        return str(error).partition("Element:")[2].replace(" Mode:", "").strip()
    return None


def _catalog(patterns: Sequence[Any]) -> FilterCatalog:
    """The patterns searched in one call instead of one each."""
    catalog = FilterCatalog()
    for number, pattern in enumerate(patterns):
        catalog.AddEntry(FilterCatalogEntry(str(number), SmartsMatcher(pattern)))
    return catalog


_ALERTS = _catalog(QED.StructuralAlerts)
_SHARED_INDICES = ("MaxAbsEStateIndex", "MaxEStateIndex", "MinAbsEStateIndex", "MinEStateIndex")


def _sharing(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """Let an E-state extreme read the indices another descriptor has left on the molecule."""
    return lambda molecule: function(molecule, False)  # RDKit's `force`


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    name: _sharing(function) if name in _SHARED_INDICES else function
    for name, function in _RDKIT.items()
    if name != "qed"
}
