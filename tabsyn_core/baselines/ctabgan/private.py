"""CTAB-GAN+ under differential privacy: DP-SGD on the critic, and an encoder that has seen no row.

The paper (arXiv:2204.00401) clips and perturbs the critic's gradients alone (Abadi et al., CCS 2016): the generator
learns of rows only through the critic. Its encoder, its conditional vector, its information loss and its classifier
still read rows, which no account covers. Here the encoder and the shares of the options are read off rows drawn from
noisy histograms of the columns (:mod:`tabsyn_core.private.marginals`), the other two are left out, batches are Poisson
samples, and one account in Rényi differential privacy (opacus's) covers the whole fit.
"""

import secrets
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from tabsyn_core.baselines.ctabgan.encoder import Encoder
from tabsyn_core.baselines.ctabgan.game import Maker, adam
from tabsyn_core.baselines.ctabgan.networks import Conditions, Critic, activated, choices, condition_loss
from tabsyn_core.baselines.wgan_gp import descend
from tabsyn_core.codec import _restore
from tabsyn_core.private.accounting import Mechanism, Plan, PrivacyStatement, opacus, spent
from tabsyn_core.private.config import PrivacyConfig
from tabsyn_core.private.marginals import private_distributions
from tabsyn_core.schema import TableSchema

_HISTOGRAMS, _UNSPENT = 0.3, 0.001  # shares of the budget; training has what is left
_DRAWN = 5000  # rows from the histograms, that the encoder is fitted to
_AT_ONCE = 32  # rows whose gradients are held in memory


@dataclass(frozen=True)
class PrivateStart:
    """What is known before training.

    Attributes:
        encoder: Fitted to rows drawn from noisy histograms.
        conditions: Read off these, too.
        training: The mechanism of the critic's updates.
        histograms: Those of the histograms.
        delta: δ of the fit.
        noise: The seed of all noise; it must stay secret.
    """

    encoder: Encoder
    conditions: Conditions
    training: Mechanism
    histograms: tuple[Mechanism, ...]
    delta: float
    noise: int

    @classmethod
    def of(
        cls, table: pl.DataFrame, schema: TableSchema, epsilon: float, delta: float, *, batch_size: int, updates: int
    ) -> "PrivateStart":
        """Spend the histograms' share, and plan training so that ε and δ are met.

        Args:
            table: The training rows, one a person to protect.
            schema: Facts known to the public; see :func:`tabsyn_core.private.marginals.public_schema`.
            epsilon: ε of the whole fit.
            delta: δ of the whole fit.
            batch_size: Rows an update, on average.
            updates: Of the critic.

        Raises:
            TabsynError: opacus is not installed, the noise drowns the histograms, or δ is too large for the rows.
        """
        config = PrivacyConfig(
            epsilon, delta, marginals=_HISTOGRAMS, correlations=_UNSPENT, num_updates=updates, batch_size=batch_size
        )
        plan, noise = Plan.of(config, table.height), secrets.randbits(63)
        rng = np.random.default_rng([noise, 0])
        fitted = private_distributions(table, schema, config, plan, rng)
        drawn = pl.DataFrame([_restore(fitted[column.name].sample(_DRAWN, rng), column) for column in schema.columns])
        drawn = drawn.with_columns(pl.selectors.float().fill_nan(None))
        encoder = Encoder.fit(drawn, schema, plus=True, target=None, seed=noise)
        codes = torch.from_numpy(encoder.encode(drawn, noise))
        conditions = Conditions.of(codes, encoder.spans)
        training = plan.training or Mechanism("training", 0.0)
        return cls(encoder, conditions, training, (plan.ranges, plan.counts), delta, noise)

    def statement(self, updates: int, rows: int, max_grad_norm: float) -> PrivacyStatement:
        """The account of a fit that made so many updates."""
        ran = (*self.histograms, *([replace(self.training, num_updates=updates)] if updates else []))
        return PrivacyStatement(spent(ran, self.delta), self.delta, rows, max_grad_norm, ran)


