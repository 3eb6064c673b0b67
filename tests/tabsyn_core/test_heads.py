import numpy as np
import polars as pl
import pytest
import torch
from scipy import special

from tabsyn_core.codec import Codec, ColumnLayout
from tabsyn_core.distributions import ColumnDistribution, fit_table
from tabsyn_core.distributions.body import Body
from tabsyn_core.distributions.families import Count, Empirical, Lattice, Mixture, Parametric, Tail
from tabsyn_core.distributions.grid import Grid
from tabsyn_core.distributions.selection import GoodnessOfFit
from tabsyn_core.heads import ColumnFamily, FamilyHeads, Measured, families_of
from tabsyn_core.schema import Kind, TableSchema
from tabsyn_core.vae import VAE

ALL = 60.0  # a logit of s² at which the latent tells nothing
FAMILIES = {
    "normal": Parametric("normal", (2.0, 3.0)),
    "logistic": Parametric("logistic", (-1.0, 0.5)),
    "gumbel": Parametric("gumbel", (1.0, 2.0)),
    "reflected gumbel": Parametric("gumbel", (1.0, 2.0), reflected=True),
    "left gumbel": Parametric("left gumbel", (1.0, 2.0)),
    "student-t": Parametric("student-t", (3.0, 1.0, 2.0)),
    "log-normal": Parametric("log-normal", (0.7, 0.0, 2.0)),
    "reflected log-normal": Parametric("log-normal", (0.7, -5.0, 2.0), reflected=True),
    "weibull": Parametric("weibull", (1.7, 0.0, 2.0)),
    "exponential": Parametric("exponential", (1.0, 2.0)),
    "gamma": Parametric("gamma", (0.6, 0.0, 2.0)),
    "steep gamma": Parametric("gamma", (9.0, 1.0, 0.2)),
    "beta": Parametric("beta", (0.8, 2.5, 0.0, 1.0)),
    "mixture": Mixture((0.3, 0.7), (-2.0, 1.0), (0.4, 1.2)),
    "skew-normal": Parametric("skew-normal", (4.0, 0.0, 1.0)),
    "empirical": Empirical((0.0, 1.0, 3.0), (0.1, 0.5, 0.9), Tail(0.1, 1.0), Tail(0.1, 1.0)),
    "cut normal": Parametric("normal", (0.0, 1.0)),
    "poisson": Count("poisson", (4.0,)),
    "zero-inflated negative binomial": Count("negative binomial", (2.0, 0.3), 0.0, 0.4),
    "lattice": Lattice((0.0, 0.5, 2.5), (0.2, 0.5, 0.3)),
}
EXPECTED_KIND = {
    "reflected gumbel": "gumbel",
    "log-normal": "normal",
    "reflected log-normal": "normal",
    "weibull": "left gumbel",
    "exponential": "left gumbel",
    "steep gamma": "gamma",
    "skew-normal": "score",
    "empirical": "score",
    "cut normal": "score",
    "poisson": "discrete",
    "zero-inflated negative binomial": "discrete",
    "lattice": "discrete",
}


def column(name, *, atoms=(), masses=()):
    family = FAMILIES[name]
    jumps = isinstance(family, Count | Lattice)
    grid = Grid(0) if isinstance(family, Count) else None
    lower = {"cut normal": -0.5, "poisson": 0.0, "zero-inflated negative binomial": 0.0}.get(name)
    body = Body(family, lower, None, grid, jumps, 0, np.empty(0))
    return ColumnDistribution(name, Kind.NUMERIC, atoms, masses, body, (), (), None, GoodnessOfFit("none"))


def heads_of(*distributions, start_logit=ALL, width=4):
    families = [ColumnFamily.of(distribution, ColumnLayout.of(distribution)) for distribution in distributions]
    return FamilyHeads(families, width, start_logit)


def read(heads, ranks):
    return heads(torch.zeros(*ranks.shape, heads.logit_weight.shape[1]), ranks)


def values_of(distribution):
    return distribution.body.decode(np.linspace(-2.5, 2.5, 21))


