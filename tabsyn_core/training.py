"""A fixed number of updates with a moving average of the weights, resumable to the bit.

Checkpoints are safetensors with JSON metadata: weights, their average, AdamW's moments, the random generator's state.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tabsyn_core.files import atomic_path
from tabsyn_core.progress import Progress, ProgressCallback

_WARMUP = 50
_GRADIENT_NORM = 1.0
_REPORT_EVERY = 10


@dataclass(frozen=True)
class Budget:
    """How long to train and how often to write down where we are.

    Attributes:
        num_updates: Updates in all.
        learning_rate: Its peak; it warms up and then falls along a cosine.
        ema_halflife: Updates after which a weight's share in the average has halved; 0 takes the last weights.
        checkpoint: Where to write checkpoints and resume from; None keeps none.
        checkpoint_every: Updates between checkpoints.
        deadline: ``time.monotonic()`` at which to stop early; None never does.
    """

    num_updates: int
    learning_rate: float
    ema_halflife: float = 0.0
    checkpoint: Path | None = None
    checkpoint_every: int = 100
    deadline: float | None = None


@dataclass
class Curve:
    """The training losses: what was reported every few updates."""

    phase: str
    updates: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def train(
    network: nn.Module,
    step: Callable[[dict[str, float]], Tensor],
    budget: Budget,
    generator: torch.Generator,
    *,
    phase: str,
    memory: dict[str, float],
    progress: ProgressCallback,
) -> Curve:
    """Minimise ``step`` over the network's weights and leave their moving average in place.

    Args:
        network: The weights to train, changed in place.
        step: Draws a batch and returns its loss; it may read and change ``memory``.
        budget: How long.
        generator: The only source of randomness of ``step``; its state travels with the checkpoint.
        phase: Its name in progress reports.
        memory: Numbers that ``step`` carries from update to update, such as β; they travel with the checkpoint.
        progress: Told every few updates.

    Returns:
        The losses over the updates made, those before a resume included.
    """
    run = _Run.start(network, budget, generator, memory, Curve(phase))
    if budget.checkpoint is not None and budget.checkpoint.exists():
        run.resume(budget.checkpoint)
    while run.done < budget.num_updates and not run.stopped:
        for group in run.optimizer.param_groups:
            group["lr"] = budget.learning_rate * _schedule(run.done, budget.num_updates)
        loss = step(memory)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
        run.optimizer.step()
        run.follow(budget.ema_halflife)
        run.done += 1
        finished = run.done == budget.num_updates
        run.stopped = budget.deadline is not None and time.monotonic() > budget.deadline
        if run.done % _REPORT_EVERY == 0 or finished:
            run.curve.updates.append(run.done)
            run.curve.losses.append(loss.item())
            progress(Progress(run.done, budget.num_updates, "updates", phase, {"loss": loss.item()}))
        if budget.checkpoint is not None and (run.done % budget.checkpoint_every == 0 or finished or run.stopped):
            run.write(budget.checkpoint)
    with torch.no_grad():
        for name, weight in run.weights.items():
            weight.copy_(run.average[name])
    return run.curve


@dataclass
class _Run:
    """Everything an interrupted training needs to go on as if nothing had happened."""

    weights: dict[str, nn.Parameter]
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    memory: dict[str, float]
    curve: Curve
    done: int = 0
    stopped: bool = False  # at its deadline: a later run must not train on where the next phase has begun

    @classmethod
    def start(
        cls,
        network: nn.Module,
        budget: Budget,
        generator: torch.Generator,
        memory: dict[str, float],
        curve: Curve,
    ) -> "_Run":
        weights = dict(network.named_parameters())
        average = {name: weight.detach().clone() for name, weight in weights.items()}
        optimizer = torch.optim.AdamW(network.parameters(), lr=budget.learning_rate, weight_decay=1e-5)
        return cls(weights, average, optimizer, generator, memory, curve)

    @torch.no_grad()
    def follow(self, halflife: float) -> None:
        """EMA with a half-life that grows from zero, as in EDM: early weights are soon forgotten."""
        keep = 0.5 ** (1 / max(min(halflife, self.done / 10), 1e-8)) if halflife else 0.0
        for average, weight in zip(self.average.values(), self.weights.values(), strict=True):
            average.lerp_(weight, 1 - keep)

    def write(self, path: Path) -> None:
        tensors = {"generator": self.generator.get_state()}
        for name, weight in self.weights.items():
            tensors[f"weight.{name}"] = weight.detach()
            tensors[f"average.{name}"] = self.average[name]
            if moments := self.optimizer.state.get(weight):  # none for a weight the loss does not depend on
                tensors[f"first.{name}"], tensors[f"second.{name}"] = moments["exp_avg"], moments["exp_avg_sq"]
        state = {"done": self.done, "stopped": self.stopped, "memory": self.memory, **vars(self.curve)}
        with atomic_path(path) as temporary:
            save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, temporary, {"state": json.dumps(state)})

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        with safe_open(path, framework="pt") as stored:
            state = json.loads(stored.metadata()["state"])
            self.generator.set_state(stored.get_tensor("generator"))
            for name, weight in self.weights.items():
                weight.copy_(stored.get_tensor(f"weight.{name}"))
                self.average[name].copy_(stored.get_tensor(f"average.{name}"))
                if f"first.{name}" in stored.keys():  # noqa: SIM118  # safetensors' handle is no mapping
                    self.optimizer.state[weight] = {
                        "step": torch.tensor(float(state["done"])),
                        "exp_avg": stored.get_tensor(f"first.{name}").to(weight.device),
                        "exp_avg_sq": stored.get_tensor(f"second.{name}").to(weight.device),
                    }
        self.done, self.stopped = state["done"], state["stopped"]
        self.memory.update(state["memory"])
        self.curve.updates[:], self.curve.losses[:] = state["updates"], state["losses"]


def _schedule(done: int, total: int) -> float:
    warm = min(1.0, (done + 1) / min(_WARMUP, total))
    return warm * (0.02 + 0.98 * (1 + math.cos(math.pi * done / total)) / 2)
