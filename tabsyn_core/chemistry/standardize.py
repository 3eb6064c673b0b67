"""One spelling a molecule: RDKit's standardisation, canonical SMILES, InChIKey, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from rdkit import Chem
from rdkit.Chem import rdinchi
from rdkit.Chem.MolStandardize import rdMolStandardize

from tabsyn_core.chemistry.workers import map_molecules
from tabsyn_core.progress import ProgressCallback, silent


@dataclass(frozen=True, slots=True)
class Standardization:
    """Which steps run, in this order.

    Attributes:
        cleanup: RDKit's ``Cleanup``: metals disconnected from N, O and F, functional
            groups and charges in their usual form.
        largest_fragment: Keep the fragment with most atoms, an organic one if there is any: salts and solvents go.
        neutralize: Add or remove protons where that makes a neutral molecule; quaternary nitrogen stays charged.
        max_length: A longer SMILES is rejected unread, for some algorithms are worse than quadratic in atoms.
    """

    cleanup: bool = True
    largest_fragment: bool = True
    neutralize: bool = True
    max_length: int = 1000


@dataclass(frozen=True, slots=True)
class Molecule:
    """A standardised molecule: canonical isomeric SMILES and standard InChIKey."""

    smiles: str
    inchikey: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a text gave no molecule: a ``kind`` to count by, and the ``detail`` of this one."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def standardize(
    smiles: Sequence[str],
    options: Standardization = Standardization(),
    *,
    workers: int = 0,
    progress: ProgressCallback = silent,
) -> list[Molecule | Rejection]:
    """Standardise every SMILES, in order; nothing is raised for a bad one.

    Args:
        smiles: Any texts.
        options: Which steps run.
        workers: Processes; 0 is one a core. The result does not depend on it.
        progress: Told the number of molecules done.
    """
    return map_molecules(partial(_standardize, options), smiles, workers=workers, progress=progress)


def _standardize(options: Standardization, smiles: str) -> Molecule | Rejection:
    if len(smiles) > options.max_length:
        return Rejection(f"SMILES longer than {options.max_length} characters", str(len(smiles)))
    molecule: Any = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return _diagnosed(smiles)
    if molecule.GetNumAtoms() == 0:
        return Rejection("SMILES without atoms")
    try:
        return _named(_prepared(molecule, options))
    except (ValueError, RuntimeError) as error:
        return Rejection("RDKit cannot standardise it", str(error).strip().splitlines()[0])


def _diagnosed(smiles: str) -> Rejection:
    molecule: Any = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        return Rejection("not a SMILES", _shortened(smiles))
    problems = Chem.DetectChemistryProblems(molecule)
    return Rejection("no valid molecule", problems[0].Message() if problems else _shortened(smiles))


def _prepared(molecule: Any, options: Standardization) -> Any:
    if options.cleanup:
        molecule = rdMolStandardize.Cleanup(molecule)
    if options.largest_fragment:
        molecule = _fragment_chooser().choose(molecule)
    return _uncharger().uncharge(molecule) if options.neutralize else molecule


def _named(molecule: Any) -> Molecule | Rejection:
    smiles = Chem.MolToSmiles(molecule)
    again: Any = Chem.MolFromSmiles(smiles)
    if again is None:
        return Rejection("its canonical SMILES is not valid", _shortened(smiles))
    inchikey = rdinchi.MolToInchiKey(again)
    if not inchikey:
        return Rejection("InChI has no key for it", "a dummy atom (*), most likely" if "*" in smiles else "")
    # A second pass: the canonical SMILES of a molecule read from its canonical SMILES no longer changes.
    return Molecule(Chem.MolToSmiles(again), inchikey)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


@cache
def _fragment_chooser() -> Any:
    return rdMolStandardize.LargestFragmentChooser(preferOrganic=True)


@cache
def _uncharger() -> Any:
    return rdMolStandardize.Uncharger()
