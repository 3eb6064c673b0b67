import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import energy_distance, kstest

from tabsyn_core.evaluation.joint import MIN_ROWS, cluster_shares, energy_test
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.tables import align


def aligned(train, holdout, other):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": other}, seed=0).values())


def energy(train, holdout, other, seed=0):
    return energy_test(*aligned(train, holdout, other), seed=seed)


def clustered(train, holdout, other, seed=0):
    return cluster_shares(*aligned(train, holdout, other), seed=seed)


def cloud(rows, seed, shift=0.0, columns=4):
    values = np.random.default_rng(seed).normal(shift, 1, (rows, columns))
    return pl.DataFrame(values, schema=[f"x{j}" for j in range(columns)])


def letters(counts):
    return pl.DataFrame({"c": [letter for letter, count in zip("abc", counts, strict=True) for _ in range(count)]})


def real(table):
    return table.drop("smiles", "inchikey", strict=False)


# --- the energy test


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_the_statistic_is_the_energy_distance_of_scipy_as_a_share(shift):
    train, holdout, other = (cloud(80, seed, by, columns=1) for seed, by in ((0, 0), (1, 0), (2, shift)))
    seen, unseen, fake = aligned(train, holdout, other)
    first, second = (points(table, seen, unseen)[:, 0] for table in (seen, fake))  # ranks; the gaps are all 0
    largest = np.sqrt(2 * np.abs(first[:, None] - second).mean())
    found = energy(train, holdout, other).statistic.value
    assert found == pytest.approx(energy_distance(first, second) / largest, abs=1e-4)


def test_the_p_value_is_uniform_where_the_distribution_is_one():
    found = [energy(cloud(30, 3 * s), cloud(30, 3 * s + 1), cloud(30, 3 * s + 2), seed=s) for s in range(60)]
    for values in ([each.p_value.value for each in found], [each.floor_p_value.value for each in found]):
        assert kstest(values, "uniform").pvalue > 0.001
        assert np.mean(np.array(values) <= 0.05) < 0.17  # P(more than 9 of 60 at 0.05) = 0.0003


def test_a_shift_and_a_lost_dependence_are_found():
    shifted = energy(cloud(100, 0), cloud(100, 1), cloud(100, 2, shift=0.8))
    assert shifted.p_value.value == 0.001
    assert shifted.statistic.value > 2 * shifted.floor.value
    rng = np.random.default_rng(0)
    train, holdout = (pl.DataFrame({"a": x, "b": x + rng.normal(0, 0.1, 150)}) for x in rng.normal(size=(2, 150)))
    apart = train.with_columns(b=pl.col("b").shuffle(seed=0))  # the same columns, to the value
    lost = energy(train, holdout, apart)
    assert lost.p_value.value < 0.01 < lost.floor_p_value.value


def test_molecules_pass_and_shuffled_molecules_do_not(train, holdout, more):
    rng = np.random.default_rng(0)
    shuffled = pl.DataFrame([more[name].gather(rng.permutation(more.height)) for name in more.columns])
    good, poor = (energy(real(train), real(holdout), table) for table in (more, shuffled))
    assert good.p_value.value > 0.01
    assert poor.p_value.value == 0.001
    assert poor.statistic.value > good.statistic.value
    assert poor.floor == good.floor


def test_a_copy_is_at_0_and_never_farther_than_chance():
    found = energy(cloud(60, 0), cloud(60, 1), cloud(60, 0)[::-1])
    assert found.statistic.value == 0
    assert found.p_value.value == 1
    assert found.floor.value > 0


def test_two_constants_are_as_far_apart_as_can_be_and_one_is_not():
    one, other = pl.DataFrame({"x": [1.0] * 30}), pl.DataFrame({"x": [2.0] * 30})
    far, same = energy(one, one, other), energy(one, one, one)
    assert (far.statistic.value, far.p_value.value, far.floor.value, far.floor_p_value.value) == (1, 0.001, 0, 1)
    assert (same.statistic.value, same.p_value.value) == (0, 1)


def test_held_out_rows_in_the_place_of_synthetic_ones_give_the_floor():
    found = energy(cloud(150, 0), cloud(40, 1), cloud(40, 1))
    assert found.statistic == found.floor
    assert found.p_value == found.floor_p_value


def test_the_number_of_synthetic_rows_is_no_advantage():
    train, holdout = cloud(1500, 0), cloud(50, 1)
    few, many = (
        np.mean([energy(train, holdout, cloud(n, 9), seed=s).statistic.value for s in range(8)]) for n in (50, 1500)
    )
    assert many == pytest.approx(few, rel=0.4)  # at 1,500 rows it would be a fifth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(MIN_ROWS, 60), st.sampled_from([0.0, 0.5, 5.0]))
