"""The Fréchet ChemNet distance (Preuer et al., J. Chem. Inf. Model. 58, 1736 (2018)), where ``fcd`` is installed.

The network that read two million molecules' activities comes with that package of its authors, 5 MB, and needs no
download. The distance falls with the number of molecules (from 11 for two hundred of the embedded molecules, half
against half, to 2.6 for all 1,280), so it means nothing but beside a floor of as many.
"""

import warnings
from importlib.util import find_spec

import numpy as np
from rdkit import Chem

from tabsyn_core.evaluation.figure import DRAWS, Figure
from tabsyn_core.evaluation.structures import Structures
from tabsyn_core.evaluation.tables import Floats

JUDGED = 500
"""Molecules of each table that the network reads, at most: about eight milliseconds each."""

MIN_MOLECULES = 50
"""Fewer molecules say nothing of a distribution over 512 activations."""

_LONGEST = 349  # characters of a SMILES: the network was trained on 350 places, the last one for its end
_SAMPLES = 10


def chemnet_distances(train: Structures, holdout: Structures, fake: Structures, seed: int) -> tuple[Figure, Figure]:
    """How far synthetic molecules, and held-out molecules in their place, are from the training molecules.

    All three are drawn down to the smallest of them, five times where one has more, and to :data:`JUDGED`. The
    interval is 1.96 standard deviations over bootstrap samples of the molecules.

    Returns:
        Of the synthetic and of the held-out molecules; no numbers without the package or with fewer than
        :data:`MIN_MOLECULES` molecules in any table.
    """
    if find_spec("fcd") is None:
        none = Figure.none('it needs the package fcd: pip install -c constraints.txt -e ".[fcd]"')
        return none, none
    rng = np.random.default_rng([seed, 82])
    read = [_canonical(each.draw(JUDGED, rng)) for each in (train, holdout, fake)]
    rows = min(map(len, read))
    if rows < MIN_MOLECULES:
        none = Figure.none(f"it needs at least {MIN_MOLECULES} molecules of each kind; there are {rows}")
        return none, none
    known, unseen, made = map(_activations, read)
    return _distance(known, made, rows, seed), _distance(known, unseen, rows, seed)


def _canonical(molecules: Structures) -> list[str]:
    found = (Chem.MolToSmiles(Chem.MolFromSmiles(text)) for text in molecules.smiles)
    return [text for text in found if len(text) <= _LONGEST]


def _activations(smiles: list[str]) -> Floats:
    """What the last layer but one of the network makes of each molecule, shape (molecules, 512)."""
    import fcd  # noqa: PLC0415 - optional

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it calls numpy by a name of old
        found = fcd.get_predictions(fcd.load_ref_model(), smiles, n_jobs=0, device="cpu")
    return np.asarray(found, dtype=np.float64)


def _distance(known: Floats, other: Floats, rows: int, seed: int) -> Figure:
    rng = np.random.default_rng([seed, 83])  # the same draws whatever the molecules
    draws = 1 if rows == len(known) == len(other) else DRAWS
    values = [frechet(*(part[rng.permutation(len(part))[:rows]] for part in (known, other))) for _ in range(draws)]
    repeats = [frechet(*(part[rng.integers(0, len(part), rows)] for part in (known, other))) for _ in range(_SAMPLES)]
    return Figure.over(np.array(values)).within(float(np.std(repeats, ddof=1)), highest=np.inf)


def frechet(first: Floats, second: Floats) -> float:
    """The squared Fréchet distance between normal distributions with the moments of both, of shape (rows, dimensions).

    |m₁ - m₂|² + tr C₁ + tr C₂ - 2 tr (C₁C₂)^½ (Dowson & Landau, J. Multivar. Anal. 12, 450 (1982)). The last trace is
    the sum of the singular values of A₁A₂ᵀ, where C = AᵀA: no root of a product that may be singular.
    """
    centred = [(each - each.mean(axis=0)) / np.sqrt(len(each) - 1) for each in (first, second)]
    triangles = [np.asarray(np.linalg.qr(each, mode="r")) for each in centred]
    shared = np.linalg.svd(triangles[0] @ triangles[1].T, compute_uv=False).sum()
    apart = first.mean(axis=0) - second.mean(axis=0)
    return float(max(0.0, apart @ apart + sum((each**2).sum() for each in centred) - 2 * shared))
