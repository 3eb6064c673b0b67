"""Autoregressive heads: each column drawn from its distribution given the columns before it.

p(x) = p(x_core) · ∏ⱼ p(xⱼ | x_<j). The core comes from the diffusion model; every other column is drawn from the
training values that share its leaf in a regression tree on the columns before it (sequential CART: Reiter, J. Official
Statistics 21, 441 (2005); Nowok, Raab, Dibben, J. Statistical Software 74 (2016)). What has hard edges in a descriptor
table, such as counts that fix one another, lattices and near-identities, has hard edges in a tree.

Each tree may also ask for a *guide*: a ridge regression's prediction of the column from the values before it. Linear
relations, exact or nearly so, are what a tree approximates worst; asked for as one more feature they narrow a leaf
without being trusted beyond it, so a row that is slightly off cannot be extrapolated. The guide is cross-fitted, and
its penalty is what noise of that size on every input would amount to (Bishop, Neural Computation 7, 108 (1995)): what
is drawn before a column is never quite right.

A leaf is a *window* of training values, narrowed by a condition if there is one and smoothed inside the window. Draws
go through the codec like any others, so that supports stay exact.
"""

from tabsyn_core.chain.chain import FORCED, Chain
from tabsyn_core.chain.head import Cells, Head

__all__ = ["FORCED", "Cells", "Chain", "Head"]
