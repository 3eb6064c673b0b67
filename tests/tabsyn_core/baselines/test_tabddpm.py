import math

import pytest
import torch

from tabsyn_core.baselines.tabddpm import MixedDiffusion

STEPS = 20


@pytest.fixture
def diffusion():
    torch.manual_seed(0)
    return MixedDiffusion(2, [3, 2], STEPS, width=16, num_blocks=1)


def one_step(diffusion, t, size):
    """q(x_t | x_{t-1}) as a matrix (equation 3)."""
    return diffusion.alpha[t] * torch.eye(size) + (1 - diffusion.alpha[t]) / size


def test_the_schedule_is_the_cosine_of_the_share_of_steps(diffusion):
    def f(t):
        return math.cos((t / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2

    expected = [f(t) / f(0) for t in range(STEPS)]
    assert diffusion.alpha_bar[:-1].tolist() == pytest.approx(expected, rel=1e-5)
    assert diffusion.alpha_bar[-1] < 1e-3


@pytest.mark.parametrize("t", [1, 2, 10, STEPS])
def test_the_posterior_is_that_of_bayes(diffusion, t):
    size = 3
    before = torch.eye(size)
    for step in range(1, t):
        before = before @ one_step(diffusion, step, size)
    for start in range(size):
        for now in range(size):
            joint = before[start] * one_step(diffusion, t, size)[:, now]
            one_hot = torch.eye(size)
            found = diffusion.posterior(one_hot[start][None], one_hot[now][None], torch.tensor([t]))
            assert torch.allclose(found[0], joint / joint.sum(), atol=1e-5)


def test_the_loss_falls_where_columns_tell_about_each_other(diffusion):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(2, (512, 1), generator=generator)
    x = torch.cat([codes * 2.0 - 1, -codes * 2.0 + 1], dim=1)
    both = torch.cat([codes, codes], dim=1)

    def loss():
        with torch.no_grad():
            return float(torch.stack([diffusion(x, both, generator) for _ in range(20)]).mean())

    before = loss()
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        diffusion(x, both, generator).backward()
        optimizer.step()
    assert loss() < 0.5 * before
    numbers, drawn = diffusion.draw(400, generator)
    assert (drawn[:, 0] == drawn[:, 1]).float().mean() > 0.9
    assert ((numbers[:, 0] > 0) == (drawn[:, 0] == 1)).float().mean() > 0.9
    assert (drawn < 2).float().mean() > 0.98  # the third level of the first category never occurs
