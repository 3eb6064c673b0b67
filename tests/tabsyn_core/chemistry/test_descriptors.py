import csv
import gzip
import math
import random
from pathlib import Path

import polars as pl
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from tabsyn_core.chemistry.descriptors import (
    DESCRIPTOR_NAMES,
    INTEGER_DESCRIPTORS,
    compute_descriptors,
    descriptor_bounds,
)
from tabsyn_core.errors import TabsynError

ROOT = Path(__file__).parents[3]
ODD = [
    "[Na+].[Cl-]",
    "CCN.Cl",
    "[Fe]",
    "[Fe+3]",
    "C",
    "[H][H]",
    "[H+]",
    "[2H]C",
    "[13CH4]",
    "C[CH2]",
    "[CH3]",
    "*C",
    "CC[Hg]C",
    "C[Si](C)(C)C",
    "OB(O)c1ccccc1",
    "[Pt](Cl)(Cl)(N)N",
    "F[P-](F)(F)(F)(F)F",
    "FS(F)(F)(F)(F)F",
    "[O-]Cl(=O)(=O)=O",
    "[Na+2]",
    "[He]",
    "N#N",
    "CC.CC.CC",
    "[Na]OC(=O)C",
    "[2H][2H]",
    "[U]",
    "[SiH4]",
    "[C-]#[O+]",
    "BrC(Br)(Br)Br",
    "IC(I)(I)I",
    "C[As](C)(=O)O",
    "[Zn+2].[O-]C(=O)C.[O-]C(=O)C",
    "C~C",
    "[2H]c1ccccc1",
    "C1CC2CC1CC2",
    "[O-][n+]1ccccc1",
    "C=[N+]=[N-]",
    "CC(=O)O[Cu]OC(C)=O",
]


def solubility(number: int) -> list[str]:
    with (ROOT / "data/raw/solubility.csv").open(encoding="utf-8") as file:
        return random.Random(0).sample([row["smiles"] for row in csv.DictReader(file)], number)


def shared(path: str, column: str, number: int) -> list[str]:
    file = ROOT.parent / "shared/data" / path
    if not file.exists():
        pytest.skip(f"../shared/data/{path} is absent")
    content = gzip.decompress(file.read_bytes()) if path.endswith(".gz") else file.read_bytes()
    return random.Random(0).sample([row[column] for row in csv.DictReader(content.decode().splitlines())], number)


def rdkit_values(smiles: str) -> dict[str, float]:
    with rdBase.BlockLogs():
        values = Descriptors.CalcMolDescriptors(Chem.MolFromSmiles(smiles), missingVal=math.nan)
    values["Ipc"] = math.log1p(values["Ipc"])
    return {name: float(value) for name, value in values.items()}


def differences(smiles: list[str]) -> list[tuple[str, str, float, float]]:
    table, _ = compute_descriptors(smiles, workers=1)
    found = []
    for text, row in zip(smiles, table.iter_rows(named=True), strict=True):
        for name, expected in rdkit_values(text).items():
            value = math.nan if row[name] is None else row[name]
            if value != expected and not (math.isnan(value) and not math.isfinite(expected)):
                found.append((text, name, value, expected))
    return found


def test_there_are_217_in_rdkits_order():
    assert len(DESCRIPTOR_NAMES) == 217
    assert list(DESCRIPTOR_NAMES) == [name for name, _ in Descriptors.descList]


def test_values_are_rdkits_bit_for_bit():
    assert differences(solubility(40)) == []


def test_values_are_rdkits_for_salts_metals_isotopes_radicals_and_single_atoms():
    assert differences(ODD) == []


@pytest.mark.parametrize(
    ("path", "column"), [("zinc250k/zinc250k.csv.gz", "smiles"), ("biogen_adme_3521/biogen_adme_3521.csv", "SMILES")]
)
def test_values_are_rdkits_for_drug_like_molecules(path, column):
    assert differences(shared(path, column, 40)) == []


