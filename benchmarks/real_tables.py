"""The real tables that benchmarks run on: embedded, or in the optional folder ``../shared/data``."""

import ast
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import polars as pl

import tabsyn_core.chemistry
from tabsyn_core.chemistry.descriptors import (
    DESCRIPTOR_NAMES,
    IDENTIFIERS,
    INTEGER_DESCRIPTORS,
    compute_descriptors,
    descriptor_bounds,
)
from tabsyn_core.errors import TabsynError
from tabsyn_core.files import read_parquet, write_parquet
from tabsyn_core.schema import Kind, TableSchema
from tasks.featurize import featurize
from tasks.ingest import ingest
from tasks.params import ColumnParams, DataParams

ROOT = Path(__file__).parents[1]
OPTIONAL = ROOT.parent / "shared/data"
HELD_OUT = 0.2

_BIOGEN = {
    "HLM": "LOG HLM_CLint (mL/min/kg)",
    "RLM": "LOG RLM_CLint (mL/min/kg)",
    "MDR1-MDCK": "LOG MDR1-MDCK ER (B-A/A-B)",
}


class AbsentError(TabsynError):
    """A table whose file is not there."""


@dataclass(frozen=True)
class RealTable:
    """A table to learn.

    Attributes:
        name: What it is called on the command line.
        rows: The columns that vary, targets among them.
        targets: Columns whose prediction is judged.
        constants: Descriptors with one value in every row: not learnt, but chemistry's rules speak of them.
        pair: Two numeric columns whose joint density is judged, and with it the combinations of categories.
        smiles: The molecules of the rows, where they are molecules.
    """

    name: str
    rows: pl.DataFrame
    targets: tuple[str, ...]
    constants: dict[str, float | int | None] = field(default_factory=dict)
    pair: tuple[str, str] | None = None
    smiles: tuple[str, ...] = ()

    def split(self, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Training and held-out rows, 80 to 20, at random."""
        order = np.random.default_rng(seed).permutation(self.rows.height)
        held = round(HELD_OUT * self.rows.height)
        return self.rows[np.sort(order[held:])], self.rows[np.sort(order[:held])]

    def schema(self, train: pl.DataFrame) -> TableSchema:
        """What is known of the columns, as the pipeline knows it."""
        described = [name for name in train.columns if name in DESCRIPTOR_NAMES]
        kinds = {name: Kind.INTEGER if name in INTEGER_DESCRIPTORS else Kind.NUMERIC for name in described}
        bounds = {name: bound for name, bound in descriptor_bounds().items() if name in described}
        return TableSchema.infer(train, kinds, bounds)

    def completed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the constant descriptors."""
        return rows.with_columns(pl.lit(value).alias(name) for name, value in self.constants.items())

    @cached_property
    def digest(self) -> str:
        """Differs for any other content."""
        return hashlib.sha256(repr(self.rows.schema).encode() + self.rows.write_csv().encode()).hexdigest()


def load(name: str, cache: Path) -> RealTable:
    """Read a table, with its descriptors if it holds molecules.

    Args:
        name: One of :func:`names`.
        cache: Folder that keeps descriptors.

    Raises:
        AbsentError: Its file is not there.
        TabsynError: There is no such table.
    """
    file, read = find(name)
    return read(name, file, cache)


def find(name: str) -> "Loader":
    """The file of a table, and what reads it; raises as :func:`load` does."""
    if name not in _LOADERS:
        raise TabsynError(f"there is no table '{name}'; there are {', '.join(_LOADERS)}.")
    if not _LOADERS[name][0].exists():
        raise AbsentError(
            f"table '{name}' is skipped: {_LOADERS[name][0].name} is absent (../shared/data is optional)."
        )
    return _LOADERS[name]


def names(asked: Sequence[str] = ("all",)) -> list[str]:
    """The names asked for, each once, with ``all`` for every table and ``tdc`` for those of its folder."""
    groups = {"all": [*_LOADERS], "tdc": [name for name, (file, _) in _LOADERS.items() if file.parent.name == "tdc"]}
    return [*dict.fromkeys(name for each in asked for name in groups.get(each, [each]))]


def code_digest(folder: Path, *, but: Sequence[str] = ()) -> str:
    """A digest of what a folder's Python files do: comments, docstrings and layout do not count.

    Args:
        folder: Searched with all folders in it.
        but: Names right in the folder that are left out.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        if file.relative_to(folder).parts[0] not in but:
            digest.update(f"{file.relative_to(folder)}\n{meaning(file)}\n".encode())
    return digest.hexdigest()


def meaning(file: Path) -> str:
    """The syntax tree of a file without its docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def _molecules(name: str, file: Path, cache: Path, *, smiles: str, targets: tuple[str, ...]) -> RealTable:
    """A table of molecules through the pipeline's own steps: standardised, equal molecules merged, described."""
    raw = pl.read_csv(file, infer_schema_length=None)
    columns = tuple(ColumnParams(name=column, kind=_kind(raw[column])) for column in targets)
    data = DataParams(source=str(file), watch=str(file), smiles_column=smiles, targets=columns)

    def describe(described: Path) -> None:
        parts = {part: described.with_name(f"{part}.parquet") for part in ("molecules", "rejected", "missing")}
        summary = described.with_name("ingest.json")
        ingest(
            data, molecules=parts["molecules"], rejected=parts["rejected"], summary=summary, tdc_cache=described.parent
        )
        featurize(parts["molecules"], descriptors=described, missing_reasons=parts["missing"])

    table = _described(name, file, cache, describe).drop_nulls(targets)
    return _varying(name, table.drop(IDENTIFIERS), targets, table["smiles"])


def _biogen(name: str, file: Path, cache: Path) -> RealTable:
    """The rows with three of the six endpoints, as they stand: the protocol of published comparisons."""
    raw = pl.read_csv(file, infer_schema_length=None).drop_nulls([*_BIOGEN.values()])
    others = raw.select(*(pl.col(old).alias(new) for new, old in _BIOGEN.items()), "CollectionName")

    def describe(described: Path) -> None:
        write_parquet(described, compute_descriptors(raw["SMILES"].to_list())[0])

    table = pl.concat([_described(name, file, cache, describe), others], how="horizontal")
    return _varying(name, table, tuple(_BIOGEN), raw["SMILES"])


def _described(name: str, file: Path, cache: Path, describe: Callable[[Path], None]) -> pl.DataFrame:
    """A table with descriptors, computed again only if the file or the code has changed."""
    code = code_digest(Path(tabsyn_core.chemistry.__file__).parent)
    digest = hashlib.sha256(file.read_bytes() + code.encode()).hexdigest()[:12]
    described = cache / "descriptors" / f"{name}-{digest}" / "descriptors.parquet"
    if not described.exists():
        print(f"{name}: computing descriptors", flush=True)
        describe(described)
    return read_parquet(described)


def _varying(name: str, table: pl.DataFrame, targets: tuple[str, ...], smiles: pl.Series) -> RealTable:
    constants = {column.name: column[0] for column in table if column.n_unique() == 1}
    return RealTable(name, table.drop(constants), targets, constants, smiles=tuple(smiles.to_list()))


def _kind(values: pl.Series) -> Kind:
    """Text and yes or no are classes."""
    return Kind.NUMERIC if values.dtype.is_numeric() and values.n_unique() > 2 else Kind.CATEGORICAL


def _mixed(
    name: str, file: Path, _: Path, *, target: str, unused: str = "", codes: tuple[str, ...] = (), gap: str = "?"
) -> RealTable:
    """An ordinary table; ``codes`` are numbers that name categories."""
    table = pl.read_csv(file, null_values=gap, infer_schema_length=None)
    table = table.drop(unused, strict=False).with_columns(pl.col(codes).cast(pl.String))
    return RealTable(name, table, (target,))


def _bank(name: str, file: Path, _: Path) -> RealTable:
    """Transactions of the PKDD 1999 bank (Berka & Sochorova), without the numbers of rows and accounts.

    The label is what a transaction is for, ``k_symbol``; a transaction that does not say is of the class ``none``. Of
    the date, six digits of year, month and day, month and day are kept: these are from January 1993 to March 1994.
    """
    table = pl.read_csv(file, infer_schema_length=None)
    date = pl.col("date")
    return RealTable(
        name,
        table.select(
            (date // 100).cast(pl.String).alias("month"),
            (date % 100).alias("day"),
            "type",
            pl.col("operation").fill_null("none"),
            "amount",
            "balance",
            pl.col("k_symbol").str.strip_chars().replace("", None).fill_null("none"),
            pl.col("bank").fill_null("none"),
        ),
        ("k_symbol",),
        pair=("amount", "balance"),
    )


Loader = tuple[Path, Callable[[str, Path, Path], RealTable]]

_TDC = partial(_molecules, smiles="Drug", targets=("Y",))
_SHOPPERS = ("OperatingSystems", "Browser", "Region", "TrafficType")

_LOADERS: dict[str, Loader] = {
    "solubility": (
        ROOT / "data/raw/solubility.csv",
        partial(_molecules, smiles="smiles", targets=("logS", "solubility_class")),
    ),
    "biogen": (OPTIONAL / "biogen_adme_3521/biogen_adme_3521.csv", _biogen),
    **{file.stem: (file, _TDC) for file in sorted((OPTIONAL / "tdc").glob("*.csv"))},
    "adult": (OPTIONAL / "adult/adult.csv.gz", partial(_mixed, target="income", unused="split")),
    "magic": (OPTIONAL / "magic/magic04.csv", partial(_mixed, target="class")),
    "shoppers": (
        OPTIONAL / "shoppers/online_shoppers_intention.csv",
        partial(_mixed, target="Revenue", codes=_SHOPPERS),
    ),
    "beijing": (
        OPTIONAL / "beijing_pm25/beijing_pm25.csv",
        partial(_mixed, target="pm2.5", unused="No", codes=("year", "month", "day", "hour"), gap="NA"),
    ),
    "berka": (OPTIONAL / "berka_part/trans_part.csv.gz", _bank),
}