def ends_and_slope(family, x):
    """Coordinates of values, (2, n), and the logarithm of their derivative by x, 0 for masses."""
    body = family.distribution.body
    if body.jumps:
        above = body.cdf(x)
        below = above - np.exp(body.log_prob(x))
        return special.ndtri(np.clip([below, above], 1e-15, 1 - 1e-15)), 0.0

    def coordinate(x):
        return family.measured(x, body.encode(x, np.random.default_rng(0)))

    step = 1e-5
    slope = (coordinate(x + step) - coordinate(x - step)) / (2 * step)
    return np.stack([coordinate(x)] * 2), np.log(np.abs(slope))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_head_to_which_the_latent_tells_nothing_is_the_fitted_distribution(name):
    distribution = column(name)
    heads = heads_of(distribution)
    family = heads.families[0]
    assert family.kind == EXPECTED_KIND.get(name, name)
    x = values_of(distribution)
    if name == "empirical":
        x = x[np.abs(x[:, None] - np.array([0.0, 1.0, 3.0])).min(axis=1) > 1e-3]  # its density jumps at the knots
    ends, log_slope = ends_and_slope(family, x)
    ranks = torch.linspace(-3, 3, len(x))[:, None]  # whatever it says
    states = torch.zeros(len(x), 1, dtype=torch.long)
    found = heads.log_prob(read(heads, ranks), states, torch.tensor(ends).float()[..., None])
    expected = distribution.log_prob(pl.Series(x))
    np.testing.assert_allclose(found[:, 0].detach().numpy() + log_slope, expected, atol=3e-3)


def test_atoms_have_their_fitted_masses_when_the_latent_tells_nothing():
    distribution = column("gamma", atoms=(None, 0.0), masses=(0.1, 0.35))
    heads = heads_of(distribution)
    states = torch.tensor([[0], [1], [2]])
    ends = torch.zeros(2, 3, 1)
    sight = read(heads, torch.tensor([[-2.0], [0.0], [2.0]]))
    (columns, logits), *_ = sight.logits
    np.testing.assert_allclose(
        logits[0].softmax(-1).detach().numpy()[:, :3], [distribution.state_probabilities] * 3, atol=1e-4
    )
    assert columns == [0]
    atoms = heads.log_prob(sight, states, ends)[:2, 0].exp()
    np.testing.assert_allclose(atoms.detach().numpy(), [0.1, 0.35], atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("start_logit", [-30.0, -2.0, ALL])
def test_gradients_are_finite_at_extremes(name, start_logit):
    heads = heads_of(column(name), start_logit=start_logit)
    ranks = torch.tensor([[-8.0], [8.0], [0.0], [0.0], [7.0], [-7.0]], requires_grad=True)
    family = heads.families[0]
    low, high = sorted((family.place[0], family.place[-1]))
    middle = family.place[160]
    y = torch.tensor([high, low, low, high, middle, middle]).float()[:, None]
    nll = -heads.log_prob(read(heads, ranks), torch.zeros(6, 1, dtype=torch.long), torch.stack([y, y + 0.1])).sum()
    nll.backward()
    assert torch.isfinite(nll)
    assert torch.isfinite(ranks.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in heads.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"poisson", "zero-inflated negative binomial", "lattice"}))
