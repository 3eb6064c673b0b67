import math
import time

import pytest
import torch
from torch import nn

from tabsyn_core.progress import silent
from tabsyn_core.training import Budget, train


def run(budget, *, stop_at=None, reports=None):
    """Fit a line to noisy points; ``stop_at`` dies in the middle, as a killed process does."""
    torch.manual_seed(0)
    network, generator, memory = nn.Linear(1, 1), torch.Generator().manual_seed(1), {"calls": 0.0}

    def step(memory):
        memory["calls"] += 1
        if memory["calls"] == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(32, 1, generator=generator)
        return ((network(x) - 3 * x - 1) ** 2).mean()

    curve = train(
        network,
        step,
        budget,
        generator,
        phase="line",
        memory=memory,
        progress=reports.append if reports is not None else silent,
    )
    return network, curve


def test_training_learns():
    network, curve = run(Budget(num_updates=400, learning_rate=0.05, ema_halflife=20))
    assert network.weight.item() == pytest.approx(3, abs=0.1)
    assert network.bias.item() == pytest.approx(1, abs=0.1)
    assert curve.losses[-1] < curve.losses[0]


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path):
    def budget(folder):
        path = tmp_path / folder / "line.safetensors"
        return Budget(num_updates=60, learning_rate=0.05, ema_halflife=20, checkpoint=path, checkpoint_every=7)

    whole, whole_curve = run(budget("whole"))
    with pytest.raises(KeyboardInterrupt):
        run(budget("killed"), stop_at=40)
    resumed, resumed_curve = run(budget("killed"))
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
    assert whole_curve == resumed_curve


def test_a_resumed_training_does_not_start_over(tmp_path):
    budget = Budget(num_updates=50, learning_rate=0.05, checkpoint=tmp_path / "line", checkpoint_every=10)
    with pytest.raises(KeyboardInterrupt):
        run(budget, stop_at=45)
    reports = []
    run(budget, reports=reports)
    assert [report.done for report in reports] == [50]


def test_a_training_stopped_at_its_deadline_is_not_taken_up_again(tmp_path):
    path = tmp_path / "line"
    _, first = run(Budget(num_updates=10**9, learning_rate=0.05, checkpoint=path, deadline=time.monotonic() + 0.2))
    reports = []
    _, again = run(Budget(num_updates=10**9, learning_rate=0.05, checkpoint=path), reports=reports)
    assert again == first
    assert reports == []


def test_a_passed_deadline_stops_it():
    _, curve = run(Budget(num_updates=10**9, learning_rate=0.05, deadline=time.monotonic() + 0.2))
    assert 0 < len(curve.updates) < 10**6


def test_progress_counts_to_the_end():
    reports = []
    run(Budget(num_updates=25, learning_rate=0.05), reports=reports)
    assert [report.done for report in reports] == [10, 20, 25]
    assert {report.total for report in reports} == {25}
    assert all(math.isfinite(report.figures["loss"]) for report in reports)
