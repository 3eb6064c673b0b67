"""Imputation: what a row lacks is drawn given what it has, several times over (multiple imputation, Rubin 1987)."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.chain import Cells
from tabsyn_core.private.marginals import states_at
from tabsyn_core.row_model import RowModel, normal_scores

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

_AT_ONCE = 64  # rows with gaps, each with all its proposals
_LAST = 1e3  # log weight that no draw makes up for
_FORCED_GAP = 20.0  # log weight that a cell costs which was to be filled and came out as a gap


def complete(
    model: RowModel, table: pl.DataFrame, rng: np.random.Generator, num_steps: int, proposals: int
) -> pl.DataFrame:
    """One completion of a table, its rows with gaps in blocks so that memory is bounded.

    Core columns are filled by RePaint in the latent space, the others by the heads; of several proposals a row, one is
    drawn by how well it explains the cells that are known (sampling importance resampling).

    Args:
        model: Fitted.
        table: The training table's columns; null where unknown.
        rng: Draws.
        num_steps: Of Heun's method.
        proposals: A row.
    """
    gaps = np.flatnonzero(table.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy())
    if not len(gaps):
        return table
    blocks = np.array_split(gaps, -(-len(gaps) // _AT_ONCE))
    filled = [_filled(model, table[block], rng, num_steps, proposals) for block in blocks]
    at = np.arange(table.height)
    at[gaps] = table.height + np.arange(len(gaps))
    return pl.concat([table, *filled])[at]


def _filled(
    model: RowModel, rows: pl.DataFrame, rng: np.random.Generator, num_steps: int, proposals: int
) -> pl.DataFrame:
    """Draw what each row lacks."""
    asked = rows[np.repeat(np.arange(rows.height), proposals)]
    filled, weight = asked, np.zeros(asked.height)
    if model.codec.columns:
        known = np.column_stack([asked[name].is_not_null().to_numpy() for name in model.codec.columns])
        cells = model.measured(asked, model.codec.encode(asked.drop(model.identities.dependent), rng))
        ranks = normal_scores(cells.u)
        if model.tabsyn is not None:
            core = model.core
            cells.states[:, core], ranks[:, core] = model.tabsyn.inpaint(
                cells.states[:, core], ranks[:, core], known[:, core], rng, num_steps
            )
            weight = weight - _FORCED_GAP * _without_gaps(model, cells, ranks, known, rng)
            model.place(model.tabsyn, cells, ranks)
        if model.chain is not None:
            weight = weight + model.chain.draw(cells, rng, allowed=_present(model), known=known)
        drawn = model.completed(cells, ranks, [])
    else:
        drawn = model.constant_block(()).head(1)[np.zeros(asked.height, dtype=np.int64)]
    filled = asked.with_columns(pl.col(name).fill_null(drawn[name]) for name in model.schema.names)
    # What is known may not fit what was drawn, and a gap is no answer: such proposals come last.
    weight = weight - _LAST * ~model.identities.obeyed(filled).to_numpy()
    weight = weight - _LAST * filled.select(pl.sum_horizontal(pl.all().is_null())).to_series().to_numpy()
    # Gumbel's maximum over a row's proposals draws one of them by its weight.
    best = (weight + rng.gumbel(size=len(weight))).reshape(-1, proposals).argmax(axis=1)
    chosen: pl.DataFrame = filled[np.arange(rows.height) * proposals + best]
    return chosen


def _without_gaps(model: RowModel, cells: Cells, ranks: Floats, known: Masks, rng: np.random.Generator) -> Integers:
    """Draw cells of the core that came out as gaps from the rest of their column; how many, shape (rows,)."""
    count = np.zeros(len(cells), dtype=np.int64)
    for j in model.core:
        one = model.codec_of(name := model.codec.columns[j])
        states = model.distributions[name].levels or model.distributions[name].atoms
        if None not in states:
            continue
        gap = ~known[:, j] & (cells.states[:, j] == states.index(None))
        missing = float(one.layouts[name].high[states.index(None)])  # gaps lie lowest
        ranks[gap, j] = normal_scores(missing + (1 - missing) * rng.random(int(gap.sum())))
        cells.states[gap, j] = states_at(one, ranks[gap][:, [j]])[:, 0]
        count += gap
    return count


def _present(model: RowModel) -> dict[int, Masks]:
    """Of heads whose column has gaps, which training values are none."""
    found = {}
    for head in model.chain.heads if model.chain else ():
        fitted = model.distributions[model.codec.columns[head.column]]
        states = fitted.levels or fitted.atoms
        if None in states and (head.states != states.index(None)).any():
            found[head.column] = head.states != states.index(None)
    return found
