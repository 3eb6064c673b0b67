import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binomtest

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.attacks import (
    ATTEMPTS,
    UNTESTED,
    Risk,
    attacks,
    column_halves,
    privacy_risk,
    risk_line,
    secret_columns,
    success_rate,
)
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.membership import membership
from tabsyn_core.evaluation.neighbours import MIN_HOLDOUT
from tabsyn_core.evaluation.predicates import (
    Condition,
    counts,
    guessed,
    on_one_column,
    on_several_columns,
    singled_out,
)
from tabsyn_core.evaluation.privacy import copies
from tabsyn_core.evaluation.tables import align


def rows(count, seed):
    rng = np.random.default_rng(seed)
    x, y, z = rng.normal(size=(3, count))
    return pl.DataFrame(
        {
            "x": x,
            "y": 2 * x + y,
            "z": np.exp(z),
            "n": rng.poisson(5, count),
            "c": np.where(x + 0.5 * rng.normal(size=count) > 0, "a", "b"),
            "d": rng.choice(["p", "q", "r"], count),
        }
    )


def aligned(train, holdout, other):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": other}, seed=0).values())


def one(table):
    return align({"one": table}, seed=0)["one"]


def run(train, holdout, other, seed=0, targets=()):
    return attacks(*aligned(train, holdout, other), seed, targets)


def by_name(risks):
    return {risk.name: risk for risk in risks}


# Rates and risks


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2000), st.floats(0, 1))
def test_success_rates_have_wilson_intervals(attempts, share):
    successes = round(share * attempts)
    rate = success_rate(successes, attempts)
    expected = binomtest(successes, attempts).proportion_ci(method="wilson")
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert rate.value == pytest.approx((rate.low + rate.high) / 2)


def test_the_risk_is_the_gain_over_the_control_as_a_share_of_what_there_is_to_gain():
    attack, control = success_rate(60, 100), success_rate(20, 100)
    risk = privacy_risk(attack, control)
    assert risk.value == pytest.approx((attack.value - control.value) / (1 - control.value))
    assert privacy_risk(control, control).value == 0
    assert privacy_risk(control, attack).value == 0
    assert privacy_risk(success_rate(10_000, 10_000), control).value == pytest.approx(1, abs=0.001)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(0, 200))
def test_the_interval_of_the_risk_propagates_both_margins(hits, control_hits):
    attack, control = success_rate(hits, 200), success_rate(control_hits, 200)

    def risk(r_train, r_control):
        return (r_train - r_control) / (1 - r_control)

    step = 1e-6
    middle = risk(attack.value, control.value)
    slopes = np.array(
        [risk(attack.value + step, control.value) - middle, risk(attack.value, control.value + step) - middle]
    )
    margins = np.array([attack.high - attack.value, control.high - control.value])
    spread = np.linalg.norm(slopes / step * margins)
    found = privacy_risk(attack, control)
    assert found.low == pytest.approx(np.clip(middle - spread, 0, 1), abs=1e-3)
    assert found.high == pytest.approx(np.clip(middle + spread, 0, 1), abs=1e-3)


# Known answers


def test_a_table_that_is_the_training_table_gives_everything_away():
    risks = run(rows(400, 0), rows(400, 1), rows(400, 0), targets=("y", "c"))
    assert [risk.name for risk in risks] == [
        "singling out by one column",
        "singling out by several columns",
        "linkability",
        "inference of y",
        "inference of c",
    ]
    for risk in risks:
        assert risk.risk > 0.9, risk.name
        assert risk.low > 0.8, risk.name
        assert risk.attack.value > max(risk.control.value, risk.baseline.value)
        assert risk.why is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("train", "holdout"), [(400, 400), (900, 300), (300, 600)])
def test_fresh_rows_give_nothing_away(train, holdout, seed):
    for risk in run(rows(train, seed), rows(holdout, seed + 50), rows(500, seed + 100), seed):
        assert risk.low == 0, risk.name
        assert risk.risk < 0.2, risk.name


