"""Molecules whose descriptors are rows of the training table's distribution: the front door of this package."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES
from tabsyn_core.chemistry.workshop import ABOUT, SKELETON, crew
from tabsyn_core.conditions import Where, parse_conditions
from tabsyn_core.errors import TabsynError, check_whole
from tabsyn_core.files import atomic_path
from tabsyn_core.generator import Generator, check_frame
from tabsyn_core.molecules.blocks import BLOCK, Blocks
from tabsyn_core.molecules.config import RealizerConfig
from tabsyn_core.molecules.learned import Learned
from tabsyn_core.molecules.learning import learn
from tabsyn_core.molecules.wishes import Wishes
from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.schema import TableSchema

_FAR = 3.0
"""Standard deviations of the training rows: molecules that far beyond all of them are not searched for."""

_PROVENANCE = ("smiles", "inchikey", "parents", "nearest", "similarity")


@dataclass(frozen=True)
class Realized:
    """Accepted rows.

    Attributes:
        rows: ``smiles`` (unless only descriptors are shared), the training table's columns in its order, and
            ``acceptance_weight``, the estimated density ratio p/q at the row (1 where there was no choice).
        provenance: One row each, for the privacy report only: ``smiles``, ``inchikey``, ``parents`` (rows of the
            training table that the molecule has pieces of; at the first its walk began), ``nearest`` (the training row
            of the most similar molecule) and ``similarity`` (its ECFP4 Tanimoto).
    """

    rows: pl.DataFrame
    provenance: pl.DataFrame


class Realizer:
    """Rows that are the descriptors of new molecules.

    Molecules are proposed by exchanging pieces of training molecules (:mod:`tabsyn_core.chemistry.proposals`), chosen
    by a cross-fitted density ratio (:mod:`tabsyn_core.density_ratio`) so that their descriptors follow the training
    table's distribution, and given endpoints of which as much was to be expected
    (:mod:`tabsyn_core.molecules.matching`) or drawn by the generator.

    >>> realizer = Realizer().fit(smiles, table, generator, seed=0)  # doctest: +SKIP
    >>> realizer.sample(1000, seed=1, where={"MolWt": [200, 350]}).rows  # doctest: +SKIP
    """

    def __init__(self, config: RealizerConfig | None = None) -> None:
        if not isinstance(config, RealizerConfig | None):
            raise TabsynError(f"config is {config!r}; give a RealizerConfig, or none for the defaults.")
        self.config = config or RealizerConfig()

    def fit(
        self,
        smiles: Sequence[str],
        table: pl.DataFrame,
        generator: Generator,
        *,
        seed: int = 0,
        progress: ProgressCallback = silent,
    ) -> "Realizer":
        """Learn pieces, limits and the density ratio from training molecules.

        Args:
            smiles: The training molecules.
            table: Their rows, in this order: descriptors and endpoints.
            generator: Fitted to the table, but for columns that never vary; draws endpoints if those are imputed.
            seed: The same seed and arguments give the same realizer.
            progress: Told about candidates that the discriminator learns from.

        Returns:
            Itself.

        Raises:
            TabsynError: The rows are not those of molecules, there are too few molecules to cut, they share one
                scaffold, or the generator is private or of another table.
        """
        _check(table, generator)
        check_whole(("seed", seed, 0))
        self._learned = learn(self.config, [*smiles], table, seed, progress)
        self._generator = generator
        return self

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        where: Where | None = None,
        known: Collection[str] = (),
        progress: ProgressCallback = silent,
    ) -> Realized:
        """Draw exactly ``n`` rows, no two with a molecule in common and none with a known one.

        Args:
            n: Rows, 0 or more.
            seed: Row i of a seed is the same row whatever ``n`` and the number of workers.
            where: Conditions that every row meets; see :mod:`tabsyn_core.conditions`.
            known: InChIKeys of further molecules that are not new. Stereoisomers of a known molecule are not new.
            progress: Told in rows.

        Raises:
            TabsynError: An argument is out of range, nothing was fitted, there are not enough new molecules, or not
                enough of them meet the conditions after ``effort`` proposals a row.
        """
        chunks = [*self.sample_chunks(n, seed=seed, where=where, known=known, progress=progress)]
        return Realized(pl.concat(each.rows for each in chunks), pl.concat(each.provenance for each in chunks))

    def sample_chunks(
        self,
        n: int,
        *,
        seed: int = 0,
        where: Where | None = None,
        known: Collection[str] = (),
        chunk_size: int = 1000,
        progress: ProgressCallback = silent,
    ) -> Iterator[Realized]:
        """Draw ``n`` rows in bounded memory; see :meth:`sample`. All that grows is one InChIKey a row.

        A chunk has at most ``chunk_size`` rows, or one block of 64 if that is more; the last may be empty.
        """
        check_whole(("n", n, 0), ("seed", seed, 0), ("chunk_size", chunk_size, 1))
        learned = self._fitted()
        wishes = _wishes(where, learned.table)
        if n == 0:
            yield self._realized(self._learned.table.clear())
            return
        pending: list[pl.DataFrame] = []
        with crew(learned.workshop, self.config.workers) as make:
            not_new = {key[:SKELETON] for key in known}
            blocks = Blocks(self.config, learned, self._generator, make, seed=seed, wishes=wishes, known=not_new)
            for start in range(0, n, BLOCK):
                done = min(start + BLOCK, n)
                pending.append(blocks.draw(start // BLOCK).head(done - start))
                progress(Progress(done, n, "rows"))
                if (len(pending) + 1) * BLOCK > chunk_size or done == n:
                    yield self._realized(pl.concat(pending))
                    pending = []

    def save(self, path: Path) -> None:
        """Write the realizer and its generator to a folder: JSON, Parquet and the generator's safetensors.

        The folder holds the training rows and the pieces of the training molecules: it is as confidential as those.

        Raises:
            TabsynError: The folder cannot be written.
        """
        learned = self._fitted()
        with atomic_path(path) as temporary:
            temporary.mkdir()
            learned.save(temporary, self.config)
            self._generator.save(temporary / "generator")

    @classmethod
    def load(cls, path: Path) -> "Realizer":
        """Read a realizer that :meth:`save` wrote; nothing in it is executed.

        Raises:
            TabsynError: The folder is not a realizer, is damaged, or was written by a later version.
        """
        if not (path / "realizer.json").is_file():
            found = "a generator: load it with Generator.load" if (path / "config.json").is_file() else "none"
            raise TabsynError(f"{path} is no folder of a realizer but {found}; name what Realizer.save wrote.")
        try:
            learned, config = Learned.load(path)
        except (LookupError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            raise TabsynError(f"{path} is not a complete realizer ({error}); fit or restore it again.") from error
        realizer = cls(config)
        realizer._learned = learned
        realizer._generator = Generator.load(path / "generator")
        return realizer

    def _fitted(self) -> Learned:
        if not hasattr(self, "_learned"):
            raise TabsynError("this realizer has not been fitted; call fit or load first.")
        return self._learned

    def _realized(self, drawn: pl.DataFrame) -> Realized:
        if drawn.is_empty():
            about = {name: pl.lit(None, dtype=dtype) for name, dtype in ABOUT.items()}
            drawn = drawn.with_columns(**about, acceptance_weight=pl.lit(None, dtype=pl.Float64))
        shared = ["smiles"] if self.config.share == "molecules" else []
        rows = drawn.select(*shared, *self._learned.table.columns, "acceptance_weight")
        return Realized(rows, drawn.select(_PROVENANCE))


def _check(table: pl.DataFrame, generator: Generator) -> None:
    """See that the generator can draw the table's endpoints."""
    check_frame(table)
    if not isinstance(generator, Generator):
        raise TabsynError(f"the generator is {generator!r}; give a Generator that was fitted to the table.")
    modelled = generator.schema.names
    if generator.privacy is not None:
        raise TabsynError(
            "a private generator's guarantee does not cover molecules made of training molecules' pieces; use the"
            " tabular mode, or a generator without train.privacy."
        )
    if not any(name in DESCRIPTOR_NAMES for name in table.columns):
        raise TabsynError("the table has no RDKit descriptors, so no molecule can have its rows; use the tabular mode.")
    lacking = [name for name in modelled if name not in table.columns]
    foreign = [name for name in table.columns if name not in modelled and name not in DESCRIPTOR_NAMES]
    faults = [f"it has columns {lacking} that the table lacks"] if lacking else []
    faults += [f"it lacks the table's endpoints {foreign}"] if foreign else []
    if faults:
        raise TabsynError(f"the generator was fitted to another table: {' and '.join(faults)}; fit it to this table.")


def _wishes(where: Where | None, table: pl.DataFrame) -> Wishes:
    conditions = parse_conditions(where, TableSchema.infer(table))
    for each in conditions:
        if not table[each.column].dtype.is_numeric() and not each.met(table[each.column]).any():
            levels = table[each.column].drop_nulls().unique().sort().to_list()
            raise TabsynError(f"where: {each}, but its levels are {levels[:8]}.")
    wishes = Wishes(conditions, table)
    if wishes and (missed := wishes.missed_by(table)).min() > _FAR:
        nearest = wishes.told(table[int(missed.argmin())])
        raise TabsynError(f"no training row comes near {wishes}: the nearest has {nearest}; widen it.")
    return wishes
