"""Molecules beside molecules: are generated ones valid, new and like the real ones, and how much of one is in them?

Measures of MOSES (Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020)) with the training molecules as the
reference, and two of what pieces give away. Each has its floor: real held-out molecules in place of generated ones.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from rdkit import Chem
from rdkit.DataStructs import BulkTanimotoSimilarity
from scipy.stats import wasserstein_distance

from tabsyn_core.chemistry.similarity import Neighbours, fingerprint
from tabsyn_core.evaluation.chemnet import chemnet_distances
from tabsyn_core.evaluation.columns import column_table
from tabsyn_core.evaluation.figure import DRAWS, Figure, share
from tabsyn_core.evaluation.structures import (
    PROPERTIES,
    Parts,
    Rows,
    Structures,
    each_molecule,
    parts_of,
    properties_of,
)
from tabsyn_core.evaluation.tables import Floats, Table
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.progress import ProgressCallback, silent

JUDGED = 2_000
"""Held-out and synthetic molecules that are compared, at most; validity, uniqueness and novelty are of all."""

MEASURES = (
    "validity",
    "uniqueness",
    "novelty",
    "snn",
    "internal_diversity",
    "scaffold_similarity",
    "fragment_similarity",
    "scaffold_leakage",
    "substructure_leakage",
    "frechet_chemnet",
    *(f"wasserstein_{name.replace(' ', '_')}" for name in PROPERTIES),
)
"""The keys of :attr:`MoleculeMeasures.figures`."""

_DESCRIBED = 1_000  # molecules whose properties, and similarities to one another, are computed
_SAMPLES = 20
_MIN_RINGS = 2  # of a scaffold that counts in scaffold_similarity, as in MOSES


@dataclass(frozen=True)
class MoleculeMeasures:
    """What is measured of generated molecules.

    Attributes:
        figures: :data:`MEASURES` of the synthetic molecules.

            - ``validity``: the share of rows whose SMILES RDKit reads as a molecule with atoms.
            - ``uniqueness``: distinct molecules as a share of the valid ones. Stereoisomers are one molecule, here and
              below: molecules are told apart by the first block of their InChIKey.
            - ``novelty``: the share of valid molecules that are no training molecule.
            - ``snn``: the mean Tanimoto similarity (ECFP4) to the nearest training molecule. More than its floor: the
              molecules lie closer to the training molecules than unseen ones do.
            - ``internal_diversity``: one minus the mean Tanimoto similarity of two of the molecules.
            - ``scaffold_similarity``, ``fragment_similarity``: the cosine between counts in the training molecules and
              here, of Bemis-Murcko scaffolds with at least two rings and of BRICS fragments (Degen et al., ChemMedChem
              3, 1503 (2008)). It grows with the number of molecules, so both sides are drawn down to one number.
            - ``scaffold_leakage``: the share of molecules with a scaffold that exactly one training molecule has.
            - ``substructure_leakage``: the share of molecules that hold a piece of at least :data:`SPECIFIC` heavy
              atoms on one single bond (cut as for matched pairs: Hussain & Rea, J. Chem. Inf. Model. 50, 339 (2010))
              which hangs on one bond in exactly one training molecule.
            - ``frechet_chemnet``: see :func:`~.chemnet.chemnet_distances`.
            - ``wasserstein_*``: the Wasserstein-1 distance of :data:`PROPERTIES` from the training molecules, in their
              standard deviations.
        floor: The same of the held-out molecules.
        nearest: ``row`` (of the synthetic molecules), ``smiles``, ``neighbour`` (row of the nearest training molecule),
            ``neighbour_smiles`` and ``similarity``, nearest first.
        similarities: Tanimoto similarity to the nearest training molecule, of ``synthetic`` and ``held-out`` molecules
            and of ``training`` molecules to the nearest other.
        properties: :data:`PROPERTIES` of each as a table.
    """

    figures: dict[str, Figure]
    floor: dict[str, Figure]
    nearest: pl.DataFrame
    similarities: dict[str, Floats]
    properties: dict[str, Table]

    @property
    def known(self) -> tuple[Figure, Figure]:
        """The share of training molecules among the synthetic ones, and among the held-out ones."""
        return _complement(self.figures["novelty"]), _complement(self.floor["novelty"])

    @property
    def unreadable(self) -> tuple[Figure, Figure]:
        """The share of synthetic rows, and of held-out rows, without a molecule."""
        return _complement(self.figures["validity"]), _complement(self.floor["validity"])


@one_thread()
def molecule_measures(
    train: Sequence[str | None],
    holdout: Sequence[str | None],
    synthetic: Sequence[str | None],
    *,
    seed: int = 0,
    workers: int = 1,
    progress: ProgressCallback = silent,
) -> MoleculeMeasures:
    """Judge synthetic molecules beside the training molecules, and held-out molecules in their place.

    Args:
        train: SMILES of the rows the generator saw; what RDKit cannot read is left out.
        holdout: SMILES of real rows it did not see.
        synthetic: SMILES of its rows; a missing or unreadable one is not valid.
        seed: Draws molecules where there are many.
        workers: Processes; 0 is one a core. The result does not depend on it.
        progress: Told in molecules.

    Returns:
        Every measure, with the reason where there is none: no molecule on one of the sides, or nothing to compare.
    """
    seen, unseen, fake = (Structures.read(part, workers) for part in (train, holdout, synthetic))
    distinct = seen.distinct()
    rng = np.random.default_rng([seed, 80])
    judged = [part.draw(JUDGED, rng) for part in (unseen, fake)]
    made_of = each_molecule(parts_of, [distinct, *judged], workers, progress, "pieces of molecules")
    described = [part.draw(_DESCRIBED, rng) for part in (distinct, *judged)]
    tables = [
        *map(_property_table, each_molecule(properties_of, described, workers, progress, "properties of molecules"))
    ]
    neighbours = Neighbours(distinct.smiles) if distinct.smiles else None
    near = [_nearest(part, neighbours) for part in judged]
    drawn = rng.permutation(len(distinct.smiles))[:_DESCRIBED]
    own = [neighbours.nearest_other(int(row)) for row in drawn] if neighbours else []
    rows = min(len(part.smiles) for part in judged)
    apart = _property_distances(tables, seed)
    floor, figures = (
        _counts(given, set(distinct.keys))
        | _similarities(close[1], part, rng)
        | _cosines(made_of[0], parts, rows, rng)
        | _leakage(made_of[0], parts)
        | distances
        | {"frechet_chemnet": chemnet}
        for given, part, close, parts, distances, chemnet in zip(
            (unseen, fake),
            judged,
            near,
            made_of[1:],
            (apart["floor"], apart["synthetic"]),
            reversed(chemnet_distances(distinct, judged[0], judged[1], seed)),
            strict=True,
        )
    )
    return MoleculeMeasures(
        _ordered(figures, fake, seen, "synthetic"),
        _ordered(floor, unseen, seen, "held-out"),
        _nearest_table(judged[1], distinct, *near[1]),
        {"training": np.array(own), "held-out": near[0][1], "synthetic": near[1][1]},
        dict(zip(("training", "held-out", "synthetic"), tables, strict=True)),
    )


def _ordered(figures: dict[str, Figure], judged: Structures, seen: Structures, name: str) -> dict[str, Figure]:
    """Every measure in order, with the reason for those that there is nothing for."""
    why = (
        f"the {name} table has no row"
        if judged.rows == 0
        else "no SMILES of the training rows is a molecule"
        if not seen.keys
        else f"no SMILES of the {name} rows is a molecule"
        if not judged.keys
        else "there is nothing to compare"
    )
    return {name: figures.get(name, Figure.none(why)) for name in MEASURES}


def _property_table(values: list[tuple[float, ...]]) -> Table:
    numbers = np.array(values, dtype=np.float64).reshape(len(values), len(PROPERTIES))
    return Table(PROPERTIES, (), (), numbers, np.empty((len(values), 0), dtype=np.int64), PROPERTIES)


def _property_distances(tables: list[Table], seed: int) -> dict[str, dict[str, Figure]]:
    """Wasserstein distances of the synthetic and the held-out molecules; none where a side has no molecule."""
    if not all(map(len, tables)):
        return {"synthetic": {}, "floor": {}}
    found = column_table(tables[0], tables[1], tables[2], seed=seed)
    return {
        side: {
            f"wasserstein_{name.replace(' ', '_')}": Figure(value).within(spreads[name], highest=np.inf)
            for name, value in found.select("column", column).rows()
            if value is not None
        }
        for side, column, spreads in (
            ("synthetic", "wasserstein", _wasserstein_stds(tables[0], tables[2], seed)),
            ("floor", "wasserstein_floor", _wasserstein_stds(tables[0], tables[1], seed)),
        )
    }


def _wasserstein_stds(real: Table, other: Table, seed: int) -> dict[str, float]:
    """Of each property, over bootstrap samples of both sides, in standard deviations of the real values."""
    rng = np.random.default_rng([seed, 81])
    repeats = []
    for _ in range(_SAMPLES):
        sides = [table.numbers[rng.integers(0, len(table), len(table))] for table in (real, other)]
        repeats.append([wasserstein_distance(*values) for values in zip(*(side.T for side in sides), strict=True)])
    units = real.numbers.std(axis=0)
    spreads = np.std(repeats, axis=0, ddof=1) / np.where(units > 0, units, 1)
    return dict(zip(PROPERTIES, spreads.tolist(), strict=True))


def _counts(given: Structures, known: set[str]) -> dict[str, Figure]:
    """Validity, uniqueness and novelty."""
    found = {"validity": share(len(given.keys), given.rows)} if given.rows else {}
    if given.keys:
        found["uniqueness"] = share(len(set(given.keys)), len(given.keys))
        if known:
            found["novelty"] = share(sum(key not in known for key in given.keys), len(given.keys))
    return found


def _nearest(judged: Structures, neighbours: Neighbours | None) -> tuple[Rows, Floats]:
    """The row of the nearest training molecule, and the similarity to it."""
    if neighbours is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    found = [neighbours.nearest(Chem.MolFromSmiles(text)) for text in judged.smiles]
    return np.array([row for row, _ in found], dtype=np.int64), np.array([similarity for _, similarity in found])


def _nearest_table(judged: Structures, known: Structures, rows: Rows, similarity: Floats) -> pl.DataFrame:
    near = known.take(rows)
    places = judged.places if len(rows) else judged.places[:0]
    return pl.DataFrame(
        {
            "row": places,
            "smiles": pl.Series(judged.smiles[: len(rows)], dtype=pl.String),
            "neighbour": near.places,
            "neighbour_smiles": pl.Series(near.smiles, dtype=pl.String),
            "similarity": similarity,
        }
    ).sort("similarity", "row", descending=[True, False])


def _similarities(close: Floats, judged: Structures, rng: np.random.Generator) -> dict[str, Figure]:
    """SNN, and internal diversity."""
    found = {"snn": _mean(close, float(np.std(close) / np.sqrt(len(close))))} if len(close) else {}
    prints = [fingerprint(Chem.MolFromSmiles(text)) for text in judged.draw(_DESCRIBED, rng).smiles]
    if len(prints) > 1:
        # Of each molecule with all others: the mean of these is the mean over pairs (a U-statistic of order two).
        means = np.array([(sum(BulkTanimotoSimilarity(each, prints)) - 1) / (len(prints) - 1) for each in prints])
        found["internal_diversity"] = _mean(1 - means, 2 * float(np.std(means) / np.sqrt(len(means))))
    return found


def _cosines(known: list[Parts], judged: list[Parts], rows: int, rng: np.random.Generator) -> dict[str, Figure]:
    """Scaffold and fragment similarity of as many molecules as the smaller side has."""
    counts: dict[str, Callable[[list[Parts]], Counter[str]]] = {
        "scaffold_similarity": lambda some: Counter(each.scaffold for each in some if each.rings >= _MIN_RINGS),
        "fragment_similarity": lambda some: Counter(name for each in some for name in each.fragments),
    }
    draws = [judged] if rows >= len(judged) else [_drawn(judged, rows, rng) for _ in range(DRAWS)]
    found = {}
    for name, count in counts.items():
        reference = count(known)
        values = [value for some in draws if (value := _cosine(reference, count(some))) is not None]
        if values:
            found[name] = Figure.over(np.array(values)).within(_cosine_std(reference, judged, rows, count))
    return found


def _cosine_std(
    reference: Counter[str],
    judged: list[Parts],
    rows: int,
    count: Callable[[list[Parts]], Counter[str]],
) -> float:
    """Over bootstrap samples of the molecules judged."""
    rng = np.random.default_rng([len(judged), rows, 84])  # the same of either side
    samples = [[judged[row] for row in rng.integers(0, len(judged), rows)] for _ in range(_SAMPLES)]
    values = [value for some in samples if (value := _cosine(reference, count(some))) is not None]
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _drawn(parts: list[Parts], rows: int, rng: np.random.Generator) -> list[Parts]:
    return [parts[row] for row in rng.permutation(len(parts))[:rows]]


def _cosine(left: Counter[str], right: Counter[str]) -> float | None:
    """Between counts; nothing where one side has none."""
    if not left or not right:
        return None
    product = sum(count * right[name] for name, count in left.items())
    lengths = [np.sqrt(sum(count**2 for count in side.values())) for side in (left, right)]
    return float(product / (lengths[0] * lengths[1]))


def _leakage(known: list[Parts], judged: list[Parts]) -> dict[str, Figure]:
    """The shares of molecules with a scaffold, or a piece, of exactly one training molecule."""
    if not known or not judged:
        return {}
    scaffolds = Counter(each.scaffold for each in known if each.scaffold)
    pieces = Counter(piece for each in known for piece in each.pieces)
    of_one = {piece for piece, count in pieces.items() if count == 1}
    return {
        "scaffold_leakage": share(sum(scaffolds[each.scaffold] == 1 for each in judged), len(judged)),
        "substructure_leakage": share(sum(not of_one.isdisjoint(each.pieces) for each in judged), len(judged)),
    }


def _mean(values: Floats, error: float) -> Figure:
    mean = float(np.mean(values))
    return Figure(mean, std=error, low=mean - 1.96 * error, high=mean + 1.96 * error)


def _complement(share: Figure) -> Figure:
    if share.value is None:
        return share
    low, high = (None if bound is None else 1 - bound for bound in (share.high, share.low))
    return Figure(1 - share.value, share.std, low=low, high=high)