def test_copied_rows_are_linked_in_proportion():
    train, holdout, fresh = rows(400, 0), rows(400, 1), rows(400, 2)
    found = [
        by_name(run(train, holdout, pl.concat([fresh[copied:], train[:copied]])))["linkability"].risk
        for copied in (0, 100, 200)
    ]
    assert found == pytest.approx([0, 0.25, 0.5], abs=0.08)


def test_a_secret_that_follows_from_the_population_is_no_risk():
    def determined(count, seed):
        return rows(count, seed).with_columns(w=10 + pl.col("x").round(0), v=20 + 2 * pl.col("x").round(0))

    risk = by_name(run(determined(400, 0), determined(400, 1), determined(400, 2), targets=("v",)))["inference of v"]
    assert risk.attack.value > 0.85
    assert risk.control.value > 0.85
    assert risk.low == 0


def test_an_attack_that_is_no_better_than_guessing_says_so():
    def noise(seed):
        return pl.DataFrame({name: np.random.default_rng([seed, k]).normal(size=300) for k, name in enumerate("abcd")})

    risk = by_name(run(noise(0), noise(1), noise(2), targets=("a",)))["inference of a"]
    assert risk.risk == pytest.approx(0, abs=0.05)
    assert risk.why.startswith("the attack is no better than random guesses (")
    assert risk.why.endswith("it learnt nothing, which does not rule out that a stronger one would")


def test_an_attack_that_always_succeeds_on_unseen_rows_too_says_so():
    # Every row is one of two; whatever is nearest in one half is nearest in the other.
    def pairs(count):
        return pl.DataFrame({f"x{j}": np.arange(count) % 2 + 1.0 for j in range(4)})

    risk = by_name(run(pairs(300), pairs(300), pairs(300), targets=("x0",)))["inference of x0"]
    assert risk.attack.value == risk.control.value > 0.98
    assert risk.why.startswith("the attack succeeds on 99")
    assert risk.why.endswith("% of unseen rows too, which leaves little to measure")


# Singling out


def test_predicates_count_the_rows_they_are_true_of():
    table = one(pl.DataFrame({"x": [1.0, 2.0, 3.0, None], "c": ["a", "b", "b", None]}))
    predicates = [
        (Condition(0, "<=", 2.0),),
        (Condition(0, ">=", 2.0), Condition(1, "==", 1.0)),
        (Condition(0, "gap"),),
        (Condition(0, "gap"), Condition(1, "gap")),
        (Condition(1, "==", 0.0),),
        (Condition(0, "==", 9.0),),
    ]
    assert counts(predicates, table).tolist() == [2, 2, 1, 1, 1, 0]


@pytest.mark.parametrize("find", [on_one_column, on_several_columns])
def test_predicates_are_true_of_exactly_one_synthetic_row(find):
    fake = one(rows(200, 0).with_columns(pl.when(pl.int_range(200) % 7 == 0).then(None).otherwise("x").alias("x")))
    predicates = find(fake, 100, np.random.default_rng(0))
    assert len(predicates) == 100
    assert set(counts(predicates, fake)) == {1}
    assert {len(each) for each in predicates} == ({1} if find is on_one_column else {2, 3, 4, 5, 6})


def test_predicates_on_one_column_are_extremes_the_only_gap_and_values_that_occur_once():
    table = one(pl.DataFrame({"x": [1.0, 2.0, 2.0, None, 5.0], "c": ["a", "a", "b", "a", "a"]}))
    found = {each[0] for each in on_one_column(table, 100, np.random.default_rng(0))}
    assert found == {
        Condition(0, "<=", 1.0),
        Condition(0, ">=", 5.0),
        Condition(0, "gap"),
        Condition(0, "==", 1.0),
        Condition(0, "==", 5.0),
        Condition(1, "==", 1.0),
    }


def test_guesses_have_as_many_conditions_and_values_that_occur():
    fake = one(rows(100, 0))
    like = on_several_columns(fake, 50, np.random.default_rng(0))
    naive = guessed(like, fake, np.random.default_rng(1))
    assert [len(each) for each in naive] == [len(each) for each in like]
    for condition in (each for predicate in naive for each in predicate):
        values = fake.features[:, condition.column]
        assert values.min() <= condition.value <= values.max()
        assert condition.relation == "==" if condition.column >= len(fake.numeric) else condition.relation in "<=>="


