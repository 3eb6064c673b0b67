"""How long work reports its progress: one callback type that every long function accepts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a long piece of work.

    Attributes:
        done: Units finished so far.
        total: Units in all.
        unit: What is counted: ``"molecules"``, ``"updates"``, ``"rows"``, ``"columns"``.
        phase: The part of the work under way, such as ``"vae"`` or ``"diffusion"``; empty if there is one part.
        figures: Numbers worth watching, such as ``{"loss": 0.12}``.
    """

    done: int
    total: int
    unit: str
    phase: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""
