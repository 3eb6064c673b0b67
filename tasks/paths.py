"""Where each step's files lie, relative to the project root: the one place that says so beside ``dvc.yaml``."""

from pathlib import Path

PARAMS = Path("params.yaml")

MOLECULES = Path("data/interim/molecules.parquet")
REJECTED = Path("data/interim/rejected.parquet")
INGEST_SUMMARY = Path("data/interim/ingest.json")

DESCRIPTORS = Path("data/processed/descriptors.parquet")
MISSING_REASONS = Path("data/processed/missing_reasons.parquet")

TRAIN = Path("data/processed/train.parquet")
HOLDOUT = Path("data/processed/holdout.parquet")

EXPECTATIONS = Path("expectations")
VALIDATION = Path("reports/validation.json")
SYNTHETIC_VALIDATION = Path("reports/synthetic_validation.json")
DATA_DOCS = Path("data_docs")

DISTRIBUTIONS = Path("models/distributions.json")
DISTRIBUTIONS_PAGE = Path("reports/distributions.html")

GENERATOR = Path("models/generator")
TRAINING_CURVE = Path("reports/plots/training.csv")

SYNTHETIC = Path("data/synthetic/synthetic.parquet")

REALIZER = Path("models/realizer")
REALIZED = Path("data/synthetic/molecules.parquet")
PROVENANCE = Path("data/synthetic/provenance.parquet")

METRICS = Path("reports/metrics.json")
PLOTS = Path("reports/plots/evaluation")
REPORT = Path("reports/report.html")
REPORT_NUMBERS = Path("reports/report.json")

REGISTRATION = Path("reports/registration.json")

STATE = Path(".admet")
"""Ignored by git and DVC: checkpoints, worktrees of scheduled runs, step timings."""

STATE_VARIABLE = "ADMET_TABSYN_STATE_DIR"
"""A flow names the main checkout's state folder here, absolute: checkpoints outlive a scheduled run's checkout."""
