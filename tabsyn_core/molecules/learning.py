"""Learning from training molecules: their pieces, their limits, and how candidates differ from them."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from rdkit import Chem

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES, compute_descriptors
from tabsyn_core.chemistry.filters import Oddity, Usual, oddities
from tabsyn_core.chemistry.fragments import cut_bonds
from tabsyn_core.chemistry.proposals import Proposer
from tabsyn_core.chemistry.scaffolds import scaffold_groups
from tabsyn_core.chemistry.similarity import Neighbours
from tabsyn_core.chemistry.standardize import Molecule, standardize
from tabsyn_core.chemistry.workshop import SKELETON, Make, Workshop, crew, further, tasks
from tabsyn_core.density_ratio import DensityRatio
from tabsyn_core.errors import TabsynError
from tabsyn_core.molecules.config import RealizerConfig
from tabsyn_core.molecules.learned import Learned, skeletons
from tabsyn_core.molecules.matching import Matcher
from tabsyn_core.molecules.reference import Reference
from tabsyn_core.progress import Progress, ProgressCallback

LEAST_MOLECULES = 50
"""Fewer that can be cut give too few pieces to exchange."""

_CANDIDATES = 3  # a training row, for the discriminator and the margins to learn from one half each,
_MOST_CANDIDATES = 12_000  # at most so many,
_MOST_JUDGED = 20_000  # and at most so many training rows beside them
_TURNS = 12

_PROBED = 20  # rows whose descriptors are computed again,
_LIKE = 0.9  # the share of them that must be the row's,
_MOST_LIKE = 0.5  # and the share of rows of which this must be true

_TURN = 2**32  # so that the random numbers of these candidates are none of a block's


def learn(
    config: RealizerConfig, smiles: Sequence[str], table: pl.DataFrame, seed: int, progress: ProgressCallback
) -> Learned:
    """Learn from the molecules of a table's rows.

    Raises:
        TabsynError: A SMILES is missing or is no molecule, there are too few molecules to cut, or they share one
            scaffold.
    """
    molecules = _standardized(smiles, table.height, config)
    texts = tuple(molecule.smiles for molecule in molecules)
    _check_variety(texts)
    odd = oddities(texts, workers=config.workers)
    workshop = Workshop(
        Proposer.of(texts, np.random.default_rng([seed, 1])),
        Neighbours(texts),
        Usual.of(odd),
        tuple(molecule.inchikey[:SKELETON] for molecule in molecules),
        config.max_similarity,
        config.standardization,
    )
    _check_order(texts, table)
    reference = Reference(table)
    endpoints = table.select(name for name in table.columns if name not in DESCRIPTOR_NAMES)
    matcher = Matcher.fit(reference.numbers(table), endpoints, seed)
    learned = Learned(table, workshop, reference, matcher)
    if config.proposals == 1 and config.local_search == 0:
        return learned
    with crew(workshop, config.workers) as make:
        candidates = _candidates(learned, config, make, seed, progress)
    rows = np.sort(np.random.default_rng([seed, 2]).permutation(table.height)[:_MOST_JUDGED])
    real = _as_candidates(learned, [int(row) for row in rows], odd)
    known, made = learned.features(real), learned.features(candidates)
    ratio = DensityRatio.fit(known, made[::2], 0, seed)
    return replace(learned, ratio=ratio.balanced(known, made[1::2], 1 / config.proposals))


def _standardized(smiles: Sequence[str], rows: int, config: RealizerConfig) -> list[Molecule]:
    if len(smiles) != rows:
        raise TabsynError(f"there are {len(smiles)} SMILES for {rows} rows; give one for each, in their order.")
    for row, text in enumerate(smiles):
        if not isinstance(text, str) or not text:
            raise TabsynError(f"row {row} has no SMILES: rows without molecules cannot be realised; leave them out.")
    found = standardize(smiles, config.standardization, workers=config.workers)
    for row, molecule in enumerate(found):
        if not isinstance(molecule, Molecule):
            raise TabsynError(f"row {row}: {smiles[row]!r} is no molecule ({molecule}); correct it or leave it out.")
    return [molecule for molecule in found if isinstance(molecule, Molecule)]


def _check_variety(smiles: Sequence[str]) -> None:
    """See that there are pieces to exchange."""
    cut = sum(bool(cut_bonds(Chem.MolFromSmiles(text))) for text in smiles)
    if cut < LEAST_MOLECULES:
        raise TabsynError(
            f"only {cut} of {len(smiles)} training molecules have a bond to cut, {LEAST_MOLECULES} are needed to make"
            " new ones of their pieces; use the tabular mode."
        )
    if len(set(scaffold_groups(smiles).tolist())) == 1:
        raise TabsynError(
            "all training molecules share one scaffold: new ones would be variants of the same series and tell what"
            " it is; use the tabular mode, or train on more than one series."
        )


def _check_order(smiles: Sequence[str], table: pl.DataFrame) -> None:
    """See that descriptors are those of the molecules: of a few rows, most, for salts may have been described whole."""
    probed = np.unique(np.linspace(0, len(smiles) - 1, _PROBED).astype(int))
    names = [name for name in table.columns if name in DESCRIPTOR_NAMES]
    told = table[probed].select(pl.col(names).cast(pl.Float64)).to_numpy()
    described, _ = compute_descriptors([smiles[row] for row in probed], workers=1)
    truth = described.select(pl.col(names).cast(pl.Float64)).to_numpy()
    same = np.isclose(told, truth, rtol=1e-4, atol=1e-4, equal_nan=True).mean(axis=1) > _LIKE
    if same.all():
        return
    row = int(probed[~same][0])
    words = (
        f"the descriptors of row {row} are not those of its molecule {smiles[row]}, and so it is with"
        f" {int((~same).sum())} of {len(probed)} rows that were looked at; give SMILES in the order of the rows"
    )
    if same.mean() < _MOST_LIKE:
        raise TabsynError(f"{words}.")
    warnings.warn(f"{words}, unless salts were described whole.", stacklevel=4)


def _candidates(
    learned: Learned, config: RealizerConfig, make: Make, seed: int, progress: ProgressCallback
) -> pl.DataFrame:
    """Candidates as a block has them, for the discriminator to tell from training rows."""
    rows = learned.table.height
    wanted = int(min(_CANDIDATES * rows, _MOST_CANDIDATES))
    found, seen, tried = pl.DataFrame(), set[str](), 0
    for turn in range(_TURNS):
        count = further(wanted - found.height, found.height, tried, wanted)
        tried += count
        starts = learned.begun(np.random.default_rng([seed, 3, turn]).integers(0, rows, count))
        made = pl.concat(make(tasks((seed, _TURN, turn), starts, (config.min_steps, config.max_steps))))
        found = pl.concat([found, learned.allowed(made, seen, apart=config.apart)], how="diagonal")
        seen = skeletons(found)
        progress(Progress(min(found.height, wanted), wanted, "candidates", "molecules"))
        if found.height >= wanted:
            return found.head(wanted)
    if found.height < LEAST_MOLECULES:
        raise TabsynError(
            f"only {found.height} of {tried} proposals are new molecules within the training molecules'"
            f" limits, {LEAST_MOLECULES} are needed; raise realize.max_similarity or set realize.apart to false."
        )
    return found


def _as_candidates(learned: Learned, rows: Sequence[int], odd: Sequence[Oddity]) -> pl.DataFrame:
    """Training rows with what a candidate is judged by."""
    neighbours = learned.workshop.neighbours
    return learned.table[rows].with_columns(
        pl.Series("similarity", [neighbours.nearest_other(row) for row in rows], dtype=pl.Float64),
        pl.Series("difficulty", [odd[row].difficulty for row in rows], dtype=pl.Float64),
        pl.Series("alerts", [len(odd[row].alerts) for row in rows], dtype=pl.Int64),
    )
