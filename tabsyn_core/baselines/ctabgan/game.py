"""One round of CTAB-GAN: the critic, the generator, the auxiliary network (Zhao et al., ACML 2021, section 3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tabsyn_core.baselines.ctabgan.encoder import Span
from tabsyn_core.baselines.ctabgan.networks import (
    Auxiliary,
    Conditions,
    Critic,
    Generator,
    RowsByOption,
    activated,
    condition_loss,
    information_loss,
)
from tabsyn_core.baselines.wgan_gp import descend, gradient_penalty


@dataclass(frozen=True)
class Maker:
    """The generator with all that it takes to make rows.

    Attributes:
        generator: Makes logits of rows.
        conditions: What a row may be asked to have.
        spans: The parts of a row's code.
        noise: Size of the noise.
        device: Where the generator is.
    """

    generator: Generator
    conditions: Conditions
    spans: list[Span]
    noise: int
    device: torch.device

    def logits(self, choice: Tensor, option: Tensor) -> tuple[Tensor, Tensor]:
        """New rows that were asked for an option each: their logits and the conditional vectors."""
        condition = self.conditions.vector(choice, option).to(self.device)
        noise = torch.randn(len(choice), self.noise).to(self.device)
        return self.generator(noise, condition), condition

    @torch.no_grad()
    def rows(self, choice: Tensor, option: Tensor) -> Tensor:
        """New rows beside their conditions, as the critic reads them, without gradient."""
        logits, condition = self.logits(choice, option)
        return torch.cat([activated(logits, self.spans), condition], dim=1)


class Game:
    """The players, their optimisers, and the rows.

    Args:
        maker: The generator.
        critic: Tells its rows from real ones.
        auxiliary: Predicts the target; None without one.
        codes: The training rows, shape (rows, sum of the spans).
        plus: Whether L_orig is the Wasserstein distance of CTAB-GAN+ or the minimax loss of CTAB-GAN.
        batch_size: Rows a round.
        learning_rate: Of everyone.
        penalty: λ of the gradient penalty.
    """

    def __init__(
        self,
        maker: Maker,
        critic: Critic,
        auxiliary: Auxiliary | None,
        codes: Tensor,
        *,
        plus: bool,
        batch_size: int,
        learning_rate: float,
        penalty: float,
    ) -> None:
        self.maker, self.critic, self.auxiliary = maker, critic, auxiliary
        self.codes, self.found = codes, RowsByOption(codes, maker.spans)
        self.plus, self.batch_size, self.penalty = plus, batch_size, penalty
        self.for_generator = adam(maker.generator, learning_rate)
        self.for_critic = adam(critic, learning_rate)
        self.for_auxiliary = adam(auxiliary, learning_rate) if auxiliary else None

    def round(self) -> dict[str, float]:
        """One update of everyone, the critic once, as in the authors' code; returns figures worth watching."""
        real, told = self._train_critic()
        choice, option = self.maker.conditions.draw(self.batch_size, logarithmic=len(self.codes))
        logits, condition = self.maker.logits(choice, option)
        made = activated(logits, self.maker.spans)
        features = self.critic.features(torch.cat([made, condition], dim=1))
        score = self.critic.score(features)
        loss = -score.mean() if self.plus else functional.softplus(-score).mean()  # -log D(G(z))
        with torch.no_grad():
            known = self.critic.features(real)
        loss = loss + information_loss(known, features) + condition_loss(logits, self.maker.spans, choice, option)
        if self.auxiliary:
            loss = loss + self.auxiliary(made)  # L_class: does the target that was made fit the rest of the row?
        descend(self.for_generator, loss)
        if self.auxiliary and self.for_auxiliary:
            descend(self.for_auxiliary, self.auxiliary(real[:, : self.codes.shape[1]]))
        return {"critic": told, "generator": loss.item()}

    def _train_critic(self) -> tuple[Tensor, float]:
        """Real rows that have the options asked for, and fake ones; returns the real ones and the loss."""
        choice, option = self.maker.conditions.draw(self.batch_size, logarithmic=len(self.codes))
        fake = self.maker.rows(choice, option)
        order = torch.randperm(self.batch_size)
        choice, option = choice[order], option[order]
        condition = self.maker.conditions.vector(choice, option)
        real = torch.cat([self.codes[self.found.find(choice, option)], condition], dim=1).to(self.maker.device)
        told, made = self.critic(real), self.critic(fake)
        if self.plus:
            loss = made.mean() - told.mean() + gradient_penalty(self.critic, real, fake, self.penalty)
        else:
            loss = functional.softplus(-told).mean() + functional.softplus(made).mean()
        descend(self.for_critic, loss)
        return real, loss.item()


def adam(network: nn.Module, learning_rate: float) -> torch.optim.Adam:
    """The published optimiser of every player."""
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.5, 0.9), eps=1e-3, weight_decay=1e-5)
