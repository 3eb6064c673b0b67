"""Ranks and tests of the leaderboard beside published numbers and scipy."""

import numpy as np
import pytest
from ranks import (
    LAST,
    RANKED,
    cliques,
    competitors,
    friedman,
    losses,
    nemenyi,
    pairs,
    rank_table,
    ranks,
    statistics_of,
    within_budget,
)
from scipy.stats import friedmanchisquare, ttest_rel

PUBLISHED_RANKS = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
"""Of 14 tables, by AUC (Demšar 2006, table 6)."""


def cell(method, table="one", seed=0, **figures):
    known = {"c2st_trees": 0.5, "shape": 0.1, "trend": 0.1, "beta_recall": 0.5, "dcr": 0.5, "utility": {"y": 0.7}}
    floor = {"utility": {"y": 0.8}}
    return {"step": method, "table": table, "seed": seed, "figures": {**known, **figures}, "floor": floor}


def failed(method, table="one", seed=0):
    return {"step": method, "table": table, "seed": seed, "error": "no luck"}


def test_ranks_begin_at_the_least_loss_and_ties_share_theirs():
    of_tables = {"one": {"a": 0.1, "b": 0.3, "c": 0.2}, "two": {"a": 0.2, "b": 0.2, "c": 0.1}}
    assert ranks(of_tables) == {"a": [1, 2.5], "b": [3, 2.5], "c": [2, 1]}


def test_critical_differences_are_those_demsar_prints():
    assert nemenyi(4, 14) == pytest.approx(1.25, abs=0.005)  # his section 3.2.4
    quantiles = [nemenyi(k, 1) / np.sqrt(k * (k + 1) / 6) for k in range(2, 11)]  # his table 5
    assert quantiles == pytest.approx([1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], abs=1e-3)


def test_friedman_is_scipys_and_asks_for_three_methods_and_two_tables():
    rows = np.random.default_rng(0).normal(np.array([[0], [0], [1], [1]]), size=(4, 14))
    found = ranks({str(k): dict(enumerate(rows[:, k])) for k in range(14)})
    assert friedman(found) == pytest.approx(friedmanchisquare(*rows).pvalue)
    assert friedman({name: found[name] for name in (0, 1)}) is None
    assert friedman({name: row[:1] for name, row in found.items()}) is None


def test_cliques_are_the_largest_groups_that_the_critical_difference_does_not_part():
    assert cliques(PUBLISHED_RANKS, nemenyi(4, 14)) == [["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]]
    assert cliques(PUBLISHED_RANKS, 1.0) == [["C4.5+m+cf", "C4.5+m", "C4.5+cf"], ["C4.5+cf", "C4.5"]]
    assert cliques(PUBLISHED_RANKS, 0.01) == []


def test_the_loss_is_the_mean_over_seeds_and_one_that_fails_ranks_last():
    cells = [
        *(cell("ours", seed=seed, c2st_trees=value) for seed, value in enumerate([0.6, 0.8])),
        *(cell("copies", seed=seed, c2st_trees=0.3) for seed in (0, 1)),
        cell("luckless", seed=0, c2st_trees=0.5),
        failed("luckless", seed=1),
        failed("never", seed=0),
        failed("never", seed=1),
        cell("unfinished", seed=0),
    ]
    assert competitors(cells) == ["ours", "copies", "luckless"]
    of_table = losses(cells, RANKED[0])["one"]
    assert of_table == {"ours": pytest.approx(0.2), "copies": pytest.approx(0.2), "luckless": LAST}
    assert ranks({"one": {"ours": 0.2, "copies": 0.2, "luckless": LAST}}) == {
        "ours": [1.5],
        "copies": [1.5],
        "luckless": [3.0],
    }


def test_a_figure_that_no_method_has_is_no_rank_and_one_that_a_method_lacks_is_its_last():
    cells = [cell("ours", dcr=None), cell("rival", dcr=None, beta_recall=None, c2st_trees=0.9)]
    table = rank_table(cells)
    assert [*table] == ["ours", "rival"]
    figures = dict(zip(["all", *(ranked.title for ranked in RANKED)], table["ours"], strict=True))
    assert np.isnan(figures["DCR"])
    assert (figures["C2ST"], figures["shape"], figures["β-recall"]) == (1, 1.5, 1)
    assert statistics_of(cells)["mean_ranks"]["rival"]["DCR"] is None


def test_a_target_that_synthetic_rows_cannot_teach_counts_as_guessed():
    tstr = next(ranked for ranked in RANKED if ranked.title == "TSTR")
    assert tstr.loss(cell("ours")) == pytest.approx(0.1)
    poor = cell("poor", utility={"y": None})
    assert tstr.loss(poor | {"guessing": {"y": 0.0}}) == pytest.approx(0.8), "R²"
    assert tstr.loss(poor | {"guessing": {"y": 0.5}}) == pytest.approx(0.3), "AUROC"


def test_pairs_are_tested_over_seeds_and_corrected_for_all_of_the_table():
    shapes = {"ours": [0.10, 0.11, 0.10, 0.12], "worse": [0.30, 0.31, 0.31, 0.32], "same": [0.11, 0.10, 0.11, 0.11]}
    cells = [cell(name, seed=seed, shape=value) for name, row in shapes.items() for seed, value in enumerate(row)]
    found = {pair.rival: pair for pair in pairs(cells) if pair.figure == "shape"}
    assert found["worse"].better_by == pytest.approx(0.2025)
    assert found["worse"].decided
    assert not found["same"].decided
    assert found["worse"].low < 0.2025 < found["worse"].high
    plain = ttest_rel(shapes["worse"], shapes["ours"])
    statistic = plain.statistic / np.sqrt(1 + 4 * 0.2 / 0.8)  # Nadeau & Bengio: 1/n + n_test/n_train for 1/n
    assert found["worse"].p > plain.pvalue
    assert found["worse"].better_by / (found["worse"].high - found["worse"].low) == pytest.approx(
        statistic / (2 * 3.1824463), rel=1e-6
    )
    assert found["worse"].p_holm == pytest.approx(12 * found["worse"].p)  # 2 rivals, 6 figures


def test_one_seed_is_no_test():
    (pair,) = [pair for pair in pairs([cell("ours"), cell("rival", shape=0.3)]) if pair.figure == "shape"]
    assert (pair.seeds, pair.p, pair.decided) == (1, None, False)
    assert pair.better_by == pytest.approx(0.2)


def test_published_recipes_are_not_ranked():
    assert within_budget([cell("ours"), cell("ctgan as published")]) == [cell("ours")]
