import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import load, save
from scipy.stats import rankdata

from tabsyn_core.chain import Cells, Chain


def cells_of(*columns):
    """Numeric columns, each all body."""
    x = np.column_stack(columns).astype(np.float64)
    u = (rankdata(x, axis=0) - 0.5) / len(x)
    return Cells(np.zeros(x.shape, dtype=np.int64), u, x)


def fitted(cells, core=1, **settings_):
    columns = cells.u.shape[1]
    settings_ = {"min_leaf": 5, "smoothing": 0.5, "nominal": np.zeros(columns, dtype=bool), "seed": 0, **settings_}
    return Chain.fit(cells, range(columns), core, body=np.zeros(columns, dtype=np.int64), **settings_)


def drawn(chain, core, seed=0, **options):
    """Rows whose first column is given."""
    cells = Cells.empty(len(core), len(chain.order))
    for part, given_ in ((cells.states, core.states), (cells.u, core.u), (cells.x, core.x)):
        part[:, 0] = given_[:, 0]
    weight = chain.draw(cells, np.random.default_rng(seed), **options)
    return cells, weight


@pytest.fixture(scope="module")
def related():
    """Given the first: a hard edge, a line, nothing to do with it, a sum of all before."""
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(0, 6, 2000), rng.normal(size=2000)
    line = 2 * x + 0.1 * rng.normal(size=2000)
    return cells_of(x, x > 3, line, noise, line - 3 * noise + 0.01 * rng.normal(size=2000))


@pytest.fixture(scope="module")
def chain(related):
    return fitted(related)


def test_a_hard_edge_is_learned_exactly(related, chain):
    rows, _ = drawn(chain, related)
    assert ((rows.x[:, 0] > 3) == rows.x[:, 1]).mean() > 0.995


def test_lines_are_learned_far_better_than_by_trees_alone(related, chain):
    assert [head.guide is not None for head in chain.heads] == [False, True, False, True]
    rows, _ = drawn(chain, related)
    line, whole = rows.x[:, 2] - 2 * rows.x[:, 0], rows.x[:, 4] - rows.x[:, 2] + 3 * rows.x[:, 3]
    assert line.std() < 0.15
    assert whole.std() < 0.1 * rows.x[:, 4].std()  # independent columns have more than one


def test_what_depends_on_nothing_stays_independent(related, chain):
    rows, _ = drawn(chain, related)
    assert abs(np.corrcoef(rows.x[:, 0], rows.x[:, 3])[0, 1]) < 0.05
    assert rows.x[:, 3].std() == pytest.approx(1, abs=0.1)  # smoothing takes a third of the variance in a leaf
    assert drawn(fitted(related, smoothing=0.0), related)[0].x[:, 3].std() == pytest.approx(1, abs=0.04)


def test_smoothing_draws_between_training_values_and_none_draws_them(related, chain):
    smooth, _ = drawn(chain, related)
    exact, _ = drawn(fitted(related, smoothing=0.0), related)
    assert np.isin(smooth.x[:, 3], related.x[:, 3]).mean() < 0.05
    for column in range(1, 5):
        assert np.isin(exact.x[:, column], related.x[:, column]).all()


def test_only_a_body_is_smoothed(related):
    states = related.states.copy()
    states[:, 1] = related.x[:, 1].astype(np.int64)
    atoms = Cells(states, related.u, related.x)
    chain = Chain.fit(
        atoms,
        range(2),
        1,
        nominal=np.zeros(5, bool),
        body=np.array([0, -1, 0, 0, 0]),
        min_leaf=50,
        smoothing=1.0,
        seed=0,
    )
    rows, _ = drawn(Chain(chain.order, chain.heads, chain.body, 1.0), related)
    assert set(rows.x[:, 1]) == {0.0, 1.0}


@pytest.mark.parametrize("levels", [3, 200])
def test_categories_follow_what_they_depend_on(levels):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, levels, 3000)
    codes = (np.floor(x).astype(np.int64) * 7) % levels  # no order left
    u = (codes + 0.5) / levels
    both = Cells(
        np.column_stack([np.zeros(3000, dtype=np.int64), codes]),
        np.column_stack([x / levels, u]),
        np.column_stack([x, u]),
    )
    chain = Chain.fit(
        both, [0, 1], 1, nominal=np.array([False, True]), body=np.array([0, -1]), min_leaf=5, smoothing=0.5, seed=0
    )
    rows, _ = drawn(chain, both)
    right = (rows.states[:, 1] == codes).mean()
    assert right > (0.99 if levels == 3 else 0.5)  # 200 levels share leaves of at least 5 rows
    assert set(rows.states[:, 1]) <= set(codes)


def test_a_root_without_parents_draws_the_column_itself(related):
    chain = fitted(related, core=0)
    rows = Cells.empty(4000, 5)
    chain.draw(rows, np.random.default_rng(0))
    assert np.quantile(rows.x[:, 0], [0.1, 0.5, 0.9]) == pytest.approx([0.6, 3, 5.4], abs=0.2)
    assert ((rows.x[:, 0] > 3) == rows.x[:, 1]).mean() > 0.99