def test_integers_are_those_that_rdkit_returns_as_int_for_every_molecule():
    returned: dict[str, set[type]] = {}
    for text in [*solubility(20), "C", "CC.CC.CC"]:
        for name, value in Descriptors.CalcMolDescriptors(Chem.MolFromSmiles(text)).items():
            returned.setdefault(name, set()).add(type(value))
    assert {name for name, types in returned.items() if types == {int}} == INTEGER_DESCRIPTORS
    table, _ = compute_descriptors(["CCO"])
    assert {name for name, dtype in table.schema.items() if dtype == pl.Int64} == INTEGER_DESCRIPTORS
    assert {dtype for name, dtype in table.schema.items() if name not in INTEGER_DESCRIPTORS} == {pl.Float64}


def test_ipc_is_a_finite_logarithm():
    table, _ = compute_descriptors(["C", "CC", "c1ccc2ccccc2c1", "C" * 150])
    assert table["Ipc"].to_list()[0] == 0.0
    assert table["Ipc"][1] == pytest.approx(math.log(3))  # ethane: |x^2 - 1| has coefficients 1, 1; Ipc = 2 bits
    assert table["Ipc"].is_finite().all()
    assert table["Ipc"][3] > 70  # Ipc itself is above 1e30


def test_every_gap_has_its_reason_and_nothing_else_has():
    table, missing = compute_descriptors(ODD)
    assert sum(table.null_count().row(0)) == len(missing) > 50
    for text, row in zip(ODD, table.iter_rows(named=True), strict=True):
        gaps = {name for name, value in row.items() if value is None}
        assert gaps == set(missing.filter(smiles=text)["column"])
    assert not any(series.is_nan().any() for series in table if series.dtype == pl.Float64)


@pytest.mark.parametrize(
    ("smiles", "column", "reason"),
    [
        ("[Na+].[Cl-]", "BCUT2D_MWHI", "no Gasteiger charge parameters for Na, one of several fragments"),
        ("CC[Hg]C", "MaxPartialCharge", "no Gasteiger charge parameters for Hg sp"),
        ("[Pt](Cl)(Cl)(N)N", "BCUT2D_CHGLO", "no Gasteiger charge parameters for Pt"),
        ("[H][H]", "SPS", "no heavy atoms"),
    ],
)
def test_reasons_name_the_cause(smiles, column, reason):
    _, missing = compute_descriptors([smiles])
    assert missing.filter(column=column)["reason"].to_list() == [reason]


def test_bounds_hold_for_every_molecule_at_hand():
    table, _ = compute_descriptors([*ODD, *solubility(60)], workers=1)
    assert_within_bounds(table)


def test_bounds_hold_for_drug_like_molecules():
    table, _ = compute_descriptors(shared("zinc250k/zinc250k.csv.gz", "smiles", 60), workers=1)
    assert_within_bounds(table)


def assert_within_bounds(table: pl.DataFrame) -> None:
    bounds = descriptor_bounds()
    assert set(bounds) < set(DESCRIPTOR_NAMES)
    assert bounds["qed"] == bounds["FractionCSP3"] == (0.0, 1.0)
    assert bounds["RingCount"] == (0.0, None)
    for name, (lower, upper) in bounds.items():
        values = table[name].drop_nulls()
        assert lower is None or values.min() >= lower, name
        assert upper is None or values.max() <= upper, name


def test_the_table_does_not_depend_on_the_number_of_workers():
    smiles = ["C" * (1 + n % 12) + "(=O)O" for n in range(520)]
    reports = []
    alone, missing_alone = compute_descriptors(smiles, workers=1)
    together, missing_together = compute_descriptors(smiles, workers=2, progress=reports.append)
    assert alone.equals(together)
    assert missing_alone.equals(missing_together)
    assert [report.done for report in reports] == sorted({report.done for report in reports})
    assert (reports[-1].done, reports[-1].total) == (520, 520)


def test_no_molecules_give_an_empty_table():
    table, missing = compute_descriptors([])
    assert table.shape == (0, 217)
    assert missing.columns == ["smiles", "column", "reason"]


def test_an_invalid_smiles_is_named():
    with pytest.raises(TabsynError, match=r"'C\(\(' is not a valid SMILES"):
        compute_descriptors(["CC", "C(("])
