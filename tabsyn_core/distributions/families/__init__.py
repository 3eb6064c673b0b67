"""The families a column's body may follow: one interface over scipy's, a mixture, counts and smoothed data."""

from typing import Any

from tabsyn_core.distributions.families.continuous import SCIPY_FAMILIES, Mixture, Parametric
from tabsyn_core.distributions.families.discrete import COUNT_FAMILIES, Count, Lattice
from tabsyn_core.distributions.families.family import Family
from tabsyn_core.distributions.families.smooth import Empirical, Quantiles, Tail

__all__ = [
    "COUNT_FAMILIES",
    "SCIPY_FAMILIES",
    "Count",
    "Empirical",
    "Family",
    "Lattice",
    "Mixture",
    "Parametric",
    "Quantiles",
    "Tail",
    "family_from_json",
]


def family_from_json(content: dict[str, Any]) -> Family:
    """Build a family from what its ``to_json`` wrote."""
    match content["type"]:
        case "parametric":
            return Parametric(content["base"], tuple(content["values"]), content["reflected"])
        case "mixture":
            return Mixture(tuple(content["weights"]), tuple(content["means"]), tuple(content["stds"]))
        case "empirical":
            lower, upper = (Tail(*tail) for tail in content["tails"])
            return Empirical(tuple(content["knots"]), tuple(content["levels"]), lower, upper)
        case "count":
            return Count(content["base"], tuple(content["values"]), content["start"], content["zero"])
        case "quantiles":
            return Quantiles(tuple(content["knots"]), tuple(content["levels"]))
        case _:
            return Lattice(tuple(content["support"]), tuple(content["masses"]))
