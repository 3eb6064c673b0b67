import torch

from tabsyn_core.latent import LatentScaling


def test_latents_come_back_and_have_the_standard_deviation_edm_assumes():
    torch.manual_seed(0)
    latents = torch.randn(500, 6) @ torch.randn(6, 6) * torch.logspace(-2, 1, 6) + 3
    for whitening in (0.0, 0.5, 1.0):
        scaling = LatentScaling.fit(latents, 0.5, whitening)
        components = scaling.apply(latents)
        assert abs(components.std().item() - 0.5) < 0.02
        torch.testing.assert_close(scaling.invert(components), latents, rtol=1e-3, atol=1e-3)


def test_full_whitening_gives_every_direction_the_same_spread():
    torch.manual_seed(0)
    latents = torch.randn(4000, 3) * torch.tensor([10.0, 1.0, 0.1])
    spread = LatentScaling.fit(latents, 0.5, 1.0).apply(latents).std(0)
    torch.testing.assert_close(spread, torch.full((3,), 0.5), rtol=0.02, atol=0)


def test_directions_without_spread_are_dropped():
    torch.manual_seed(0)
    base = torch.randn(200, 2)
    latents = torch.cat([base, base.sum(1, keepdim=True)], dim=1)
    assert LatentScaling.fit(latents, 0.5, 0.5).forward.shape == (3, 2)


def test_one_row_is_a_space_that_does_not_vary():
    scaling = LatentScaling.fit(torch.tensor([[1.0, 2.0]]), 0.5, 0.5)
    torch.testing.assert_close(scaling.invert(torch.zeros(1, scaling.forward.shape[1])), torch.tensor([[1.0, 2.0]]))
