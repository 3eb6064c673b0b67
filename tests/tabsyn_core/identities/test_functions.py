import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabsyn_core.chemistry.definitions import DEFINITIONS
from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, compute_descriptors
from tabsyn_core.errors import TabsynError
from tabsyn_core.identities import Identities
from tabsyn_core.schema import TableSchema

ROOT = Path(__file__).parents[3]


def discover(table):
    return Identities.discover(table, TableSchema.infer(table))


def assert_recovered(table, identities):
    """What was dropped comes back: the same names, dtypes and gaps, exact integers, floats to rounding."""
    back = identities.complete(table.drop(identities.dependent))
    assert back.schema == table.schema
    for name in identities.dependent:
        assert back[name].is_null().equals(table[name].is_null(), null_equal=True)
        if table[name].dtype.is_integer():
            assert back[name].equals(table[name])
        found, expected = back[name].drop_nulls().to_numpy(), table[name].drop_nulls().to_numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max(initial=0))


@pytest.fixture(scope="module")
def descriptors():
    with (ROOT / "data/raw/solubility.csv").open(encoding="utf-8") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)]
    return compute_descriptors([*smiles[:1200:3], "[Fe]"], workers=1)[0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), parts=st.integers(2, 6), noise=st.integers(0, 10))
def test_a_total_of_counts_is_found_among_other_columns(seed, parts, noise):
    rng = np.random.default_rng(seed)
    counts = {f"part{j}": rng.poisson(0.3 + j, 400) for j in range(parts)}
    other = {f"other{j}": rng.poisson(2, 400) for j in range(noise)}
    table = pl.DataFrame({"total": sum(counts.values()), **other, **counts})
    identities = discover(table)
    assert identities.describe() == {"total": "total = " + " + ".join(counts)}
    assert_recovered(table, identities)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    slopes=st.lists(st.floats(0.1, 3).map(lambda slope: round(slope, 2)), min_size=2, max_size=4),
    constant=st.integers(-3, 3),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_a_real_linear_relation_is_found_in_any_unit(seed, slopes, constant, scale):
    rng = np.random.default_rng(seed)
    parts = {f"x{j}": scale * rng.normal(size=500) for j in range(len(slopes))}
    y = scale * constant + sum(slope * x for slope, x in zip(slopes, parts.values(), strict=True))
    table = pl.DataFrame({**parts, "noise": rng.normal(size=500), "y": y})
    identities = discover(table)
    (name,) = identities.dependent
    assert name in {"y", *parts}
    assert set(identities.identities[0].inputs) == {"y", *parts} - {name}
    assert_recovered(table, identities)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    powers=st.lists(st.sampled_from([-2, -1, 1, 2]), min_size=2, max_size=3),
    factor=st.sampled_from([1.0, 100.0, 0.01]),
)
def test_a_product_of_powers_is_found(seed, powers, factor):
    rng = np.random.default_rng(seed)
    inputs = {f"x{j}": rng.lognormal(size=500) for j in range(len(powers))}
    powered = (x**power for x, power in zip(inputs.values(), powers, strict=True))
    table = pl.DataFrame({**inputs, "noise": rng.normal(size=500), "y": factor * np.prod([*powered], axis=0)})
    identities = discover(table)
    if factor == 1 or 1 in powers:
        assert len(identities.dependent) == 1
        assert set(identities.dependent) < {"y", *inputs}
    assert_recovered(table, identities)


@pytest.mark.parametrize(
    ("compute", "text"),
    [
        (np.maximum, "max(a, b)"),
        (np.minimum, "min(a, b)"),
        (lambda a, b: np.maximum(np.abs(a), np.abs(b)), "max(|a|, |b|)"),
        (lambda a, b: np.minimum(np.abs(a), np.abs(b)), "min(|a|, |b|)"),
        (lambda a, _: np.abs(a), "|a|"),
        (lambda a, b: 3 * a / b, "3 * a / b"),
    ],
)
def test_extremes_and_ratios_are_written_as_they_were_made(compute, text):
    a, b, noise = np.random.default_rng(0).normal(size=(3, 500))
    table = pl.DataFrame({"y": compute(a, b), "a": a, "b": b, "noise": noise})
    identities = discover(table)
    if "/" in text:  # a ratio may as well be read as a product
        assert len(identities.dependent) == 1
    else:
        assert identities.describe() == {"y": f"y = {text}"}
    assert_recovered(table, identities)


