"""How good synthetic rows are, every figure beside its real-vs-real floor."""

from tabsyn_core.evaluation.evaluation import Evaluation, evaluate
from tabsyn_core.evaluation.judge import evaluate_files

__all__ = ["Evaluation", "evaluate", "evaluate_files"]
