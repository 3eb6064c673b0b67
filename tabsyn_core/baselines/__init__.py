"""Every rival behind one protocol: ``BASELINES["ctgan"]().fit(table, schema, seed=0, seconds=600).sample(1000, 1)``.

Nothing is imported before a baseline is asked for: torch takes seconds, and packages of the ``benchmark`` extra may not
be there.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from tabsyn_core.baselines.base import Baseline


def _lazy(module: str, name: str, **settings: Any) -> Callable[..., Baseline]:
    def make(**changes: Any) -> Baseline:
        found: Baseline = getattr(import_module(f"tabsyn_core.baselines.{module}"), name)(**{**settings, **changes})
        return found

    return make


BASELINES: Mapping[str, Callable[..., Baseline]] = MappingProxyType(
    {
        "bootstrap": _lazy("simple", "Bootstrap"),
        "factorised": _lazy("simple", "Factorised"),
        "smote": _lazy("smote", "Smote"),
        "gaussian-copula": _lazy("copula", "GaussianCopula"),
        "tvae": _lazy("ctgan_package", "TVAE"),
        "ctgan": _lazy("ctgan_package", "CTGAN"),
        "ctab-gan": _lazy("ctabgan", "CTABGAN", plus=False),
        "ctab-gan+": _lazy("ctabgan", "CTABGAN", plus=True),
        "wgan-gp": _lazy("wgan_gp", "WGANGP"),
        "tabddpm": _lazy("tabddpm", "TabDDPM"),
        "tabsyn": _lazy("published", "PublishedTabSyn"),
        "tabular-argn": _lazy("external", "TabularARGN"),
        "forest-diffusion": _lazy("external", "ForestDiffusion"),
    }
)
"""Makes each baseline by its name; keyword arguments are its settings."""

__all__ = ["BASELINES", "Baseline"]
