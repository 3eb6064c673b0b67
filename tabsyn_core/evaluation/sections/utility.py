"""What models learn from the rows."""

from collections.abc import Sequence

import polars as pl

from tabsyn_core.evaluation.cross_validation import held_out_folds
from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.page.content import Importance, PairedTest, Score, Utility
from tabsyn_core.evaluation.paired import paired_table
from tabsyn_core.evaluation.utility import Agreement, importance_agreement, utility_scores

_IMPORTANT = 12


def utility_section(
    evaluation: Evaluation, targets: Sequence[str], seed: int, refitted: pl.DataFrame | None = None
) -> Utility:
    """What models learn from the rows; ``refitted`` are folds of :func:`~.cross_validation.cross_validated`."""
    train, holdout, fake = (evaluation.tables[name] for name in ("training", "held-out", "synthetic"))
    scores: list[Score] = []
    importance = []
    for target in targets:
        found = utility_scores(train, holdout, fake, target, targets=targets, seed=seed)
        scores += [Score(**row) for row in found.drop("rows").to_dicts()]
        agreed = importance_agreement(train, fake, target, targets=targets, seed=seed)
        importance.append(_importance(target, agreed))
    folds = [held_out_folds(train, holdout, fake, target, targets=targets, seed=seed) for target in targets]
    tests = paired_tests([*folds, *([] if refitted is None else [refitted])])
    return Utility(scores=tuple(scores), tests=tests, importance=tuple(importance))


def _importance(target: str, agreed: Agreement) -> Importance:
    top = agreed.columns.head(_IMPORTANT)
    return Importance(
        target=target,
        agreement=agreed.figures["spearman"].value,
        floor=agreed.figures["spearman_floor"].value,
        columns=tuple(top["column"]),
        real=tuple(top["real"]),
        synthetic=tuple(top["synthetic"]),
    )


def paired_tests(folds: Sequence[pl.DataFrame]) -> tuple[PairedTest, ...]:
    """Trainings compared on the same folds, corrected for testing many of them together."""
    return tuple(
        PairedTest(
            target=row["target"],
            model=row["model"],
            comparison=row["comparison"],
            score=row["score"],
            split=row["split"],
            difference=row["mean_difference"],
            low=row["low"],
            high=row["high"],
            p=row["p_holm"],
            conclusion=row["conclusion"],
        )
        for row in paired_table(pl.concat(folds)).to_dicts()
    )