def test_the_control_of_a_smaller_table_is_the_mean_over_draws_of_rows():
    rng = np.random.default_rng(0)
    truth = rng.random((30, 40)) < 0.05  # predicates, rows
    successes, attempts = singled_out(truth.sum(axis=1), 40, 25, rng)
    drawn = np.mean([(truth[:, rng.permutation(40)[:25]].sum(axis=1) == 1).sum() for _ in range(4000)])
    assert successes == pytest.approx(drawn, abs=0.2)
    assert attempts == 30
    assert singled_out(truth.sum(axis=1), 40, 40, rng)[0] == pytest.approx((truth.sum(axis=1) == 1).sum())


@pytest.mark.parametrize("shape", [0.3, 1.0, 5.0])
def test_the_control_of_a_larger_table_is_extrapolated(shape):
    rng = np.random.default_rng(0)
    found = betabinom.rvs(500, shape, shape * 800, size=4000, random_state=rng)
    successes, attempts = singled_out(found, 500, 2000, rng)
    assert successes / attempts == pytest.approx(betabinom.pmf(1, 2000, shape, shape * 800), abs=0.02)
    assert 1000 < attempts <= 4000
    # The fewer rows it comes from, the fewer attempts the rate is worth.
    assert singled_out(betabinom.rvs(50, shape, shape * 800, size=4000, random_state=rng), 50, 2000, rng)[1] < attempts
    none, of = singled_out(np.zeros(100, dtype=np.int64), 500, 2000, rng)
    assert none / of < 0.01


# Halves and secrets


def test_every_column_is_in_one_half():
    table = one(rows(30, 0))
    halves = column_halves(table, seed=0)
    assert sorted(halves[0] + halves[1]) == sorted(table.feature_names)
    assert [len(half) for half in halves] == [3, 3]
    assert halves != column_halves(table, seed=1)


def test_secrets_are_the_targets_or_columns_with_something_to_hide():
    table = one(rows(300, 0).with_columns(k=pl.lit(1.0), rare=pl.when(pl.int_range(300) < 3).then(1.0).otherwise(0.0)))
    assert secret_columns(table, ("rare",), seed=0) == ("rare",)
    drawn = {name for seed in range(20) for name in secret_columns(table, (), seed)}
    assert {"x", "y", "z", "n", "d"} <= drawn
    assert not drawn & {"k", "rare"}
    assert secret_columns(one(pl.DataFrame({"k": [1.0, 1.0, 1.0, 0.0]})), (), seed=0) == ("k",)
    with pytest.raises(TabsynError, match="'q' is to be inferred, but the tables have no such column"):
        secret_columns(table, ("q",), seed=0)


# What cannot be attacked


def test_a_small_hold_out_is_no_control():
    risks = run(rows(100, 0), rows(MIN_HOLDOUT - 1, 1), rows(100, 2), targets=("y",))
    assert [risk.name for risk in risks][-1] == "inference of y"
    for risk in risks:
        assert risk.risk is risk.low is risk.high is risk.attack.value is None
        assert risk.why == "the attacks need a hold-out of at least 20 rows as control; it has 19"


AWKWARD = {
    "one column": pl.DataFrame({"x": np.arange(60.0)}),
    "only categories": pl.DataFrame({"c": ["a", "b", "c"] * 20, "d": ["p", "q"] * 30}),
    "one category": pl.DataFrame({"c": ["a"] * 60, "x": np.arange(60.0)}),
    "constant": pl.DataFrame({"x": [1.0] * 60, "y": [2.0] * 60}),
    "all missing": pl.DataFrame({"x": pl.Series([None] * 60, dtype=pl.Float64), "c": ["a", "b"] * 30}),
    "gaps": pl.DataFrame({"x": [None, 1.0, 2.0] * 20, "c": ["a", None] * 30, "y": np.arange(60.0)}),
    "huge": pl.DataFrame({"x": 10.0 ** np.arange(-30, 30), "y": np.arange(60.0)}),
}


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("size", [1, 3, 60])
def test_awkward_tables_have_risks_or_reasons(name, size):
    real = AWKWARD[name]
    for risk in (*run(real, real, real[:size]), *run(real[:size], real, real)):
        assert (risk.risk is None) == (risk.low is None) == (risk.attempts == 0)
        assert risk.risk is not None or risk.why
        assert risk.risk is None or 0 <= risk.low <= risk.risk <= risk.high <= 1


