"""What ties columns together: found in the data and in chemistry, left out of training, obeyed after sampling.

Columns that are exact functions of others are dropped before training and recomputed after sampling. What cannot be
solved for one column (balances, lattices, orders) is kept as a constraint, and rows are moved onto it.
"""

from tabsyn_core.identities.constraints import Balance, Lattice, Order, Term
from tabsyn_core.identities.forms import Form, Identity
from tabsyn_core.identities.lookups import Constant, Lookup, Steps
from tabsyn_core.identities.table import Identities

__all__ = ["Balance", "Constant", "Form", "Identities", "Identity", "Lattice", "Lookup", "Order", "Steps", "Term"]
