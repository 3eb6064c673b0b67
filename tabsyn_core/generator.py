"""Fit on a table, sample rows like it: the library's front door."""

import difflib
import secrets
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from safetensors import SafetensorError
from torch import nn

from tabsyn_core import imputation
from tabsyn_core.chemistry.descriptors import descriptor_bounds
from tabsyn_core.chemistry.rules import RULES, rules_of
from tabsyn_core.conditions import Condition, Where, parse_conditions
from tabsyn_core.config import GeneratorConfig
from tabsyn_core.distributions import ColumnDistribution
from tabsyn_core.distributions.front_ends import front_end_distributions
from tabsyn_core.errors import TabsynError, check_whole
from tabsyn_core.files import atomic_path, read_json
from tabsyn_core.identities import Identities
from tabsyn_core.private import PrivacyConfig
from tabsyn_core.private.accounting import Plan, PrivacyStatement
from tabsyn_core.private.marginals import private_distributions, public_schema
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.row_model import BLOCK, RowModel, dump
from tabsyn_core.schema import TableSchema

if TYPE_CHECKING:
    from tabsyn_core.training import Curve

FORMAT_VERSION = 4

_FEW_ROWS = 20  # of which categories may well all differ


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
        if not isinstance(config, GeneratorConfig | None):
            raise TabsynError(f"config is {config!r}; give a GeneratorConfig, or none for the defaults.")
        self.config = config or GeneratorConfig()
        self.curves: list[Curve] = []
        self.privacy: PrivacyStatement | None = None
        self.rows = 0
        self._model: RowModel | None = None

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
            time_limit: Seconds for the whole fit. The heads take what they need, the discriminator as long again, the
                score model stops early for both, and margins are corrected if there is time left; the result then
                depends on the machine.
            progress: Told about phases ``"vae"`` and ``"diffusion"`` in updates, ``"heads"`` in columns.

        Returns:
            Itself.

        Raises:
            TabsynError: The table cannot be modelled; the message names the column and the remedy.
        """
        check_frame(table)
        check_whole(("seed", seed, 0))
        if time_limit is not None and not (isinstance(time_limit, int | float) and time_limit > 0):
            raise TabsynError(f"time_limit is {time_limit!r}; it must be seconds, more than 0, or None for no limit.")
        if self.config.privacy is not None:
            if distributions or checkpoint or time_limit:
                raise TabsynError(
                    "a private fit takes no distributions, checkpoint or time limit: none is accounted for."
                )
            return self._fit_privately(self.config.privacy, table, schema, progress)
        schema = schema or _inferred(table)
        found = distributions or front_end_distributions(self.config.front_end, table, schema, seed=seed)
        identities = Identities.discover(table, schema) if self.config.identities else Identities(schema)
        rules = rules_of(table) if self.config.identities else ()
        self.rows, self.privacy = table.height, None
        self._model = RowModel(self.config, identities, dict(found), rules)
        self.curves = self._model.fit(
            table,
            seed=seed,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            deadline=time.monotonic() + time_limit if time_limit else None,
            progress=progress,
        )
        return self

    def _fit_privately(
        self, config: PrivacyConfig, table: pl.DataFrame, schema: TableSchema | None, progress: ProgressCallback
    ) -> "Generator":
        """Fit with one account of (ε, δ) for everything that ends up in the model (:mod:`tabsyn_core.private`)."""
        noise = secrets.randbits(128)
        plan = Plan.of(config, table.height)
        schema = schema or public_schema(table, bounds=descriptor_bounds())
        distributions = private_distributions(table, schema, config, plan, np.random.default_rng([noise, 1]))
        self.rows, self.curves = table.height, []  # a training curve would tell about the rows
        self.privacy = PrivacyStatement.of(config, plan, table.height)
        self._model = RowModel(self.config, Identities(schema), distributions)  # found identities would tell, too
        self._model.fit_privately(table, plan, noise, progress=progress)
        return self

    def partial_fit(self, table: pl.DataFrame, *, seed: int = 0, progress: ProgressCallback = silent) -> "Generator":
        """Learn from further rows without forgetting: a first call is :meth:`fit`, a later one goes on from there.

        Distributions, identities and the discriminator stay as they are; the score model goes on training from its
        weights on the new rows, and the heads take them in among those that they draw from. What is new beyond the
        fitted distributions is encoded as the nearest that is known, an unseen level is refused; fit again for that.

        Args:
            table: Rows with the same columns and dtypes.
            seed: Of the batches.
            progress: As for :meth:`fit`.

        Raises:
            TabsynError: The columns differ, there is no row, or a category has a level that was not there before.
        """
        check_frame(table)
        check_whole(("seed", seed, 0))
        if self._model is None:
            return self.fit(table, seed=seed, progress=progress)
        if self.privacy is not None:
            raise TabsynError("a private generator cannot learn from further rows: its budget is spent; fit it anew.")
        self.schema.check(table)
        if table.is_empty():
            raise TabsynError("there are no rows to learn from.")
        self._check_known(table)
        self.rows += table.height
        self.curves += self._model.learn(table, share=table.height / self.rows, seed=seed, progress=progress)
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
        check_whole(("n", n, 0), ("seed", seed, 0), ("num_steps", num_steps, 1), ("chunk_size", chunk_size, 1))
        model = self._fitted()
        conditions = parse_conditions(where, self.schema)
        self._check_levels(conditions)
        blocks_a_chunk = max(1, chunk_size // BLOCK)
        pending: list[pl.DataFrame] = []
        for start in range(0, n, BLOCK):
            pending.append(model.block(seed, start // BLOCK, num_steps, conditions).head(n - start))
            done = min(start + BLOCK, n)
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
            table: Rows with the training table's columns and dtypes; null where unknown, as in all of a column that is
                not there.
            seed: Decides the draws.
            draws: Completions wanted.
            num_steps: Steps of Heun's method.
            proposals: Proposals a row for each completion.

        Returns:
            Completed tables: known cells are as they were. A column that was never missing in training has no gaps.

        Raises:
            TabsynError: The columns differ, or nothing was fitted.
        """
        model = self._fitted()
        check_whole(("seed", seed, 0), ("draws", draws, 1), ("proposals", proposals, 1), ("num_steps", num_steps, 1))
        check_frame(table)
        dtypes = self.schema.polars_dtypes()
        unknown = [name for name in dtypes if table.schema.get(name, pl.Null) == pl.Null]
        table = table.with_columns(pl.lit(None, dtypes[name]).alias(name) for name in unknown)
        self.schema.check(table)
        table = table.select(self.schema.names).with_columns(pl.selectors.float().fill_nan(None))
        return [
            imputation.complete(model, table, np.random.default_rng([seed, k]), num_steps, proposals)
            for k in range(draws)
        ]

    @property
    def schema(self) -> TableSchema:
        """The columns of the table it was fitted to."""
        return self._fitted().schema

    @property
    def identities(self) -> Identities:
        """What holds between the columns."""
        return self._fitted().identities

    @property
    def distributions(self) -> Mapping[str, ColumnDistribution]:
        """Each column's fitted distribution."""
        return self._fitted().distributions

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
        return self._fitted().parameters()

    def explain(self) -> pl.DataFrame:
        """One row a column: its kind, family, distribution in words, number of atoms, goodness of fit, who draws it.

        ``drawn_by`` is ``diffusion``, ``tree``, ``guided tree``, ``identity`` or ``constant``; ``identity`` is the
        equation of a recomputed column.
        """
        fitted = [self.distributions[name] for name in self.schema.names]
        computed = self.identities.describe()
        drawn = self._fitted().drawn_by()
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

    def save(self, path: Path | str) -> None:
        """Write the generator to a folder: JSON for what is known, safetensors for the arrays.

        Raises:
            TabsynError: The folder cannot be written.
        """
        model = self._fitted()
        about = {
            "format_version": FORMAT_VERSION,
            "config": asdict(self.config),
            "rows": self.rows,
        }
        fitted = {name: self.distributions[name].to_json() for name in self.schema.names}
        with atomic_path(Path(path)) as temporary:
            temporary.mkdir()
            dump(temporary / "config.json", about)
            known = {"distributions": fitted, "identities": self.identities.to_json(), "rules": sorted(model.rules)}
            dump(temporary / "columns.json", known)
            if self.privacy is not None:
                dump(temporary / "privacy.json", self.privacy.to_json())
            model.save(temporary)

    @classmethod
    def load(cls, path: Path | str) -> "Generator":
        """Read a generator that :meth:`save` wrote, also one of formats 1 to 3; nothing in it is executed.

        Raises:
            TabsynError: The folder is not a generator, is damaged, or was written by a later version.
        """
        path = Path(path)
        if not path.is_dir():
            raise TabsynError(
                f"{path} is no folder of a saved generator; run the step that makes it (admet-tabsyn run), or fit one"
                " and save it there."
            )
        try:
            return cls._load(path)
        except (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError, SafetensorError) as error:
            raise TabsynError(f"{path} is not a complete generator ({error}); fit or restore it again.") from error

    @classmethod
    def _load(cls, path: Path) -> "Generator":
        about = read_json(path / "config.json")
        version = about["format_version"]
        if version > FORMAT_VERSION:
            raise TabsynError(f"{path} has format {version}, this version reads up to {FORMAT_VERSION}; upgrade it.")
        generator = cls(GeneratorConfig.from_json(about["config"]))
        generator.rows = about["rows"]
        columns = read_json(path / "columns.json")
        fitted = {name: ColumnDistribution.from_json(each) for name, each in columns["distributions"].items()}
        identities = Identities.from_json(columns["identities"])
        if (path / "privacy.json").exists():
            generator.privacy = PrivacyStatement.from_json(read_json(path / "privacy.json"))
        generator._model = RowModel(generator.config, identities, fitted, _rules(about, columns, identities))
        generator._model.load(path, version)
        return generator

    def _fitted(self) -> RowModel:
        if self._model is None:
            raise TabsynError("this generator has not been fitted; call fit or load first.")
        return self._model

    def _check_known(self, table: pl.DataFrame) -> None:
        """See that categories have no level beside those they were fitted with."""
        for name in self.schema.names:
            if levels := self.distributions[name].levels:
                unseen = [level for level in table[name].drop_nulls().unique().to_list() if level not in set(levels)]
                if unseen:
                    raise TabsynError(
                        f"column '{name}' has the new level {unseen[0]!r}; fit again on all rows to learn it."
                    )

    def _check_levels(self, conditions: tuple[Condition, ...]) -> None:
        """See that at least one level of each conditioned category is known."""
        for condition in conditions:
            levels = self.distributions[condition.column].levels
            if levels and condition.members is not None and not set(condition.members) & set(levels):
                near = difflib.get_close_matches(str(condition.members[0]), [str(level) for level in levels], 1, 0.4)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TabsynError(f"where: {condition}, but its levels are {list(levels[:8])}{hint}")

    def _balanced(
        self, n: int, column: str, *, seed: int, where: Where | None, num_steps: int, progress: ProgressCallback
    ) -> pl.DataFrame:
        """Equally many rows of each level that meets the conditions, in random order."""
        check_whole(("n", n, 0), ("seed", seed, 0))
        self._fitted()
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


