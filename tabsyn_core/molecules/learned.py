"""What a realizer knows of its training rows, and how it is kept in a folder."""

import json
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tabsyn_core.chemistry.descriptors import DESCRIPTOR_NAMES
from tabsyn_core.chemistry.elements import Elements
from tabsyn_core.chemistry.filters import Usual
from tabsyn_core.chemistry.fragments import Pieces
from tabsyn_core.chemistry.proposals import Proposal, Proposer
from tabsyn_core.chemistry.similarity import Neighbours
from tabsyn_core.chemistry.workshop import SKELETON, Workshop
from tabsyn_core.density_ratio import DensityRatio
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_json, read_parquet
from tabsyn_core.molecules.config import RealizerConfig
from tabsyn_core.molecules.matching import Matcher
from tabsyn_core.molecules.reference import Reference

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FORMAT_VERSION = 2

JUDGED_BY = ("similarity", "difficulty", "alerts")
"""What the discriminator sees beside the descriptors. For a training molecule, the similarity is that to the nearest of
the others: so accepted molecules are as near to the training molecules as those are to one another, and no nearer."""


@dataclass(frozen=True)
class Learned:
    """What there is to know.

    Attributes:
        table: The training rows: descriptors and endpoints.
        workshop: Makes candidates from pieces of their molecules.
        reference: The rows as candidates are compared with them.
        matcher: Finds the training row whose endpoints a candidate gets.
        ratio: The density ratio of training rows to candidates; None where candidates are not chosen among.
    """

    table: pl.DataFrame
    workshop: Workshop
    reference: Reference
    matcher: Matcher
    ratio: DensityRatio | None = None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The columns that are no descriptors."""
        return tuple(name for name in self.table.columns if name not in DESCRIPTOR_NAMES)

    def begun(self, rows: Integers) -> list[Proposal]:
        """Walks at training molecules, before their first step."""
        return [self.workshop.proposer.start(int(row)) for row in rows]

    def allowed(self, made: pl.DataFrame, *seen: AbstractSet[str], apart: bool) -> pl.DataFrame:
        """Candidates within the training rows' limits, each skeleton once and none that was seen."""
        known = [any(key[:SKELETON] in each for each in seen) for key in made["inchikey"]]
        first = pl.col("inchikey").str.head(SKELETON).is_first_distinct()
        new = made.filter(first & ~pl.Series(known, dtype=pl.Boolean))
        possible = self.reference.possible(new)
        return self.reference.apart(possible) if apart else possible

    def weigh(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Candidates with their ``log_ratio``, p/q, and ``log_weight``, which margins correct and choice goes by."""
        ratio = correction = np.zeros(rows.height)
        if self.ratio is not None and rows.height:
            features = self.features(rows)
            ratio, correction = self.ratio.log_ratio(features), self.ratio.correction(features)
        return rows.with_columns(
            pl.Series("log_ratio", ratio, dtype=pl.Float64),
            pl.Series("log_weight", ratio + correction, dtype=pl.Float64),
        )

    def matched(self, rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        """Candidates with the endpoints of training rows of which as much was to be expected."""
        donors = self.matcher.donors(self.reference.numbers(rows), rows["parents"].to_list(), rng)
        return rows.with_columns(self.table[donors].select(self.endpoints))

    def features(self, rows: pl.DataFrame) -> Floats:
        """Rows as the discriminator sees them: descriptors, then :data:`JUDGED_BY`."""
        further = rows.select(pl.col(JUDGED_BY).cast(pl.Float64)).to_numpy()
        return np.column_stack([self.reference.numbers(rows), further])

    def save(self, path: Path, config: RealizerConfig) -> None:
        """Write it to an existing folder, with the configuration it was learned under."""
        proposer = self.workshop.proposer
        about = {
            "format_version": FORMAT_VERSION,
            "config": asdict(config),
            "elements": proposer.elements.to_json(),
            "usual": self.workshop.usual.to_json(),
            "ratio": self.ratio and self.ratio.to_json(),
        }
        (path / "realizer.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        molecules = pl.DataFrame({"smiles": proposer.smiles, "skeleton": self.workshop.known})
        molecules.write_parquet(path / "molecules.parquet")
        proposer.pieces.table.write_parquet(path / "pieces.parquet")
        self.table.write_parquet(path / "table.parquet")
        self.matcher.save(path)

    @classmethod
    def load(cls, path: Path) -> tuple["Learned", RealizerConfig]:
        """Read what :meth:`save` wrote."""
        about: dict[str, Any] = read_json(path / "realizer.json")
        if (version := about["format_version"]) > FORMAT_VERSION:
            raise TabsynError(f"{path} has format {version}, this version reads up to {FORMAT_VERSION}; upgrade it.")
        config = RealizerConfig.from_json(about["config"])
        table, molecules, pieces = (read_parquet(path / f"{name}.parquet") for name in ("table", "molecules", "pieces"))
        texts = tuple(molecules["smiles"].to_list())
        workshop = Workshop(
            Proposer(texts, Pieces(pieces), Elements.from_json(about["elements"])),
            Neighbours(texts),
            Usual.from_json(about["usual"]),
            tuple(molecules["skeleton"].to_list()),
            config.max_similarity,
            config.standardization,
        )
        ratio = about["ratio"] and DensityRatio.from_json(about["ratio"])
        return cls(table, workshop, Reference(table), Matcher.load(path), ratio), config


def skeletons(*frames: pl.DataFrame) -> set[str]:
    """Those of candidates."""
    return {key[:SKELETON] for frame in frames if frame.height for key in frame["inchikey"]}
