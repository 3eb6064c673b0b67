import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import roc_auc_score

from tabsyn_core.evaluation.joint import cluster_shares
from tabsyn_core.evaluation.privacy import points
from tabsyn_core.evaluation.projections import projections
from tabsyn_core.evaluation.tables import align

METHODS = ["PCA", "LDA", "t-SNE"]


def aligned(train, holdout, fake):
    return tuple(align({"training": train, "held-out": holdout, "synthetic": fake}, seed=0).values())


def project(train, holdout, fake, seed=0):
    return projections(*aligned(train, holdout, fake), seed=seed)


def cloud(rows, seed, shift=0.0, columns=5):
    values = np.random.default_rng(seed).normal(shift, 1, (rows, columns))
    return pl.DataFrame(values, schema=[f"x{j}" for j in range(columns)])


def mixed(rows, seed):
    rng = np.random.default_rng(seed)
    return cloud(rows, seed).with_columns(
        c=pl.Series(rng.choice(["a", "b", "z"], rows)),
        x0=pl.when(pl.Series(rng.random(rows) < 0.3)).then(None).otherwise("x0"),
    )


def of(found, method):
    return found.dots.filter(method=method)


def auc(dots):
    return roc_auc_score(dots["source"] == "synthetic", dots["x"])


@pytest.fixture(scope="module")
def usual():
    return project(mixed(60, 0), mixed(50, 1), mixed(80, 2))


def test_every_method_has_as_many_real_as_synthetic_dots(usual):
    assert usual.dots.schema == {
        "method": pl.String,
        "x": pl.Float64,
        "y": pl.Float64,
        "source": pl.String,
        "cluster": pl.Int64,
        "row": pl.Int64,
    }
    assert usual.dots["method"].unique(maintain_order=True).to_list() == METHODS
    counts = usual.dots.group_by("method", "source").len()
    assert {row[:2]: row[2] for row in counts.iter_rows()} == {
        (method, source): 30 if method == "LDA" else 60 for method in METHODS for source in ("real", "synthetic")
    }
    assert usual.why == {}
    assert usual.dots.select(pl.col("x", "y").is_finite().all()).row(0) == (True, True)


def test_a_dot_knows_its_row():
    # One column whose ranks say which row a dot is.
    train, fake = pl.DataFrame({"x": np.arange(60.0)}), pl.DataFrame({"x": np.arange(90.0)[::-1] / 2})
    dots = of(project(train, cloud(30, 1, columns=1).rename({"x0": "x"}), fake), "PCA")
    for source, table in (("real", train), ("synthetic", fake)):
        shown = dots.filter(source=source)
        assert shown["row"].n_unique() == 60
        order = np.corrcoef(table["x"].gather(shown["row"]).rank(), shown["x"].rank())[0, 1]
        assert abs(order) > 0.999


def test_pca_is_that_of_scikit_learn():
    tables = mixed(60, 0), mixed(50, 1), mixed(60, 2)
    seen, unseen, fake = aligned(*tables)
    both = np.vstack([points(table, seen, unseen) for table in (seen, fake)])
    model = PCA(2, svd_solver="full")
    expected = model.fit_transform(both)
    found = project(*tables)
    np.testing.assert_allclose(np.abs(of(found, "PCA")["x", "y"].to_numpy()), np.abs(expected), atol=1e-9)
    assert found.explained == pytest.approx(tuple(model.explained_variance_ratio_))


def test_clusters_are_those_of_the_shares():
    tables = aligned(cloud(60, 0), cloud(60, 1), cloud(60, 2))
    shares = cluster_shares(*tables, seed=4).shares
    dots = of(projections(*tables, seed=4), "PCA")
    for source in ("real", "synthetic"):
        counts = np.bincount(dots.filter(source=source)["cluster"], minlength=shares.height)
        np.testing.assert_allclose(counts / 60, shares[source])


def test_the_discriminant_shows_unseen_rows_apart_only_where_they_are():
    # More columns than rows: on the rows it is learnt from, some direction tells any two kinds apart.
    wide = [[cloud(60, 3 * seed + k, columns=80) for k in range(3)] for seed in range(4)]
    found = [auc(of(project(*tables), "LDA")) for tables in wide]
    assert np.mean(found) == pytest.approx(0.5, abs=4 * 0.075 / 2)  # 0.075: 30 against 30 under the null
    train, holdout, fake = wide[0]
    assert auc(of(project(train, holdout, fake.with_columns(pl.col("x3", "x40") + 3)), "LDA")) > 0.75


