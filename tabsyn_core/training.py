"""Updates with a moving average of the weights, stopped early where it gets worse, resumable to the bit.

Checkpoints are safetensors with JSON metadata: weights, their average and the best one so far, AdamW's moments, the
random generator's state, and the same of a rival that the step itself trains.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
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
_CHECK_EVERY = 100  # updates between validations


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
        patience: Validations in a row without improvement after which to stop early; 0 never does.
    """

    num_updates: int
    learning_rate: float
    ema_halflife: float = 0.0
    checkpoint: Path | None = None
    checkpoint_every: int = 100
    deadline: float | None = None
    patience: int = 0


@dataclass(frozen=True)
class Learner:
    """A network and its optimiser: what a checkpoint must hold for it to go on learning.

    Attributes:
        network: Its weights are trained in place.
        optimizer: Of all its weights.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer

    @classmethod
    def adamw(cls, network: nn.Module, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> "Learner":
        """A learner under AdamW."""
        weights = network.parameters()
        return cls(network, torch.optim.AdamW(weights, lr=learning_rate, betas=betas, weight_decay=1e-5))

    def descend(self, loss: Tensor) -> None:
        """One update against the gradient of a loss, its norm held."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_NORM)
        self.optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """Weights and moments by name; no moments of a weight on which no loss has depended."""
        held: dict[str, Tensor] = {}
        for name, weight in self.network.named_parameters():
            held[f"weight.{name}"] = weight.detach()
            moments = self.optimizer.state.get(weight, {})
            held |= {f"{key}.{name}": moments[stored] for key, stored in _MOMENTS.items() if stored in moments}
        return held

    @torch.no_grad()
    def restore(self, held: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`tensors`."""
        for name, weight in self.network.named_parameters():
            weight.copy_(held[f"weight.{name}"])
            if f"step.{name}" in held:
                moments = {stored: held[f"{key}.{name}"] for key, stored in _MOMENTS.items()}
                on_device = {key: m if key == "step" else m.to(weight.device) for key, m in moments.items()}
                self.optimizer.state[weight] = on_device


_MOMENTS = {"step": "step", "first": "exp_avg", "second": "exp_avg_sq"}


@dataclass
class Curve:
    """The losses of a training.

    Attributes:
        phase: Its name.
        updates: After how many updates
        losses: a batch had this loss.
        checks: After how many updates
        validation: the average of the weights had this loss on held-out rows.
    """

    phase: str
    updates: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    checks: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    @property
    def stale(self) -> int:
        """Validations since the best one, the first of its like."""
        return len(self.validation) - 1 - self.validation.index(min(self.validation))


def train(
    network: nn.Module,
    step: Callable[[dict[str, float]], Tensor],
    budget: Budget,
    generator: torch.Generator,
    *,
    phase: str,
    memory: dict[str, float],
    progress: ProgressCallback,
    rival: Learner | None = None,
    validate: Callable[[], float] | None = None,
) -> Curve:
    """Minimise ``step`` over the network's weights and leave their moving average in place, the best one if validated.

    Args:
        network: The weights to train, changed in place.
        step: Draws a batch and returns its loss; it may read and change ``memory``.
        budget: How long.
        generator: The only source of randomness of ``step``; its state travels with the checkpoint.
        phase: Its name in progress reports.
        memory: Numbers that ``step`` carries from update to update, such as β; they travel with the checkpoint.
        progress: Told every few updates.
        rival: A network that ``step`` trains against this one; it travels with the checkpoint.
        validate: The loss of the network as it stands on rows that ``step`` never sees. It is asked about the moving
            average every 100 updates and at the end; it must not draw from ``generator``.

    Returns:
        The losses over the updates made, those before a resume included.
    """
    run = _Run.start(network, budget, generator, memory, Curve(phase), rival=rival)
    if budget.checkpoint is not None and budget.checkpoint.exists():
        run.resume(budget.checkpoint)
    while run.done < budget.num_updates and not run.stopped:
        for group in run.learner.optimizer.param_groups:
            group["lr"] = budget.learning_rate * _schedule(run.done, budget.num_updates)
        loss = step(memory)
        run.learner.descend(loss)
        run.follow(budget.ema_halflife)
        run.done += 1
        finished = run.done == budget.num_updates
        run.stopped = budget.deadline is not None and time.monotonic() > budget.deadline
        if validate is not None and (run.done % _CHECK_EVERY == 0 or finished or run.stopped):
            run.check(validate)
            run.stopped |= 0 < budget.patience <= run.curve.stale
        if run.done % _REPORT_EVERY == 0 or finished:
            run.curve.updates.append(run.done)
            run.curve.losses.append(loss.item())
            progress(Progress(run.done, budget.num_updates, "updates", phase, {"loss": loss.item()}))
        if budget.checkpoint is not None and (run.done % budget.checkpoint_every == 0 or finished or run.stopped):
            run.write(budget.checkpoint)
    run.put(run.best or run.average)
    return run.curve


@dataclass
class _Run:
    """Everything an interrupted training needs to go on as if nothing had happened."""

    learner: Learner
    rival: Learner | None
    weights: dict[str, nn.Parameter]
    average: dict[str, Tensor]
    generator: torch.Generator
    memory: dict[str, float]
    curve: Curve
    best: dict[str, Tensor] = field(default_factory=dict)  # the average at the least validation loss; none as yet
    done: int = 0
    stopped: bool = False  # early: a later run must not train on where the next phase has begun

    @classmethod
    def start(
        cls,
        network: nn.Module,
        budget: Budget,
        generator: torch.Generator,
        memory: dict[str, float],
        curve: Curve,
        *,
        rival: Learner | None,
    ) -> "_Run":
        weights = dict(network.named_parameters())
        average = {name: weight.detach().clone() for name, weight in weights.items()}
        return cls(Learner.adamw(network, budget.learning_rate), rival, weights, average, generator, memory, curve)

    @torch.no_grad()
    def follow(self, halflife: float) -> None:
        """EMA with a half-life that grows from zero, as in EDM: early weights are soon forgotten."""
        keep = 0.5 ** (1 / max(min(halflife, self.done / 10), 1e-8)) if halflife else 0.0
        for average, weight in zip(self.average.values(), self.weights.values(), strict=True):
            average.lerp_(weight, 1 - keep)

    @torch.no_grad()
    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Give the network these weights."""
        for name, weight in self.weights.items():
            weight.copy_(weights[name])

    @torch.no_grad()
    def check(self, validate: Callable[[], float]) -> None:
        """Validate the average, and keep it if there was none better."""
        latest = {name: weight.clone() for name, weight in self.weights.items()}
        self.put(self.average)
        self.curve.checks.append(self.done)
        self.curve.validation.append(validate())
        self.put(latest)
        if self.curve.stale == 0:
            self.best = {name: average.clone() for name, average in self.average.items()}

    def write(self, path: Path) -> None:
        tensors = {"generator": self.generator.get_state(), **self.learner.tensors()}
        tensors |= {f"average.{name}": average for name, average in self.average.items()}
        tensors |= {f"best.{name}": best for name, best in self.best.items()}
        if self.rival is not None:
            tensors |= {f"rival.{name}": tensor for name, tensor in self.rival.tensors().items()}
        state = {"done": self.done, "stopped": self.stopped, "memory": self.memory, **vars(self.curve)}
        with atomic_path(path) as temporary:
            save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, temporary, {"state": json.dumps(state)})

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        with safe_open(path, framework="pt") as stored:
            state = json.loads(stored.metadata()["state"])
            held = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # no mapping
        self.generator.set_state(held["generator"])
        self.learner.restore(held)
        for name, average in self.average.items():
            average.copy_(held[f"average.{name}"])
        self.best = _under("best.", held)
        if self.rival is not None:
            self.rival.restore(_under("rival.", held))
        self.done, self.stopped = state["done"], state["stopped"]
        self.memory.update(state["memory"])
        for series in ("updates", "losses", "checks", "validation"):
            getattr(self.curve, series)[:] = state[series]


def _under(prefix: str, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in held.items() if name.startswith(prefix)}


def _schedule(done: int, total: int) -> float:
    warm = min(1.0, (done + 1) / min(_WARMUP, total))
    return warm * (0.02 + 0.98 * (1 + math.cos(math.pi * done / total)) / 2)
