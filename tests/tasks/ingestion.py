"""Helpers of the ingestion tests: one call from a file to the three outputs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tasks.ingest import ingest
from tasks.params import DataParams

NUMERIC = {"name": "y", "kind": "numeric"}


@dataclass(frozen=True)
class Ingested:
    molecules: pl.DataFrame
    rejected: pl.DataFrame
    summary: dict[str, Any]

    def reasons(self) -> dict[int, str]:
        return dict(self.rejected.select("line", "reason").iter_rows())


def run(source: Path | str, folder: Path, tdc_cache: Path | None = None, **settings: Any) -> Ingested:
    remote = str(source).startswith("tdc:") or "://" in str(source)
    data = DataParams.model_validate(
        {
            "source": str(source),
            "watch": "data/raw" if remote else str(source),
            "targets": [NUMERIC],
            "max_rejected_share": 1.0,
            **settings,
        }
    )
    out = folder / "out"
    returned = ingest(
        data,
        molecules=out / "molecules.parquet",
        rejected=out / "rejected.parquet",
        summary=out / "ingest.json",
        tdc_cache=tdc_cache or folder / "tdc",
        workers=1,
    )
    found = Ingested(
        pl.read_parquet(out / "molecules.parquet"),
        pl.read_parquet(out / "rejected.parquet"),
        json.loads((out / "ingest.json").read_text()),
    )
    assert returned == found.summary
    assert_adds_up(found)
    return found


def run_text(text: str | bytes, folder: Path, name: str = "table.csv", **settings: Any) -> Ingested:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run(file, folder, **settings)


def assert_adds_up(found: Ingested) -> None:
    """Every record is in exactly one place."""
    summary = found.summary
    statuses = found.rejected["status"]
    assert summary["molecules"] == len(found.molecules)
    assert summary["rejected"] == (statuses == "rejected").sum() == sum(summary["reasons"].values())
    assert summary["merged"] == (statuses == "merged").sum()
    lines = [*found.molecules["source_line"], *found.rejected["line"]]
    assert len(lines) == len(set(lines)) == summary["records"]
    assert found.molecules["inchikey"].is_unique().all()