def test_a_bank_ledger_recomputes_the_balance_to_the_cent():
    rng = np.random.default_rng(0)
    previous, amount = np.round(rng.lognormal(8, 1, 3000), 2), np.round(rng.normal(0, 50, 3000), 2)
    kind = np.where(amount < 0, "withdrawal", "credit")
    table = pl.DataFrame(
        {"kind": kind, "amount": amount, "balance": np.round(previous + amount, 2), "before": previous}
    )
    identities = discover(table)
    assert identities.describe() == {
        "balance": "balance = amount + before",
        "kind": "kind is cut from amount: 'withdrawal' up to 0, 'credit' above",
    }
    assert identities.complete(table.drop("balance", "kind")).equals(table)


def test_an_order_recomputes_totals_through_one_another():
    rng = np.random.default_rng(0)
    price, quantity = np.round(rng.gamma(3, 5, 2000), 2), rng.poisson(2, 2000)
    table = pl.DataFrame({"tax": price * quantity * 0.21, "price": price, "quantity": quantity})
    table = table.with_columns(total=(pl.col("price") * pl.col("quantity")).round(2))
    identities = discover(table)
    assert identities.describe() == {"tax": "tax = 0.21 * total", "total": "total = price * quantity"}
    assert [dict(i.forms[0].terms) for i in identities.identities if i.column == "tax"] == [{"total": 0.21}]
    assert_recovered(table, identities)


def test_equal_columns_keep_one_of_them_whatever_their_number():
    x = np.random.default_rng(0).poisson(1, 300)
    table = pl.DataFrame({"a": x, "b": x, "c": x.astype(float), "d": 2 * x + 1})
    identities = discover(table)
    assert len(identities.dependent) == 3
    assert_recovered(table, identities)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 3, 10, 31, 60, 200]),
    columns=st.integers(1, 60),
    kind=st.sampled_from(["binary", "counts", "normal", "cents", "rare"]),
)
def test_chance_is_not_taken_for_a_law(seed, rows, columns, kind):
    rng = np.random.default_rng(seed)
    shape = (rows, columns)
    values = {
        "binary": rng.integers(0, 2, shape),
        "counts": rng.poisson(2, shape),
        "normal": rng.normal(size=shape),
        "cents": np.round(rng.gamma(2, 3, shape), 2),
        "rare": rng.poisson(0.02, shape),
    }
    table = pl.DataFrame(values[kind])
    identities = discover(table)
    assert identities.identities == ()
    assert all(table[name].n_unique() == 1 for name in identities.dependent)
    assert identities.constraints() == []


@pytest.mark.parametrize("rows", [1, 3, 10])
def test_a_tiny_table_shows_no_law_but_a_definition_needs_no_proof(rows):
    a, b = np.arange(rows), np.arange(rows)[::-1] % 3
    table = pl.DataFrame({"a": a, "b": b, "s": a + b, "fr_COO": a + b, "fr_Al_COO": a, "fr_Ar_COO": b})
    assert discover(table).dependent == ("fr_COO",)
    assert_recovered(table, discover(table))


def test_a_definition_that_the_data_break_in_one_row_is_not_used():
    table = pl.DataFrame({"fr_COO": [1, 2, 1], "fr_Al_COO": [1, 1, 0], "fr_Ar_COO": [0, 1, 0]})
    assert discover(table).dependent == ()


def test_one_row_that_disobeys_is_enough_to_refuse():
    a, b = np.random.default_rng(0).normal(size=(2, 5000))
    table = pl.DataFrame({"a": a, "b": b, "s": a + b, "m": np.maximum(a, b), "p": a * b})
    assert len(discover(table).dependent) == 3
    table[4321, "s"] += 1e-5
    table[17, "m"] += 1e-5
    table[17, "p"] *= 1.00001
    assert discover(table).dependent == ()


