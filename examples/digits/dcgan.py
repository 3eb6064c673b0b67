"""A small DCGAN for images of 8 × 8 pixels, told which digit to draw; one core, the same bits for the same seed.

The network of Radford, Metz & Chintala (ICLR 2016) with three layers each: strided and transposed convolutions instead
of pooling, batch norm, ReLU and tanh in the generator, LeakyReLU in the discriminator, weights from N(0, 0.02), Adam
with β₁ = 0.5. Three things differ. Both networks see the label (Mirza & Osindero, 2014), so that the table has a
category in it. The learning rate is 5e-4 instead of 2e-4, because a run has thousands of updates and not hundreds of
thousands. Images are drawn from the running mean of the generator's weights (Yazıcı et al., ICLR 2019), which leaves
out the swings of the game.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tabsyn_core.progress import Progress, ProgressCallback, silent
from tabsyn_core.reproducible import reproducible

Images = NDArray[np.uint8]
"""Ink from 0 to :data:`INK`, shape (images, 8, 8)."""

Labels = NDArray[np.int64]
"""The digits, shape (images,)."""

INK = 16
DIGITS = 10
SIDE = 8

_NOISE = 64
_WIDTH = 32
_BATCH = 64
_LEARNING_RATE = 5e-4
_MEMORY = 0.99


class Generator(nn.Module):
    """Noise and a digit -> ink from -1 to 1; 1 × 1 to 2 × 2 to 4 × 4 to 8 × 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(_NOISE + DIGITS, 2 * _WIDTH, 2, bias=False),
            nn.BatchNorm2d(2 * _WIDTH),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * _WIDTH, _WIDTH, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(_WIDTH),
            nn.ReLU(),
            nn.ConvTranspose2d(_WIDTH, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.apply(_initialise)

    def forward(self, noise: Tensor, digits: Tensor) -> Tensor:
        """Noise of shape (images, 64) and digits -> shape (images, 1, 8, 8)."""
        code = torch.cat([noise, one_hot(digits, DIGITS)], dim=1)
        ink: Tensor = self.layers(code[:, :, None, None])
        return ink


class Discriminator(nn.Module):
    """An image and a digit -> the logit that the image is real; the digit is a plane of ones among planes of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1 + DIGITS, _WIDTH, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(_WIDTH, 2 * _WIDTH, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * _WIDTH),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * _WIDTH, 1, 2),
            nn.Flatten(0),
        )
        self.apply(_initialise)

    def forward(self, images: Tensor, digits: Tensor) -> Tensor:
        """Images of shape (images, 1, 8, 8) and digits -> shape (images,)."""
        planes = one_hot(digits, DIGITS)[:, :, None, None].expand(-1, -1, SIDE, SIDE)
        logits: Tensor = self.layers(torch.cat([images, planes], dim=1))
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


def train(
    images: Images, digits: Labels, epochs: int, *, seed: int = 0, progress: ProgressCallback = silent
) -> nn.Module:
    """Play the game of generator and discriminator; needs at least 64 images.

    Returns:
        The generator with the running mean of its weights, ready to draw.
    """
    with reproducible(threads=1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        real, known = torch.from_numpy(images / (INK / 2) - 1).float()[:, None], torch.from_numpy(digits)
        generator, discriminator = Generator(), Discriminator()
        optimizers = [
            torch.optim.Adam(network.parameters(), _LEARNING_RATE, betas=(0.5, 0.999))
            for network in (generator, discriminator)
        ]
        average = get_ema_multi_avg_fn(_MEMORY)  # type: ignore[no-untyped-call]
        mean = AveragedModel(generator, multi_avg_fn=average, use_buffers=True)
        for epoch in range(epochs):
            batches = torch.split(torch.randperm(len(real)), _BATCH)
            losses = []
            for batch in (rows for rows in batches if len(rows) == _BATCH):
                losses.append(_round(generator, discriminator, optimizers, real[batch], known[batch]))
                mean.update_parameters(generator)
            figures = dict(zip(("generator", "discriminator"), np.mean(losses, axis=0), strict=True))
            progress(Progress(epoch + 1, epochs, "epochs", figures=figures))
        return mean.eval()


def _round(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizers: list[torch.optim.Adam],
    real: Tensor,
    digits: Tensor,
) -> tuple[float, float]:
    """One update of the discriminator, one of the generator (its loss that does not saturate); both losses."""
    optimizer, opponent = optimizers
    fake = generator(torch.randn(len(real), _NOISE), digits)
    judged = discriminator(real, digits), discriminator(fake.detach(), digits)
    loss = _says(judged[0], real=True) + _says(judged[1], real=False)
    opponent.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    opponent.step()
    gain = _says(discriminator(fake, digits), real=True)
    optimizer.zero_grad()
    gain.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return gain.item(), loss.item()


def _says(logits: Tensor, *, real: bool) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def draw(generator: nn.Module, digits: Labels, *, seed: int = 0) -> Images:
    """Draw one image for each of ``digits``, its ink rounded to whole numbers."""
    with reproducible(threads=1), torch.no_grad():
        noise = torch.randn(len(digits), _NOISE, generator=torch.Generator().manual_seed(seed))
        ink = (generator(noise, torch.from_numpy(digits))[:, 0] + 1) * (INK / 2)
        images: Images = ink.round().to(torch.uint8).numpy()
        return images
