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


def overfit(num_updates, *, patience=0, checkpoint=None, stop_at=None, reports=None, validated=True):
    """Thirty coefficients, one of which matters, on twenty noisy rows: held-out rows soon get worse."""
    torch.manual_seed(0)
    data, generator = torch.Generator().manual_seed(2), torch.Generator().manual_seed(1)
    x = torch.randn(220, 30, generator=data)
    y = x[:, :1] + torch.randn(220, 1, generator=data)
    network, updates = nn.Linear(30, 1), {"made": 0.0}

    def loss_on(rows):
        return ((network(x[rows]) - y[rows]) ** 2).mean()

    def step(memory):
        if memory["made"] == stop_at:
            raise KeyboardInterrupt
        memory["made"] += 1
        return loss_on(torch.randint(20, (10,), generator=generator))

    @torch.no_grad()
    def validate():
        return loss_on(slice(20, None)).item()

    budget = Budget(num_updates, 5e-4, ema_halflife=20, checkpoint=checkpoint, checkpoint_every=70, patience=patience)
    curve = train(
        network,
        step,
        budget,
        generator,
        phase="overfit",
        memory=updates,
        progress=reports.append if reports is not None else silent,
        validate=validate if validated else None,
    )
    return network, curve, validate()


def test_it_stops_where_held_out_rows_get_worse_and_leaves_the_best_average():
    _, curve, left = overfit(10**6, patience=3)
    best = min(curve.validation)
    assert left == best < curve.validation[-1]
    assert curve.validation.index(best) == len(curve.validation) - 4
    assert curve.checks == [100 * (i + 1) for i in range(len(curve.checks))]
    assert curve.updates[-1] == curve.checks[-1] < 5000


def test_without_patience_it_goes_on_but_leaves_the_best_average():
    _, curve, left = overfit(1550)
    assert curve.checks == [*range(100, 1501, 100), 1550]
    assert left == min(curve.validation) < curve.validation[-1]


def test_validation_is_of_the_average_and_does_not_disturb_the_training():
    watched, watched_curve, left = overfit(100)
    alone, alone_curve, also_left = overfit(100, validated=False)
    assert watched_curve.losses == alone_curve.losses
    assert watched_curve.validation == [left] == [also_left]
    assert torch.equal(watched.weight, alone.weight)
    assert alone_curve.checks == alone_curve.validation == []


@pytest.mark.parametrize("stop_at", [90, 450, 710])  # before the first validation, before and after the best one
def test_a_killed_training_remembers_its_best_average(tmp_path, stop_at):
    whole, whole_curve, _ = overfit(10**6, patience=3, checkpoint=tmp_path / "whole")
    assert 450 < whole_curve.checks[-1 - 3] < 710 < whole_curve.checks[-1]
    with pytest.raises(KeyboardInterrupt):
        overfit(10**6, patience=3, checkpoint=tmp_path / "killed", stop_at=stop_at)
    resumed, resumed_curve, _ = overfit(10**6, patience=3, checkpoint=tmp_path / "killed")
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
    assert whole_curve == resumed_curve


def test_a_training_that_ran_out_of_patience_is_not_taken_up_again(tmp_path):
    first, curve, _ = overfit(10**6, patience=2, checkpoint=tmp_path / "fit")
    reports = []
    again, curve_again, _ = overfit(10**6, patience=2, checkpoint=tmp_path / "fit", reports=reports)
    assert torch.equal(first.weight, again.weight)
    assert curve_again == curve
    assert reports == []