@pytest.mark.parametrize("with_total", [False, True])
def test_a_zero_inflated_column_is_never_a_difference(with_total):
    # Two families share out one total, as RDKit's VSA bins do.
    rng = np.random.default_rng(0)
    atoms = np.where(rng.random((9, 800)) < 0.6, 0, rng.gamma(2, size=(9, 800))).reshape(3, 3, 800)
    by_charge = {f"charge{j}": x for j, x in enumerate(atoms.sum(axis=0))}
    by_weight = {f"weight{j}": np.where(x > 1, x, 0) for j, x in enumerate(atoms.sum(axis=1))}
    rest = sum(by_charge.values()) - sum(by_weight.values())
    table = pl.DataFrame({**by_charge, **by_weight, "rest": np.where(rest > 1e-9, rest, 0)})
    if with_total:
        table = table.with_columns(total=pl.sum_horizontal(*by_charge))
    identities = discover(table)
    assert identities.dependent == (("total",) if with_total else ())
    assert_recovered(table, identities)


def test_a_column_on_an_irregular_lattice_is_never_a_difference():
    # Like the VSA bins again, but without an atom at zero: sums of contributions, no two of them commensurable.
    rng = np.random.default_rng(0)
    first, second, third = (rng.poisson(6, (2, 1000)).T @ [5.7431, 6.0317] for _ in range(3))
    table = pl.DataFrame({"a": first, "b": second, "c": third, "d": first + second - third})
    assert all(column.value_counts()["count"].max() < 100 for column in table)
    assert discover(table.with_columns(pl.all() + 1 / 3)).dependent == ()


def test_errors_of_the_inputs_are_not_blown_up():
    rng = np.random.default_rng(0)
    b, c, d, small = rng.normal(size=(4, 500))
    table = pl.DataFrame({"a": b - c + d + 1e-3 * small, "b": b, "c": c, "d": d, "small": 9 * small})
    identities = discover(table)
    assert len(identities.dependent) == 1
    assert "small" not in identities.dependent


def test_a_column_that_hardly_varies_fixes_no_coefficient():
    rng = np.random.default_rng(0)
    a, rare = rng.poisson(3, 500), np.arange(500) % 100 == 0
    assert discover(pl.DataFrame({"a": a, "rare": rare.astype(int), "s": a + rare})).dependent == ()


@pytest.mark.parametrize(("patterns", "believed"), [(5, False), (30, True)])
def test_few_different_rows_prove_little_however_often_they_are_repeated(patterns, believed):
    a, b = np.random.default_rng(0).permuted(np.tile(np.arange(patterns), (2, 1)), axis=1)
    table = pl.DataFrame(np.tile([a, b, a + b], 100).T, schema=["a", "b", "s"])
    assert discover(table).dependent == (("s",) if believed else ())


def test_a_count_is_never_a_difference():
    a, b, c = np.random.default_rng(0).poisson(40, (3, 2000))
    identities = discover(pl.DataFrame({"a": a, "b": b, "c": c, "d": a + b - c}))
    assert (a + b - c).min() >= 0
    assert identities.dependent == ()


def test_a_sum_that_exceeds_its_dtype_stays_within_it():
    a, b = np.random.default_rng(0).integers(0, 100, (2, 200))
    table = pl.DataFrame({"a": a, "b": b, "s": a + b}).cast(pl.UInt8)
    rows = pl.DataFrame({"a": [200], "b": [100]}).cast(pl.UInt8)
    assert discover(table).complete(rows)["s"].to_list() == [255]


def test_missing_inputs_give_gaps_only_where_training_shows_it():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 1000))
    a[rng.random(1000) < 0.2] = np.nan
    b[rng.random(1000) < 0.3] = np.nan
    table = pl.DataFrame({"a": a, "b": b, "c": c, "kept": a + b + c, "least": np.minimum(a, c), "power": a * b})
    table = table.fill_nan(None)
    identities = discover(table)
    assert {name: text.split(" = ")[1] for name, text in identities.describe().items()} == {
        "kept": "a + b + c",
        "least": "min(a, c)",
        "power": "a * b",
    }
    assert_recovered(table, identities)
    filled = table.select("a", "c", filled=np.where(np.isnan(a), 0.0, a - c), least_known=np.fmin(a, c))
    assert discover(filled).dependent == ()


