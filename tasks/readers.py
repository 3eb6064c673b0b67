"""Every format a table of molecules comes in, as records that know the line they stand on.

All values are text here, whatever the format; :mod:`tasks.ingest` decides what is a number and what is missing.
"""

import codecs
import csv
import difflib
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import polars as pl
from polars import selectors
from rdkit import Chem, rdBase

from tabsyn_core.errors import TabsynError
from tabsyn_core.files import atomic_path
from tasks.provenance import redact


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of a source.

    Attributes:
        line: The physical line the record begins on, counted from 1; the row number in a Parquet file.
        fields: The text of each column; ``None`` where the source has a gap.
        fault: Why the record cannot be used, as (kind, detail), if it was not even readable.
    """

    line: int
    fields: Mapping[str, str | None]
    fault: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds: its column names and its records, in order.

    Attributes:
        name: The file or URL without credentials, as it appears in messages.
        columns: Names in the order of the file.
        records: One entry a record, unreadable ones included.
    """

    name: str
    columns: Sequence[str]
    records: list[Record] = field(repr=False)

    def require(self, column: str, *, holds_molecules: bool = False) -> None:
        """See that a column is there, once.

        Args:
            column: Its name.
            holds_molecules: It should hold SMILES, so that another one that does is the likely one.

        Raises:
            TabsynError: It is absent (the message names the likely one) or there are two of that name.
        """
        places = [str(place) for place, name in enumerate(self.columns, start=1) if name == column]
        if len(places) > 1:
            raise TabsynError(f"{self.name}: columns {' and '.join(places)} are both named '{column}'; rename one.")
        if not places:
            likely = self._likely(column, holds_molecules=holds_molecules)
            shown = ", ".join(self.columns[:12]) + (", ..." if len(self.columns) > 12 else "")
            hint = f"; did you mean '{likely}'?" if likely else "."
            raise TabsynError(f"{self.name} has no column '{column}'{hint} Its columns: {shown}.")

    def _likely(self, column: str, *, holds_molecules: bool) -> str | None:
        """The column that was probably meant: but for its case, by its content, or by a similar name."""
        lower = {name.lower(): name for name in self.columns}
        by_content = self._with_smiles() if holds_molecules else []
        similar = difflib.get_close_matches(column.lower(), lower, n=1, cutoff=0.6)
        return next(iter([*(lower[name] for name in lower if name == column.lower()), *by_content,
                          *(lower[name] for name in similar)]), None)  # fmt: skip

    def _with_smiles(self) -> list[str]:
        """Columns whose first values are all SMILES, longest first: a class named ``N`` is also nitrogen."""
        lengths = {}
        with rdBase.BlockLogs():
            for name in self.columns:
                texts = [text for record in self.records[:20] if (text := (record.fields.get(name) or "").strip())]
                if texts and all(Chem.MolFromSmiles(text) for text in texts):
                    lengths[name] = sum(map(len, texts))
        return sorted(lengths, key=lambda name: -lengths[name])


def read_source(source: str, *, smiles_column: str, id_column: str | None, encoding: str, tdc_cache: Path) -> Source:
    """Read every record of a source.

    The suffix tells the format: ``.csv``, ``.tsv``/``.tab``, ``.parquet``, ``.smi``/``.smiles``, ``.sdf``/``.sd``, each
    also gzipped (``.gz``). An SMI file holds SMILES and, after white space, a name; if its first word is the SMILES
    column's name, that line names the columns. In an SDF file the properties are the columns, and the title of each
    record stands in for an id that is no property.

    Args:
        source: A local path, any URL fsspec opens, or ``tdc:<name>`` for a data set of Therapeutics Data Commons.
        smiles_column: Where the molecules are.
        id_column: Names the records, if any.
        encoding: Of the text formats; a byte order mark is dropped.
        tdc_cache: Where ``tdc:`` data sets are kept, as PyTDC keeps them (``<name>.tab``).

    Raises:
        TabsynError: The source cannot be opened, decoded or parsed, is empty, or has an unknown format.
    """
    name = _public_name(source)
    place = str(_tdc_file(source.removeprefix("tdc:"), tdc_cache)) if source.startswith("tdc:") else source
    read = _reader(_public_name(place))
    content = _content(place, name)
    if not content.strip():
        raise TabsynError(f"{name} is empty.")
    table = read(_Input(name, content, encoding, smiles_column, id_column))
    if not table.records:
        raise TabsynError(f"{name} holds no records{', only column names' if table.columns else ''}.")
    return table