def test_the_discriminant_runs_along_the_column_that_moved_and_y_across_it():
    train, holdout, moved = cloud(200, 0), cloud(60, 1), cloud(200, 2).with_columns(pl.col("x2") + 3)
    dots = of(project(train, holdout, moved), "LDA")
    assert auc(dots) > 0.95  # to the right what is synthetic
    shown = [table["x2"].gather(dots.filter(source=s)["row"]) for table, s in ((train, "real"), (moved, "synthetic"))]
    values = pl.concat(shown).rank()
    assert np.corrcoef(values, dots["x"])[0, 1] > 0.85
    assert dots.group_by("source").agg(pl.col("x").var())["x"].mean() == pytest.approx(1, abs=0.2)
    assert abs(np.corrcoef(values, dots["y"])[0, 1]) < 0.3


def test_near_rows_stay_near_in_tsne(train, holdout, more):
    tables = aligned(*(table.drop("smiles", "inchikey", strict=False) for table in (train, holdout, more)))
    dots = of(projections(*tables, seed=0), "t-SNE")
    both = np.vstack(
        [
            points(table.take(dots.filter(source=source)["row"].to_numpy()), *tables[:2])
            for table, source in ((tables[0], "real"), (tables[2], "synthetic"))
        ]
    )
    plane = dots["x", "y"].to_numpy()
    shuffled = np.random.default_rng(0).permutation(plane)
    assert trustworthiness(both, plane) > 0.9
    assert trustworthiness(both, shuffled) < 0.6


def test_groups_far_apart_are_apart_in_every_picture_that_shows_them():
    two = [pl.concat([cloud(30, s), cloud(30, s + 10, shift=1e3)]) for s in range(3)]
    found = project(*two)
    for method in ("PCA", "t-SNE"):
        dots = of(found, method)
        second = dots["row"].to_numpy() >= 30
        plane = dots["x", "y"].to_numpy()
        nearest = np.argsort(np.linalg.norm(plane[:, None] - plane, axis=2), axis=1)[:, 1]
        assert (second[nearest] == second).mean() > 0.95


def test_the_same_seed_gives_the_same_bits_and_another_other_rows(usual):
    again, other = (project(mixed(60, 0), mixed(50, 1), mixed(80, 2), seed) for seed in (0, 1))
    assert usual.dots.equals(again.dots)
    assert usual.explained == again.explained
    assert not usual.dots["row"].equals(other.dots["row"])


def test_at_most_800_rows_of_each_are_drawn():
    dots = of(project(cloud(900, 0), cloud(30, 1), cloud(820, 2)), "PCA")
    assert dots.group_by("source").agg(pl.len(), pl.col("row").n_unique().alias("rows")).sort("source").rows() == [
        ("real", 800, 800),
        ("synthetic", 800, 800),
    ]


def test_a_copy_has_no_direction_and_the_other_pictures():
    found = project(cloud(40, 0), cloud(40, 1), cloud(40, 0))
    assert found.dots["method"].unique(maintain_order=True).to_list() == ["PCA", "t-SNE"]
    assert found.why == {"LDA": "real and synthetic rows have the same mean, or no spread"}


@pytest.mark.parametrize("place", [0, 2])
def test_fewer_than_five_rows_are_no_picture(place):
    tables = [cloud(30, seed) for seed in range(3)]
    tables[place] = tables[place][:4]
    found = project(*tables)
    assert found.dots.height == 0
    assert found.dots.columns == ["method", "x", "y", "source", "cluster", "row"]
    assert found.why == dict.fromkeys(METHODS, "a projection needs at least 5 rows of each kind; there are 4")
    tables[place] = cloud(5, 9)
    assert set(project(*tables).dots["method"]) == set(METHODS)


def test_tables_without_spread_are_no_picture():
    empty = pl.DataFrame({"x": [None] * 30, "c": [None] * 30}, schema={"x": pl.Float64, "c": pl.String})
    for table in (empty, pl.DataFrame({"x": [1.0] * 30}), pl.DataFrame({"c": ["a"] * 30})):
        found = project(table, table, table)
        assert found.dots.height == 0
        assert found.why == dict.fromkeys(METHODS, "all rows are equal")


@pytest.mark.parametrize(
    "column",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.choice(["a", "b"], n),
        lambda rng, n: [None if gap else 1.0 for gap in rng.random(n) < 0.5],
    ],
)
def test_one_column_is_a_line(column):
    rng = np.random.default_rng(0)
    found = project(*(pl.DataFrame({"x": column(rng, n)}) for n in (40, 30, 40)))
    assert found.explained == pytest.approx((1, 0))
    assert of(found, "PCA")["x"].n_unique() > 1
    assert (of(found, "PCA")["y"] == 0).all()
    assert found.dots.select(pl.col("x", "y").is_finite().all()).row(0) == (True, True)


def test_nothing_is_printed_and_nobody_is_warned(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        project(mixed(7, 0), mixed(3, 1), mixed(6, 2))
    assert capfd.readouterr() == ("", "")
