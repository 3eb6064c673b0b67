"""Moving rows onto what they must obey: each broken constraint by the smallest change that breaks no other.

A row is passed through identities, orders, lattices and balances until it obeys all of them, or a few times. Where
several columns could be moved, the cost of each is weighted by a number between 0 and 2 that is hashed from the row
itself, lest one column take all changes. So nothing depends on the other rows, nor on chance.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from tabsyn_core.chemistry.definitions import Transform
from tabsyn_core.identities.balancing import Group, groups_of
from tabsyn_core.identities.constraints import Balance, Constraint, Lattice, Order, Term, transformed
from tabsyn_core.identities.forms import TOLERANCE, Floats, Form, Identity, Masks, sums_of
from tabsyn_core.identities.profiles import Hashes, Profile, hashed, mixed, weights

_PASSES = 12
_TRIES = 4  # changes of one row in one pass for one order or balance
_BREAKING = 1.0  # a change that breaks another constraint is as bad as one by so many standard deviations
_SHORT = 8.0  # and so is one that does not go far enough, for a balance each standard deviation that it lacks
_HOPELESS = 1e6  # the cost where no change is possible

Rows = dict[str, Floats]


@dataclass(frozen=True)
class Projection:
    """Constraints, and the columns that may be moved to obey them.

    Attributes:
        identities: Columns that are recomputed, in order.
        recompute: Computes one of them, rounded and within its bounds.
        orders: Inequalities.
        lattices: What must be whole.
        balances: Linear equations.
        profiles: The columns that may be moved.
        tolerance: What is forgiven as rounding, relative to the terms.
    """

    identities: tuple[Identity, ...]
    recompute: Callable[[Identity, Mapping[str, Floats]], Floats]
    orders: tuple[Order, ...]
    lattices: tuple[Lattice, ...]
    balances: tuple[Balance, ...]
    profiles: Mapping[str, Profile]
    tolerance: float = TOLERANCE

    def apply(self, values: Mapping[str, Floats]) -> Rows:
        """Move rows until they obey, and recompute what follows from them.

        Args:
            values: Every column that constraints and identities speak of and that is not recomputed, shape (rows,).

        Returns:
            Those columns and the recomputed ones.
        """
        rows = self._recomputed(values)
        active = np.arange(len(next(iter(rows.values()), ())))
        keys = hashed(values)
        for _ in range(_PASSES):
            keys = mixed(keys)
            part = {name: x[active] for name, x in rows.items()}
            broken = ~self.obeyed(part)
            if not broken.any():
                break
            active = active[broken]
            for name, x in self._pass({name: x[broken] for name, x in part.items()}, keys[active]).items():
                rows[name][active] = x
        return rows

    def obeyed(self, rows: Mapping[str, Floats]) -> Masks:
        """Which rows obey all orders, lattices and balances, shape (rows,)."""
        constraints: tuple[Constraint, ...] = (*self.orders, *self.lattices, *self.balances)
        kept = np.ones(len(next(iter(rows.values()), ())), dtype=bool)
        for constraint in constraints:
            kept &= constraint.obeyed(rows, tolerance=self.tolerance)
        return kept

    def _recomputed(self, values: Mapping[str, Floats]) -> Rows:
        computed = {identity.column for identity in self.identities}
        rows = {name: x.copy() for name, x in values.items() if name not in computed}
        for identity in self.identities:
            rows[identity.column] = self.recompute(identity, rows)
        return rows

    def _pass(self, rows: Rows, keys: Hashes) -> Rows:
        for k, order in enumerate(self.orders):
            self._obey_order(k, order, rows, keys)
        for lattice in self.lattices:
            self._obey_lattice(lattice, rows)
        self._obey_balances(rows, keys)
        return self._recomputed(rows)

    # Orders: rows of A f + b <= 0, f being the features (transformed columns) of a row. Columns that are sums of others
    # are replaced by those, and balances of counts stand below the orders as walls, two inequalities each.

    @cached_property
    def _plain_orders(self) -> tuple[Order, ...]:
        sums = sums_of(self.identities)
        walls = [wall for b in self.balances if all(map(self._whole, b.columns)) for wall in b.walls()]
        return tuple(order.expanded(sums) for order in (*self.orders, *walls))

    def _whole(self, name: str) -> bool:
        return name in self.profiles and self.profiles[name].decimals == 0

    @cached_property
    def _features(self) -> dict[tuple[str, Transform], int]:
        terms = [term for order in self._plain_orders for term in order.terms]
        return {key: j for j, key in enumerate(dict.fromkeys((term.column, term.transform) for term in terms))}

    @cached_property
    def _slopes(self) -> Floats:
        A = np.zeros((len(self._plain_orders), len(self._features)))
        for k, order in enumerate(self._plain_orders):
            for term in order.terms:
                A[k, self._features[term.column, term.transform]] = term.coefficient
        return A

    @cached_property
    def _in_equations(self) -> Counter[str]:
        """How many lattices and balances a change of a column breaks in any case."""
        irregular = (balance for balance in self.balances if not all(map(self._whole, balance.columns)))
        equations: tuple[Constraint, ...] = (*self.lattices, *irregular)
        return Counter(name for equation in equations for name in equation.columns)

    def _excess(self, rows: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """The left-hand side of every order, and what of it is forgiven as rounding, shape (orders, rows)."""
        f = np.stack([transformed(transform, rows[name]) for name, transform in self._features])
        f = np.where(np.isnan(f), 0.0, f)
        constants = np.array([[order.constant] for order in self._plain_orders])
        return self._slopes @ f + constants, self.tolerance * (np.abs(self._slopes) @ np.abs(f) + np.abs(constants))

    def _obey_order(self, k: int, order: Order, rows: Rows, keys: Hashes) -> None:
        movers = [term for term in self._plain_orders[k].terms if term.column in self.profiles]
        for attempt in range(_TRIES):
            broken = np.flatnonzero(~order.obeyed(rows, tolerance=self.tolerance))
            if not len(broken) or not movers:
                return
            part = {name: rows[name][broken] for name, _ in self._features}
            weight = weights(keys[broken], len(movers), k * _TRIES + attempt)
            for name, chosen, x in self._best(k, movers, part, weight):
                rows[name][broken[chosen]] = x

    def _best(
        self, k: int, movers: Sequence[Term], rows: Mapping[str, Floats], weight: Floats
    ) -> list[tuple[str, Masks, Floats]]:
        """In each row, the change of one column that costs least: columns, their rows, and their values there."""
        excess, slack = self._excess(rows)
        lacking = -self._plain_orders[k].value(rows)  # not from the matrix product, whose rounding depends on its shape
        moved = [self._towards(term, rows[term.column], lacking / term.coefficient) for term in movers]
        if pair := self._plain_orders[k].pair:  # onto the very value, which sums may miss by a rounding error
            ends = [rows[pair[pair[0] == term.column]] for term in movers]
            close = [np.abs(x - end) <= self.tolerance * np.abs(end) for x, end in zip(moved, ends, strict=True)]
            moved = [np.where(*each) for each in zip(close, ends, moved, strict=True)]
        cost = np.empty((len(movers), excess.shape[1]))
        for choice, (term, x) in enumerate(zip(movers, moved, strict=True)):
            after = excess + self._change(term.column, rows[term.column], x)
            broken = (after > slack).sum(axis=0) - (excess > slack).sum(axis=0) + self._in_equations[term.column]
            cost[choice] = self.profiles[term.column].cost(rows[term.column], x, weight[choice])
            cost[choice] += _BREAKING * broken + _SHORT * (after[k] > slack[k])
        best = np.where(np.isfinite(cost.min(axis=0)), cost.argmin(axis=0), -1)
        chosen = [best == choice for choice in range(len(movers))]
        return [(term.column, rows_, x[rows_]) for term, rows_, x in zip(movers, chosen, moved, strict=True)]

    def _change(self, name: str, x: Floats, moved: Floats) -> Floats:
        """What a change of one column adds to every order, shape (orders, rows)."""
        features = [(j, transform) for (column, transform), j in self._features.items() if column == name]
        changes = np.stack([transformed(transform, moved) - transformed(transform, x) for _, transform in features])
        return np.asarray(self._slopes[:, [j for j, _ in features]] @ changes)

    def _towards(self, term: Term, x: Floats, change: Floats) -> Floats:
        """The column's values after its term's transform was changed by so much."""
        profile = self.profiles[term.column]
        if term.transform == "abs":
            goal = np.where(x < 0, -1.0, 1.0) * np.maximum(np.abs(x) + change, 0.0)
        elif term.transform == "positive":
            goal = np.where(change < 0, 0.0, np.maximum(x, 10.0 ** -(profile.decimals or 0)))
        elif term.transform == "log1p":
            goal = np.expm1(np.maximum(np.log1p(np.maximum(x, 0.0)) + change, 0.0))
        else:
            goal = x + change
        return profile.rounded(goal, goal - x)

    # Lattices

    def _obey_lattice(self, lattice: Lattice, rows: Rows) -> None:
        broken = np.flatnonzero(~lattice.obeyed(rows, tolerance=self.tolerance))
        if not len(broken):
            return
        part = {name: rows[name][broken] for name in lattice.columns}
        if lattice.column in self.profiles:
            rows[lattice.column][broken] = self._nearest(lattice, part)
        else:
            number = lattice.number(part)
            for name in [name for name in lattice.offset.terms if name in self.profiles][:1]:
                rows[name][broken] += (np.round(number) - number) / lattice.offset.terms[name]

    def _nearest(self, lattice: Lattice, rows: Mapping[str, Floats]) -> Floats:
        """The point next to each value that is within its bounds; the value itself where there is none."""
        profile, x, number = self.profiles[lattice.column], rows[lattice.column], lattice.number(rows)
        best, distance = x, np.full(len(x), np.inf)
        for whole in (np.floor(number), np.ceil(number)):
            point = lattice.point(whole, rows)
            beyond = np.maximum(profile.lower - point, point - profile.upper)
            away = np.where(beyond > self.tolerance * np.abs(point), np.inf, np.abs(point - x))
            best, distance = np.where(away < distance, point, best), np.fmin(away, distance)
        return best

    # Balances

    @cached_property
    def _groups(self) -> list[Group]:
        sums = sums_of(self.identities)
        plain = [balance.walls()[0].expanded(sums) for balance in self.balances]
        return groups_of([Form({term.column: term.coefficient for term in o.terms}, o.constant) for o in plain])

    def _obey_balances(self, rows: Rows, keys: Hashes) -> None:
        for group, attempt in product(self._groups, range(_TRIES)):
            broken = np.flatnonzero(group.broken(rows, self.tolerance))
            part = {name: rows[name][broken] for name in group.columns}
            for name, chosen, x in self._cheapest(group, part, keys[broken], attempt) if len(broken) else ():
                rows[name][broken[chosen]] = x

    def _cheapest(
        self, group: Group, rows: Mapping[str, Floats], keys: Hashes, attempt: int
    ) -> list[tuple[str, Masks, Floats]]:
        """The changes by which all balances of a group hold again: columns, their rows, and their values there."""
        ways = [
            [self._absorbed(group.families[family], rows, total, keys, attempt) for family, total in change.items()]
            for change in group.changes(rows)
            if all(any(name in self.profiles for name in group.families[family]) for family in change)
        ]
        if not ways:
            return []
        costs = np.stack([np.sum([cost for cost, _ in way], axis=0) for way in ways])
        best = costs.argmin(axis=0)
        return [
            (name, mask & (best == number), x[mask & (best == number)])
            for number, way in enumerate(ways)
            for _, moves in way
            for name, mask, x in moves
        ]

    def _absorbed(
        self, family: Mapping[str, float], rows: Mapping[str, Floats], total: Floats, keys: Hashes, attempt: int
    ) -> tuple[Floats, list[tuple[str, Masks, Floats]]]:
        """Change Σ slope · column by a total, by the column of each row that shows it least; what it costs, and how."""
        movers = [name for name in family if name in self.profiles]
        gaps = max(self.profiles[name].gaps for name in movers)  # what is known less often depends on what is known
        movers = [name for name in movers if self.profiles[name].gaps == gaps]
        weight = weights(keys, len(movers), attempt)
        cost, moved = np.empty((2, len(movers), len(total)))
        for choice, name in enumerate(movers):
            profile, x, step = self.profiles[name], rows[name], total / family[name]
            moved[choice] = profile.rounded(x + step, step)
            missing = np.abs(moved[choice] - x - step) / profile.spread
            cost[choice] = profile.cost(x, moved[choice], weight[choice]) + _SHORT * missing
        best = np.where(np.isfinite(cost.min(axis=0)) & (total != 0), cost.argmin(axis=0), -1)
        least = np.where(total == 0, 0.0, np.minimum(cost.min(axis=0), _HOPELESS))
        return least, [(name, best == choice, moved[choice]) for choice, name in enumerate(movers)]