def test_gaps_are_drawn_where_they_were():
    rng = np.random.default_rng(2)
    x = rng.uniform(size=1000)
    gap = x > 0.7
    y = np.where(gap, np.nan, x)
    states = np.column_stack([np.zeros(1000), ~gap]).astype(np.int64)
    u = np.column_stack([x, np.where(gap, 0.15, 0.3 + x)])
    chain = Chain.fit(
        Cells(states, u, np.column_stack([x, y])),
        [0, 1],
        1,
        nominal=np.zeros(2, bool),
        body=np.array([0, 1]),
        min_leaf=5,
        smoothing=0.5,
        seed=0,
    )
    rows, _ = drawn(chain, Cells(states, u, np.column_stack([x, y])))
    assert (np.isnan(rows.x[:, 1]) == gap).mean() > 0.99
    assert (np.isnan(rows.x[:, 1]) == (rows.states[:, 1] == 0)).all()


def test_a_condition_is_hit_and_weighs_what_was_drawn_before_it(related, chain):
    wanted = chain.heads[1].x > 8  # the line: 2 x > 8
    rows, weight = drawn(chain, related, allowed={2: wanted})
    assert (rows.x[:, 2] > 8).all()
    likely = np.exp(weight)
    assert likely[related.x[:, 0] > 4.3].min() > 0.9
    assert likely[related.x[:, 0] < 3.7].max() < 0.01
    assert (drawn(chain, related)[1] == 0).all()


def test_known_cells_are_kept_and_weigh_the_rest(related, chain):
    core = related[np.repeat(np.arange(20), 50)]
    given_ = Cells(core.states.copy(), core.u.copy(), core.x.copy())
    given_.u[:, 0] = np.random.default_rng(3).permutation(given_.u[:, 0])  # proposals for the first column
    given_.x[:, 0] = np.quantile(related.x[:, 0], given_.u[:, 0])
    known = np.zeros(given_.u.shape, dtype=bool)
    known[:, 2] = True
    line = given_.x[:, 2].copy()
    weight = chain.draw(given_, np.random.default_rng(0), known=known)
    assert np.array_equal(given_.x[:, 2], line)
    fits = np.abs(given_.x[:, 0] - line / 2) < 0.1
    assert weight[fits].mean() > weight[~fits].mean() + 3


def test_the_same_seed_gives_the_same_heads_and_rows(related, chain):
    again = fitted(related)
    assert all(torch.equal(one, again.tensors()[name]) for name, one in chain.tensors().items())
    assert np.array_equal(drawn(again, related, 5)[0].x, drawn(chain, related, 5)[0].x, equal_nan=True)
    assert not np.array_equal(drawn(again, related, 6)[0].x, drawn(chain, related, 5)[0].x)


def test_a_chain_read_back_draws_the_same_rows(related, chain):
    again = Chain.of(chain.to_json(), load(save(chain.tensors())))
    assert (again.order, again.core, again.smoothing) == (chain.order, chain.core, chain.smoothing)
    assert np.array_equal(drawn(again, related)[0].x, drawn(chain, related)[0].x)


def test_rows_are_not_stored_as_rows(related, chain):
    """Each head keeps its column's values in the order of its own leaves: nothing ties them to other columns."""
    places = [np.argsort(np.argsort(head.x, kind="stable")) for head in chain.heads[1:]]
    training = [np.argsort(np.argsort(related.x[:, head.column], kind="stable")) for head in chain.heads[1:]]
    for one in range(3):
        assert np.array_equal(np.sort(chain.heads[1 + one].x), np.sort(related.x[:, 2 + one]))
        for other in range(one):
            pairs = set(zip(places[one].tolist(), places[other].tolist(), strict=True))
            real = set(zip(training[one].tolist(), training[other].tolist(), strict=True))
            assert len(pairs & real) < 0.1 * len(real)


def test_further_rows_are_drawn_from_without_a_new_fit(related, chain):
    far = cells_of(np.full(300, 1.0), np.full(300, 9.0), np.full(300, 40.0), np.zeros(300), np.zeros(300))
    far = Cells(far.states, np.full(far.u.shape, 0.2), far.x)
    extended = chain.extended(far)
    assert [len(head.x) for head in extended.heads] == [2300] * 4
    rows, _ = drawn(extended, far)
    assert (rows.x[:, 1] == 9).mean() == pytest.approx(300 / 1300, abs=0.08)
    assert (drawn(chain, far)[0].x[:, 1] == 9).sum() == 0
    elsewhere = related[related.x[:, 0] > 4]
    assert (drawn(extended, elsewhere)[0].x[:, 1] == 1).all()


@settings(max_examples=60, deadline=None)
@given(
    x=arrays(
        np.float64,
        st.tuples(st.integers(2, 60), st.integers(1, 4)),
        elements=st.floats(-5, 5).map(lambda v: round(v, 1)),
    ),
    leaf=st.integers(1, 8),
    seed=st.integers(0, 99),
    extra=st.booleans(),
)
def test_windows_part_the_training_values_whatever_the_table(x, leaf, seed, extra):
    cells = cells_of(*x.T)
    chain = fitted(cells, core=0, min_leaf=leaf, seed=seed)
    chain = chain.extended(cells[np.arange(len(cells) // 2)]) if extra else chain
    rows = Cells.empty(64, x.shape[1])
    chain.draw(rows, np.random.default_rng(seed))
    for head in chain.heads:
        leaves = head.tree.feature < 0
        start, stop = head.tree.start[leaves], head.tree.stop[leaves]
        by_start = np.argsort(start)
        assert start[by_start[0]] == 0
        assert np.array_equal(stop[by_start[:-1]], start[by_start[1:]])
        assert stop[by_start[-1]] == len(head.x)
        assert (stop - start >= min(leaf, len(x))).all()
        column = x[:, head.column]
        assert ((rows.x[:, head.column] >= column.min() - 1e-9) & (rows.x[:, head.column] <= column.max() + 1e-9)).all()
