"""What the rows give away of the training rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from tabsyn_core.evaluation.attacks import Risk, attacks, risk_line
from tabsyn_core.evaluation.evaluation import Evaluation
from tabsyn_core.evaluation.figure import Figure
from tabsyn_core.evaluation.page.content import Attack, Privacy
from tabsyn_core.evaluation.privacy import Copies, copies, nndr, nndr_floor
from tabsyn_core.evaluation.sections.parts import reading


@dataclass(frozen=True)
class PrivacyFigures:
    """What is measured of privacy beyond the main figures.

    Attributes:
        copied: Exact and near copies.
        ratios: Of the synthetic rows, and the floor; see :func:`~.privacy.nndr`.
        risks: One an attack.
    """

    copied: Copies
    ratios: tuple[dict[str, Figure], dict[str, Figure]]
    risks: tuple[Risk, ...]

    @classmethod
    def of(cls, evaluation: Evaluation, targets: Sequence[str], seed: int, *, thorough: bool) -> "PrivacyFigures":
        """Copies, distance ratios and attacks."""
        train, holdout, fake = (evaluation.tables[name] for name in ("training", "held-out", "synthetic"))
        return cls(
            copies(train, holdout, fake, seed),
            (nndr(train, holdout, fake, seed), nndr_floor(train, holdout, seed)),
            attacks(train, holdout, fake, seed, targets=targets) if thorough else (),
        )

    def section(self, evaluation: Evaluation) -> Privacy:
        """As the report shows it."""
        copied, (found, floor), (ratio, ratio_floor) = self.copied, evaluation.membership, self.ratios
        figures = (
            reading("Exact copies of training rows", copied.exact, copied.exact_floor, unit="share"),
            reading("Near copies of training rows", copied.near, copied.near_floor, unit="share"),
            reading(
                "DCR: rows nearer to training than to held-out rows", evaluation.figures.dcr, evaluation.floor.dcr,
                "0.5 is clean",
            ),
            reading("NNDR to training rows, median", ratio["train_median"], ratio_floor["train_median"]),
            reading("NNDR to training rows, 5 % quantile", ratio["train_low"], ratio_floor["train_low"]),
            reading("Membership by distance, AUC", found["distance_auc"], floor["distance_auc"], "0.5 is clean"),
            reading("Membership by distance, found at 1 % false alarms", found["distance_tpr"], floor["distance_tpr"],
                    "1 % is clean", unit="share"),
            reading("Membership by density ratio, AUC", found["density_auc"], floor["density_auc"], "0.5 is clean"),
            reading("Membership by density ratio, found at 1 % false alarms", found["density_tpr"],
                    floor["density_tpr"], "1 % is clean", unit="share"),
        )  # fmt: skip
        return Privacy(
            risk=risk_line(self.risks, copied, found),
            figures=figures,
            attacks=tuple(_attack(risk) for risk in self.risks),
        )


def _attack(risk: Risk) -> Attack:
    return Attack(
        name=risk.name,
        attack=risk.attack.value,
        control=risk.control.value,
        baseline=risk.baseline.value,
        risk=risk.risk,
        low=risk.low,
        high=risk.high,
        why=risk.why,
    )
