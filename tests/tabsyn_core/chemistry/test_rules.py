import math
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from tabsyn_core.chemistry.rules import RULES, broken, obeys, obeys_all, rules_of, violations

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "data"

ODD = """
    C [H][H] [2H][2H] [H+] O [Na+] [Cl-] [Na+].[Cl-] [Fe+2] [Xe] [U+6] [Pu] [Zn] [K+].[Br-] [NH4+].[Cl-] [Cs+].[I-]
    [CH3] C[CH] [O][O] O=[N] [13CH4] [2H]C([2H])([2H])C([2H])([2H])[2H] [2H]O[2H] [2H]N([2H])C [2H]c1ccccc1
    * *C(=O)O *C(*)(*)* C[Mg]Br CC(=O)[O-].[Na+] [NH3][Pt]([NH3])(Cl)Cl F[P-](F)(F)(F)(F)F O=S(=O)(O)O
    OP(=O)(O)OP(=O)(O)O C[Si](C)(C)C C[Sn](C)(C)C C[Hg]C B C[Se]C c1cc[te]c1 C[n+]1ccccc1 c1ccc2ccccc2c1
    C12C3C4C1C5C2C3C45 C12C3C4C1C5C2N3C45 C1CCC2(CC1)CCCCC2 C1CN2CCC1CC2 [N-]=[N+]=NC [C-]#[O+] C#N O=C=O CN=C=O
    CN=C=S CSC#[N+]C C[N+]#[C-] C[I+]C C[Br+]CC IC(I)I IC(I)(I)I Ic1[nH]c(I)c(I)c1I CC(=[OH+])O CC(=[OH+])C OO ClCl
    [H-].[Na+] NC(=N)N NC(N)=O O=C1CC(=O)NC(=O)N1 O=[N+]([O-])c1ccccc1 CC(=O)OC(C)=O OC=O O=C(O)C(=O)O OCC(S)CS
    C[N+](C(C)=O)(C(C)=O)C(C)=O [NH2+](C(=O)C)C(=O)C [Fe+2].c1cc[cH-]c1.c1cc[cH-]c1
    CN(C)c1ccc2nc3ccc(=[N+](C)C)cc-3sc2c1
    O=C(O)c1ccccc1-c1c2ccc(=O)cc-2oc2cc(O)ccc12 c1cc2cccc3c4cccc5cccc(c(c1)c23)c45 c1ccc2c(c1)-c1ccccc1-2
    CCC1(c2ccccc2)C(=O)NC(=O)NC1=O CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21 CC(C)(C)NCC(O)c1ccc(O)c(CO)c1
    c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3c3c8c4c4c9c5c1c1c6c2c3c41
""".split()  # noqa: SIM905  # one a line would take a page


