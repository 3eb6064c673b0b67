"""A generator under differential privacy: column distributions, correlations and weights, with one account for all.

Every number that ends up in the model and depends on the rows comes out of one of four mechanisms
(:mod:`tabsyn_core.private.accounting`): two joint histograms (:mod:`tabsyn_core.private.marginals`), one covariance
matrix (:mod:`tabsyn_core.private.correlations`) and DP-SGD (:mod:`tabsyn_core.private.training`). Names, types and
stated bounds and levels of the columns, and the number of rows, are treated as public.

The noise comes from seeded generators, so that a fit can be repeated. The guarantee is worth nothing against someone
who knows that seed: it must be drawn from the operating system, kept secret, forgotten, and used for nothing that is
published as it is, such as initial weights.
"""

from tabsyn_core.private.config import PrivacyConfig

__all__ = ["PrivacyConfig"]
