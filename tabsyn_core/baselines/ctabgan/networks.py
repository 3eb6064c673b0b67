"""CTAB-GAN's players: convolutions over a row laid out as a square, the conditional vector, the auxiliary network.

Zhao, Kunar, Birke & Chen: CTAB-GAN, ACML 2021, sections 3.1, 3.2 and 3.4; CTAB-GAN+, arXiv:2204.00401.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tabsyn_core.baselines.ctabgan.encoder import Span
from tabsyn_core.errors import TabsynError

_SIDES = (4, 8, 16, 24, 32, 64)
_TEMPERATURE = 0.2  # of the Gumbel-softmax, as in CTGAN


class Generator(nn.Module):
    """Noise and a condition to the logits of a row: a DCGAN (CTAB-GAN, section 3.1).

    Args:
        noise: Size of the noise.
        condition: Size of the conditional vector.
        row: Size of a row's code.
        channels: Of the widest square.
        plus: Whether layers are normalised within a row (CTAB-GAN+) or over a batch.
    """

    def __init__(self, noise: int, condition: int, row: int, channels: int, *, plus: bool) -> None:
        super().__init__()
        self.row = row
        shapes = _shapes(_side(row), channels)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose2d(noise + condition, shapes[0][0], shapes[0][1], bias=False)]
        for (wide, side), (narrow, _) in pairwise(shapes):
            layers += [_norm(wide, side, plus=plus), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1)]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """Map (rows, noise) and (rows, condition) to logits (rows, row)."""
        square: Tensor = self.layers(torch.cat([noise, condition], dim=1)[:, :, None, None])
        return square.flatten(1)[:, : self.row]


class Critic(nn.Module):
    """A row and its condition to one score: the discriminator of CTAB-GAN, the critic of CTAB-GAN+.

    Args:
        size: Of a row's code and its condition together.
        channels: Of its first square.
        plus: Whether layers are normalised within a row or over a batch.
    """

    def __init__(self, size: int, channels: int, *, plus: bool) -> None:
        super().__init__()
        self.side = _side(size)
        shapes = _shapes(self.side, channels)
        layers: list[nn.Module] = []
        for (narrow, _), (wide, side) in pairwise(shapes):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), _norm(wide, side, plus=plus), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.leave = nn.Conv2d(shapes[-1][0], 1, shapes[-1][1])
        self.apply(_initialise)

    def features(self, rows: Tensor) -> Tensor:
        """What the last layer sees of rows with their conditions (rows, size), flat."""
        padded = functional.pad(rows, (0, self.side**2 - rows.shape[1]))
        found: Tensor = self.layers(padded.view(-1, 1, self.side, self.side))
        return found.flatten(1)

    def score(self, features: Tensor) -> Tensor:
        """Scores (rows,) of features."""
        square = features.view(len(features), self.leave.in_channels, *self.leave.kernel_size)
        found: Tensor = self.leave(square)
        return found.flatten()

    def forward(self, rows: Tensor) -> Tensor:
        """Map rows with their conditions (rows, size) to scores (rows,)."""
        return self.score(self.features(rows))


class Auxiliary(nn.Module):
    """Predicts a row's target from the rest of its code: the classifier of L_class, and the regressor of CTAB-GAN+.

    Args:
        row: Size of a row's code.
        target: Where the target stands in it.
        width: Of the four hidden layers.
    """

    def __init__(self, row: int, target: slice, width: int) -> None:
        super().__init__()
        self.start, self.stop = target.start, target.stop
        levels = self.stop - self.start
        sizes = (row - levels, width, width, width, width)
        layers: list[nn.Module] = []
        for pair in pairwise(sizes):
            layers += [nn.Linear(*pair), nn.LeakyReLU(0.2), nn.Dropout(0.5)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, levels))

    def forward(self, rows: Tensor) -> Tensor:
        """The loss of predicting the rows' own targets: cross-entropy of a level, Huber's of a number."""
        found = self.layers(torch.cat([rows[:, : self.start], rows[:, self.stop :]], dim=1))
        own = rows[:, self.start : self.stop]
        if own.shape[1] == 1:
            return functional.smooth_l1_loss(found, own)
        return functional.cross_entropy(found, own.argmax(1))


class Conditions:
    """The conditional vector: one option of one column, categories and modes of numbers alike (section 3.4).

    Args:
        shares: How often each option of each choice occurs.
    """

    def __init__(self, shares: Sequence[Sequence[float]]) -> None:
        self.shares = [list(column) for column in shares]
        self.size = sum(len(column) for column in self.shares)
        widest = max([1, *(len(column) for column in self.shares)])
        self.true = torch.zeros(len(self.shares), widest)
        self.offset = torch.zeros(len(self.shares), dtype=torch.int64)
        for place, column in enumerate(self.shares):
            self.true[place, : len(column)] = torch.tensor(column)
            self.offset[place] = sum(len(other) for other in self.shares[:place])

    @classmethod
    def of(cls, codes: Tensor, spans: Sequence[Span]) -> "Conditions":
        """Those of encoded rows (rows, sum of the spans)."""
        return cls([part.mean(0).tolist() for part in choices(codes, spans)])

    def draw(self, rows: int, *, logarithmic: int | None) -> tuple[Tensor, Tensor]:
        """A choice, each equally likely, and an option of it, each (rows,).

        Args:
            rows: How many.
            logarithmic: Training rows, for options as likely as the logarithm of their count says, so that rare ones
                are seen (training-by-sampling, CTGAN section 4.3); None for their true shares, to sample with.
        """
        if not self.shares:
            return torch.zeros(rows, dtype=torch.int64), torch.zeros(rows, dtype=torch.int64)
        chances = self.true if logarithmic is None else (self.true * logarithmic + 1).log()
        choice = torch.randint(len(self.shares), (rows,))
        return choice, torch.multinomial(chances[choice], 1)[:, 0]

    def vector(self, choice: Tensor, option: Tensor) -> Tensor:
        """The conditional vector (rows, size), one-hot; empty where a table has no choices."""
        if not self.shares:
            return torch.empty(len(choice), 0)
        return functional.one_hot(self.offset[choice] + option, self.size).float()


class RowsByOption:
    """Finds a training row that has an option: the other half of training-by-sampling.

    Args:
        codes: The training rows, shape (rows, sum of the spans).
        spans: Their parts.
    """

    def __init__(self, codes: Tensor, spans: Sequence[Span]) -> None:
        options = [part.argmax(1) for part in choices(codes, spans)] or [torch.zeros(len(codes), dtype=torch.int64)]
        self.order = torch.stack([option.argsort(stable=True) for option in options])
        widest = max(int(option.max()) for option in options) + 1
        self.counts = torch.stack([option.bincount(minlength=widest) for option in options])
        self.first = self.counts.cumsum(1) - self.counts

    def find(self, choice: Tensor, option: Tensor) -> Tensor:
        """A random row for each choice and option, (rows,)."""
        step = (torch.rand(len(choice)) * self.counts[choice, option]).long()
        return self.order[choice, self.first[choice, option] + step]


def choices(codes: Tensor, spans: Sequence[Span]) -> list[Tensor]:
    """The parts of codes that are choices."""
    parts = torch.split(codes, [length for length, _ in spans], dim=1)
    return [part for part, (_, choice) in zip(parts, spans, strict=True) if choice]


def activated(logits: Tensor, spans: Sequence[Span]) -> Tensor:
    """Soft rows from logits: tanh for a position, Gumbel-softmax for a choice."""
    parts = torch.split(logits, [length for length, _ in spans], dim=1)
    return torch.cat(
        [
            functional.gumbel_softmax(part, _TEMPERATURE) if choice else part.tanh()
            for part, (_, choice) in zip(parts, spans, strict=True)
        ],
        dim=1,
    )


def condition_loss(logits: Tensor, spans: Sequence[Span], choice: Tensor, option: Tensor) -> Tensor:
    """L_generator: cross-entropy between the option asked for and what the generator made of that column."""
    choice, option, loss = choice.to(logits.device), option.to(logits.device), logits.new_zeros(())
    for place, part in enumerate(choices(logits, spans)):
        asked = choice == place
        if asked.any():
            loss = loss + functional.cross_entropy(part[asked], option[asked], reduction="sum")
    return loss / len(logits)


def information_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_info: ‖E f_x - E f_G(z)‖₂ + ‖SD f_x - SD f_G(z)‖₂ over the critic's features."""
    loss: Tensor = (real.mean(0) - fake.mean(0)).norm() + (real.std(0) - fake.std(0)).norm()
    return loss


def _side(size: int) -> int:
    for side in _SIDES:
        if side**2 >= size:
            return side
    raise TabsynError(
        f"a row takes {size} numbers in CTAB-GAN's code and its networks read at most {_SIDES[-1] ** 2}; leave out "
        "columns of many levels."
    )


def _shapes(side: int, channels: int) -> list[tuple[int, int]]:
    """Channels and side of each square, from the row itself to the smallest."""
    steps = min(3, max(1, math.ceil(math.log2(side / 3))))
    return [(1, side), *((channels * 2**step, side // 2 ** (step + 1)) for step in range(steps))]


def _norm(channels: int, side: int, *, plus: bool) -> nn.Module:
    return nn.LayerNorm([channels, side, side]) if plus else nn.BatchNorm2d(channels)


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
