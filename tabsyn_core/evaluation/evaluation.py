"""All figures of a synthetic table, each beside its floor: the same figure with real held-out rows in its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import polars as pl

from tabsyn_core.errors import TabsynError
from tabsyn_core.evaluation.coverage import coverage
from tabsyn_core.evaluation.detection import c2st, columns_alone
from tabsyn_core.evaluation.fidelity import shape_errors, trend_errors
from tabsyn_core.evaluation.figure import Figure, bootstrap_std, over_draws
from tabsyn_core.evaluation.identities import broken_rules, violated_share
from tabsyn_core.evaluation.membership import membership, membership_floor
from tabsyn_core.evaluation.privacy import MIN_HOLDOUT, dcr_floor, dcr_share, row_keys
from tabsyn_core.evaluation.tables import NOT_JUDGED, Floats, Table, align
from tabsyn_core.evaluation.threads import one_thread
from tabsyn_core.evaluation.utility import Utility, utility
from tabsyn_core.progress import Progress, ProgressCallback, silent

_DISTINCT, _MET = 0.9, 0.5  # shares: of distinct training rows, and of held-out rows that are among them


@dataclass(frozen=True)
class Figures:
    """What is measured of one table beside the training rows; ``why`` explains a missing number.

    Attributes:
        shape: Mean error over columns, 0 to 1.
        trend: Mean error over pairs of columns, 0 to 1.
        c2st: AUC of telling the rows from real ones, by ``lightgbm`` and ``logistic``; 0.5 is best.
        violated_share: Share of rows that break a rule of chemistry.
        dcr: Share of rows nearer to training than to held-out rows; 0.5 is clean.
        coverage: ``alpha_precision`` (do the rows lie where training rows do?) and ``beta_recall`` (do they lie
            everywhere training rows do?), 1 best.
        mia: AUC of telling training from held-out rows by their distance to the rows; 0.5 is clean.
    """

    shape: Figure
    trend: Figure
    c2st: dict[str, Figure]
    violated_share: Figure
    dcr: Figure
    coverage: dict[str, Figure]
    mia: Figure

    def to_json(self) -> dict[str, Any]:
        """Nested figures, the layout of ``metrics.json``."""
        return {
            "shape": self.shape.to_json("mean_error"),
            "trend": self.trend.to_json("mean_error"),
            "c2st": _named_json(self.c2st),
            "identities": self.violated_share.to_json("violated_share"),
            "dcr": self.dcr.to_json("share"),
            "coverage": _named_json(self.coverage),
            "mia": self.mia.to_json("auc"),
        }


@dataclass(frozen=True)
class Evaluation:
    """The judgement of a synthetic table.

    Attributes:
        figures: Of the synthetic rows.
        floor: Of the held-out rows in their place.
        factorised: Two-sample tests of rows whose columns are drawn from the training columns one by one: what a model
            gets that knows every column and no dependence. A model must beat it.
        floor_telltales: ``column`` and ``gain``: by which columns the trees told held-out from training rows.
        alone: The two-sample test by boosted stumps, which see no dependence: what single columns give away.
        membership: Of the synthetic rows, and the floor; see :func:`~.membership.membership`.
        shape_all_rows: The mean shape error of all synthetic rows at once, as SDMetrics would print it.
        trend_all_rows: The same for trend.
        utility: One entry a target.
        columns: Worst first: ``column``, ``kind``, ``error``, ``floor`` (shape errors), ``missing_real``,
            ``missing_synthetic`` (shares).
        telltales: ``column`` and ``gain``: by which columns the trees told the rows apart.
        rules: The rules of chemistry that were broken; see :func:`~.identities.broken_rules`.
        tables: The aligned ``training``, ``held-out`` and ``synthetic`` rows, for pictures.
        rows: Rows in each table as given.
    """

    figures: Figures
    floor: Figures
    factorised: dict[str, Figure]
    alone: Figure
    membership: tuple[dict[str, Figure], dict[str, Figure]]
    shape_all_rows: Figure
    trend_all_rows: Figure
    utility: tuple[Utility, ...]
    columns: pl.DataFrame
    telltales: pl.DataFrame
    floor_telltales: pl.DataFrame
    rules: pl.DataFrame
    tables: dict[str, Table]
    rows: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The layout of ``metrics.json``: figures, ``floor`` of the same structure, and what stands beside both.

        Beside them stand ``factorised``, ``columns_alone`` and ``rows``.
        """
        return _without_spreads(self._with_spreads())

    def _with_spreads(self) -> dict[str, Any]:
        content = self.figures.to_json()
        content["shape"] |= self.shape_all_rows.to_json("all_rows")
        content["trend"] |= self.trend_all_rows.to_json("all_rows")
        content["tstr"] = {entry.target: entry.to_json() for entry in self.utility}
        floor = self.floor.to_json()
        floor["tstr"] = {entry.target: entry.trtr.to_json("tstr") for entry in self.utility}
        rows = {name.replace("-", "_"): count for name, count in self.rows.items()}
        return content | {
            "floor": floor,
            "factorised": {"c2st": self.factorised["lightgbm"].to_json("lightgbm")},
            "columns_alone": {"c2st": self.alone.to_json("lightgbm")},
            "rows": rows,
        }

    def details(self) -> dict[str, Any]:
        """:meth:`to_json`, spreads (``*_std``), and the tables behind it: ``columns``, ``telltales``, ``rules``."""
        tables = {"columns": self.columns, "telltales": self.telltales, "rules": self.rules}
        return self._with_spreads() | {name: _records(table) for name, table in tables.items()}


