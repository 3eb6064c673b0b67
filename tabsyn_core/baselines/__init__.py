"""Every rival behind one protocol: ``BASELINES["ctgan"]().fit(table, schema, seed=0, seconds=600).sample(1000, 1)``.

Nothing is imported before a baseline is asked for: torch takes seconds, and packages of the ``benchmark`` extra may not
be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

from tabsyn_core.baselines.base import Baseline


@dataclass(frozen=True)
class Lazy:
    """Makes a baseline when it is called; keyword arguments are its settings.

    Attributes:
        module: Where its class is, in this package.
        name: Of the class.
        settings: Set before those of the call.
        beside: Other modules of this package that decide its rows and are not imported.
    """

    module: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    def __call__(self, **changes: Any) -> Baseline:
        """Import the class and make one."""
        made: Baseline = getattr(import_module(self.modules[0]), self.name)(**{**self.settings, **changes})
        return made

    @property
    def modules(self) -> tuple[str, ...]:
        """Its module and those beside, as they are imported."""
        return tuple(f"{__name__}.{module}" for module in (self.module, *self.beside))


BASELINES: Mapping[str, Lazy] = MappingProxyType(
    {
        "bootstrap": Lazy("simple", "Bootstrap"),
        "factorised": Lazy("simple", "Factorised"),
        "smote": Lazy("smote", "Smote"),
        "gaussian-copula": Lazy("copula", "GaussianCopula"),
        "tvae": Lazy("ctgan_package", "TVAE"),
        "ctgan": Lazy("ctgan_package", "CTGAN"),
        "ctab-gan": Lazy("ctabgan", "CTABGAN", {"plus": False}),
        "ctab-gan+": Lazy("ctabgan", "CTABGAN", {"plus": True}),
        "wgan-gp": Lazy("wgan_gp", "WGANGP"),
        "tabddpm": Lazy("tabddpm", "TabDDPM"),
        "tabsyn": Lazy("published", "PublishedTabSyn"),
        "tabular-argn": Lazy("external", "TabularARGN", beside=("runner",)),
        "forest-diffusion": Lazy("external", "ForestDiffusion", beside=("runner",)),
    }
)
"""Makes each baseline by its name."""

__all__ = ["BASELINES", "Baseline", "Lazy"]
