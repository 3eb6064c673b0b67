"""All that ties the columns of one table together."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.identities import lookups
from tabsyn_core.identities.columns import MIN_ROWS, Columns, rounding
from tabsyn_core.identities.constraints import Balance, Constraint, Lattice, Order, Term, columns_of
from tabsyn_core.identities.forms import Floats, Form, Identity, Masks, numbers, sums_of
from tabsyn_core.identities.functions import find_functions
from tabsyn_core.identities.laws import find_lattices, find_orders
from tabsyn_core.identities.lookups import Lookup, Rewrite, Steps, find_constants, find_lookups, find_steps
from tabsyn_core.identities.profiles import Profile, profiles_of
from tabsyn_core.identities.projection import Projection
from tabsyn_core.schema import TableSchema


@dataclass(frozen=True)
class Identities:
    """What every row of a table obeys.

    Attributes:
        schema: The table's columns.
        identities: Columns that are exact functions of others, each for another column, none of them in a circle, in
            an order in which each can be computed from columns that are there by then.
        rewrites: Columns that have one value, or that another column determines level by level.
        balances: Linear equations that no column can be computed from without leaving its support.
        lattices: Products and differences that are whole numbers.
        orders: Inequalities.
        profiles: For each column that may be moved to obey those, what decides how noticeable that is.
    """

    schema: TableSchema
    identities: tuple[Identity, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    balances: tuple[Balance, ...] = ()
    lattices: tuple[Lattice, ...] = ()
    orders: tuple[Order, ...] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)

    @classmethod
    def discover(cls, table: pl.DataFrame, schema: TableSchema) -> "Identities":
        """Find what holds on every row of a table, and is no chance.

        Args:
            table: The training rows.
            schema: Its columns; bounds and dtypes are what :meth:`complete` respects.

        Raises:
            TabsynError: The table does not match the schema.
        """
        schema.check(table)
        columns = Columns.of(table, schema)
        identities, balances = find_functions(columns)
        computed = {identity.column for identity in identities}
        inputs = {name for identity in identities for name in identity.inputs}
        rewrites = _find_rewrites(table, schema, computed, inputs | columns_of(balances))
        rewritten = {rewrite.column for rewrite in rewrites}
        sums = sums_of(identities)
        movable = [name for name in columns.varying if name not in computed | rewritten]
        comparable = [name for name in columns.varying if name in {*movable, *sums}]
        lattices = tuple(find_lattices(columns, movable))
        orders = tuple(find_orders(columns, comparable, sums))
        used = inputs | columns_of((*balances, *lattices, *orders))
        profiles = profiles_of(columns, [name for name in movable if name in used])
        return cls(schema, identities, rewrites, balances, lattices, orders, profiles)

    @property
    def dependent(self) -> tuple[str, ...]:
        """The names of the columns to drop before training, in the schema's order."""
        found = {each.column for each in (*self.identities, *self.rewrites)}
        return tuple(name for name in self.schema.names if name in found)

    def complete(self, rows: pl.DataFrame, *, fixed: Collection[str] = ()) -> pl.DataFrame:
        """Recompute the dependent columns, and move the others as little as possible until each row obeys.

        Args:
            rows: The independent columns, in any order; dependent ones among them are replaced.
            fixed: Columns that are not to be moved; dependent ones are recomputed nevertheless.

        Returns:
            All columns of the schema in its order, with its dtypes; recomputed columns are rounded to their decimals
            and kept within their bounds, and missing where one of their inputs is. A row that obeys comes back as it
            was; see :meth:`obeyed` for those that could not be made to.

        Raises:
            TabsynError: An independent column is missing.
        """
        if missing := [name for name in self.schema.names if name not in {*rows.columns, *self.dependent}]:
            raise TabsynError(
                f"columns {missing} are needed to recompute {list(self.dependent)}; add them to the rows."
            )
        dtypes = self.schema.polars_dtypes()
        for rewrite in (each for each in self.rewrites if not isinstance(each, Steps)):
            rows = rows.with_columns(rewrite.value(rows, dtypes[rewrite.column]))
        before = {name: numbers(rows[name]) for name in self._numeric}
        after = self._projection(fixed).apply(before)
        changed = [
            pl.Series(name, x).fill_nan(None).cast(dtypes[name])
            for name, x in after.items()
            if name not in before or not np.array_equal(x, before[name], equal_nan=True)
        ]
        rows = rows.with_columns(changed)
        steps = [step.value(rows, dtypes[step.column]) for step in self.rewrites if isinstance(step, Steps)]
        return rows.with_columns(steps).select(self.schema.names)

    def obeyed(self, rows: pl.DataFrame) -> pl.Series:
        """Tell which rows obey everything that was found; gaps make no row disobey a balance, a lattice or an order.

        Args:
            rows: All columns of the schema.

        Returns:
            A Boolean series of length ``rows.height``, without nulls.

        Raises:
            TabsynError: A column is missing.
        """
        if missing := [name for name in self.schema.names if name not in rows.columns]:
            raise TabsynError(f"columns {missing} are missing; complete the rows first.")
        marks = np.ones(rows.height, dtype=bool)
        for mark in self.broken(rows).values():
            marks &= ~mark
        return pl.Series("obeyed", marks)

    def broken(self, rows: pl.DataFrame) -> dict[str, Masks]:
        """Which rows break which identity or constraint, by its words; ``rows`` as for :meth:`obeyed`."""
        names = columns_of(self._constraints) | {i.column for i in self.identities} | self._inputs
        values = {name: numbers(rows[name]) for name in names}
        return {
            **{f"{i.column} = {i.describe()}": ~i.obeyed(values, tolerance=self._tolerance) for i in self.identities},
            **{rewrite.describe(): ~rewrite.obeyed(rows) for rewrite in self.rewrites},
            **{each.describe(): ~each.obeyed(values, tolerance=self._tolerance) for each in self._constraints},
        }

    def describe(self) -> dict[str, str]:
        """Each dependent column's identity in symbols, such as ``"RingCount = NumAromaticRings + ..."``."""
        texts = {identity.column: f"{identity.column} = {identity.describe()}" for identity in self.identities}
        texts |= {rewrite.column: rewrite.describe() for rewrite in self.rewrites}
        return {name: texts[name] for name in self.dependent}

    def constraints(self) -> list[str]:
        """What rows are moved to obey, in words: balances, lattices and orders."""
        return [constraint.describe() for constraint in self._constraints]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary."""
        return {
            "schema": self.schema.to_json(),
            "profiles": {name: asdict(profile) for name, profile in self.profiles.items()},
            **{part: [asdict(each) for each in getattr(self, part)] for part in _PARTS},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Identities":
        """The inverse of :meth:`to_json`; what older versions did not write is taken as none."""
        parts = {part: content.get(part, ()) for part in _PARTS}
        return cls(
            TableSchema.from_json(content["schema"]),
            tuple(Identity(**{**entry, "forms": _forms(entry["forms"])}) for entry in parts["identities"]),
            tuple(map(lookups.from_json, parts["rewrites"])),
            tuple(Balance(Form(**entry["form"])) for entry in parts["balances"]),
            tuple(
                Lattice(entry["column"], _forms(entry["factors"]), Form(**entry["offset"]), entry["power"])
                for entry in parts["lattices"]
            ),
            tuple(Order(tuple(Term(**t) for t in entry["terms"]), entry["constant"]) for entry in parts["orders"]),
            {
                name: Profile(**{**entry, "atoms": tuple(entry["atoms"])})
                for name, entry in content.get("profiles", {}).items()
            },
        )

    @property
    def _constraints(self) -> tuple[Constraint, ...]:
        return (*self.balances, *self.lattices, *self.orders)

    @property
    def _tolerance(self) -> float:
        return rounding(self.schema.columns)

    @property
    def _inputs(self) -> set[str]:
        return {name for identity in self.identities for name in identity.inputs}

    @property
    def _numeric(self) -> list[str]:
        """The columns that identities and constraints speak of and that are not recomputed."""
        computed = {identity.column for identity in self.identities}
        used = self._inputs | columns_of(self._constraints)
        return [name for name in self.schema.names if name in used - computed]

    def _projection(self, fixed: Collection[str]) -> Projection:
        return Projection(
            self.identities,
            self._bounded,
            self.orders,
            self.lattices,
            self.balances,
            {name: profile for name, profile in self.profiles.items() if name not in fixed},
            self._tolerance,
        )

    def _bounded(self, identity: Identity, values: Mapping[str, Floats]) -> Floats:
        column, value = self.schema[identity.column], identity.value(values)
        if identity.decimals is not None:
            value = np.round(value, identity.decimals)
        if column.dtype.startswith(("Int", "UInt")):
            value = np.clip(value, np.iinfo(column.dtype.lower()).min, np.iinfo(column.dtype.lower()).max)
        return np.clip(value, column.lower, column.upper) if (column.lower, column.upper) != (None, None) else value


_PARTS = ("identities", "rewrites", "balances", "lattices", "orders")


def _forms(entries: list[dict[str, Any]]) -> tuple[Form, ...]:
    return tuple(Form(**entry) for entry in entries)


def _find_rewrites(
    table: pl.DataFrame, schema: TableSchema, computed: set[str], inputs: set[str]
) -> tuple[Rewrite, ...]:
    """Constants, lookups and steps of the columns that are not computed already."""
    constants = find_constants(table, schema, MIN_ROWS)
    fixed = {constant.column for constant in constants}
    rest = schema.without(fixed | computed)
    looked_up: list[Lookup] = find_lookups(table, rest, inputs)
    taken = fixed | {each.column for each in looked_up}
    cut = find_steps(table, schema.without(taken), inputs | {each.key for each in looked_up})
    return (*constants, *looked_up, *cut)


__all__ = ["Identities"]