@dataclass(frozen=True, slots=True)
class _Input:
    name: str
    content: bytes = field(repr=False)
    encoding: str
    smiles_column: str
    id_column: str | None

    def text(self) -> str:
        """The decoded content, as it stands in the file but for a byte order mark."""
        if b"\0" in self.content and not self.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
            hint = "; it looks like UTF-16, set data.encoding" if self.content[:2] in _UTF16_MARKS else ""
            raise TabsynError(f"{self.name} is not a text file: it holds binary data{hint}.")
        try:
            return codecs.decode(self.content, self.encoding).removeprefix("\ufeff")
        except LookupError as error:
            raise TabsynError(f"data.encoding: there is no encoding '{self.encoding}'.") from error
        except UnicodeDecodeError as error:
            line = self.content.count(b"\n", 0, error.start) + 1
            raise TabsynError(
                f"{self.name}, line {line}: byte {self.content[error.start]:#04x} is not {self.encoding}; "
                "set data.encoding to the file's encoding, such as latin-1 or cp1252."
            ) from error


_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _public_name(source: str) -> str:
    """The source without credentials and query, for these do not belong into files and messages."""
    return re.split(r"[?#]", redact(source), maxsplit=1)[0] if "://" in source else source


def _reader(name: str) -> Callable[[_Input], Source]:
    suffix = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    if suffix not in _READERS:
        known = ", ".join(_READERS)
        raise TabsynError(f"{name}: the format of '{suffix or name}' is not known; known are {known}, each also .gz.")
    return _READERS[suffix]