def test_densities_integrate_to_one_wherever_the_latent_points(name):
    heads = heads_of(column(name), start_logit=-1.5)
    family = heads.families[0]
    low, high = sorted((family.place[0], family.place[-1]))
    y = np.linspace(max(low, -300), min(high, 300), 200_001)
    for rank in (-1.5, 0.0, 1.0):
        ranks = torch.full((len(y), 1), rank)
        ends = torch.tensor(np.stack([y, y])).float()[..., None]
        density = heads.log_prob(read(heads, ranks), torch.zeros(len(y), 1, dtype=torch.long), ends).exp()
        assert np.trapezoid(density[:, 0].detach().double().numpy(), y) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_have_the_distribution_of_the_head(name):
    """A draw at s = 1 is a draw from the fitted column; as s → 0 it is the value at the decoded rank."""
    distribution, rng = column(name), np.random.default_rng(0)
    heads = heads_of(distribution)
    states, ranks = heads.realise(read(heads, torch.zeros(4000, 1)), rng)
    u = special.ndtr(ranks[:, 0])
    assert states.max() == 0
    assert np.abs(np.sort(u) - (np.arange(4000) + 0.5) / 4000).max() < 0.035
    sharp = heads_of(distribution, start_logit=-30.0)
    decoded = torch.linspace(-1, 1, 5)[:, None]
    np.testing.assert_allclose(sharp.realise(read(sharp, decoded), None)[1], decoded.numpy(), atol=0.01)
    np.testing.assert_allclose(sharp.realise(read(sharp, decoded), rng)[1], decoded.numpy(), atol=0.1)


def table(rows=600):
    """Columns of several families; ``wide`` has a spread that ``switch`` decides."""
    rng = np.random.default_rng(0)
    switch = rng.random(rows) < 0.5
    zeros = rng.random(rows) < 0.4
    return pl.DataFrame(
        {
            "wide": np.where(switch, 4.0, 0.2) * rng.standard_normal(rows),
            "switch": np.where(switch, "yes", "no"),
            "gamma": np.where(zeros, 0.0, rng.gamma(2.0, 3.0, rows)),
            "count": rng.negative_binomial(3, 0.05, rows),
            "grid": np.round(rng.normal(0, 1, rows), 2),
        }
    )


def fitted(rows=600):
    data = table(rows)
    schema = TableSchema.infer(data)
    codec = Codec(schema, fit_table(data, schema, seed=0))
    encoded = codec.encode(data, np.random.default_rng(0))
    families = families_of(codec)
    return data, codec, families, Measured.of(data, codec, encoded, families)


def test_redrawn_values_stay_within_the_resolution():
    data, codec, families, measured = fitted()
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(len(measured))
    states, ranks, ends = measured.batch(rows, generator)
    _, again, ends_again = measured.batch(rows, generator)
    assert codec.decode(states.numpy(), ranks.double().numpy()).equals(data)
    for name in ("count", "grid"):
        j = codec.columns.index(name)
        in_body = states[:, j] == len(families[j].distribution.atoms)
        assert in_body.float().mean() > 0.9
        assert (ranks[in_body, j] != again[in_body, j]).all()
    count = codec.columns.index("count")
    assert families[count].kind == "discrete"
    assert torch.equal(ends[..., count], ends_again[..., count])
    assert (ends[1, :, count] > ends[0, :, count]).any()


def test_it_starts_as_the_identity_and_comes_back_to_the_table():
    data, codec, families, measured = fitted()
    torch.manual_seed(0)
    low, high = codec.bounds()
    vae = VAE(low, high, d_token=1, width=8, num_layers=1, num_heads=1, families=families)
    states, ranks, _ = measured.batch(torch.arange(len(measured)), torch.Generator().manual_seed(0))
    found_states, found_ranks = vae.realise(vae.encode(states, ranks)[0])
    assert (found_states == states.numpy()).mean() > 0.97  # at an interval's edge either neighbour is likely
    np.testing.assert_allclose(found_ranks[:, 0], ranks[:, 0].numpy(), atol=0.02)
    drawn = codec.decode(*vae.realise(vae.encode(states, ranks)[0], np.random.default_rng(0)))
    assert drawn.schema == data.schema
    assert drawn["gamma"].min() >= 0


