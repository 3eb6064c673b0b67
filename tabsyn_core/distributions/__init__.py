"""A family for every column: atoms split off, the rest fitted, every value encoded and decoded exactly."""

from tabsyn_core.distributions.body import MAX_SCORE, Body
from tabsyn_core.distributions.column import ColumnDistribution, fit_column
from tabsyn_core.distributions.page import render_page
from tabsyn_core.distributions.selection import Criterion, GoodnessOfFit
from tabsyn_core.distributions.table import Distributions, fit_table, load_distributions, save_distributions

__all__ = [
    "MAX_SCORE",
    "Body",
    "ColumnDistribution",
    "Criterion",
    "Distributions",
    "GoodnessOfFit",
    "fit_column",
    "fit_table",
    "load_distributions",
    "render_page",
    "save_distributions",
]