class PrivateGame:
    """The game with a critic that is trained by DP-SGD.

    Args:
        maker: The generator.
        critic: Tells its rows from real ones.
        codes: The training rows, shape (rows, sum of the spans).
        training: Noise and sampling rate.
        batch_size: Rows a round that the generator makes.
        learning_rate: Of both.
        penalty: λ of the gradient penalty.
        max_grad_norm: Length to which the gradient of a row is clipped.
    """

    def __init__(
        self,
        maker: Maker,
        critic: Critic,
        codes: Tensor,
        training: Mechanism,
        *,
        batch_size: int,
        learning_rate: float,
        penalty: float,
        max_grad_norm: float,
    ) -> None:
        self.maker, self.critic, self.codes, self.rate = maker, critic, codes, training.sampling_rate
        self.batch_size, self.penalty = batch_size, penalty
        self.for_generator = adam(maker.generator, learning_rate)
        self.for_critic = opacus("optimizers").DPOptimizer(
            adam(critic, learning_rate),
            noise_multiplier=training.noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=training.sampling_rate * len(codes),
        )

    def round(self) -> dict[str, float]:
        """One update of both. No figures: a loss over rows would tell about them and is no part of the account."""
        self._train_critic()
        choice, option = self.maker.conditions.draw(self.batch_size, logarithmic=None)
        logits, condition = self.maker.logits(choice, option)
        score = self.critic(torch.cat([activated(logits, self.maker.spans), condition], dim=1))
        descend(self.for_generator, condition_loss(logits, self.maker.spans, choice, option) - score.mean())
        return {}

    def _train_critic(self) -> None:
        """Rows are drawn by themselves, so that no row is likelier than another, and then say what they have."""
        chosen = (torch.rand(len(self.codes)) < self.rate).nonzero()[:, 0]
        real, conditions = self.codes[chosen], self.maker.conditions
        options = [part.argmax(1) for part in choices(real, self.maker.spans)] or [torch.zeros(len(real)).long()]
        choice = torch.randint(len(options), (len(real),))
        option = torch.stack(options)[choice, torch.arange(len(real))]
        real = torch.cat([real, conditions.vector(choice, option)], dim=1).to(self.maker.device)
        fake = self.maker.rows(*conditions.draw(len(real), logarithmic=None))
        share = torch.rand(len(real)).to(real.device)
        for name, gradient in row_gradients(self.critic, real, fake, share, self.penalty).items():
            self.critic.get_parameter(name).grad_sample = gradient  # type: ignore[attr-defined]  # where opacus looks
        self.for_critic.step()
        self.for_critic.zero_grad()


def row_gradients(critic: Critic, real: Tensor, fake: Tensor, share: Tensor, penalty: float) -> dict[str, Tensor]:
    """The gradient of D(x̃) - D(x) + λ (‖∇ D(x̂)‖₂ - 1)² for each real row x and the fake row x̃ beside it.

    Args:
        critic: D, layers of which normalise within a row.
        real: Rows with their conditions, shape (rows, size).
        fake: As many.
        share: How much of x is in x̂, shape (rows,).
        penalty: λ.

    Returns:
        For each weight, shape (rows, *weight).
    """
    weights = {name: weight.detach() for name, weight in critic.named_parameters()}
    if not len(real):  # Poisson sampling may draw nobody: the update is noise alone
        return {name: weight.new_zeros(0, *weight.shape) for name, weight in weights.items()}

    def score(weights: dict[str, Tensor], row: Tensor) -> Tensor:
        found: Tensor = functional_call(critic, weights, (row[None],))
        return found.sum()

    def loss(weights: dict[str, Tensor], x: Tensor, made: Tensor, share: Tensor) -> Tensor:
        slope = grad(score, argnums=1)(weights, share * x + (1 - share) * made)
        excess = ((slope**2).sum() + 1e-12).sqrt() - 1
        total: Tensor = score(weights, made) - score(weights, x) + penalty * excess**2
        return total

    by_row = vmap(grad(loss), in_dims=(None, 0, 0, 0), chunk_size=_AT_ONCE)
    found: dict[str, Tensor] = by_row(weights, real, fake, share)
    return found