def test_reasons_are_in_plain_words():
    found = by_name(run(AWKWARD["one column"], AWKWARD["one column"], AWKWARD["one column"]))
    assert found["linkability"].why == "there is one column, and no other"
    assert found["inference of x"].why == "there is no other column to infer it from"
    assert found["singling out by several columns"].why == "nothing of the kind is true of exactly one synthetic row"
    constant = by_name(run(AWKWARD["constant"], AWKWARD["constant"], AWKWARD["constant"], targets=("x",)))
    assert constant["inference of x"].why == "it has the same value in all rows attacked"
    gaps = AWKWARD["gaps"].with_columns(x=pl.when(pl.int_range(60) < 5).then(1.0))
    assert by_name(run(gaps, gaps, gaps, targets=("x",)))["inference of x"].why == (
        "fewer than 20 of the attacked rows have a value there"
    )


def test_the_same_seed_gives_the_same_risks_and_no_more_attempts_than_stated():
    tables = rows(700, 0), rows(300, 1), rows(600, 2)
    assert run(*tables, seed=1) == run(*tables, seed=1)
    assert run(*tables, seed=1) != run(*tables, seed=2)
    assert max(risk.attempts for risk in run(*tables)) == ATTEMPTS


# What is said


def said(train, holdout, other):
    tables = aligned(train, holdout, other)
    return risk_line(attacks(*tables, 0), copies(*tables, seed=0), membership(*tables, seed=0))


def test_the_line_says_what_is_learnt_how_surely_and_what_was_not_tested():
    line = said(rows(300, 0), rows(300, 1), rows(300, 0))
    assert " attacks learn about training rows what unseen ones do not give away. The worst is " in line
    assert "% interval" in line
    assert "100.0% of the rows are copies of training rows" in line
    assert "with an AUC of 1.00 ± 0.00 (0.5 is chance)" in line
    assert line.endswith(f" Not tested: {UNTESTED}.")


def test_the_line_of_fresh_rows_claims_no_more_than_was_found():
    line = said(rows(300, 0), rows(300, 1), rows(300, 2))
    assert re.match(r"None of \d+ attacks.* learns more about training rows than about unseen ones\.", line)
    assert "The risk is at most 0." in line
    assert "No more rows are copies of training rows than chance explains (0.0%)" in line


def test_the_line_of_what_could_not_be_judged_says_why():
    line = said(rows(50, 0), rows(10, 1), rows(50, 2))
    assert line.startswith("No attack could be run (the attacks need a hold-out of at least 20 rows as control")
    assert "Copies were not judged (distances need a hold-out" in line
    assert "Membership was not judged (distances need a hold-out" in line


def test_one_lucky_attack_among_many_is_not_called_a_leak():
    """At 1.96 standard deviations one of six attacks on fresh rows exceeds its interval every seventh time."""
    tables = aligned(rows(300, 0), rows(300, 1), rows(300, 2))
    rest = copies(*tables, seed=0), membership(*tables, seed=0)
    none = Risk("a", Figure(0.1), Figure(0.1), Figure(0.0), 0.0, 0.0, 0.05, 500)
    lucky = replace(none, name="b", risk=0.05, low=0.005, high=0.095)
    certain = replace(none, name="b", risk=0.05, low=0.03, high=0.07)
    assert "None of 6 attacks learns more" in risk_line([none] * 5 + [lucky], *rest)
    assert "b: it succeeds in 10% of attempts" in risk_line([none] * 5 + [certain], *rest)


def test_risks_are_json_ready():
    risk = run(rows(100, 0), rows(100, 1), rows(100, 2))[2]
    content = risk.to_json()
    assert content["name"] == "linkability"
    assert content["attempts"] == 100
    for name in ("attack", "control", "baseline", "risk"):
        assert content[f"{name}_low"] <= content[name] <= content[f"{name}_high"]
