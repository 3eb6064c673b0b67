"""How good synthetic rows are, every figure beside its real-vs-real floor."""

from tabsyn_core.evaluation.evaluation import Evaluation, evaluate
from tabsyn_core.evaluation.judge import Judgement, evaluate_files, judge

__all__ = ["Evaluation", "Judgement", "evaluate", "evaluate_files", "judge"]
