"""Categories together, of two columns or many: joint counts, and how much of a number they explain."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tabsyn_core.evaluation.fidelity import shape_errors
from tabsyn_core.evaluation.figure import Figure, bootstrap_std, over_draws, share
from tabsyn_core.evaluation.tables import Codes, Floats, Table
from tabsyn_core.evaluation.threads import one_thread

MAX_LEVELS = 20
"""A column with more levels among the training rows (a missing value is one) is left out of combinations."""

MAX_CELLS = 10_000
"""At most this many combinations are possible: no more columns are taken."""

_NONE = f"there is no categorical column with 2 to {MAX_LEVELS} levels among the training rows"


@one_thread()
def combination_counts(train: Table, holdout: Table, fake: Table, max_cells: int = MAX_CELLS) -> pl.DataFrame:
    """How often each combination of categories occurs, for a scatter of one table against another.

    Columns with 2 to :data:`MAX_LEVELS` levels among the training rows are combined, those with the fewest first, as
    long as the product of their numbers of levels is at most ``max_cells``. A missing value is a level.

    Returns:
        A row for each combination that occurs in any table, the most frequent first: ``combination`` (in words),
        ``real`` (a count), ``held_out`` and ``synthetic`` (counts scaled to the number of training rows).
    """
    tables = _combined([train, holdout, fake], max_cells)
    if tables is None:
        return pl.DataFrame(
            schema={"combination": pl.String, "real": pl.Int64, "held_out": pl.Float64, "synthetic": pl.Float64}
        )
    levels = tables[0].levels[0]
    real, unseen, made = (np.bincount(table.codes[:, 0], minlength=len(levels)) for table in tables)
    return pl.DataFrame(
        {
            "combination": levels,
            "real": real,
            "held_out": unseen * (len(train) / len(holdout)),
            "synthetic": made * (len(train) / len(fake)),
        }
    ).sort("real", "synthetic", "combination", descending=[True, True, False])


@one_thread()
def combination_measures(
    train: Table, holdout: Table, fake: Table, seed: int = 0, max_cells: int = MAX_CELLS
) -> dict[str, dict[str, Figure]]:
    """Figures of the combinations of :func:`combination_counts`, 0 best.

    Returns:
        Each for ``"synthetic"`` rows and as ``"floor"``, of held-out rows, or the reason why there is none:

        - ``unseen``: share of rows whose combination no training row has; see :func:`~.figure.share`.
        - ``variation``: total variation distance of the combinations' shares from the training rows'; the larger table
          is drawn down to the size of the smaller several times.
    """
    tables = _combined([train, holdout, fake], max_cells)
    if tables is None:
        return {name: dict.fromkeys(("synthetic", "floor"), Figure.none(_NONE)) for name in ("unseen", "variation")}
    seen, unseen, made = tables
    rows = min(len(unseen), len(made))

    def variation(table: Table) -> Figure:
        draws = over_draws(lambda part: shape_errors(seen, part), table, rows, np.random.default_rng([seed, 27]))
        std = bootstrap_std(_variation, seen, table, rows, np.random.default_rng([seed, 28]))
        return Figure.over(draws[:, 0]).within(std)

    return {
        "unseen": {"synthetic": _unseen(seen, made), "floor": _unseen(seen, unseen)},
        "variation": {"synthetic": variation(made), "floor": variation(unseen)},
    }


def _variation(seen: Table, other: Table) -> float:
    return float(shape_errors(seen, other)[0])


def _unseen(seen: Table, other: Table) -> Figure:
    return share(int(np.sum(~np.isin(other.codes, seen.codes))), len(other))


def _combined(tables: list[Table], max_cells: int) -> list[Table] | None:
    """The tables as one categorical column, whose levels are the combinations; nothing without a column to combine."""
    columns = _chosen(tables[0].codes, max_cells)
    if not columns:
        return None
    codes = np.vstack([table.codes[:, columns] for table in tables])
    combinations, places = np.unique(codes, axis=0, return_inverse=True)
    words = tuple(
        ", ".join(_word(tables[0], column, code) for column, code in zip(columns, row, strict=True))
        for row in combinations.tolist()
    )
    parts = np.split(places.reshape(-1, 1), np.cumsum([len(table) for table in tables])[:-1])
    name = ("combination",)
    return [Table((), name, (words,), np.empty((len(part), 0)), part, name) for part in parts]


def _chosen(codes: Codes, max_cells: int) -> list[int]:
    """The columns to combine, in the order of the table."""
    levels = np.array([np.unique(column).size for column in codes.T], dtype=np.int64)
    moderate = [j for j in np.argsort(levels, kind="stable").tolist() if 2 <= levels[j] <= MAX_LEVELS]
    # Logarithms: the product of a hundred numbers has no integer.
    cells = np.cumsum(np.log(levels[moderate]))
    return sorted(moderate[: int(np.sum(cells <= np.log(max_cells) + 1e-9))])


def _word(table: Table, column: int, code: int) -> str:
    name = table.categorical[column]
    return f"{name} missing" if code < 0 else f"{name}={table.levels[column][code]}"


def indicators(table: Table) -> csr_array[np.float64]:
    """One column a level of each categorical column, a missing value first, shape (rows, levels)."""
    rows, columns = table.codes.shape
    offsets = np.cumsum([0, *(len(levels) + 1 for levels in table.levels)])
    places = (table.codes + 1 + offsets[:-1]).ravel()
    return csr_array((np.ones(places.size), places, np.arange(rows + 1) * columns), shape=(rows, int(offsets[-1])))


def owners(table: Table) -> NDArray[np.int64]:
    """Which categorical column each of the :func:`indicators` belongs to, shape (levels,)."""
    return np.repeat(np.arange(len(table.levels)), [len(levels) + 1 for levels in table.levels])


def joint_shares(table: Table) -> csr_array[np.float64]:
    """How often two levels occur together, for all pairs of all columns, shape (levels, levels)."""
    flags = indicators(table)
    shares = csr_array(flags.T @ flags)
    shares.data /= len(table)
    return shares


def joint_variations(real: csr_array[np.float64], other: csr_array[np.float64], table: Table) -> Floats:
    """Total variation distances of :func:`joint_shares`, shape (pairs of columns,).

    The categorical part of :func:`~.fidelity.trend_errors`, of all pairs at once.
    """
    gaps = csr_array(abs(real - other))
    return _block_sums(gaps, table)[np.triu_indices(len(table.categorical), k=1)] / 2


def cramers_v(table: Table) -> Floats:
    """Cramér's V of pairs of categorical columns, shape (categorical, categorical); NaN where one does not vary."""
    joint = joint_shares(table)
    shares, cells = joint.diagonal(), joint.tocoo()
    # χ² / n + 1 is the sum of squares of joint shares, each over the product of its margins.
    joint.data = cells.data**2 / (shares[cells.row] * shares[cells.col])
    levels = np.bincount(owners(table), weights=shares > 0, minlength=len(table.categorical))
    fewest = np.minimum(levels[:, None], levels) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.sqrt(np.clip((_block_sums(joint, table) - 1) / fewest, 0, 1))
    return np.where(fewest > 0, found, np.nan)