@one_thread()
def evaluate(
    train: pl.DataFrame,
    holdout: pl.DataFrame,
    synthetic: pl.DataFrame,
    *,
    targets: Sequence[str] = (),
    seed: int = 0,
    folds: int = 5,
    progress: ProgressCallback = silent,
) -> Evaluation:
    """Judge synthetic rows against the real rows they were learnt from and real rows that were held out.

    Works for any table of numbers and categories; rules of chemistry are asked where their columns are present. A
    figure that cannot be computed (too few rows, a constant target) is ``None`` with the reason. The columns
    :data:`~.tables.NOT_JUDGED` are left out.

    Args:
        train: Real rows the generator saw.
        holdout: Real rows it did not see.
        synthetic: Its rows, with the same columns in any order.
        targets: Columns whose prediction is judged; none is a feature of another.
        seed: Decides folds, draws and bootstrap samples.
        folds: Of the two-sample tests, at least 2; fewer where there are fewer rows.
        progress: Told after each measure.

    Raises:
        TabsynError: The tables do not match (see :func:`~.tables.align`), most held-out rows are training rows, or a
            target is not among the columns.
    """
    real = {"training": train, "held-out": holdout, "synthetic": synthetic}
    given = {name: table.drop(NOT_JUDGED, strict=False) for name, table in real.items()}
    _check_targets(targets, given["training"].columns)
    tables = align(given, seed)
    seen, unseen, fake = tables.values()
    _check_unseen(seen, unseen)
    step = _Steps(progress, 10 + len(targets))
    rows = min(len(unseen), len(fake))
    shapes = [_at_size(shape_errors, seen, table, rows, seed) for table in (fake, unseen)]
    step()
    trends = [_at_size(trend_errors, seen, table, rows, seed) for table in (fake, unseen)]
    step()
    factorised = seen.without_dependence(min(len(seen), len(fake)), np.random.default_rng([seed, 7]))
    detections = []
    for table in (fake, unseen, factorised):
        detections.append(c2st(seen, table, folds, seed))
        step()
    alone = columns_alone(seen, fake, folds, seed)
    step()
    shares = [dcr_share(seen, unseen, fake, seed), dcr_floor(seen, unseen, seed)]
    step()
    covered = [coverage(seen, unseen, table, rows, seed) for table in (fake, unseen)]
    step()
    attacks = [membership(seen, unseen, fake, seed), membership_floor(seen, unseen, seed)]
    step()
    judged = []
    for target in targets:
        judged.append(utility(seen, unseen, fake, target, targets=targets, seed=seed))
        step()
    broken = [violated_share(given[name]) for name in ("synthetic", "held-out")]
    spreads = [_spread(measure, seen, fake, rows, seed) for measure in (shape_errors, trend_errors)]
    step()
    figures, floor = (
        Figures(_mean_error(shape, "column"), _mean_error(trend, "pair of columns"), detection[0], *rest)
        for shape, trend, detection, *rest in zip(
            shapes,
            trends,
            detections[:2],
            broken,
            shares,
            covered,
            (each["distance_auc"] for each in attacks),
            strict=True,
        )
    )
    figures = replace(figures, shape=figures.shape.within(spreads[0]), trend=figures.trend.within(spreads[1]))
    return Evaluation(
        figures=figures,
        floor=floor,
        factorised=detections[2][0],
        alone=alone,
        membership=(attacks[0], attacks[1]),
        shape_all_rows=_mean_error(shape_errors(seen, fake)[None], "column"),
        trend_all_rows=_mean_error(trend_errors(seen, fake)[None], "pair of columns"),
        utility=tuple(judged),
        columns=_columns(tables, *shapes),
        telltales=detections[0][1],
        floor_telltales=detections[1][1],
        rules=broken_rules(given["synthetic"], given["held-out"]),
        tables=tables,
        rows={name: table.height for name, table in given.items()},
    )


