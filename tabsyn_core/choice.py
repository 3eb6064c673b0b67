"""What a row model's own proposals teach the discriminator that then chooses among them."""

import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tabsyn_core.density_ratio import DensityRatio

Floats = NDArray[np.float64]

LEAST = 100
"""Fewer training rows teach a discriminator nothing but themselves."""

_MOST = 20_000

_BALANCED = 8  # proposals a training row that margins are fitted to:
_MOST_BALANCED = 40_000  # what is kept of fewer would be off by chance as much as without


def learn_choice(
    real: Floats,
    draw: Callable[[int], Floats],
    rng: np.random.Generator,
    *,
    categorical: int,
    proposals: int,
    block: int,
    margins: bool,
    seed: int,
    deadline: float | None,
) -> DensityRatio | None:
    """The density ratio of training rows to good proposals, those that break no identity, and its margins.

    Args:
        real: The training rows, shape (n, columns).
        draw: Makes so many proposals and gives the good ones among them, shape (at most so many, columns).
        rng: Chooses the rows that are learnt from, if there are many.
        categorical: How many columns, the last ones, are codes.
        proposals: Candidates for each row that is kept.
        block: Rows that are drawn at once.
        margins: Whether single columns are corrected; where there is no time to do it well, they are not.
        seed: Of the trees.
        deadline: By ``time.monotonic``.

    Returns:
        None where too few proposals are good to learn from.
    """
    known = real[np.sort(rng.permutation(len(real))[:_MOST])]
    start, drawn = time.monotonic(), min(2 * len(known), _MOST)
    good = draw(drawn)
    a_second = drawn / (time.monotonic() - start)
    if len(good) < LEAST:
        return None
    ratio = DensityRatio.fit(known, good, categorical, seed)
    wanted = min(_BALANCED * len(real), _MOST_BALANCED)
    if deadline is not None:
        left = max(deadline - time.monotonic(), 0.0) / 2  # the other half is for what is done with them
        wanted = int(min(wanted, left * a_second))
    if not margins or wanted < drawn:
        return ratio
    further = draw(wanted)  # not those that the ratio was learnt from
    choice = max(len(further) / wanted * proposals, 1 / block)  # good ones of a block, a row that is kept
    return ratio.balanced(real, further, 1 / (choice * math.ceil(1 / choice)))