def test_a_spread_that_another_column_decides_is_learned():
    """What the latent cannot tell of ``wide``, the head says by the column that switches its spread."""
    _, codec, families, _ = fitted()
    wide, switch = codec.columns.index("wide"), codec.columns.index("switch")
    torch.manual_seed(0)
    heads = FamilyHeads(families, 8, start_logit=0.0)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.05)
    losses = []
    for _ in range(150):
        on = torch.rand(128, generator=generator) < 0.5
        tokens = torch.zeros(128, len(families), 8)
        tokens[:, :, 0], tokens[:, :, 1] = on[:, None].float(), 1.0
        told = torch.where(on, 0.05, 0.9)
        seen = torch.randn(128, len(families), generator=generator)
        true = (1 - told) * seen[:, wide] + told.sqrt() * torch.randn(128, generator=generator)
        ends = torch.zeros(2, 128, len(families))
        place = np.interp(true.numpy(), np.arange(-160, 161) * 0.05, families[wide].place)
        ends[:, :, wide] = torch.from_numpy(place).float()
        states = torch.full((128, len(families)), len(families[wide].distribution.atoms))
        states[:, [j for j in range(len(families)) if j != wide]] = 0
        nll = -heads.log_prob(heads(tokens, seen), states, ends)[:, wide].mean()
        optimizer.zero_grad()
        nll.backward()
        optimizer.step()
        losses.append(nll.item())
    assert switch != wide
    assert np.mean(losses[-20:]) < np.mean(losses[:10]) - 0.2
    tokens = torch.zeros(2, len(families), 8)
    tokens[0, :, 0], tokens[:, :, 1] = 1.0, 1.0
    untold = heads(tokens, torch.zeros(2, len(families))).untold[:, wide]
    assert untold[0] < 0.2
    assert untold[1] > 0.5


def test_the_likelihood_of_a_table_grows_in_training():
    _, codec, families, measured = fitted()
    torch.manual_seed(0)
    low, high = codec.bounds()
    vae = VAE(low, high, d_token=1, width=8, num_layers=1, num_heads=1, families=families)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=5e-3)
    losses = []
    for _ in range(80):
        rows = torch.randint(len(measured), (128,), generator=generator)
        states, ranks, ends = measured.batch(rows, generator)
        reconstruction, kl = vae.loss(states, ranks, generator, ends)
        optimizer.zero_grad()
        (reconstruction + 1e-4 * kl).backward()
        optimizer.step()
        losses.append(reconstruction.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.1


def test_a_body_squeezed_between_atoms_is_less_certain_and_comes_back_all_the_same():
    distribution = column("normal", atoms=(0.0, 2.0, 4.0), masses=(0.3, 0.3, 0.3))
    free, squeezed = heads_of(column("normal"), start_logit=-6.0), heads_of(distribution, start_logit=-6.0)
    layout = squeezed.families[0].layout
    scores = np.array([-0.5, -0.2, 0.2, 0.5])
    u, _ = layout.intervals(np.full(4, 3), scores)
    ranks = torch.from_numpy(special.ndtri(u)).float()[:, None]
    sight = read(squeezed, ranks)
    assert (sight.untold > 10 * read(free, ranks).untold).all()
    np.testing.assert_allclose(sight.seen[:, 0].detach().numpy(), scores, atol=0.2)
    logits = [
        (columns, torch.where(torch.arange(4) == 3, 0.0, -50.0).expand(group.shape)) for columns, group in sight.logits
    ]
    in_body = type(sight)(logits, sight.seen, sight.untold, sight.leaning)
    states, found = squeezed.realise(in_body, None)
    assert (states == 3).all()
    np.testing.assert_allclose(found, ranks.numpy(), atol=0.02)


def test_families_need_the_ends_of_the_bodies():
    _, codec, families, measured = fitted()
    vae = VAE(*codec.bounds(), d_token=1, width=8, num_layers=1, num_heads=1, families=families)
    states, ranks, _ = measured.batch(torch.arange(4), torch.Generator())
    with pytest.raises(ValueError, match="ends"):
        vae.loss(states, ranks, torch.Generator())


def test_draws_depend_on_the_seed_alone():
    _, codec, families, measured = fitted()
    torch.manual_seed(0)
    vae = VAE(*codec.bounds(), d_token=2, width=8, num_layers=1, num_heads=1, families=families)
    states, ranks, _ = measured.batch(torch.arange(50), torch.Generator().manual_seed(0))
    latent = vae.encode(states, ranks)[0]
    first, again, other = (vae.realise(latent, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != other[1]).any()