def _inferred(table: pl.DataFrame) -> TableSchema:
    """The schema read off a table, with a warning about columns that look like names of its rows."""
    schema = TableSchema.infer(table)
    texts = [column.name for column in schema.columns if column.dtype in ("String", "Categorical")]
    names = [name for name in texts if table.height > _FEW_ROWS and table[name].n_unique() == table.height]
    if names:
        warnings.warn(
            f"every row has another value in {names}: if they are identifiers or structures, drop them, for sampled"
            " rows have values of the training rows in them.",
            stacklevel=3,
        )
    return schema


def check_frame(table: Any) -> None:
    """See that a table is polars'.

    Raises:
        TabsynError: It is not; with the remedy.
    """
    if not isinstance(table, pl.DataFrame):
        remedy = {"DataFrame": "polars.from_pandas(table)", "LazyFrame": "table.collect()"}.get(type(table).__name__)
        hint = f"; give {remedy}" if remedy else ""
        raise TabsynError(
            f"the table is a {type(table).__module__}.{type(table).__name__}, not a polars DataFrame{hint}."
        )


def _rules(about: Mapping[str, Any], columns: Mapping[str, Any], identities: Identities) -> Sequence[str]:
    """Names of the rules a saved generator keeps; format 2 kept all whose columns it had, or none."""
    if about["format_version"] > 2:
        return list(columns["rules"])
    names = identities.schema.names
    return [rule.name for rule in RULES if about.get("lawful", False) and rule.applies_to(names)]


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            yield from _flat(value, f"{prefix}{each.name}__")
        else:
            yield f"{prefix}{each.name}", value
