"""Candidates: proposals that are valid, standardised, new and nothing unheard of, with their descriptors.

A piece of work names its random numbers and where its walks begin, so the candidates do not depend on the number of
processes or on which of them does it.
"""

import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from rdkit import Chem, rdBase

from tabsyn_core.chemistry.descriptors import compute_descriptors
from tabsyn_core.chemistry.filters import Oddity, Usual
from tabsyn_core.chemistry.proposals import Proposal, Proposer
from tabsyn_core.chemistry.similarity import Neighbours
from tabsyn_core.chemistry.standardize import Molecule, Standardization, standardize
from tabsyn_core.chemistry.workers import usable_cores
from tabsyn_core.errors import TabsynError

ABOUT: dict[str, Any] = {
    "smiles": pl.String,
    "inchikey": pl.String,
    "origin": pl.Int64,
    "parents": pl.List(pl.Int64),
    "nearest": pl.Int64,
    "similarity": pl.Float64,
    "difficulty": pl.Float64,
    "alerts": pl.Int64,
}
"""What is known of a candidate beside its descriptors: ``origin`` is the place of its start among all, ``nearest`` the
training molecule of the highest ECFP4 Tanimoto ``similarity``, ``alerts`` how many structural alerts it has."""

SKELETON = 14
"""The first letters of an InChIKey: the skeleton without stereochemistry, isotopes and protons. Molecules that share
it with a known one are not new."""

_LARGEST_TASK = 32
Steps = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work.

    Attributes:
        seed: Of its random numbers.
        first: Place of the first start among those of all tasks.
        starts: Where each walk begins.
        steps: The fewest and the most steps of a walk.
    """

    seed: tuple[int, ...]
    first: int
    starts: tuple[Proposal, ...]
    steps: Steps


def tasks(seed: Sequence[int], starts: Sequence[Proposal], steps: Steps) -> list[Task]:
    """Work in pieces that are worth sending to a process."""
    places = range(0, len(starts), _LARGEST_TASK)
    return [Task((*seed, place), place, tuple(starts[place : place + _LARGEST_TASK]), steps) for place in places]


def further(missing: int, found: int, tried: int, most: int) -> int:
    """How many walks to try next for what is missing, when ``tried`` ones gave ``found``: whole tasks, at most so many.

    A tenth more than expected, for another round costs more than a few candidates too many.
    """
    expected = most if found == 0 else min(most, math.ceil(1.1 * missing * tried / found))
    return _LARGEST_TASK * math.ceil(expected / _LARGEST_TASK)


@dataclass(frozen=True)
class Workshop:
    """Makes candidates.

    Attributes:
        proposer: Takes the steps.
        neighbours: Finds the nearest training molecule.
        usual: What a candidate may have.
        known: Skeletons of the training molecules; see :data:`SKELETON`.
        max_similarity: The highest Tanimoto similarity to a training molecule.
        options: How candidates are standardised.
    """

    proposer: Proposer
    neighbours: Neighbours
    usual: Usual
    known: tuple[str, ...]
    max_similarity: float
    options: Standardization

    def make(self, task: Task) -> pl.DataFrame:
        """The candidates of a task, no two with one skeleton: the columns of :data:`ABOUT`, then all descriptors."""
        rng = np.random.default_rng(task.seed)
        with rdBase.BlockLogs():
            found = [*self._made(task, rng)]
        about = pl.DataFrame(found, schema=ABOUT, orient="row")
        return pl.concat([about, compute_descriptors(about["smiles"].to_list(), workers=1)[0]], how="horizontal")

    def _made(self, task: Task, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        low, high = task.steps
        walks = [self.proposer.walk(start, int(rng.integers(low, high + 1)), rng) for start in task.starts]
        named = standardize([walk.smiles if walk else "" for walk in walks], self.options, workers=1)
        seen = set(self.known)
        for origin, (walk, name) in enumerate(zip(walks, named, strict=True), start=task.first):
            if walk is None or not isinstance(name, Molecule):
                continue
            skeleton = name.inchikey[:SKELETON]
            if skeleton in seen:
                continue
            molecule = Chem.MolFromSmiles(name.smiles)
            nearest, similarity = self.neighbours.nearest(molecule)
            if similarity > self.max_similarity:
                continue
            oddity = Oddity.of(molecule)
            if self.usual.allows(oddity):
                seen.add(skeleton)
                numbers = (nearest, similarity, oddity.difficulty, len(oddity.alerts))
                yield name.smiles, name.inchikey, origin, [*walk.parents], *numbers


Make = Callable[[Iterable[Task]], Iterator[pl.DataFrame]]


@contextmanager
def crew(workshop: Workshop, workers: int) -> Iterator[Make]:
    """Make candidates of tasks in order, over ``workers`` processes (0 is one a core) kept until the block ends.

    Raises:
        TabsynError: A worker process died.
    """
    if (workers := workers or usable_cores()) == 1:
        yield lambda work: map(workshop.make, work)
        return
    # spawn: a fork of a process that holds polars' or torch's threads can hang
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=_open, initargs=(workshop,)) as pool:
        try:
            yield lambda work: pool.map(_make, work)
        except BrokenProcessPool as error:
            raise TabsynError(
                "a worker process died: for want of memory (set workers lower, in params.yaml featurize.workers), or"
                ' because the script that calls this lacks `if __name__ == "__main__":` (or set workers to 1).'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


_open_workshop: list[Workshop] = []


def _open(workshop: Workshop) -> None:
    _open_workshop[:] = [workshop]


def _make(task: Task) -> pl.DataFrame:
    return _open_workshop[0].make(task)