def test_all_missing_constant_and_text_columns_do_not_disturb():
    table = pl.DataFrame({"gone": [None] * 50, "one": [1] * 50, "text": ["a", "b"] * 25, "x": range(50)})
    table = table.with_columns(pl.col("gone").cast(pl.Float64), y=-pl.col("x"))
    identities = discover(table)
    assert len(identities.identities) == 1
    assert identities.identities[0].column in {"x", "y"}
    assert_recovered(table, identities)
    assert discover(table.select("gone", "one", "text")).dependent == ("gone", "one")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from([pl.Int16, pl.UInt8, pl.Float32, pl.Int64]))
def test_recomputed_values_have_the_dtype_and_keep_to_the_bounds(seed, kind):
    rng = np.random.default_rng(seed)
    a, b = rng.poisson(3, (2, 300))
    table = pl.DataFrame({"a": a, "b": b, "s": a + b}).cast(kind)
    schema = TableSchema.infer(table, bounds={"s": (0, 9)})
    identities = Identities.discover(table, schema)
    assert identities.dependent == ("s",)
    back = identities.complete(table.drop("s"))
    assert back.schema == table.schema
    assert back["s"].to_list() == np.clip(a + b, 0, 9).tolist()


def test_a_missing_input_is_named():
    a, b = np.random.default_rng(0).normal(size=(2, 100))
    identities = discover(pl.DataFrame({"a": a, "b": b, "s": a + b}))
    rows = pl.DataFrame({"s": [1.0]}).drop(identities.dependent, strict=False)
    with pytest.raises(TabsynError, match=r"columns .* are needed"):
        identities.complete(rows)


def test_descriptors_come_back_and_the_definitions_are_among_them(descriptors):
    identities = discover(descriptors)
    texts = identities.describe()
    assert texts["RingCount"] == "RingCount = NumAromaticRings + NumAliphaticRings"
    assert texts["MinAbsPartialCharge"] == "MinAbsPartialCharge = min(|MaxPartialCharge|, |MinPartialCharge|)"
    assert texts["Phi"] == "Phi = Kappa1 * Kappa2 / HeavyAtomCount"
    assert {"fr_COO", "fr_Nhpyrrole", "MaxAbsEStateIndex", "NumHeterocycles"} <= texts.keys()
    computed = {identity.column for identity in identities.identities}
    assert not any("_VSA" in name for name in computed)  # on a lattice of atom contributions: never recomputed
    assert_recovered(descriptors, identities)


def test_discovery_finds_what_rdkit_defines_without_being_told(descriptors):
    renamed = descriptors.rename({name: f"x{j}" for j, name in enumerate(descriptors.columns)})
    identities = discover(renamed)
    back = {f"x{j}": name for j, name in enumerate(descriptors.columns)}
    found = {back[name] for name in identities.dependent}
    assert {"RingCount", "Phi", "MinAbsPartialCharge", "MaxAbsPartialCharge", "NumHeterocycles"} <= found
    assert not any("_VSA" in back[identity.column] for identity in identities.identities)
    assert_recovered(renamed, identities)


def test_every_definition_speaks_of_descriptors_and_holds_for_ordinary_molecules():
    table = compute_descriptors(["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "OC(=O)C1CCCN1"], workers=1)[
        0
    ]
    assert {d.column for d in DEFINITIONS} == {*discover(table).dependent}
    for definition in DEFINITIONS:
        assert {name for terms, _, _ in definition.forms for name in terms} <= {*DESCRIPTOR_NAMES}


def test_json_brings_back_the_same_identities(descriptors):
    identities = discover(descriptors)
    again = Identities.from_json(json.loads(json.dumps(identities.to_json())))
    assert again == identities
    assert again.complete(descriptors).equals(identities.complete(descriptors))
