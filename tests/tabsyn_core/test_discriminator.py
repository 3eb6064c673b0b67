import torch

from tabsyn_core.discriminator import Discriminator


def test_it_says_one_half_of_everything_before_it_has_learned():
    logits = Discriminator(3, 16, 0.5)(torch.randn(5, 3), torch.rand(5) + 0.01)
    assert torch.equal(logits, torch.zeros(5))


def test_it_learns_what_is_real_at_each_noise_level():
    """The larger spread is real at a low level and false at a high one: only the level tells."""
    torch.manual_seed(0)
    network = Discriminator(2, 32, 0.5)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        level = torch.rand(128) < 0.5
        real = torch.rand(128) < 0.5
        sigma = torch.where(level, 0.05, 1.0)
        spread = torch.where(level == real, 1.0, 0.2)[:, None]
        logits = network(spread * torch.randn(128, 2), sigma)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, real.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((logits > 0) == real).float().mean() > 0.75


def test_extreme_latents_and_levels_give_finite_gradients():
    network = Discriminator(2, 16, 0.5)
    torch.nn.init.ones_(network.leave.weight)
    x = torch.tensor([[1e4, -1e4], [0.0, 0.0], [1e-9, 1e4]], requires_grad=True)
    network(x, torch.tensor([1e-9, 80.0, 0.0])).sum().backward()
    assert torch.isfinite(x.grad).all()