def _check_targets(targets: Sequence[str], columns: Sequence[str]) -> None:
    for target in targets:
        if target not in columns:
            nearest = get_close_matches(target, columns, n=1, cutoff=0)
            raise TabsynError(f"target '{target}' is not a column of the training table; did you mean {nearest[0]}?")


def _check_unseen(seen: Table, unseen: Table) -> None:
    """Refuse held-out rows that are training rows, if rows of this table do not coincide by themselves."""
    known = set(row_keys(seen))
    met = np.mean([key in known for key in row_keys(unseen)])
    if len(unseen) >= MIN_HOLDOUT and len(known) > _DISTINCT * len(seen) and met > _MET:
        raise TabsynError(
            f"{met:.0%} of the held-out rows are training rows, so they are no floor; hold out real rows that the "
            "generator did not see."
        )


class _Steps:
    """Counts measures for the progress callback."""

    def __init__(self, progress: ProgressCallback, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self) -> None:
        self.done += 1
        self.progress(Progress(self.done, self.total, "measures"))


def _at_size(measure: Callable[[Table, Table], Floats], real: Table, other: Table, rows: int, seed: int) -> Floats:
    """Errors against ``real`` with ``rows`` rows of ``other``: a larger table looks better by its size alone."""
    return over_draws(lambda part: measure(real, part), other, rows, np.random.default_rng([seed, 6]))


def _spread(measure: Callable[[Table, Table], Floats], real: Table, other: Table, rows: int, seed: int) -> float:
    """Of the mean error, over bootstrap samples of rows on either side."""

    def mean(first: Table, second: Table) -> float:
        errors = measure(first, second)
        return float("nan") if np.isnan(errors).all() else float(np.nanmean(errors))

    return bootstrap_std(mean, real, other, rows, np.random.default_rng([seed, 11]))


def _mean_error(draws: Floats, what: str) -> Figure:
    """The mean over what could be judged, of errors of shape (draws, judged or NaN)."""
    judged = ~np.isnan(draws).all(axis=0)
    if not judged.any():
        return Figure.none(f"there is no {what} to compare")
    return Figure.over(np.nanmean(draws[:, judged], axis=1))


def _columns(tables: dict[str, Table], errors: Floats, floor: Floats) -> pl.DataFrame:
    real, fake = tables["training"], tables["synthetic"]
    kinds = ["numeric"] * len(real.numeric) + ["categorical"] * len(real.categorical)
    missing = [np.isnan(table.features).mean(axis=0) for table in (real, fake)]
    return (
        pl.DataFrame(
            {
                "column": real.feature_names,
                "kind": kinds,
                "error": errors.mean(axis=0),
                "floor": floor.mean(axis=0),
                "missing_real": missing[0],
                "missing_synthetic": missing[1],
            }
        )
        .fill_nan(None)
        .sort("error", "column", descending=[True, False], nulls_last=True)
    )


def _named_json(figures: dict[str, Figure]) -> dict[str, Any]:
    return {key: value for name, figure in figures.items() for key, value in figure.to_json(name).items()}


def _without_spreads(content: dict[str, Any]) -> dict[str, Any]:
    """Only what can be compared between runs and asked for by a gate; a nested dictionary may have any name."""
    return {
        name: _without_spreads(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if isinstance(value, dict) or not name.endswith(("_std", "_low", "_high"))
    }


def _records(table: pl.DataFrame) -> list[dict[str, Any]]:
    return table.with_columns(pl.selectors.float().round(6)).to_dicts()