def describe(smiles):
    """RDKit's own values, ``Ipc`` as ln(1 + Ipc), missing where RDKit has none."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        assert molecule is not None, smiles
        values = Descriptors.CalcMolDescriptors(molecule)
    values["Ipc"] = math.log1p(values["Ipc"])
    return {name: value if value is not None and math.isfinite(value) else None for name, value in values.items()}


def table_of(smiles):
    rows = pl.DataFrame([describe(each) for each in smiles], infer_schema_length=None)
    return rows.with_columns(pl.all().cast(pl.Float64)).insert_column(0, pl.Series("smiles", smiles))


@cache
def embedded():
    smiles = pl.read_csv(ROOT / "data/raw/solubility.csv")["smiles"].unique(maintain_order=True)
    return table_of(smiles.gather_every(len(smiles) // 200).to_list())


@cache
def odd():
    return table_of(ODD)


def column_of(path, name, count):
    values = pl.read_csv(SHARED / path, infer_schema_length=0)[name].drop_nulls().unique(maintain_order=True)
    return values.gather_every(max(len(values) // count, 1)).head(count).to_list()


def assert_obeyed(table):
    found = violations(table).filter(pl.col("violated") > 0)
    blamed = {row["rule"]: table["smiles"][row["example"]] for row in found.iter_rows(named=True)}
    assert blamed == {}
    assert obeys(table).all()


def test_molecules_of_the_embedded_data_obey_every_rule():
    assert_obeyed(embedded())


def test_odd_molecules_obey_every_rule():
    assert_obeyed(odd())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("zinc250k/zinc250k.csv.gz", "smiles"),
        ("biogen_adme_3521/biogen_adme_3521.csv", "SMILES"),
        ("tdc/bbb_martins.csv", "Drug"),
        ("tdc/hia_hou.csv", "Drug"),
    ],
)
def test_drug_like_molecules_obey_every_rule(path, name):
    if not (SHARED / path).exists():
        pytest.skip(f"optional data {path} is not in ../shared/data")
    assert_obeyed(table_of(column_of(path, name, 60)))


def test_rules_are_named_once_and_speak_of_descriptors_only():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    known = {name for name, _ in Descriptors.descList}
    for rule in RULES:
        assert set(rule.columns) <= known, rule.name
        assert rule.equation
        assert rule.source
        assert all(column in rule.equation for column in rule.columns), rule.name


def test_every_rule_can_be_broken_by_one_wrong_value():
    first = embedded().fill_null(0.0).head(1)
    shifts = (-1e4, -0.5, 0.5, 1e4)
    changed = [name for name in first.columns[1:] for _ in shifts]
    rows = [first.with_columns(pl.col(name) + shift) for name in first.columns[1:] for shift in shifts]
    marks = broken(pl.concat(rows))
    breaking = {rule.name: {changed[row] for row in marks[rule.name].arg_true()} for rule in RULES}
    assert [rule.name for rule in RULES if not breaking[rule.name]] == []
    assert all(breaking[rule.name] <= set(rule.columns) for rule in RULES)


@pytest.mark.parametrize(
    "column",
    ["MaxAbsPartialCharge", "MinAbsPartialCharge", "MaxAbsEStateIndex", "Phi", "RingCount", "PEOE_VSA1", "SMR_VSA5"],
)
def test_identities_see_one_part_in_ten_thousand(column):
    table = embedded().drop_nulls()
    assert obeys(table).all()
    assert not obeys(table.with_columns(pl.col(column) + 1e-4 * pl.max_horizontal(pl.lit(1.0), "LabuteASA"))).any()


def test_a_broken_row_is_found_counted_and_named():
    table = embedded().with_columns(
        RingCount=pl.when(pl.int_range(pl.len()).is_in([5, 9])).then(pl.col("RingCount") + 7).otherwise("RingCount")
    )
    name = "RingCount = NumAromaticRings + NumAliphaticRings"
    row = violations(table).row(by_predicate=pl.col("rule") == name, named=True)
    assert row["violated"] == 2
    assert row["example"] == 5
    assert row["share"] == pytest.approx(2 / table.height)
    assert set(row["columns"]) == {"RingCount", "NumAromaticRings", "NumAliphaticRings"}
    assert obeys(table).arg_true().to_list() == [index for index in range(table.height) if index not in (5, 9)]


def test_a_rule_applies_only_where_all_its_columns_are_present():
    impossible = pl.DataFrame({"RingCount": [9.0], "NumAromaticRings": [1.0], "other": ["text"]})
    found = violations(impossible)
    assert "RingCount = NumAromaticRings + NumAliphaticRings" not in found["rule"].to_list()
    assert found["violated"].sum() == 0
    whole = impossible.with_columns(NumAliphaticRings=1.0)
    assert not obeys(whole).item()


def test_what_every_row_obeys_holds_without_the_columns_that_never_varied():
    table = embedded()
    constant = [column.name for column in table if column.n_unique() == 1]
    assert "SMR_VSA8" in constant
    varying = table.drop(constant)
    name = "LabuteASA is the sum of SMR_VSA and the hydrogens"
    names = rules_of(varying)
    assert name not in broken(varying).columns
    assert name in names
    assert obeys_all(varying, names).all()
    assert not obeys_all(varying.with_columns(pl.col("LabuteASA") * 1.2), names).any()


def test_a_rule_that_a_row_breaks_without_its_absent_columns_is_none():
    table = embedded().drop("NumAromaticRings")
    names = rules_of(table)
    assert "RingCount = NumAromaticRings + NumAliphaticRings" not in names
    odd = table.with_columns(MolWt=pl.when(pl.int_range(pl.len()) == 3).then(-1.0).otherwise("MolWt"))
    assert set(rules_of(odd)) < set(names)
    assert rules_of(pl.DataFrame({"x": [1.0]})) == ()


@pytest.mark.parametrize("gap", [None, math.nan])
def test_a_missing_value_is_no_violation(gap):
    row = {"MaxAbsPartialCharge": [9.0], "MaxPartialCharge": [0.1], "MinPartialCharge": [-0.2]}
    assert not obeys(pl.DataFrame(row)).item()
    row["MinPartialCharge"] = [gap]
    assert obeys(pl.DataFrame(row, strict=False)).item()


def test_an_infinite_value_is_a_violation():
    assert not obeys(pl.DataFrame({"MolWt": [math.inf], "HeavyAtomMolWt": [math.inf]})).item()


@pytest.mark.parametrize("table", [pl.DataFrame(), pl.DataFrame({"age": [1, 2], "job": ["a", "b"]})])
def test_a_table_without_descriptors_obeys(table):
    assert violations(table).height == 0
    assert obeys(table).to_list() == [True] * table.height


def test_a_table_without_rows_has_no_violations():
    empty = embedded().clear()
    assert violations(empty)["violated"].sum() == 0
    assert violations(empty)["share"].sum() == 0
    assert obeys(empty).len() == 0


def test_integer_columns_give_the_same_answer_as_float_columns():
    table = embedded().with_columns(RingCount=pl.col("RingCount") + (pl.int_range(pl.len()) == 3))
    whole = table.with_columns(pl.col("^(fr_|Num).*$", "RingCount", "NOCount", "HeavyAtomCount").cast(pl.Int64))
    assert violations(whole).equals(violations(table))


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_rows_are_judged_one_by_one(data):
    """Shuffling and cutting a damaged table shuffles and cuts the judgement."""
    source = embedded()
    names = data.draw(st.lists(st.sampled_from(source.columns[1:]), min_size=1, max_size=4, unique=True))
    row = data.draw(st.integers(0, source.height - 1))
    shift = data.draw(st.floats(-50, 50))
    damaged = source.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.col(name) + shift).otherwise(name).alias(name) for name in names
    )
    order = np.random.default_rng(row).permutation(source.height)[: data.draw(st.integers(1, source.height))]
    judged = obeys(damaged)
    assert obeys(damaged[order]).equals(judged.gather(order))
    assert judged.drop_nulls().len() == source.height
    assert (~judged).sum() <= 1
