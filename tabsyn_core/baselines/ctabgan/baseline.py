"""CTAB-GAN (Zhao, Kunar, Birke & Chen, ACML 2021) and CTAB-GAN+ (the same, arXiv:2204.00401), with DP training."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from typing_extensions import override

from tabsyn_core.baselines.ctabgan.encoder import Encoder
from tabsyn_core.baselines.ctabgan.game import Game, Maker
from tabsyn_core.baselines.ctabgan.networks import Auxiliary, Conditions, Critic, Generator, activated
from tabsyn_core.baselines.ctabgan.private import PrivateGame, PrivateStart
from tabsyn_core.baselines.own import OwnBaseline, device_of, seeded
from tabsyn_core.errors import TabsynError
from tabsyn_core.private.accounting import PrivacyStatement
from tabsyn_core.progress import Progress, ProgressCallback
from tabsyn_core.schema import Kind, TableSchema

_REPORT_EVERY = 10


@dataclass(eq=False, kw_only=True)
class CTABGAN(OwnBaseline):
    """A conditional GAN with an encoder for mixed columns.

    The generator minimises L_orig + L_info + L_class + L_generator (CTAB-GAN, section 3.2). L_orig is the minimax loss,
    or with ``plus`` the Wasserstein distance with a gradient penalty; CTAB-GAN+ also has the general transform, and its
    auxiliary network predicts numbers as well as categories. Numbers stay within the range of the training rows.

    With ``epsilon`` the whole fit is (ε, δ)-differentially private (:mod:`tabsyn_core.baselines.ctabgan.private`); its
    randomness is then secret, so that a seed does not repeat it.

    Attributes:
        plus: Whether it is CTAB-GAN+.
        target: The column that the auxiliary network predicts; None does without L_class.
        epochs: Published epochs; a budget in seconds makes fewer.
        batch_size: Rows an update.
        noise: Size of the noise.
        channels: Of the widest square; a private critic does better with few, as the noise grows with its weights.
        class_width: Of the auxiliary network's four hidden layers.
        learning_rate: Of all players.
        penalty: λ of the gradient penalty.
        epsilon: ε of the whole fit, CTAB-GAN+ only; None is not private.
        delta: δ of a private fit.
        max_grad_norm: Length to which a private critic's gradient of a row is clipped.
    """

    plus: bool
    target: str | None = None
    epochs: int = 150
    batch_size: int = 500
    noise: int = 100
    channels: int = 64
    class_width: int = 256
    learning_rate: float = 2e-4
    penalty: float = 10.0
    epsilon: float | None = None
    delta: float = 1e-5
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be private."""
        super().__post_init__()
        if self.epsilon is not None and not self.plus:
            raise TabsynError("CTAB-GAN cannot be private, its batch norm mixes rows; set plus=True for CTAB-GAN+.")
        if self.epsilon is not None and self.target is not None:
            raise TabsynError("a private CTAB-GAN+ has no auxiliary network, which would see rows; leave out target.")

    @override
    def _fit(
        self, table: pl.DataFrame, schema: TableSchema, seed: int, deadline: float | None, progress: ProgressCallback
    ) -> None:
        if self.target is not None and self.target not in schema.names:
            raise TabsynError(f"target '{self.target}' is not a column of the table; it has {schema.names[:8]} ...")
        published = self.epochs * max(1, table.height // self.batch_size)
        start = self._private_start(table, schema, published)
        seed = seed if start is None else start.noise
        with seeded(seed, self.threads):
            if start is None:
                self.encoder = Encoder.fit(table, schema, plus=self.plus, target=self.target, seed=seed)
            else:
                self.encoder = start.encoder
            codes = torch.from_numpy(self.encoder.encode(table, seed))
            self.conditions = Conditions.of(codes, self.encoder.spans) if start is None else start.conditions
            updates = self._train(codes, start, published, deadline, progress) if self.encoder.spans else 0
        self.effort = {"updates": updates, "published updates": published}
        self.privacy = start and start.statement(updates, table.height, self.max_grad_norm)
        if self.privacy:
            self.effort |= {"epsilon": self.privacy.epsilon, "delta": self.privacy.delta}

    @override
    @torch.no_grad()
    def _sample(self, n: int, seed: int) -> pl.DataFrame:
        if not self.encoder.spans:
            return self.encoder.decode(np.empty((n, 0)))
        maker = self._maker(self.generator, torch.device("cpu"))
        with seeded(seed, self.threads):
            codes = []
            for start in range(0, n, self.batch_size):
                asked = self.conditions.draw(min(self.batch_size, n - start), logarithmic=None)
                codes.append(activated(maker.logits(*asked)[0], self.encoder.spans))
        return self.encoder.decode(torch.cat(codes).double().numpy())

    @override
    def _known(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder.to_json(),
            "shares": self.conditions.shares,
            "privacy": self.privacy and self.privacy.to_json(),
        }

    @override
    def _weights(self) -> Mapping[str, Tensor]:
        return self.generator.state_dict() if self.encoder.spans else {}

    @override
    def _rebuild(self, known: dict[str, Any], weights: Mapping[str, Tensor]) -> None:
        self.encoder, self.conditions = Encoder.from_json(known["encoder"]), Conditions(known["shares"])
        self.privacy = known["privacy"] and PrivacyStatement.from_json(known["privacy"])
        if self.encoder.spans:
            self.generator = self._generator().eval()
            self.generator.load_state_dict(weights)

    def _private_start(self, table: pl.DataFrame, schema: TableSchema, updates: int) -> PrivateStart | None:
        if self.epsilon is None:
            return None
        size = {"batch_size": min(self.batch_size, table.height), "updates": updates}
        return PrivateStart.of(table, schema, self.epsilon, self.delta, **size)

    def _train(
        self,
        codes: Tensor,
        start: PrivateStart | None,
        published: int,
        deadline: float | None,
        progress: ProgressCallback,
    ) -> int:
        """Play until the rounds or the seconds are spent; how many rounds there were."""
        device, done = device_of(self.device), 0
        maker = self._maker(self._generator().to(device), device)
        critic = Critic(codes.shape[1] + self.conditions.size, self.channels, plus=self.plus).to(device)
        game = self._game(maker, critic, codes, start)
        while done < published and (deadline is None or not done or time.monotonic() < deadline):
            figures = game.round()
            done += 1
            if done % _REPORT_EVERY == 0 or done == published:
                progress(Progress(done, published, "updates", "gan", figures))
        self.generator = maker.generator.cpu().eval()
        return done

    def _game(self, maker: Maker, critic: Critic, codes: Tensor, start: PrivateStart | None) -> Game | PrivateGame:
        if start is None:
            return Game(
                maker,
                critic,
                self._auxiliary(codes.shape[1], maker.device),
                codes,
                plus=self.plus,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                penalty=self.penalty,
            )
        return PrivateGame(
            maker,
            critic,
            codes,
            start.training,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            penalty=self.penalty,
            max_grad_norm=self.max_grad_norm,
        )

    def _maker(self, generator: Generator, device: torch.device) -> Maker:
        return Maker(generator, self.conditions, self.encoder.spans, self.noise, device)

    def _generator(self) -> Generator:
        row = sum(length for length, _ in self.encoder.spans)
        return Generator(self.noise, self.conditions.size, row, self.channels, plus=self.plus)

    def _auxiliary(self, row: int, device: torch.device) -> Auxiliary | None:
        """The network of L_class; none without a target that varies, or for a number in CTAB-GAN."""
        if self.target is None:
            return None
        where, kind = self.encoder.where(self.target), self.encoder.schema[self.target].kind
        if where.stop == where.start or (kind is not Kind.CATEGORICAL and not self.plus):
            return None
        if kind is not Kind.CATEGORICAL:  # its position; whether it is missing stays among what predicts it
            where = slice(where.start, where.start + 1)
        return Auxiliary(row, where, self.class_width).to(device)
