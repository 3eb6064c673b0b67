"""Fit on a table, sample rows like it: the library's front door."""

import difflib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.special import ndtr, ndtri
from torch import nn

from tabsyn_core.chain import FORCED, Cells, Chain, Head
from tabsyn_core.chemistry.descriptors import descriptor_bounds
from tabsyn_core.chemistry.rules import obeys
from tabsyn_core.codec import Codec, Encoded
from tabsyn_core.conditions import Condition, Where, parse_conditions
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.density_ratio import DensityRatio, keep
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.distributions.front_ends import front_end_distributions
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path, read_json
from tabsyn_core.identities import Identities
from tabsyn_core.identities.lookups import Constant
from tabsyn_core.private import PrivacyConfig
from tabsyn_core.private.accounting import Plan, PrivacyStatement
from tabsyn_core.private.marginals import private_distributions, public_schema, states_at
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.schema import Kind, TableSchema
from tabsyn_core.tabsyn import TabSyn

if TYPE_CHECKING:
    from tabsyn_core.training import Curve

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Masks = NDArray[np.bool_]

FORMAT_VERSION = 2

_BLOCK = 256
"""Rows are always drawn in blocks of this size, each from its own seed, so that row i of a seed is the same row
whatever the number of rows, the chunk size or the number of workers."""

_EFFORT = 40
"""Times a block's proposals are drawn anew before conditions count as not to be met."""

_IMPUTED_AT_ONCE = 64  # rows with gaps, each with all its proposals
_LAST = 1e3  # log weight that no draw makes up for
_FORCED_GAP = 20.0  # log weight that a cell costs which was to be filled and came out as a gap

_ENOUGH = 8
"""Times after which rows that were forced to meet a condition are taken too."""

_LEAST_DRAWN_BY_HEADS = 8
"""The core is one in so many columns at most: of a narrow table it would otherwise be the whole."""

_LEAST_JUDGED = 100
"""Fewer training rows teach a discriminator nothing but themselves."""

_MOST_JUDGED = 20_000


