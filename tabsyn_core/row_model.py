"""What draws rows: a diffusion core, the heads that follow it, identities that both obey, a discriminator's choice."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.special import ndtr, ndtri
from torch import nn

from tabsyn_core.chain import FORCED, Cells, Chain, Head
from tabsyn_core.chemistry.rules import obeys_all
from tabsyn_core.choice import LEAST, learn_choice
from tabsyn_core.codec import Codec, Encoded
from tabsyn_core.conditions import Condition
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.density_ratio import DensityRatio, keep
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json
from tabsyn_core.identities import Identities
from tabsyn_core.identities.lookups import Constant
from tabsyn_core.private.accounting import Plan
from tabsyn_core.progress import ProgressCallback, silent
from tabsyn_core.schema import Kind, TableSchema
from tabsyn_core.tabsyn import TabSyn

if TYPE_CHECKING:
    from tabsyn_core.training import Curve

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

BLOCK = 256
"""Rows are always drawn in blocks of this size, each from its own seed, so that row i of a seed is the same row
whatever the number of rows, the chunk size or the number of workers."""

_EFFORT = 40
"""Times a block's proposals are drawn anew before conditions count as not to be met."""

_ENOUGH = 8
"""Times after which rows that were forced to meet a condition are taken too."""

_LAST = 1e3  # log weight that no draw makes up for

_LEAST_DRAWN_BY_HEADS = 8
"""The core is one in so many columns at most: of a narrow table it would otherwise be the whole."""

_AT_ONCE = 4096  # proposals, so that wide tables need no gigabytes


