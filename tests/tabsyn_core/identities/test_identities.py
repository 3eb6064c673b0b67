"""All laws of one table together: descriptors, a ledger, gaps, JSON, and what real rows make of them."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tabsyn_core.chemistry import rules
from tabsyn_core.chemistry.definitions import BALANCES, LINEAR_PARTS, ORDERINGS, WHOLES, parsed
from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, compute_descriptors
from tabsyn_core.errors import TabsynError
from tabsyn_core.identities import Identities
from tabsyn_core.schema import TableSchema

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared" / "data"


def discover(table):
    return Identities.discover(table, TableSchema.infer(table))


def scrambled(table, share, seed=0):
    """Rows a share of whose values come from other rows, each column by itself."""
    rng = np.random.default_rng(seed)
    rows = np.arange(table.height)
    return table.select(
        pl.col(name).gather(np.where(rng.random(table.height) < share, rng.permutation(rows), rows))
        for name in table.columns
    )


@pytest.fixture(scope="module")
def descriptors():
    with (ROOT / "data/raw/solubility.csv").open(encoding="utf-8") as file:
        smiles = list(dict.fromkeys(row["smiles"] for row in csv.DictReader(file)))
    return compute_descriptors(smiles[::2], workers=1)[0]


@pytest.fixture(scope="module")
def found(descriptors):
    return discover(descriptors[::2])


def test_real_rows_are_left_as_they_are_and_those_not_seen_obey(descriptors, found):
    for rows in (descriptors[::2], descriptors[1::2].filter(found.obeyed(descriptors[1::2]))):
        back = found.complete(rows)
        assert back.schema == rows.schema
        for name in rows.columns:
            assert back[name].is_null().equals(rows[name].is_null())
            np.testing.assert_allclose(back[name].drop_nulls(), rows[name].drop_nulls(), rtol=1e-9, atol=1e-12)
    assert found.obeyed(descriptors[::2]).all()
    unseen = {law: broken.mean() for law, broken in found.broken(descriptors[1::2]).items() if broken.any()}
    assert max(unseen.values(), default=0) <= 0.01
    assert found.obeyed(descriptors[1::2]).mean() >= 0.96


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_scrambled_descriptors_obey_every_rule_of_chemistry_afterwards(descriptors, found, share):
    rows = scrambled(descriptors[::2], share)
    assert rules.obeys(rows).mean() < 0.5
    done = found.complete(rows)
    obeyed = found.obeyed(done)
    assert obeyed.mean() > 0.98
    assert pl.concat([found.complete(rows[:77]), found.complete(rows[77:])]).equals(done)
    assert rules.obeys(done).filter(obeyed).all()
    for name in {*DESCRIPTOR_NAMES} - {*found.dependent}:
        seen = descriptors[::2][name]
        assert done[name].drop_nulls().is_between(seen.min() - 1e-9, seen.max() + 1e-9).all()


def test_the_constraints_are_said_in_words(found):
    words = found.constraints()
    assert {
        "NHOHCount + fr_SH = fr_NH2 + NumHDonors",
        "FpDensityMorgan2 * HeavyAtomCount is whole",
        "FractionCSP3 * (HeavyAtomCount - NumHeteroatoms) is whole",
        "MolWt - HeavyAtomMolWt is a multiple of 1.008",
        "FpDensityMorgan1 <= FpDensityMorgan2",
        "2 * [NumSpiroAtoms > 0] <= RingCount",
        "MinAbsEStateIndex <= |MinEStateIndex|",
        "ln(1 + AvgIpc) <= Ipc",
    } <= {*words}
    assert sum(word.startswith("PEOE_VSA1 +") and "= SMR_VSA1 +" in word for word in words) == 1


def test_what_chemistry_says_speaks_of_descriptors():
    parts = [text for ordering in (*ORDERINGS, *LINEAR_PARTS) for text in (*ordering.small, *ordering.large)]
    names = {parsed(text)[1] for text in parts} | {name for balance in BALANCES for name in balance}
    names |= {name for whole in WHOLES for terms, _, _ in whole.factors for name in (whole.column, *terms)}
    assert names <= {*DESCRIPTOR_NAMES}


def test_what_chemistry_says_holds_for_the_embedded_molecules(descriptors):
    stated = discover(descriptors[:20]).constraints()  # too few rows to show anything
    for law, column in (("is whole", "FpDensityMorgan3"), ("<=", "fr_priamide"), ("=", "NumHDonors")):
        assert any(law in words and column in words for words in stated)
    assert not any("fr_ketone <= fr_C_O_noCOO" in words for words in stated)


def test_json_brings_everything_back(descriptors, found):
    again = Identities.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    rows = scrambled(descriptors[:100], 0.1)
    assert again.complete(rows).equals(found.complete(rows))


def test_json_of_an_older_version_has_identities_only(found):
    content = json.loads(json.dumps(found.to_json()))
    old = Identities.from_json({name: content[name] for name in ("schema", "identities")})
    assert old.identities == found.identities
    assert old.constraints() == []
    assert old.dependent == tuple(
        identity for identity in found.dependent if identity in {i.column for i in found.identities}
    )


def test_gaps_stop_no_other_law():
    rng = np.random.default_rng(0)
    a, b = rng.poisson(4, (2, 3000))
    table = pl.DataFrame({"a": a, "b": b, "low": rng.binomial(a, 0.8)})
    gaps = {name: pl.when(pl.Series(rng.random(3000) < 0.2)).then(None).otherwise(name).alias(name) for name in "ab"}
    table = table.with_columns(**gaps).with_columns(total=pl.col("a") + pl.col("b"))
    identities = discover(table)
    assert identities.describe() == {"total": "total = a + b"}
    assert {*identities.constraints()} >= {"low <= a"}
    assert identities.obeyed(table).all()
    done = identities.complete(scrambled(table, 0.5))
    assert identities.obeyed(done).all()
    assert done["total"].is_null().equals(done["a"].is_null() | done["b"].is_null())


def ledger(rng, rows):
    """Cents of an account before and after each of its movements."""
    amount = rng.integers(1, 500_000, rows)
    deposit = rng.random(rows) < 0.55
    before = rng.integers(500_000, 9_000_000, rows)
    after = before + np.where(deposit, amount, -amount)
    signed = np.where(deposit, amount, -amount)
    return pl.DataFrame({"before": before / 100, "signed": signed / 100, "balance": after / 100, "deposit": deposit})


def test_a_ledger_is_exact_to_the_cent():
    table = ledger(np.random.default_rng(0), 3000)
    identities = discover(table)
    assert identities.describe()["balance"] == "balance = before + signed"
    assert identities.complete(table.drop(identities.dependent)).equals(table)
    done = identities.complete(scrambled(table, 0.3))
    cents = done.select((pl.col("before") * 100).round() + (pl.col("signed") * 100).round()).to_series()
    assert (done["balance"] * 100 - cents).abs().max() < 1e-6
    assert done["balance"].equals(done["balance"].round(2))


def test_the_balance_of_a_real_bank_follows_from_the_one_before():
    path = SHARED / "berka_part" / "trans_part.csv.gz"
    if not path.exists():
        pytest.skip("needs ../shared/data/berka_part")
    table = pl.read_csv(path, infer_schema_length=None)
    signed = pl.when(pl.col("type") == "PRIJEM").then("amount").otherwise(-pl.col("amount"))
    table = table.sort("account_id", "date", "trans_id", maintain_order=True).select(
        "amount", "balance", signed=signed.round(2), before=pl.col("balance").shift(1).over("account_id")
    )
    table = table.drop_nulls().filter((pl.col("before") + pl.col("signed") - pl.col("balance")).abs() < 1e-6)
    assert table.height > 1000
    identities = discover(table)
    assert "balance = signed + before" in identities.describe().values()
    assert identities.complete(table.drop(identities.dependent)).equals(table)


@pytest.mark.parametrize(
    ("path", "laws"),
    [
        ("adult/adult.csv.gz", ["education-num is looked up by education (16 levels)"]),
        ("shoppers/online_shoppers_intention.csv", []),
        ("magic/magic04.csv", ["Width <= Length"]),
        ("beijing_pm25/beijing_pm25.csv", []),
    ],
)
def test_real_tables_show_the_laws_that_they_have_and_no_others(path, laws):
    if not (SHARED / path).exists():
        pytest.skip(f"needs ../shared/data/{path}")
    table = pl.read_csv(SHARED / path, infer_schema_length=None, null_values=["NA", "?"])
    table = table.sample(fraction=1, shuffle=True, seed=0)
    half = table.height // 2
    identities = discover(table[:half])
    assert [*identities.describe().values(), *identities.constraints()] == laws
    assert identities.complete(table[:half]).equals(table[:half])
    assert identities.obeyed(table[half:]).mean() > 0.999


def test_a_missing_column_is_named():
    a = np.random.default_rng(0).poisson(3, 500)
    table = pl.DataFrame({"a": a, "b": a + 1})
    with pytest.raises(TabsynError, match=r"\['b'\] are missing"):
        discover(table).obeyed(table.drop("b"))
