"""Blocks of accepted rows: candidates are made, judged, chosen among and given endpoints."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from tabsyn_core.chemistry.proposals import Proposal
from tabsyn_core.chemistry.workshop import Make, Steps, further, tasks
from tabsyn_core.density_ratio import keep
from tabsyn_core.errors import TabsynError
from tabsyn_core.generator import Generator
from tabsyn_core.molecules.config import RealizerConfig
from tabsyn_core.molecules.endpoints import draw_endpoints
from tabsyn_core.molecules.learned import Learned, skeletons
from tabsyn_core.molecules.wishes import Wishes

BLOCK = 64
"""Rows are always drawn in blocks of this size, each from its own seed, so that row i of a seed is the same row
whatever the number of rows, the chunk size or the number of workers."""

_FEW = 20
"""Where fewer training rows meet the conditions, walks begin at as many that come nearest to meeting them."""

_ENOUGH = 4
"""Times the usual number of proposals after which a block takes what it has, if that is enough rows."""

_STANDSTILL = 32 * BLOCK
"""Proposals none of which came nearer to the conditions than one before; then they count as not to be met."""

_SEARCH = 2**32  # so that the random numbers of the local search are none of the proposals'


class Blocks:
    """Draws the blocks of one seed, in order: no two rows have a molecule in common.

    Args:
        config: Budgets and limits.
        learned: From the training rows.
        generator: Draws endpoints, if they are imputed.
        make: Makes candidates of tasks.
        seed: Of everything.
        wishes: What every row must meet.
        known: Skeletons of molecules that are not new.
    """

    def __init__(
        self,
        config: RealizerConfig,
        learned: Learned,
        generator: Generator,
        make: Make,
        *,
        seed: int,
        wishes: Wishes,
        known: set[str],
    ) -> None:
        self._config = config
        self._learned = learned
        self._generator = generator
        self._make = make
        self._seed = seed
        self._wishes = wishes
        self._seen = set(known)
        missed = wishes.missed_by(learned.table)
        count = max(int((missed == 0).sum()), _FEW)
        self._beginnings = np.sort(np.argsort(missed, kind="stable")[:count])

    def draw(self, number: int) -> pl.DataFrame:
        """Block ``number``: the columns of ABOUT, descriptors, endpoints and ``acceptance_weight``.

        Raises:
            TabsynError: There are not enough new molecules, or not enough of them meet the conditions.
        """
        rng = np.random.default_rng([self._seed, number])
        pool = self._pool(number, rng)
        rows = pool[keep(pool["log_weight"].to_numpy(), BLOCK, rng)]
        for turn in range(self._config.local_search):
            rows = self._searched(rows, (self._seed, number, _SEARCH + turn), rng)
        self._seen |= skeletons(rows)
        if not self._wishes.concern(self._learned.endpoints):
            rows = self._with_endpoints(rows, rng)
        return rows.with_columns(acceptance_weight=pl.col("log_ratio").exp()).drop("log_ratio", "log_weight", "missed")

    def _pool(self, number: int, rng: np.random.Generator) -> pl.DataFrame:
        """Candidates that may be accepted: as many a row as the configuration says, or fewer after much effort."""
        size = BLOCK * self._config.proposals
        found: list[pl.DataFrame] = []
        good, proposed, nearest = 0, 0, pl.DataFrame()
        nearer, least = 0, np.inf  # when a candidate last came nearer, and how near
        while good < size and proposed < min(BLOCK * self._config.effort, nearer + _STANDSTILL):
            if good >= BLOCK and proposed >= _ENOUGH * size:
                break
            count = further(size - good, good, proposed, size)
            starts = self._starts(count, nearest, rng)
            proposed += count
            steps = (self._config.min_steps, self._config.max_steps)
            made = self._made((self._seed, number, proposed), starts, steps, skeletons(*found), rng)
            found.append(made.filter(pl.col("missed") == 0))
            good += found[-1].height
            if self._wishes:
                nearest = pl.concat([nearest, made], how="diagonal").sort("missed", maintain_order=True).head(BLOCK)
            if found[-1].height or (nearest.height and nearest["missed"][0] < least):
                nearer, least = proposed, nearest["missed"][0] if nearest.height else 0.0
        if good < BLOCK:
            raise TabsynError(self._too_few(good, proposed, number, nearest))
        return pl.concat(found)

    def _starts(self, count: int, nearest: pl.DataFrame, rng: np.random.Generator) -> list[Proposal]:
        """Where walks begin: at training rows, and under conditions half of them at what has come nearest to those."""
        starts = self._learned.begun(self._beginnings[rng.integers(0, len(self._beginnings), count)])
        if nearest.height:
            starts[::2] = _continued(nearest[rng.integers(0, nearest.height, len(starts[::2]))])
        return starts

    def _made(
        self, seed: Sequence[int], starts: Sequence[Proposal], steps: Steps, taken: set[str], rng: np.random.Generator
    ) -> pl.DataFrame:
        """New candidates, how far each is from what is wished for, and their log p/q."""
        made = pl.concat(self._make(tasks(seed, starts, steps)))
        made = self._learned.allowed(made, self._seen, taken, apart=self._config.apart)
        if self._wishes.concern(self._learned.endpoints):
            made = self._with_endpoints(made, rng)
        missed = pl.Series("missed", self._wishes.missed_by(made), dtype=pl.Float64)
        return self._learned.weigh(made).with_columns(missed)

    def _searched(self, rows: pl.DataFrame, seed: Sequence[int], rng: np.random.Generator) -> pl.DataFrame:
        """One step of Metropolis and Hastings for every row.

        A step is about as likely backwards as forwards among proposals, so with w(x) = p/q(x), its margins corrected, a
        row x goes to x' with probability min(1, w(x') / w(x)), and the target is what the choice among candidates aims
        at.
        """
        made = self._made(seed, _continued(rows), (1, 1), skeletons(rows), rng).filter(pl.col("missed") == 0)
        before = rows["log_weight"].to_numpy()[made["origin"].to_numpy()]
        taken = made.filter(pl.Series(np.log(rng.random(made.height)) < made["log_weight"].to_numpy() - before))
        stay = rows.with_columns(origin=pl.int_range(pl.len())).filter(
            ~pl.col("origin").is_in(taken["origin"].implode())
        )
        return pl.concat([stay, taken]).sort("origin")

    def _with_endpoints(self, rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        seed = int(rng.integers(2**31))
        if not self._learned.endpoints or rows.is_empty():
            return rows.with_columns(self._learned.table.select(self._learned.endpoints).clear())
        if self._config.endpoints == "matched":
            return self._learned.matched(rows, np.random.default_rng(seed))
        like = self._learned.table[rows["parents"].list.first().to_numpy()]
        return draw_endpoints(self._generator, rows, self._learned.endpoints, like, seed)

    def _too_few(self, good: int, proposed: int, number: int, nearest: pl.DataFrame) -> str:
        if not self._wishes:
            return (
                f"only {good} of {proposed} proposals for rows {number * BLOCK} to {(number + 1) * BLOCK} are new"
                f" molecules within the training molecules' limits, {BLOCK} are needed;"
                f"{' ask for fewer rows,' if number else ''} raise realize.effort or realize.max_similarity, or set"
                " realize.apart to false."
            )
        others = nearest.filter(pl.col("missed") > 0) if nearest.height else nearest
        came = f"the nearest of the others has {self._wishes.told(others)}" if others.height else "none came near"
        return (
            f"only {good} of {proposed} proposals are new molecules that meet {self._wishes}, {BLOCK} are needed;"
            f" {came}. Widen the conditions or raise realize.effort."
        )


def _continued(rows: pl.DataFrame) -> list[Proposal]:
    """Walks that go on from candidates."""
    return [Proposal(smiles, tuple(parents)) for smiles, parents in rows.select("smiles", "parents").iter_rows()]