class RowModel:
    """The joint model of a table's rows, given the distribution of each column and the identities between them.

    A diffusion model (:mod:`tabsyn_core.tabsyn`) draws the columns at the core of a row, autoregressive heads
    (:mod:`tabsyn_core.chain`) the others given those, identities what follows from both, and a discriminator
    (:mod:`tabsyn_core.density_ratio`) chooses among several proposals.

    Args:
        config: Settings of all parts.
        identities: What holds between columns; those that are functions of others are left out of the model.
        distributions: One a column.
        rules: Names of RDKit's rules that every training row obeyed, so that every sampled row must.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        identities: Identities,
        distributions: dict[str, ColumnDistribution],
        rules: Sequence[str] = (),
    ) -> None:
        self.config, self.identities, self.distributions = config, identities, distributions
        self.rules = frozenset(rules)
        self.codec = Codec(identities.schema.without(identities.dependent), distributions)
        self.order = [*range(len(self.codec.columns))]
        """Columns in the order of drawing, those of the core first."""
        self.tabsyn: TabSyn | None = None
        self.chain: Chain | None = None
        self.ratio: DensityRatio | None = None

    def fit(
        self,
        table: pl.DataFrame,
        *,
        seed: int,
        checkpoint: Path | None = None,
        checkpoint_every: int = 100,
        deadline: float | None = None,
        progress: ProgressCallback = silent,
    ) -> "list[Curve]":
        """Fit all parts; arguments as for :meth:`Generator.fit <tabsyn_core.generator.Generator.fit>`.

        Args:
            table: The training rows.
            seed: Of everything.
            checkpoint: A folder for checkpoints of the core.
            checkpoint_every: Updates between them.
            deadline: By ``time.monotonic``; the core's training ends early, so that all parts are done by then.
            progress: Told about phases.

        Returns:
            The core's training curves.
        """
        if not self.codec.columns:
            return []
        curves: list[Curve] = []
        independent = table.drop(self.identities.dependent)
        cells, self.order = self._cells(independent, seed)
        core = self._core_size()
        start = time.monotonic()
        if core < len(self.order):
            self.chain = Chain.fit(
                cells,
                self.order,
                core,
                nominal=self._nominal,
                body=self._body_states,
                min_leaf=self.config.chain.min_leaf,
                smoothing=self.config.chain.smoothing,
                seed=seed,
                progress=progress,
            )
        chooses = self.config.proposals > 1 and table.height >= LEAST
        enough = deadline
        if deadline is not None and chooses:  # what the discriminator takes: about as long as the heads
            enough = deadline - (time.monotonic() - start)
        if core:
            self.tabsyn = TabSyn(self._core_codec(core), self.config)
            curves = self.tabsyn.fit(
                independent.select(self.tabsyn.codec.schema.names),
                seed=seed,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                deadline=enough,
                progress=progress,
            )
        if chooses:
            self.ratio = self._learn_choice(table, seed, deadline)
        return curves

    def fit_privately(self, table: pl.DataFrame, plan: Plan, noise: int, progress: ProgressCallback = silent) -> None:
        """Fit the core to all columns with the noise that the plan accounts for; there are no heads."""
        if self.codec.columns:
            self.tabsyn = TabSyn(self._core_codec(len(self.order)), self.config)
            self.tabsyn.fit_privately(table.select(self.tabsyn.codec.schema.names), plan, noise, progress=progress)

    def learn(
        self, table: pl.DataFrame, *, share: float, seed: int, progress: ProgressCallback = silent
    ) -> "list[Curve]":
        """Train the core on further rows, a ``share`` of all so far, and let the heads draw from them too."""
        curves: list[Curve] = []
        independent = table.drop(self.identities.dependent)
        if self.tabsyn is not None:
            core = independent.select(self.tabsyn.codec.schema.names)
            curves = self.tabsyn.fit(core, seed=seed, warm=share, progress=progress)
        if self.chain is not None:
            self.chain = self.chain.extended(self._cells(independent, seed)[0])
        return curves

    def block(self, seed: int, number: int, num_steps: int, conditions: tuple[Condition, ...]) -> pl.DataFrame:
        """Rows ``number`` · BLOCK to the next block of a seed.

        Raises:
            TabsynError: The conditions could not be met.
        """
        if not self.codec.columns:
            return self.constant_block(conditions)
        rng = np.random.default_rng([seed, number])
        drawn: list[_Proposals] = []
        good = accepted = 0
        while len(drawn) < _EFFORT and accepted < BLOCK and (good < BLOCK or len(drawn) < _ENOUGH):
            drawn.append(self._proposals(BLOCK * self.config.proposals, rng, num_steps, conditions))
            good, accepted = good + int(drawn[-1].good.sum()), accepted + int(drawn[-1].accepted.sum())
        rows = pl.concat([each.rows for each in drawn])
        if conditions and good < BLOCK:
            raise TabsynError(
                f"only {good} of {rows.height} proposals meet {' and '.join(map(str, conditions))}, {BLOCK} are"
                " needed; widen the conditions, or see how many training rows meet them."
            )
        if len(conditions) > 1 and accepted == 0:
            raise TabsynError(
                f"{' and '.join(map(str, conditions))} can be met one by one but not together: in {rows.height}"
                " proposals no row that met one came near the others, and nothing is extrapolated; widen them."
            )
        weight = np.concatenate([each.weight for each in drawn])
        # Only when there are too few others:
        weight[~np.concatenate([each.accepted for each in drawn])] -= _LAST
        weight[~np.concatenate([each.good for each in drawn])] -= _LAST**2
        return rows[keep(weight, BLOCK, rng)]

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights of both networks."""
        if self.tabsyn is not None:
            yield from self.tabsyn.parameters()

    def drawn_by(self) -> dict[str, str]:
        """For each column ``diffusion``, ``tree``, ``guided tree``, ``identity`` or ``constant``."""
        drawn = dict.fromkeys(self.schema.names, "constant")
        drawn |= dict.fromkeys(self.codec.columns, "diffusion")
        for head in self.chain.heads if self.chain else ():
            drawn[self.codec.columns[head.column]] = "tree" if head.guide is None else "guided tree"
        return drawn | dict.fromkeys(self.identities.dependent, "identity")

    def save(self, folder: Path) -> None:
        """Write the fitted parts into an existing folder: JSON for what is known, safetensors for the arrays."""
        if self.codec.columns:
            heads = self.chain and self.chain.to_json()
            ratio = self.ratio and self.ratio.to_json()
            dump(folder / "rows.json", {"order": self.order, "heads": heads, "ratio": ratio})
        if self.chain is not None:
            save_file(self.chain.tensors(), folder / "heads.safetensors")
        for name, tensors in (self.tabsyn.weights() if self.tabsyn else {}).items():
            save_file(tensors, folder / f"{name}.safetensors")

    def load(self, folder: Path, version: int) -> None:
        """Read the parts that :meth:`save` wrote, in the folder's format version."""
        if not self.codec.columns:
            return
        rows = read_json(folder / "rows.json") if version > 1 else _rows_of_format_1(len(self.codec.columns))
        self.order = rows["order"]
        if rows["heads"] is not None:
            self.chain = Chain.of(rows["heads"], load_file(folder / "heads.safetensors"))
        if rows["ratio"] is not None:
            self.ratio = DensityRatio.from_json(rows["ratio"])
        if core := len(self.order) - (len(self.chain.heads) if self.chain else 0):
            self.tabsyn = TabSyn(self._core_codec(core), self.config)
            names = ["denoiser", "scaling", *([] if self.config.privacy else ["vae"])]
            self.tabsyn.load({name: load_file(folder / f"{name}.safetensors") for name in names})

    # What drawing and imputation share

    @property
    def schema(self) -> TableSchema:
        """All columns of the table."""
        return self.identities.schema

    @property
    def core(self) -> list[int]:
        """The places of the diffusion model's columns among the codec's, in the order of its own codec."""
        return [self.codec.columns.index(name) for name in self.tabsyn.codec.columns] if self.tabsyn else []

    def measured(self, independent: pl.DataFrame, encoded: Encoded) -> Cells:
        """Encoded rows as the heads see them."""
        u = (encoded.low.numpy() + encoded.high.numpy()) / 2
        values = [
            u[:, j] if nominal else _numbers(independent[name])
            for j, (name, nominal) in enumerate(zip(self.codec.columns, self._nominal, strict=True))
        ]
        return Cells(encoded.states.numpy().copy(), u, np.column_stack(values))

    def place(self, core: TabSyn, cells: Cells, ranks: Floats) -> None:
        """Write u and values of the core, given states and ranks; an atom's u is the middle of its interval."""
        columns = self.core
        decoded = core.codec.decode(cells.states[:, columns], ranks[:, columns])
        for j in columns:
            name = self.codec.columns[j]
            layout = self.codec.layouts[name]
            middle = ((layout.low + layout.high) / 2)[cells.states[:, j]]
            cells.u[:, j] = np.where(np.isnan(middle), ndtr(ranks[:, j]), middle)
            cells.x[:, j] = cells.u[:, j] if self._nominal[j] else _numbers(decoded[name])

    def completed(self, cells: Cells, ranks: Floats, fixed: list[str]) -> pl.DataFrame:
        """Decode cells; a core column's own rank is kept, for it may say more than its u."""
        given = np.zeros(ranks.shape[1], dtype=bool)
        given[self.core] = True
        rows = self.codec.decode(cells.states, np.where(given, ranks, normal_scores(cells.u)))
        return self.identities.complete(rows, fixed=fixed)

    def codec_of(self, name: str) -> Codec:
        """The codec of one column."""
        return Codec(self.schema.without(set(self.schema.names) - {name}), {name: self.distributions[name]})

    def constant_block(self, conditions: tuple[Condition, ...]) -> pl.DataFrame:
        """A block of a table without any column to draw."""
        rows = self.identities.complete(self.codec.decode(np.zeros((BLOCK, 0), dtype=np.int64), np.zeros((BLOCK, 0))))
        for condition in conditions:
            if not condition.met(rows[condition.column]).all():
                raise TabsynError(f"no row meets {condition}: the column has one value, {rows[condition.column][0]!r}.")
        return rows

    # Fitting

    def _core_size(self) -> int:
        asked = self.config.chain.core
        return len(self.order) if asked is None else min(asked, len(self.order) // _LEAST_DRAWN_BY_HEADS)

    def _core_codec(self, core: int) -> Codec:
        """The codec of the first columns in the order of drawing."""
        members = {self.codec.columns[j] for j in self.order[:core]}
        return Codec(self.schema.without(set(self.schema.names) - members), self.distributions)

    @property
    def _nominal(self) -> Masks:
        return np.array([self.distributions[name].kind is Kind.CATEGORICAL for name in self.codec.columns])

    @property
    def _body_states(self) -> Integers:
        fitted = [self.distributions[name] for name in self.codec.columns]
        return np.array([len(d.atoms) if d.body is not None else -1 for d in fitted], dtype=np.int64)

    def _cells(self, independent: pl.DataFrame, seed: int) -> tuple[Cells, list[int]]:
        """Rows as the heads see them, and their columns by number of distinct values, fewest first."""
        encoded = self.codec.encode(independent, np.random.default_rng([seed, 0]))
        cells = self.measured(independent, encoded)
        distinct = [len(np.unique(cells.u[:, j])) for j in range(cells.u.shape[1])]
        return cells, np.argsort(distinct, kind="stable").tolist()

    def _learn_choice(self, table: pl.DataFrame, seed: int, deadline: float | None) -> DensityRatio | None:
        rng = np.random.default_rng([seed, 1])
        return learn_choice(
            self._matrix(table.select(self.schema.names)),
            lambda n: self._good(n, rng),
            rng,
            categorical=sum(column.kind is Kind.CATEGORICAL for column in self.schema.columns),
            proposals=self.config.proposals,
            block=BLOCK,
            margins=self.config.margins,
            seed=seed,
            deadline=deadline,
        )

    def _good(self, n: int, rng: np.random.Generator) -> Floats:
        """Those of ``n`` proposals that break no identity."""
        found = []
        for start in range(0, n, _AT_ONCE):
            drawn = self._proposals(min(_AT_ONCE, n - start), rng, 25, ())
            found.append(self._matrix(drawn.rows.filter(drawn.good)))
        return np.concatenate(found)

    def _matrix(self, rows: pl.DataFrame) -> Floats:
        """Rows as numbers, categorical columns last as codes of their levels."""
        numeric = [c.name for c in self.schema.columns if c.kind is not Kind.CATEGORICAL]
        rest = [c.name for c in self.schema.columns if c.kind is Kind.CATEGORICAL]
        rng = np.random.default_rng(0)  # levels need no chance
        codes = [self.distributions[name].encode(rows[name], rng)[0] for name in rest]
        numbers = [_numbers(rows[name]) for name in numeric]
        return np.column_stack([*numbers, *codes]).astype(np.float64)

    # Drawing

    def _proposals(
        self, n: int, rng: np.random.Generator, num_steps: int, conditions: tuple[Condition, ...]
    ) -> "_Proposals":
        """Draw rows that may break an identity or a condition, and say how good they are."""
        columns = len(self.codec.columns)
        cells = Cells.empty(n, columns)
        ranks = np.zeros((n, columns))
        if self.tabsyn is not None:
            cells.states[:, self.core], ranks[:, self.core] = self.tabsyn.draw(n, rng, num_steps)
            self.place(self.tabsyn, cells, ranks)
        chance = np.zeros(n)
        if self.chain is not None:
            chance = self.chain.draw(cells, rng, allowed=self._allowed(conditions))
        rows = self.completed(cells, ranks, [condition.column for condition in conditions])
        good = self.identities.obeyed(rows).to_numpy().copy()
        good &= obeys_all(rows, self.rules).to_numpy()
        for condition in conditions:
            good &= condition.met(rows[condition.column])
        # A head draws what meets its condition; how likely it was to decides whether the columns before fit it.
        surest = max(float(chance.max()), FORCED / 2)
        accepted = good & (np.log(rng.random(n)) < chance - surest) if conditions else good
        weight = np.where(accepted, 0.0, chance)
        if self.ratio is not None:
            weight = weight + self.ratio.log_weight(self._matrix(rows))
        return _Proposals(rows, weight, good, accepted)

    def _allowed(self, conditions: tuple[Condition, ...]) -> dict[int, Masks]:
        """For each conditioned column that a head draws, which of the head's training values meet the condition."""
        allowed: dict[int, Masks] = {}
        keys = {rewrite.column: rewrite for rewrite in self.identities.rewrites if not isinstance(rewrite, Constant)}
        heads = {self.codec.columns[head.column]: head for head in self.chain.heads} if self.chain else {}
        for condition in conditions:
            rewrite = keys.get(condition.column)
            name = rewrite.key if rewrite else condition.column
            if name not in heads:
                continue
            values = self._values(heads[name])
            if rewrite:  # what the column is looked up from decides
                dtype = self.schema.polars_dtypes()[condition.column]
                values = rewrite.value(values.cast(self.schema.polars_dtypes()[name]).to_frame(), dtype)
            met = condition.met(values) & allowed.get(heads[name].column, np.ones(len(values), dtype=bool))
            if not met.any():
                raise TabsynError(f"no training row meets {condition}; widen it.")
            allowed[heads[name].column] = met
        return allowed

    def _values(self, head: Head) -> pl.Series:
        """A head's training values."""
        name = self.codec.columns[head.column]
        return self.codec_of(name).decode(head.states[:, None], normal_scores(head.u)[:, None])[name]


@dataclass(frozen=True)
class _Proposals:
    """Candidate rows and their log weights; which may be kept at all, and which are draws given the conditions."""

    rows: pl.DataFrame
    weight: Floats
    good: Masks
    accepted: Masks


def normal_scores(u: Floats) -> Floats:
    """Normal scores of u, finite at both ends."""
    return np.asarray(ndtri(np.clip(u, 1e-15, 1 - 1e-15)))


def dump(path: Path, content: Any) -> None:
    """Write readable JSON into a folder that is itself written atomically."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _numbers(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _rows_of_format_1(columns: int) -> dict[str, Any]:
    """Format 1 drew every column by diffusion, and had no discriminator."""
    return {"order": list(range(columns)), "heads": None, "ratio": None}