def _content(source: str, name: str) -> bytes:
    try:
        with fsspec.open(source, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError as error:
        # fsspec says of a URL that it is not found whatever the server answered
        what = "does not exist or may not be read" if "://" in source else "does not exist"
        raise TabsynError(f"{name} {what}; check data.source in params.yaml.") from error
    except Exception as error:  # each of fsspec's file systems raises errors of its own
        reason = redact(str(error).replace(source, name))
        raise TabsynError(f"{name} cannot be read: {type(error).__name__}: {reason}.") from error
    try:
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") or name.lower().endswith(".gz") else content
    except (OSError, EOFError, zlib.error) as error:
        raise TabsynError(f"{name} is not a whole gzip file: {error}.") from error


def _read_delimited(given: _Input, delimiter: str) -> Source:
    rows = _rows(given, delimiter)
    _, header = next(rows, (1, []))
    _check_delimiter(given.name, header, delimiter)
    return Source(given.name, header, [_record(line, header, row) for line, row in rows])


def _check_delimiter(name: str, header: list[str], delimiter: str) -> None:
    for other, (called, remedy) in _DELIMITERS.items():
        if len(header) == 1 and other in header[0] and other != delimiter:
            raise TabsynError(f"{name} is separated by {called}, as its first line shows; {remedy}.")


_DELIMITERS = {
    "\t": ("tabs", "give it the ending .tsv, in data.source and data.watch too"),
    ";": ("semicolons", "save it with commas instead, and with points in its numbers"),
    ",": ("commas", "give it the ending .csv, in data.source and data.watch too"),
}


def _rows(given: _Input, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line it begins on; quoted fields may span lines."""
    # strict: without it, a quote that is never closed swallows the rest of the file in silence
    reader = csv.reader(io.StringIO(given.text(), newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise TabsynError(f"{given.name}, line {line}: {error}; is a quote missing?") from error


def _record(line: int, header: list[str], row: list[str]) -> Record:
    fields = dict(zip(header, row, strict=False))
    if len(row) == len(header):
        return Record(line, fields)
    return Record(line, fields, ("wrong number of fields", f"{len(row)} where the header has {len(header)}"))


def _read_smi(given: _Input) -> Source:
    lines = [(number, line) for number, line in enumerate(_lines(given.text()), start=1) if line.strip()]
    header = _fields(lines[0][1]) if lines else []
    if header[:1] == [given.smiles_column]:
        return Source(given.name, header, [_record(number, header, _fields(line)) for number, line in lines[1:]])
    header = [given.smiles_column, given.id_column or "name"]
    records = [Record(n, dict(zip(header, line.strip().split(maxsplit=1), strict=False))) for n, line in lines]
    return Source(given.name, header, records)


def _fields(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _lines(text: str) -> list[str]:
    """Physical lines, as csv counts them: ``str.splitlines`` would also break at form feeds and the like."""
    return re.split(r"\r\n|\r|\n", text)


def _read_sdf(given: _Input) -> Source:
    with rdBase.BlockLogs():
        records = [_sdf_record(line, block, given) for line, block in _sdf_blocks(given.text())]
    names = dict.fromkeys([given.smiles_column, *(name for record in records for name in record.fields)])
    return Source(given.name, list(names), records)


def _sdf_blocks(text: str) -> Iterator[tuple[int, str]]:
    """Each record with the line it begins on; what follows the last ``$$$$`` counts if it is not blank."""
    start = 0
    lines = _lines(text)
    ends = [number for number, line in enumerate(lines) if line.startswith("$$$$")]
    for end in [*ends, len(lines)]:
        if any(line.strip() for line in lines[start:end]):
            yield start + 1, "\n".join([*lines[start:end], "$$$$", ""])
        start = end + 1


def _sdf_record(line: int, block: str, given: _Input) -> Record:
    title = block.partition("\n")[0].strip()
    fields: dict[str, str | None] = {given.id_column: title or None} if given.id_column else {}
    # What RDKit cannot sanitise still has properties, and a SMILES that standardisation will reject with its reason.
    molecule = _mol_block(block, sanitize=True) or _mol_block(block, sanitize=False)
    if molecule is None:
        return Record(line, fields, ("no valid mol block", title))
    fields |= {name: molecule.GetProp(name) for name in molecule.GetPropNames()}
    return Record(line, fields | {given.smiles_column: Chem.MolToSmiles(molecule)})


def _mol_block(block: str, *, sanitize: bool) -> Any:
    supplier = Chem.SDMolSupplier()
    supplier.SetData(block, sanitize=sanitize, removeHs=sanitize)
    return supplier[0]


def _read_parquet(given: _Input) -> Source:
    try:
        table = pl.read_parquet(io.BytesIO(given.content))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TabsynError(f"{given.name} is not a Parquet file: {error}.") from error
    table = table.select(~(selectors.nested() | selectors.binary() | selectors.object()))  # not text, not a number
    texts = table.select(pl.all().cast(pl.String)).iter_rows(named=True)
    return Source(given.name, table.columns, [Record(row, fields) for row, fields in enumerate(texts, start=1)])


_READERS: dict[str, Callable[[_Input], Source]] = {
    ".csv": lambda given: _read_delimited(given, ","),
    ".tsv": lambda given: _read_delimited(given, "\t"),
    ".tab": lambda given: _read_delimited(given, "\t"),
    ".smi": _read_smi,
    ".smiles": _read_smi,
    ".sdf": _read_sdf,
    ".sd": _read_sdf,
    ".parquet": _read_parquet,
}


def _tdc_file(name: str, cache: Path) -> Path:
    """The cached table of a Therapeutics Data Commons data set; PyTDC fetches it at first use."""
    file = cache / f"{name.lower()}.tab"
    if not file.exists():
        _download_from_tdc(name.lower(), cache)
    return file


def _download_from_tdc(name: str, cache: Path) -> None:
    try:
        from tdc.metadata import dataset_names  # noqa: PLC0415  an optional extra
        from tdc.utils.load import download_wrapper  # noqa: PLC0415  as above
    except ImportError as error:
        raise TabsynError(f'tdc:{name} needs PyTDC: pip install "admet-tabsyn[tdc]" -c constraints.txt') from error
    known = [*dataset_names["ADME"], *dataset_names["Tox"]]
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
        raise TabsynError(f"tdc:{name} is not an ADME or Tox data set of TDC; did you mean tdc:{nearest}?")
    with TemporaryDirectory() as folder:
        try:
            download_wrapper(name, folder, known)
            content = (Path(folder) / f"{name}.tab").read_bytes()
        except Exception as error:  # PyTDC lets through whatever its own libraries raise
            raise TabsynError(f"tdc:{name} cannot be downloaded: {error}.") from error
    if b"\t" not in content.partition(b"\n")[0]:  # PyTDC saves its server's error pages too
        raise TabsynError(f"tdc:{name} cannot be downloaded: the server sent no table. Try again later.")
    with atomic_path(cache / f"{name}.tab") as temporary:
        temporary.write_bytes(content)
