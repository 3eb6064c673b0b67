"""Where a cell was made: the machine, what was installed there, and the commit. A cell keeps it, and pages say it."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import psutil
from real_tables import ROOT

_PACKAGES = ("torch", "lightgbm", "scikit-learn", "numpy", "polars", "rdkit")


@cache
def origin() -> dict[str, str]:
    """Of a cell that is made here and now."""
    return {"machine": _machine(), "versions": _versions(), "commit": _commit()}


def _machine() -> str:
    import torch  # noqa: PLC0415  not before tabsyn_core has told OpenMP how to wait

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    memory = psutil.virtual_memory().total / 2**30
    return f"{cores} core{'s' if cores != 1 else ''} ({_processor()}), {memory:.0f} GiB, {accelerator}"


def _versions() -> str:
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def _commit() -> str:
    """The commit, with ``-dirty`` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  git, no shell
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
