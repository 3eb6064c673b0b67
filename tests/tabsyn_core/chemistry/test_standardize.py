import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from tabsyn_core.chemistry.standardize import Molecule, Rejection, Standardization, standardize

ALL = Standardization()
AS_IS = Standardization(cleanup=False, largest_fragment=False, neutralize=False)


def one(smiles: str, options: Standardization = ALL) -> Molecule | Rejection:
    return standardize([smiles], options)[0]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),  # salt stripped, acid neutral
        ("CCN.Cl", "CCN"),
        ("CCO.O", "CCO"),  # solvent
        ("[Na+].[Cl-].CC", "CC"),  # organic preferred
        ("CN(=O)=O", "C[N+](=O)[O-]"),  # the usual nitro
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),  # zwitterion
        ("C[N+](C)(C)C.[Cl-]", "C[N+](C)(C)C"),  # stays charged
        ("[Na]OC(C)=O", "CC(=O)O"),  # metal disconnected
        ("[13CH4]", "[13CH4]"),  # isotopes stay
        ("[2H]C([2H])([2H])Cl", "[2H]C([2H])([2H])Cl"),
        ("C[CH2]", "[CH2]C"),  # radicals stay
        ("[Fe]", "[Fe]"),  # single atoms
        ("C", "C"),
        ("[He]", "[He]"),
        ("OCC", "CCO"),
        ("C[C@H](O)N", "C[C@@H](N)O"),  # stereo stays
        ("F/C=C/F", "F/C=C/F"),
    ],
)
def test_standard_form(smiles, expected):
    assert one(smiles).smiles == expected


def test_each_option_can_be_switched_off():
    salt = "CC(=O)[O-].[Na+]"
    assert one(salt, AS_IS).smiles == salt
    assert one(salt, Standardization(neutralize=False)).smiles == "CC(=O)[O-]"
    assert "." in one(salt, Standardization(largest_fragment=False)).smiles
    assert one("CS(C)=O", AS_IS).smiles == "CS(C)=O"
    assert one("CS(C)=O").smiles == "C[S+](C)[O-]"


@pytest.mark.parametrize(
    ("smiles", "kind"),
    [
        ("C((", "not a SMILES"),
        ("aspirin", "not a SMILES"),
        ("", "SMILES without atoms"),
        ("C(C)(C)(C)(C)C", "no valid molecule"),
        ("c1cccc1", "no valid molecule"),
        ("*CC", "InChI has no key for it"),
        ("C" * 5000, "SMILES longer than 1000 characters"),
    ],
)
def test_what_is_no_molecule_is_rejected_with_its_kind(smiles, kind):
    assert one(smiles).kind == kind


def test_the_reason_says_what_rdkit_found():
    assert "Explicit valence for atom # 0 C, 5" in str(one("C(C)(C)(C)(C)C"))


def test_rdkit_logs_nothing(capfd):
    standardize(["C((", "c1cccc1", "CC(=O)[O-].[Na+]", "*"])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="CNOcn1=#()[]+-@H.*lF 2", max_size=25))
def test_any_text_gives_a_molecule_or_a_reason_and_a_molecule_is_its_own_standard_form(text):
    found = one(text)
    if isinstance(found, Rejection):
        assert found.kind
    else:
        assert Chem.CanonSmiles(found.smiles) == found.smiles
        assert len(found.inchikey) == 27


def test_other_spellings_of_a_molecule_get_one_key():
    aspirin = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    spellings = [Chem.MolToSmiles(aspirin, rootedAtAtom=atom, canonical=False) for atom in range(13)]
    assert len(set(spellings)) > 5
    assert len(set(standardize(spellings))) == 1


def test_the_result_does_not_depend_on_the_number_of_workers():
    smiles = ["C" * (1 + n % 30) + "O" for n in range(600)]
    smiles[100] = "C(("
    reports = []
    assert standardize(smiles, workers=2, progress=reports.append) == standardize(smiles, workers=1)
    assert (reports[-1].done, reports[-1].total, reports[-1].unit) == (600, 600, "molecules")
