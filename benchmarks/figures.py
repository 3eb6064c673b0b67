"""The figures of a cell: synthetic rows judged, and the held-out rows in their place."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl
from bank import bank_figures

from tabsyn_core.chemistry.rules import violations
from tabsyn_core.evaluation.evaluation import Evaluation, evaluate
from tabsyn_core.evaluation.identities import violated_share
from tabsyn_core.schema import Kind

if TYPE_CHECKING:
    from cells import Fold


def measured(fold: "Fold", rows: pl.DataFrame) -> dict[str, Any]:
    """Every figure of the rows, the same of the held-out rows, and what gave the rows away."""
    evaluation = evaluate(fold.train, fold.holdout, rows, targets=fold.real.targets, seed=fold.seed)
    content = evaluation.details()
    broken = {words: float(marks.mean()) for words, marks in fold.identities.broken(rows).items() if marks.any()}
    pair = fold.real.pair
    return {
        **({"bank": bank_figures(fold.train, fold.holdout, rows, pair, fold.seed)} if pair else {}),
        "rows": content["rows"],
        "columns": fold.train.width,
        "figures": _figures(content, evaluation, "tstr") | _obedience(fold, rows),
        "floor": _figures(content["floor"], evaluation, "trtr") | _obedience(fold, fold.holdout),
        "guessing": {each.target: 0.5 if each.score == "AUROC" else 0.0 for each in evaluation.utility},
        "telltales": content["telltales"][:10],
        "worst_shapes": content["columns"][:10],
        "broken_rules": violations(fold.real.completed(rows))
        .filter(pl.col("violated") > 0)
        .sort("share", descending=True)
        .select("rule", "share")
        .head(10)
        .to_dicts(),
        "broken_identities": dict(sorted(broken.items(), key=lambda item: -item[1])[:10]),
    }


def _figures(content: Mapping[str, Any], evaluation: Evaluation, endpoint: str) -> dict[str, Any]:
    return {
        "c2st_trees": content["c2st"]["lightgbm"],
        "c2st_trees_folds_std": content["c2st"].get("lightgbm_std"),
        "c2st_logistic": content["c2st"]["logistic"],
        "shape": content["shape"]["mean_error"],
        "trend": content["trend"]["mean_error"],
        "alpha_precision": content["coverage"]["alpha_precision"],
        "beta_recall": content["coverage"]["beta_recall"],
        "dcr": content["dcr"]["share"],
        "mia": content["mia"]["auc"],
        "utility": {each.target: getattr(each, endpoint).value for each in evaluation.utility},
    }


def _obedience(fold: "Fold", rows: pl.DataFrame) -> dict[str, Any]:
    """Shares of rows that obey all rules of chemistry, all identities found, all supports; and of exact copies."""
    broken = violated_share(fold.real.completed(rows)).value
    known = fold.train.hash_rows()
    return {
        "rules": None if broken is None else 1 - broken,
        "identities": _share(fold.identities.obeyed(rows)),
        "supports": _share(supported(fold, rows)),
        "copies": _share(rows.select(fold.train.columns).hash_rows().is_in(known.implode())),
    }


def _share(marks: pl.Series) -> float:
    return float(marks.to_numpy().mean())


def supported(fold: "Fold", rows: pl.DataFrame) -> pl.Series:
    """Which rows hold nothing impossible: bounds, whole numbers, known levels, gaps only where there are gaps."""
    marks = [pl.lit(value=True)]
    for column in fold.schema.columns:
        value = pl.col(column.name)
        fine = [value.is_not_null()] if not column.nullable else []
        if column.kind is Kind.CATEGORICAL:
            fine.append(value.is_in(fold.train[column.name].unique().drop_nulls().implode()))
        fine += [value >= column.lower] if column.lower is not None else []
        fine += [value <= column.upper] if column.upper is not None else []
        fine += [value == value.round()] if column.kind is Kind.INTEGER and rows.schema[column.name].is_float() else []
        marks.append(pl.all_horizontal(fine).fill_null(value=column.nullable) if fine else pl.lit(value=True))
    return rows.select(pl.all_horizontal(marks).alias("supported")).to_series()