class Generator:
    """A generator of rows like those of one table.

    Every column passes through its own fitted distribution (:mod:`tabsyn_core.codec`). A diffusion model in the latent
    space of a transformer VAE (:mod:`tabsyn_core.tabsyn`) draws the columns at the core of a row, autoregressive heads
    (:mod:`tabsyn_core.chain`) the others given those, identities (:mod:`tabsyn_core.identities`) what follows from
    both, and a discriminator (:mod:`tabsyn_core.density_ratio`) chooses among several proposals.

    >>> generator = Generator().fit(table, seed=0)  # doctest: +SKIP
    >>> rows = generator.sample(1000, seed=1, where={"MolWt": [200, 350]})  # doctest: +SKIP
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        self.config = config or GeneratorConfig()
        self.curves: list[Curve] = []
        self.privacy: PrivacyStatement | None = None
        self.tabsyn: TabSyn | None = None
        self.chain: Chain | None = None
        self.ratio: DensityRatio | None = None
        self.lawful = False
        """Whether every training row obeyed RDKit's rules, so that every sampled row must."""

    def fit(
        self,
        table: pl.DataFrame,
        *,
        seed: int = 0,
        schema: TableSchema | None = None,
        distributions: Mapping[str, ColumnDistribution] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int = 100,
        time_limit: float | None = None,
        progress: ProgressCallback = silent,
    ) -> "Generator":
        """Fit to a table.

        Args:
            table: At least one row; numbers, text, booleans, with gaps or without.
            seed: The same seed, table and machine give the same generator, bit for bit.
            schema: What is known about the columns; read off the table if not given.
            distributions: The columns' fitted distributions; fitted here if not given.
            checkpoint: A folder for checkpoints; a fit that was killed and is started again with the same
                arguments goes on from the last one and ends in the same bits.
            checkpoint_every: Updates between checkpoints.
            time_limit: Seconds after which training stops early, as it is; the result then depends on the machine.
            progress: Told about phases ``"vae"`` and ``"diffusion"`` in updates, ``"heads"`` in columns.

        Returns:
            Itself.

        Raises:
            TabsynError: The table cannot be modelled; the message names the column and the remedy.
        """
        if self.config.privacy is not None:
            if distributions or checkpoint or time_limit:
                raise TabsynError(
                    "a private fit takes no distributions, checkpoint or time limit: none is accounted for."
                )
            return self._fit_privately(self.config.privacy, table, schema, progress)
        schema = schema or TableSchema.infer(table)
        found = distributions or front_end_distributions(self.config.front_end, table, schema, seed=seed)
        self.distributions = dict(found)
        self.identities = Identities.discover(table, schema) if self.config.identities else Identities(schema)
        self.lawful = self.config.identities and bool(obeys(table).all())
        self.rows = table.height
        self.curves = []
        self.tabsyn = self.chain = self.ratio = self.privacy = None
        self.codec = self._new_codec()
        if not self.codec.columns:
            return self
        independent = table.drop(self.identities.dependent)
        cells, order = self._cells(independent, seed)
        asked = self.config.chain.core
        core = len(order) if asked is None else min(asked, len(order) // _LEAST_DRAWN_BY_HEADS)
        self.order = order
        if core:
            self.tabsyn = TabSyn(self._core_codec(core), self.config)
            self.curves = self.tabsyn.fit(
                independent.select(self.tabsyn.codec.schema.names),
                seed=seed,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                deadline=time.monotonic() + time_limit if time_limit else None,
                progress=progress,
            )
        if core < len(order):
            self.chain = Chain.fit(
                cells,
                order,
                core,
                nominal=self._nominal,
                body=self._body_states,
                min_leaf=self.config.chain.min_leaf,
                smoothing=self.config.chain.smoothing,
                seed=seed,
                progress=progress,
            )
        if self.config.proposals > 1 and table.height >= _LEAST_JUDGED:
            self.ratio = self._judge(table, seed)
        return self

    def _fit_privately(
        self, config: PrivacyConfig, table: pl.DataFrame, schema: TableSchema | None, progress: ProgressCallback
    ) -> "Generator":
        """Fit with one account of (ε, δ) for everything that ends up in the model (:mod:`tabsyn_core.private`)."""
        noise = secrets.randbits(63)
        plan = Plan.of(config, table.height)
        schema = schema or public_schema(table, bounds=descriptor_bounds())
        self.distributions = private_distributions(table, schema, config, plan, np.random.default_rng([noise, 1]))
        self.identities = Identities(schema)  # those found on the rows would tell about the rows
        self.rows, self.curves = table.height, []  # a training curve would, too
        self.tabsyn = self.chain = self.ratio = None
        self.privacy = PrivacyStatement.of(config, plan, table.height)
        self.codec = self._new_codec()
        self.order = [*range(len(self.codec.columns))]
        if self.codec.columns:
            self.tabsyn = TabSyn(self._core_codec(len(self.order)), self.config)
            independent = table.select(self.tabsyn.codec.schema.names)
            self.tabsyn.fit_privately(independent, plan, noise, progress=progress)
        return self

    def partial_fit(self, table: pl.DataFrame, *, seed: int = 0, progress: ProgressCallback = silent) -> "Generator":
        """Learn from further rows without forgetting: a first call is :meth:`fit`, a later one goes on from there.

        Distributions, identities and the discriminator stay as they are; the score model goes on training from its
        weights on the new rows, and the heads take them in among those that they draw from. What is new beyond the
        fitted distributions, such as an unseen level, is encoded as the nearest that is known; fit again for that.

        Args:
            table: Rows with the same columns and dtypes.
            seed: Of the batches.
            progress: As for :meth:`fit`.

        Raises:
            TabsynError: The columns differ.
        """
        if not hasattr(self, "codec"):
            return self.fit(table, seed=seed, progress=progress)
        if self.privacy is not None:
            raise TabsynError("a private generator cannot learn from further rows: its budget is spent; fit it anew.")
        self.schema.check(table)
        self.rows += table.height
        independent = table.drop(self.identities.dependent)
        if self.tabsyn is not None:
            core = independent.select(self.tabsyn.codec.schema.names)
            self.curves += self.tabsyn.fit(core, seed=seed, warm=True, progress=progress)
        if self.chain is not None:
            self.chain = self.chain.extended(self._cells(independent, seed)[0])
        return self

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        where: Where | None = None,
        balance: str | None = None,
        num_steps: int = 25,
        progress: ProgressCallback = silent,
    ) -> pl.DataFrame:
        """Draw exactly ``n`` rows.

        Args:
            n: Rows, 0 or more.
            seed: Row i of a seed is the same row whatever ``n`` (but for ``balance``).
            where: Conditions that every row meets, such as ``{"solubility_class": "high", "MolWt": [200, 350]}``; see
                :mod:`tabsyn_core.conditions`.
            balance: A categorical or integer column whose levels are to have equally many rows.
            num_steps: Steps of Heun's method.
            progress: Told in rows.

        Returns:
            A frame with the training table's columns, order and dtypes.

        Raises:
            TabsynError: An argument is out of range, nothing was fitted, or the conditions could not be met.
        """
        if balance is not None:
            return self._balanced(n, balance, seed=seed, where=where, num_steps=num_steps, progress=progress)
        chunks = [*self.sample_chunks(n, seed=seed, where=where, num_steps=num_steps, progress=progress)]
        return pl.concat(chunks) if chunks else self.schema.empty()

    def sample_chunks(
        self,
        n: int,
        *,
        seed: int = 0,
        where: Where | None = None,
        num_steps: int = 25,
        chunk_size: int = 1000,
        progress: ProgressCallback = silent,
    ) -> Iterator[pl.DataFrame]:
        """Draw ``n`` rows in constant memory, as frames of whole blocks; see :meth:`sample`.

        A frame has at most ``chunk_size`` rows, or one block of 256 if that is more.
        """
        for name, value, least in (("n", n, 0), ("num_steps", num_steps, 1), ("chunk_size", chunk_size, 1)):
            if value < least:
                raise TabsynError(f"{name} is {value}; it must be at least {least}.")
        if seed < 0:
            raise TabsynError(f"seed is {seed}; it must be at least 0.")
        self._check_fitted()
        conditions = parse_conditions(where, self.schema)
        self._check_levels(conditions)
        blocks_a_chunk = max(1, chunk_size // _BLOCK)
        pending: list[pl.DataFrame] = []
        for start in range(0, n, _BLOCK):
            pending.append(self._block(seed, start // _BLOCK, num_steps, conditions).head(n - start))
            done = min(start + _BLOCK, n)
            progress(Progress(done, n, "rows"))
            if len(pending) == blocks_a_chunk or done == n:
                yield pl.concat(pending)
                pending = []

    def impute(
        self, table: pl.DataFrame, *, seed: int = 0, draws: int = 1, num_steps: int = 25, proposals: int = 16
    ) -> list[pl.DataFrame]:
        """Fill in the gaps of a table, several times over.

        Core columns are filled by RePaint in the latent space, the others by the heads; of several proposals a row,
        one is drawn by how well it explains the cells that are known (sampling importance resampling). Each draw is
        one possible completion; their spread is what is not known (multiple imputation, Rubin 1987).

        Args:
            table: Rows with the training table's columns and dtypes; null where unknown.
            seed: Decides the draws.
            draws: Completions wanted.
            num_steps: Steps of Heun's method.
            proposals: Proposals a row for each completion.

        Returns:
            Completed tables: known cells are as they were. A column that was never missing in training has no gaps.

        Raises:
            TabsynError: The columns differ, or nothing was fitted.
        """
        self._check_fitted()
        for name, value in (("draws", draws), ("proposals", proposals), ("num_steps", num_steps)):
            if value < 1:
                raise TabsynError(f"{name} is {value}; it must be at least 1.")
        self.schema.check(table)
        table = table.select(self.schema.names).with_columns(pl.selectors.float().fill_nan(None))
        return [self._imputed(table, np.random.default_rng([seed, k]), num_steps, proposals) for k in range(draws)]

    @property
    def schema(self) -> TableSchema:
        """The columns of the table it was fitted to."""
        return self.identities.schema

    def get_params(self) -> dict[str, Any]:
        """Every setting by name, those of parts as ``part__name``, as scikit-learn has it."""
        return dict(_flat(self.config))

    def set_params(self, **params: Any) -> "Generator":
        """Change settings by the names of :meth:`get_params`; fit again for them to have an effect.

        Raises:
            TabsynError: A name is unknown.
        """
        for name, value in params.items():
            if name not in self.get_params():
                raise TabsynError(f"there is no setting '{name}'; there are {sorted(self.get_params())}.")
            part, _, rest = name.partition("__")
            change = replace(getattr(self.config, part), **{rest: value}) if rest else value
            self.config = replace(self.config, **{part: change})
        return self

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights of both networks."""
        if self.tabsyn is not None:
            yield from self.tabsyn.parameters()

    def explain(self) -> pl.DataFrame:
        """One row a column: its kind, family, distribution in words, number of atoms, goodness of fit, who draws it.

        ``drawn_by`` is ``diffusion``, ``tree``, ``guided tree``, ``identity`` or ``constant``; ``identity`` is the
        equation of a recomputed column.
        """
        fitted = [self.distributions[name] for name in self.schema.names]
        computed = self.identities.describe()
        drawn = self._drawn_by()
        return pl.DataFrame(
            {
                "column": self.schema.names,
                "kind": [str(distribution.kind) for distribution in fitted],
                "family": [distribution.family for distribution in fitted],
                "distribution": [distribution.describe() for distribution in fitted],
                "atoms": [len(distribution.atoms) for distribution in fitted],
                "test": [distribution.fit.test for distribution in fitted],
                "statistic": [distribution.fit.statistic for distribution in fitted],
                "p_value": [distribution.fit.p_value for distribution in fitted],
                "drawn_by": [drawn[name] for name in self.schema.names],
                "identity": [computed.get(name) for name in self.schema.names],
            },
            schema_overrides={"identity": pl.String, "statistic": pl.Float64, "p_value": pl.Float64},
        )

    def save(self, path: Path) -> None:
        """Write the generator to a folder: JSON for what is known, safetensors for the arrays.

        Raises:
            TabsynError: The folder cannot be written.
        """
        self._check_fitted()
        about = {
            "format_version": FORMAT_VERSION,
            "config": asdict(self.config),
            "rows": self.rows,
            "lawful": self.lawful,
        }
        fitted = {name: self.distributions[name].to_json() for name in self.schema.names}
        with atomic_path(path) as temporary:
            temporary.mkdir()
            _dump(temporary / "config.json", about)
            _dump(temporary / "columns.json", {"distributions": fitted, "identities": self.identities.to_json()})
            if self.codec.columns:
                heads = self.chain and self.chain.to_json()
                ratio = self.ratio and self.ratio.to_json()
                _dump(temporary / "rows.json", {"order": self.order, "heads": heads, "ratio": ratio})
            if self.chain is not None:
                save_file(self.chain.tensors(), temporary / "heads.safetensors")
            if self.privacy is not None:
                _dump(temporary / "privacy.json", self.privacy.to_json())
            for name, tensors in (self.tabsyn.weights() if self.tabsyn else {}).items():
                save_file(tensors, temporary / f"{name}.safetensors")

    @classmethod
    def load(cls, path: Path) -> "Generator":
        """Read a generator that :meth:`save` wrote, also one of format 1; nothing in it is executed.

        Raises:
            TabsynError: The folder is not a generator, is damaged, or was written by a later version.
        """
        try:
            return cls._load(path)
        except (KeyError, TypeError, FileNotFoundError, RuntimeError, SafetensorError) as error:
            raise TabsynError(f"{path} is not a complete generator ({error}); fit or restore it again.") from error

    @classmethod
    def _load(cls, path: Path) -> "Generator":
        about = read_json(path / "config.json")
        version = about["format_version"]
        if version > FORMAT_VERSION:
            raise TabsynError(f"{path} has format {version}, this version reads up to {FORMAT_VERSION}; upgrade it.")
        generator = cls(GeneratorConfig.from_json(about["config"]))
        generator.rows, generator.lawful = about["rows"], about.get("lawful", False)
        columns = read_json(path / "columns.json")
        fitted = columns["distributions"]
        generator.distributions = {name: ColumnDistribution.from_json(fitted[name]) for name in fitted}
        generator.identities = Identities.from_json(columns["identities"])
        generator.codec = generator._new_codec()
        if (path / "privacy.json").exists():
            generator.privacy = PrivacyStatement.from_json(read_json(path / "privacy.json"))
        if not generator.codec.columns:
            return generator
        rows = read_json(path / "rows.json") if version > 1 else _rows_of_format_1(len(generator.codec.columns))
        generator.order = rows["order"]
        if rows["heads"] is not None:
            generator.chain = Chain.of(rows["heads"], load_file(path / "heads.safetensors"))
        if rows["ratio"] is not None:
            generator.ratio = DensityRatio(**{**rows["ratio"], "models": tuple(rows["ratio"]["models"])})
        if core := len(generator.order) - (len(generator.chain.heads) if generator.chain else 0):
            generator.tabsyn = TabSyn(generator._core_codec(core), generator.config)
            names = ["denoiser", "scaling", *([] if generator.config.privacy else ["vae"])]
            generator.tabsyn.load({name: load_file(path / f"{name}.safetensors") for name in names})
        return generator

    def _check_fitted(self) -> None:
        if not hasattr(self, "codec"):
            raise TabsynError("this generator has not been fitted; call fit or load first.")

    def _check_levels(self, conditions: tuple[Condition, ...]) -> None:
        """See that at least one level of each conditioned category is known."""
        for condition in conditions:
            levels = self.distributions[condition.column].levels
            if levels and condition.members is not None and not set(condition.members) & set(levels):
                near = difflib.get_close_matches(str(condition.members[0]), [str(level) for level in levels], 1, 0.4)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TabsynError(f"where: {condition}, but its levels are {list(levels[:8])}{hint}")

    def _new_codec(self) -> Codec:
        return Codec(self.schema.without(self.identities.dependent), self.distributions)

    def _core_codec(self, core: int) -> Codec:
        """The codec of the first columns in the order of drawing."""
        members = {self.codec.columns[j] for j in self.order[:core]}
        return Codec(self.schema.without(set(self.schema.names) - members), self.distributions)

    @property
    def _core(self) -> list[int]:
        """The places of the diffusion model's columns among the codec's, in the order of its own codec."""
        return [self.codec.columns.index(name) for name in self.tabsyn.codec.columns] if self.tabsyn else []

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
        cells = self._measured(independent, encoded)
        distinct = [len(np.unique(cells.u[:, j])) for j in range(cells.u.shape[1])]
        return cells, np.argsort(distinct, kind="stable").tolist()

    def _measured(self, independent: pl.DataFrame, encoded: Encoded) -> Cells:
        """Encoded rows as the heads see them."""
        u = (encoded.low.numpy() + encoded.high.numpy()) / 2
        values = [
            u[:, j] if nominal else _numbers(independent[name])
            for j, (name, nominal) in enumerate(zip(self.codec.columns, self._nominal, strict=True))
        ]
        return Cells(encoded.states.numpy().copy(), u, np.column_stack(values))

    def _drawn_by(self) -> dict[str, str]:
        drawn = dict.fromkeys(self.schema.names, "constant")
        drawn |= dict.fromkeys(self.codec.columns, "diffusion")
        for head in self.chain.heads if self.chain else ():
            drawn[self.codec.columns[head.column]] = "tree" if head.guide is None else "guided tree"
        return drawn | dict.fromkeys(self.identities.dependent, "identity")

    def _judge(self, table: pl.DataFrame, seed: int) -> DensityRatio:
        """Train the discriminator that chooses among proposals."""
        rng = np.random.default_rng([seed, 1])
        real = table.select(self.schema.names)
        if real.height > _MOST_JUDGED:
            real = real[np.sort(rng.permutation(real.height)[:_MOST_JUDGED])]
        proposals = self._proposals(min(2 * real.height, _MOST_JUDGED), rng, 25, ()).rows
        return DensityRatio.fit(self._matrix(real), self._matrix(proposals), self._categorical, seed)

    @property
    def _categorical(self) -> int:
        return sum(column.kind is Kind.CATEGORICAL for column in self.schema.columns)

    def _matrix(self, rows: pl.DataFrame) -> Floats:
        """Rows as numbers, categorical columns last as codes of their levels."""
        numeric = [c.name for c in self.schema.columns if c.kind is not Kind.CATEGORICAL]
        rest = [c.name for c in self.schema.columns if c.kind is Kind.CATEGORICAL]
        rng = np.random.default_rng(0)  # levels need no chance
        codes = [self.distributions[name].encode(rows[name], rng)[0] for name in rest]
        numbers = [_numbers(rows[name]) for name in numeric]
        return np.column_stack([*numbers, *codes]).astype(np.float64)

    def _block(self, seed: int, number: int, num_steps: int, conditions: tuple[Condition, ...]) -> pl.DataFrame:
        """Rows ``number`` · _BLOCK to the next block of a seed."""
        if not self.codec.columns:
            return self._constant_block(conditions)
        rng = np.random.default_rng([seed, number])
        drawn: list[_Proposals] = []
        good = accepted = 0
        while len(drawn) < _EFFORT and accepted < _BLOCK and (good < _BLOCK or len(drawn) < _ENOUGH):
            drawn.append(self._proposals(_BLOCK * self.config.proposals, rng, num_steps, conditions))
            good, accepted = good + int(drawn[-1].good.sum()), accepted + int(drawn[-1].accepted.sum())
        rows = pl.concat([each.rows for each in drawn])
        if conditions and good < _BLOCK:
            raise TabsynError(
                f"only {good} of {rows.height} proposals meet {' and '.join(map(str, conditions))}, {_BLOCK} are"
                " needed; widen the conditions, or see how many training rows meet them."
            )
        weight = np.concatenate([each.weight for each in drawn])
        # Only when there are too few others:
        weight[~np.concatenate([each.accepted for each in drawn])] -= _LAST
        weight[~np.concatenate([each.good for each in drawn])] -= _LAST**2
        return rows[keep(weight, _BLOCK, rng)]

    def _constant_block(self, conditions: tuple[Condition, ...]) -> pl.DataFrame:
        rows = self.identities.complete(self.codec.decode(np.zeros((_BLOCK, 0), dtype=np.int64), np.zeros((_BLOCK, 0))))
        for condition in conditions:
            if not condition.met(rows[condition.column]).all():
                raise TabsynError(f"no row meets {condition}: the column has one value, {rows[condition.column][0]!r}.")
        return rows

    def _proposals(
        self, n: int, rng: np.random.Generator, num_steps: int, conditions: tuple[Condition, ...]
    ) -> "_Proposals":
        """Draw rows that may break an identity or a condition, and say how good they are."""
        columns = len(self.codec.columns)
        cells = Cells.empty(n, columns)
        ranks = np.zeros((n, columns))
        if self.tabsyn is not None:
            cells.states[:, self._core], ranks[:, self._core] = self.tabsyn.draw(n, rng, num_steps)
            self._place(self.tabsyn, cells, ranks)
        chance = np.zeros(n)
        if self.chain is not None:
            chance = self.chain.draw(cells, rng, allowed=self._allowed(conditions))
        rows = self._completed(cells, ranks, [condition.column for condition in conditions])
        good = self.identities.obeyed(rows).to_numpy().copy()
        if self.lawful:
            good &= obeys(rows).to_numpy()
        for condition in conditions:
            good &= condition.met(rows[condition.column])
        # A head draws what meets its condition; how likely it was to decides whether the columns before fit it.
        surest = max(float(chance.max()), FORCED / 2)
        accepted = good & (np.log(rng.random(n)) < chance - surest) if conditions else good
        weight = np.where(accepted, 0.0, chance)
        if self.ratio is not None:
            weight = weight + self.ratio.log_ratio(self._matrix(rows))
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
        return self._codec_of(name).decode(head.states[:, None], _ranks(head.u)[:, None])[name]

    def _codec_of(self, name: str) -> Codec:
        return Codec(self.schema.without(set(self.schema.names) - {name}), {name: self.distributions[name]})

    def _place(self, core: TabSyn, cells: Cells, ranks: Floats) -> None:
        """Write u and values of the core, given states and ranks; an atom's u is the middle of its interval."""
        columns = self._core
        decoded = core.codec.decode(cells.states[:, columns], ranks[:, columns])
        for j in columns:
            name = self.codec.columns[j]
            layout = self.codec.layouts[name]
            middle = ((layout.low + layout.high) / 2)[cells.states[:, j]]
            cells.u[:, j] = np.where(np.isnan(middle), ndtr(ranks[:, j]), middle)
            cells.x[:, j] = cells.u[:, j] if self._nominal[j] else _numbers(decoded[name])

    def _completed(self, cells: Cells, ranks: Floats, fixed: list[str]) -> pl.DataFrame:
        """Decode cells; a core column's own rank is kept, for it may say more than its u."""
        given = np.zeros(ranks.shape[1], dtype=bool)
        given[self._core] = True
        rows = self.codec.decode(cells.states, np.where(given, ranks, _ranks(cells.u)))
        return self.identities.complete(rows, fixed=fixed)

    def _balanced(
        self, n: int, column: str, *, seed: int, where: Where | None, num_steps: int, progress: ProgressCallback
    ) -> pl.DataFrame:
        """Equally many rows of each level that meets the conditions, in random order."""
        self._check_fitted()
        if column not in self.schema.names:
            raise TabsynError(f"balance: column '{column}' is not in the table; there are {self.schema.names[:8]} ...")
        fitted = self.distributions[column]
        found = [level for level in (fitted.levels or fitted.atoms) if level is not None]
        if not found or fitted.body is not None:
            raise TabsynError(
                f"balance: column '{column}' has no levels to balance; choose a categorical column or a count."
            )
        asked = [c for c in parse_conditions(where, self.schema) if c.column == column]
        dtype = self.schema.polars_dtypes()[column]
        levels = [level for level in found if all(c.met(pl.Series([level]).cast(dtype)).all() for c in asked)]
        if not levels:
            raise TabsynError(f"balance: no level of '{column}' meets {asked[0]}; widen the condition.")
        shares = [n // len(levels) + (place < n % len(levels)) for place in range(len(levels))]
        parts = []
        for place, (level, share) in enumerate(zip(levels, shares, strict=True)):
            conditions = {**(where or {}), column: {level}}
            parts.append(self.sample(share, seed=seed + place, where=conditions, num_steps=num_steps))
            progress(Progress(sum(shares[: place + 1]), n, "rows"))
        return pl.concat(parts)[np.random.default_rng([seed, 2]).permutation(n)]

    def _imputed(self, table: pl.DataFrame, rng: np.random.Generator, num_steps: int, proposals: int) -> pl.DataFrame:
        """One completion of a table, its rows with gaps in blocks so that memory is bounded."""
        gaps = np.flatnonzero(table.select(pl.any_horizontal(pl.all().is_null())).to_series().to_numpy())
        if not len(gaps):
            return table
        blocks = np.array_split(gaps, -(-len(gaps) // _IMPUTED_AT_ONCE))
        filled = [self._filled(table[block], rng, num_steps, proposals) for block in blocks]
        at = np.arange(table.height)
        at[gaps] = table.height + np.arange(len(gaps))
        return pl.concat([table, *filled])[at]

    def _filled(self, rows: pl.DataFrame, rng: np.random.Generator, num_steps: int, proposals: int) -> pl.DataFrame:
        """Draw what each row lacks."""
        asked = rows[np.repeat(np.arange(rows.height), proposals)]
        filled, weight = asked, np.zeros(asked.height)
        if self.codec.columns:
            known = np.column_stack([asked[name].is_not_null().to_numpy() for name in self.codec.columns])
            cells = self._measured(asked, self.codec.encode(asked.drop(self.identities.dependent), rng))
            ranks = _ranks(cells.u)
            if self.tabsyn is not None:
                core = self._core
                cells.states[:, core], ranks[:, core] = self.tabsyn.inpaint(
                    cells.states[:, core], ranks[:, core], known[:, core], rng, num_steps
                )
                weight = weight - _FORCED_GAP * self._without_gaps(cells, ranks, known, rng)
                self._place(self.tabsyn, cells, ranks)
            if self.chain is not None:
                weight = weight + self.chain.draw(cells, rng, allowed=self._present, known=known)
            drawn = self._completed(cells, ranks, [])
        else:
            drawn = self._constant_block(()).head(1)[np.zeros(asked.height, dtype=np.int64)]
        filled = asked.with_columns(pl.col(name).fill_null(drawn[name]) for name in self.schema.names)
        # What is known may not fit what was drawn, and a gap is no answer: such proposals come last.
        weight = weight - _LAST * ~self.identities.obeyed(filled).to_numpy()
        weight = weight - _LAST * filled.select(pl.sum_horizontal(pl.all().is_null())).to_series().to_numpy()
        # Gumbel's maximum over a row's proposals draws one of them by its weight.
        best = (weight + rng.gumbel(size=len(weight))).reshape(-1, proposals).argmax(axis=1)
        chosen: pl.DataFrame = filled[np.arange(rows.height) * proposals + best]
        return chosen

    def _without_gaps(self, cells: Cells, ranks: Floats, known: Masks, rng: np.random.Generator) -> Integers:
        """Draw cells of the core that came out as gaps from the rest of their column; how many, shape (rows,)."""
        count = np.zeros(len(cells), dtype=np.int64)
        for j in self._core:
            one = self._codec_of(name := self.codec.columns[j])
            states = self.distributions[name].levels or self.distributions[name].atoms
            if None not in states:
                continue
            gap = ~known[:, j] & (cells.states[:, j] == states.index(None))
            missing = float(one.layouts[name].high[states.index(None)])  # gaps lie lowest
            ranks[gap, j] = _ranks(missing + (1 - missing) * rng.random(int(gap.sum())))
            cells.states[gap, j] = states_at(one, ranks[gap][:, [j]])[:, 0]
            count += gap
        return count

    @property
    def _present(self) -> dict[int, Masks]:
        """Of heads whose column has gaps, which training values are none."""
        found = {}
        for head in self.chain.heads if self.chain else ():
            fitted = self.distributions[self.codec.columns[head.column]]
            states = fitted.levels or fitted.atoms
            if None in states and (head.states != states.index(None)).any():
                found[head.column] = head.states != states.index(None)
        return found


@dataclass(frozen=True)
class _Proposals:
    """Candidate rows and their log weights; which may be kept at all, and which are draws given the conditions."""

    rows: pl.DataFrame
    weight: Floats
    good: Masks
    accepted: Masks


def _numbers(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _ranks(u: Floats) -> Floats:
    return np.asarray(ndtri(np.clip(u, 1e-15, 1 - 1e-15)))


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            yield from _flat(value, f"{prefix}{each.name}__")
        else:
            yield f"{prefix}{each.name}", value


def _rows_of_format_1(columns: int) -> dict[str, Any]:
    """Format 1 drew every column by diffusion, and had no discriminator."""
    return {"order": list(range(columns)), "heads": None, "ratio": None}


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