def test_statistic_and_p_value_stay_in_their_range_and_repeat(seed, rows, shift):
    tables = (cloud(rows, seed), cloud(rows + 3, seed + 1), cloud(rows + 7, seed + 2, shift))
    found = energy(*tables, seed=seed)
    assert 0 <= found.statistic.value <= 1
    assert 0.001 <= found.p_value.value <= 1
    assert found == energy(*tables, seed=seed)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_few_rows_are_not_judged(place):
    tables = [cloud(MIN_ROWS, seed) for seed in range(3)]
    assert energy(*tables).statistic.value is not None
    assert clustered(*tables).tvd.value is not None
    tables[place] = tables[place][1:]
    found, shares = energy(*tables), clustered(*tables)
    whys = [figure.why for figure in (found.statistic, found.p_value, found.floor, found.floor_p_value)]
    assert set(whys) == {"an energy test needs at least 20 rows of each kind; there are 19"}
    for figure in (shares.tvd, shares.log_cluster, shares.tvd_floor, shares.log_cluster_floor):
        assert figure.why == "clusters need at least 20 rows of each kind; there are 19"
    assert shares.shares.height == 0
    assert shares.shares.columns == ["cluster", "real", "held_out", "synthetic"]


# --- clusters


def test_clusters_of_three_values_are_the_values():
    found = clustered(letters([50, 30, 20]), letters([60, 30, 10]), letters([10, 30, 60]))
    assert found.shares.rows() == [(0, 0.5, 0.6, 0.1), (1, 0.3, 0.3, 0.3), (2, 0.2, 0.1, 0.6)]
    assert found.tvd.value == pytest.approx(0.4)
    assert found.tvd_floor.value == pytest.approx(0.1)
    expected = np.log(np.mean([(50 / 60 - 0.5) ** 2, 0, (20 / 80 - 0.5) ** 2]))
    assert found.log_cluster.value == pytest.approx(expected)
    assert found.log_cluster_floor.value < found.log_cluster.value


def test_a_copy_has_the_same_shares():
    found = clustered(cloud(100, 0), cloud(100, 1), cloud(100, 0)[::-1])
    assert found.tvd.value == 0
    assert "equal numbers" in found.log_cluster.why
    assert found.tvd_floor.value > 0


def test_rows_of_other_values_share_no_cluster():
    found = clustered(letters([60, 40, 0]), letters([50, 50, 0]), letters([0, 0, 100]))
    assert found.tvd.value == 1
    assert found.log_cluster.value == pytest.approx(np.log(1 / 4))


def test_molecules_fill_the_clusters_and_shuffled_molecules_do_not(train, holdout, more):
    rng = np.random.default_rng(0)
    shuffled = pl.DataFrame([more[name].gather(rng.permutation(more.height)) for name in more.columns])
    good, poor = (clustered(real(train), real(holdout), table) for table in (more, shuffled))
    assert good.tvd.value < 2 * good.tvd_floor.value
    assert poor.tvd.value > 2 * poor.tvd_floor.value
    assert poor.log_cluster.value > poor.log_cluster_floor.value


def test_shares_are_of_all_rows_and_distances_of_equal_numbers():
    real_rows = pl.concat([letters([500, 300, 200])] * 2)
    found = clustered(real_rows, letters([25, 15, 10]), letters([500, 300, 200]))
    assert found.shares["real"].to_list() == [0.5, 0.3, 0.2]
    assert found.shares["synthetic"].to_list() == [0.5, 0.3, 0.2]
    # Equal shares; what is left is the chance of 50 rows drawn of each.
    assert 0.01 < found.tvd.value < 0.25
    assert found.tvd.std > 0


@pytest.mark.parametrize(("rows", "clusters"), [(20, 2), (39, 3), (100, 10), (300, 10)])
def test_there_is_a_cluster_for_every_ten_rows_and_ten_at_most(rows, clusters):
    shares = clustered(cloud(rows, 0), cloud(rows, 1), cloud(rows, 2)).shares
    assert shares["cluster"].to_list() == list(range(clusters))
    assert shares.select(pl.all().exclude("cluster").sum()).row(0) == pytest.approx((1, 1, 1))


def test_the_same_seed_gives_the_same_clusters():
    tables = cloud(150, 0), cloud(60, 1), cloud(90, 2)
    first, again = clustered(*tables, seed=3), clustered(*tables, seed=3)
    assert first.shares.equals(again.shares)
    assert (first.tvd, first.log_cluster, first.tvd_floor) == (again.tvd, again.log_cluster, again.tvd_floor)


def test_tables_without_numbers_without_values_or_without_spread_are_one_cluster():
    empty = pl.DataFrame({"x": [None] * 30, "c": [None] * 30}, schema={"x": pl.Float64, "c": pl.String})
    for table in (empty, pl.DataFrame({"x": [1.0] * 30}), letters([30, 0, 0])):
        found = clustered(table, table, table)
        assert found.shares.rows() == [(0, 1, 1, 1)]
        assert found.tvd.value == 0
