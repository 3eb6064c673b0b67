"""Decoder heads that are likelihoods of each column's own family."""

from tabsyn_core.heads.column_family import ColumnFamily, Coordinate, families_of
from tabsyn_core.heads.family_heads import FamilyHeads, Sight, choose_states
from tabsyn_core.heads.measured import Measured

__all__ = ["ColumnFamily", "Coordinate", "FamilyHeads", "Measured", "Sight", "choose_states", "families_of"]
