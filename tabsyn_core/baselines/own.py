"""What the baselines written here share: seeds, devices, a budget of updates, and a folder to be saved in."""

import copy
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tabsyn_core.baselines.base import Baseline
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_json
from tabsyn_core.reproducible import reproducible
from tabsyn_core.schema import TableSchema

_FORMAT_VERSION = 1
_TIMED = 4  # updates, of which the first, which allocates, does not count
_RESERVED = 0.95  # of what is left is spent on updates


@dataclass(eq=False, kw_only=True)
class OwnBaseline(Baseline):
    """A baseline that trains networks of this project; its fields are its settings.

    Attributes:
        threads: CPU threads; fixed, because their number changes the last bits of a sum.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA where there is one.
    """

    threads: int = 2
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse settings that cannot be trained."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise TabsynError(f"{setting.name} is {value}; it must be more than 0.")

    def save(self, path: Path) -> None:
        """Write the baseline to a folder: JSON for what is known, safetensors for the weights.

        Raises:
            TabsynError: Nothing was fitted, or the folder cannot be written.
        """
        if not hasattr(self, "schema"):
            raise TabsynError("this baseline has not been fitted; call fit or load first.")
        about = {
            "format_version": _FORMAT_VERSION,
            "baseline": type(self).__name__,
            "settings": asdict(self),
            "schema": self.schema.to_json(),
            "effort": self.effort,
            "fitted": self._known(),
        }
        with atomic_path(path) as temporary:
            temporary.mkdir()
            (temporary / "baseline.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self._weights().items()}
            save_file(tensors, temporary / "weights.safetensors")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote; nothing in it is executed.

        Raises:
            TabsynError: The folder is not such a baseline, is damaged, or was written by a later version.
        """
        about = read_json(path / "baseline.json")
        try:
            if about["format_version"] > _FORMAT_VERSION:
                raise TabsynError(
                    f"{path} has format {about['format_version']}, this version reads up to 1; upgrade it."
                )
            if about["baseline"] != cls.__name__:
                raise TabsynError(f"{path} holds a {about['baseline']}; load it with that class, not {cls.__name__}.")
            baseline = cls(**about["settings"])
            baseline.schema, baseline.effort = TableSchema.from_json(about["schema"]), about["effort"]
            with torch.random.fork_rng(devices=[]):  # the weights drawn here are overwritten
                baseline._rebuild(about["fitted"], load_file(path / "weights.safetensors"))
        except (KeyError, TypeError, FileNotFoundError, RuntimeError, SafetensorError) as error:
            raise TabsynError(f"{path} is not a complete baseline ({error}); fit and save it again.") from error
        return baseline

    @abstractmethod
    def _known(self) -> dict[str, Any]:
        """What is to be saved beside weights and settings, JSON-ready."""

    @abstractmethod
    def _weights(self) -> Mapping[str, Tensor]:
        """All tensors that sampling needs."""

    @abstractmethod
    def _rebuild(self, known: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        """The inverse of both."""


@contextmanager
def seeded(seed: int, threads: int) -> Iterator[torch.Generator]:
    """Fixed threads, deterministic kernels, torch's own random state seeded inside and left alone outside."""
    with reproducible(threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def device_of(name: str) -> torch.device:
    """The device of a setting.

    Raises:
        TabsynError: It is ``"cuda"`` and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TabsynError("device is 'cuda' but this machine has none that torch can use; set device to 'cpu'.")
    return torch.device(name)


def affordable(network: nn.Module, loss: Callable[[nn.Module], Tensor], published: int, deadline: float | None) -> int:
    """Updates of a network that fit before a deadline, told by the time of a few on a copy; all without a deadline.

    A schedule of learning rates must know its end: one that is cut off stops while steps are still long.
    """
    if deadline is None:
        return published
    trial = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(trial.parameters())
    for number in range(_TIMED):
        if number == 1:
            start = time.monotonic()
        optimizer.zero_grad()
        loss(trial).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    took = (time.monotonic() - start) / (_TIMED - 1)
    return max(1, min(published, int(_RESERVED * (deadline - time.monotonic()) / took)))
