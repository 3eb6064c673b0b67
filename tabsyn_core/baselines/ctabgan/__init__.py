"""CTAB-GAN and CTAB-GAN+, written from the papers."""

from tabsyn_core.baselines.ctabgan.baseline import CTABGAN

__all__ = ["CTABGAN"]
