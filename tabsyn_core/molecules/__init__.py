"""Molecule-backed rows: every synthetic row comes with a valid, new molecule whose descriptors are that row."""

from tabsyn_core.molecules.config import RealizerConfig
from tabsyn_core.molecules.realizer import Realized, Realizer

__all__ = ["Realized", "Realizer", "RealizerConfig"]
