"""Multi-distribution TabSyn: synthetic tables whose every column keeps its own distribution and support.

The package is a library of its own: it imports no Prefect, DVC, MLflow or Great Expectations.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Waiting threads sleep instead of spinning: beside a busy process a training step is at least twice as fast, on an
# idle machine about a tenth slower (benchmarks/waiting.py). Read by OpenMP when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# cuBLAS is deterministic only with a workspace of its own; read when CUDA is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

if TYPE_CHECKING:
    from tabsyn_core.config import GeneratorConfig
    from tabsyn_core.generator import Generator

__all__ = ["Generator", "GeneratorConfig"]


def __getattr__(name: str) -> Any:
    """Load the front door when it is first asked for: reading a file of parameters must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "tabsyn_core.generator" if name == "Generator" else "tabsyn_core.config"
    return getattr(import_module(module), name)
