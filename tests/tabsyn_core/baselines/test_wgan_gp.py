import pytest
import torch
from torch import nn

from tabsyn_core.baselines.wgan_gp import gradient_penalty


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_the_penalty_is_the_squared_excess_of_the_slope_over_one(slope):
    critic = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[slope, 0.0, 0.0, 0.0]]))
    found = gradient_penalty(critic, torch.randn(8, 4), torch.randn(8, 4), 10.0)
    assert found.item() == pytest.approx(10 * (slope - 1) ** 2, abs=1e-5)


def test_the_slope_is_taken_between_the_real_and_the_fake():
    class Corner(nn.Module):
        def forward(self, x):
            return torch.relu(x - 10).sum(1)  # flat up to 10

    near, far = torch.zeros(64, 1), torch.full((64, 1), 20.0)
    assert gradient_penalty(Corner(), near, near + 1, 1.0).item() == pytest.approx(1)  # flat: slope 0
    assert gradient_penalty(Corner(), far, far + 1, 1.0).item() == pytest.approx(0)
    assert 0.2 < gradient_penalty(Corner(), near, far, 1.0).item() < 0.8  # half of the way
