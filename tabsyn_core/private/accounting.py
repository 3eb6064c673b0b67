"""What each mechanism adds to ε and δ, and the statement that goes with the model.

All mechanisms are Gaussian, one of them on random subsamples; they are composed in Rényi differential privacy
(Mironov, CSF 2017; Mironov, Talwar & Zhang, arXiv:1908.10530) by opacus's own functions.
"""

import importlib
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabsyn_core.errors import TabsynError
from tabsyn_core.private.config import PrivacyConfig

SELECTION_SHARE = 0.1
"""Of δ, set apart for finding the levels of text columns; see :mod:`tabsyn_core.private.marginals`."""

_RANGES_SHARE = 0.4  # of the marginals' budget, to find where a column's values lie
_ORDERS = (*(1 + k / 10 for k in range(1, 100)), *range(12, 64), 80, 128, 256, 512)  # opacus's, and some for small ε
_HALVINGS = 25
_LEAST_TRAINING_NOISE = 0.3  # less hides no row, and opacus's series converge slowly


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A Gaussian mechanism, run ``num_updates`` times on rows drawn with a probability of ``sampling_rate`` each.

    Attributes:
        name: What it tells about the rows.
        noise_multiplier: z, standard deviation of the noise over what one row can change (L2).
        sampling_rate: 1 for all rows.
        num_updates: Times.
    """

    name: str
    noise_multiplier: float
    sampling_rate: float = 1.0
    num_updates: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """The mechanisms of one fit, in the order they run; all known before a row is looked at.

    Attributes:
        ranges: A first histogram of every number column: where its values lie.
        counts: A second histogram of every column, in cells chosen by the first.
        correlations: The scatter matrix of the ranks.
        training: DP-SGD; None without updates.
    """

    ranges: Mechanism
    counts: Mechanism
    correlations: Mechanism
    training: Mechanism | None

    @classmethod
    def of(cls, config: PrivacyConfig, rows: int) -> "Plan":
        """Share ε and δ among the mechanisms; training gets the noise that spends exactly what is left.

        Args:
            config: What may be spent.
            rows: Number of training rows, treated as public.

        Raises:
            TabsynError: opacus is not installed, or δ is too large for this many rows.
        """
        if config.delta * rows >= 1:
            raise TabsynError(
                f"privacy.delta is {config.delta:g} with {rows} rows: publishing one of them at random would be within "
                f"it; set it to less than {1 / rows:.1g}."
            )
        whole = _least(lambda z: spent([Mechanism("all", z)], config.delta) <= config.epsilon, 1e-3, 1e5)
        total = 1.0 if config.num_updates else config.marginals + config.correlations
        ranges = _gaussian("ranges", whole, config.marginals * _RANGES_SHARE / total)
        counts = _gaussian("counts", whole, config.marginals * (1 - _RANGES_SHARE) / total)
        correlations = _gaussian("correlations", whole, config.correlations / total)
        if not config.num_updates:
            return cls(ranges, counts, correlations, None)
        rate = min(1.0, config.batch_size / rows)

        def training(z: float) -> Mechanism:
            return Mechanism("training", z, rate, config.num_updates)

        multiplier = _least(
            lambda z: spent([ranges, counts, correlations, training(z)], config.delta) <= config.epsilon,
            _LEAST_TRAINING_NOISE,
            1e4,
        )
        return cls(ranges, counts, correlations, training(multiplier))

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """In the order they run."""
        found = (self.ranges, self.counts, self.correlations, self.training)
        return tuple(mechanism for mechanism in found if mechanism is not None)


def epsilon_of(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """ε at δ of mechanisms that run one after another, each free to look at what came out before.

    Raises:
        TabsynError: opacus is not installed.
    """
    rdp = opacus("accountants.analysis.rdp")
    total = sum(
        rdp.compute_rdp(q=m.sampling_rate, noise_multiplier=m.noise_multiplier, steps=m.num_updates, orders=_ORDERS)
        for m in mechanisms
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order")  # a wider range would be tighter, not safer
        epsilon, _ = rdp.get_privacy_spent(orders=_ORDERS, rdp=total, delta=delta)
    return float(epsilon)


def spent(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """ε at δ of a whole fit, with the share of δ that finding levels may use.

    Levels of one row alone show with probability δ' = SELECTION_SHARE · δ at most. Unless they do, the fit is that of
    the Gaussian mechanisms, so that δ' adds to their δ and -ln(1 - δ') to their ε.
    """
    selection = SELECTION_SHARE * delta
    return epsilon_of(mechanisms, delta - selection) - math.log1p(-selection)


@dataclass(frozen=True, slots=True)
class PrivacyStatement:
    """What was promised, how it was kept, and what it does not cover; saved with the model.

    Attributes:
        epsilon: ε that was spent, at most what was asked for.
        delta: δ.
        rows: Training rows, treated as public.
        max_grad_norm: Where DP-SGD clipped each row's gradient.
        mechanisms: What ran, in order.
    """

    epsilon: float
    delta: float
    rows: int
    max_grad_norm: float
    mechanisms: tuple[Mechanism, ...]

    @classmethod
    def of(cls, config: PrivacyConfig, plan: Plan, rows: int) -> "PrivacyStatement":
        """The account of a plan that was carried out."""
        return cls(spent(plan.mechanisms, config.delta), config.delta, rows, config.max_grad_norm, plan.mechanisms)

    def __str__(self) -> str:
        noise = ", ".join(f"{m.name} {m.noise_multiplier:.3g}" for m in self.mechanisms)
        epsilon = math.ceil(self.epsilon * 100) / 100
        return (
            f"The model is ({epsilon:g}, {self.delta:g})-differentially private for each of its {self.rows} training "
            f"rows, added or removed: all that it knows of them comes from Gaussian mechanisms "
            f"(noise multipliers: {noise}) composed in Rényi differential privacy, and names, types, stated bounds and "
            "levels of the columns and the number of rows count as public. Not covered are figures, reports and "
            "choices made from the real rows, several rows that belong to one person or project, floating-point side "
            "channels, and anyone who knows the seed of the noise."
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary, with the sentences for the model card."""
        return {**asdict(self), "mechanisms": [asdict(m) for m in self.mechanisms], "statement": str(self)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "PrivacyStatement":
        """The inverse of :meth:`to_json`."""
        known = {name: content[name] for name in ("epsilon", "delta", "rows", "max_grad_norm")}
        return cls(**known, mechanisms=tuple(Mechanism(**entry) for entry in content["mechanisms"]))


def _gaussian(name: str, whole: float, share: float) -> Mechanism:
    return Mechanism(name, whole / math.sqrt(share))


def _least(enough: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest noise multiplier that is enough, found from above: what comes back always is enough."""
    if enough(low):
        return low
    if not enough(high):
        raise TabsynError("privacy.epsilon is too small to be reached with any noise; raise it.")
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def opacus(module: str) -> Any:
    """A module of opacus, imported only when it is used: it is optional and takes seconds."""
    try:
        return importlib.import_module(f"opacus.{module}")
    except ModuleNotFoundError as error:
        raise TabsynError(
            'differential privacy needs opacus, which is not installed; pip install -c constraints.txt ".[dp]".'
        ) from error