def correlation_ratios(table: Table) -> Floats:
    """Root of the share of variance between levels, shape (categorical, numeric); NaN where either does not vary."""
    present = ~np.isnan(table.numbers)
    counts = np.maximum(present.sum(axis=0), 1)
    centred = np.where(present, table.numbers - np.where(present, table.numbers, 0).sum(axis=0) / counts, 0)
    scaled = centred / np.maximum(np.abs(centred).max(axis=0, initial=0), np.finfo(float).tiny)
    flags = indicators(table)
    between = np.zeros((len(table.categorical), len(table.numeric)))
    np.add.at(between, owners(table), (flags.T @ scaled) ** 2 / np.maximum(flags.T @ present.astype(np.float64), 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.sqrt(np.clip(between / (scaled**2).sum(axis=0), 0, 1))
    categories, numbers = (besides_commonest(columns) > 0 for columns in (table.codes, table.numbers))
    return np.where(categories[:, None] & numbers, ratios, np.nan)


def besides_commonest(columns: Floats | Codes) -> NDArray[np.int64]:
    """How many values of each column differ from its commonest, missing numbers left out, shape (columns,)."""
    counts = [np.unique(column[~np.isnan(column)], return_counts=True)[1] for column in columns.T]
    return np.array([count.sum() - count.max(initial=0) for count in counts], dtype=np.int64)


def _block_sums(levels: csr_array[np.float64], table: Table) -> Floats:
    """Sums of (levels, levels) over the levels of each pair of columns, shape (categorical, categorical)."""
    whose, cells, columns = owners(table), levels.tocoo(), len(table.categorical)
    places = whose[cells.row] * columns + whose[cells.col]
    sums: Floats = np.bincount(places, weights=cells.data, minlength=columns**2).astype(np.float64)
    return sums.reshape(columns, columns)
