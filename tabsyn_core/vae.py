"""The transformer VAE of TabSyn with heads that are likelihoods: of states and ranks, or of each column's own family.

Zhang et al., Mixed-Type Tabular Data Synthesis with Score-based Diffusion in Latent Space, ICLR 2024, §3.2.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tabsyn_core.heads import ColumnFamily, FamilyHeads, choose_states
from tabsyn_core.networks import ColumnTokenizer, StateHeads, TransformerBlock

_MIN_LOG_SCALE = -4.0
"""A rank is known to about e⁻⁴ of a standard deviation; sharper heads would only fit the rounding."""


class VAE(nn.Module):
    """Rows of (state, rank) to a latent of ``d_token`` numbers a column, and back.

    The first latent number of a column starts as its rank and the decoder starts by reading it back: the network is
    the identity before training and learns only what the columns say about each other. (TabSyn starts from random
    projections, which at 200 columns it never finishes to invert.)

    Args:
        low: For each column, the lower rank of each state; NaN marks the body.
        high: The upper ranks.
        d_token: Latent numbers a column.
        width: Size of the transformer's tokens.
        num_layers: Transformer blocks in the encoder, and again in the decoder.
        num_heads: Attention heads.
        families: The columns' own families; p(x | z) is then theirs (:mod:`tabsyn_core.heads`). None has a
            discretised logistic of the states and a Gaussian of the rank.
    """

    body_state: Tensor

    def __init__(
        self,
        low: Sequence[Sequence[float]],
        high: Sequence[Sequence[float]],
        *,
        d_token: int,
        width: int,
        num_layers: int,
        num_heads: int,
        families: Sequence[ColumnFamily] | None = None,
    ) -> None:
        super().__init__()
        columns = len(low)
        body = [len(column) - 1 if math.isnan(column[-1]) else -1 for column in low]
        self.register_buffer("body_state", torch.tensor(body), persistent=False)
        self.tokenizer = ColumnTokenizer([len(column) for column in low], width)
        self.encoder = nn.Sequential(*(TransformerBlock(width, num_heads) for _ in range(num_layers)))
        self.to_latent = nn.Parameter(torch.zeros(columns, width, 2 * d_token))
        self.log_variance = nn.Parameter(torch.full((columns, d_token), -6.0))
        self.from_latent = nn.Parameter(torch.randn(columns, d_token, width) / d_token**0.5)
        self.position = nn.Parameter(torch.randn(columns, width) / width**0.5)
        self.decoder = nn.Sequential(*(TransformerBlock(width, num_heads) for _ in range(num_layers)))
        self.norm = nn.LayerNorm(width)
        self.rank_correction = nn.Parameter(torch.zeros(columns, width))
        self.family_heads = None if families is None else FamilyHeads(families, width)
        if families is None:
            self.state_heads = StateHeads(low, high, width)
            self.rank_log_scale = nn.Parameter(torch.full((columns,), -2.0))
        if d_token > 1:
            nn.init.normal_(self.to_latent[..., 1:d_token], std=width**-0.5)

    def encode(self, states: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each (batch, columns, d_token)."""
        tokens = self.encoder(self.tokenizer(states, ranks))
        mean, log_variance = torch.einsum("bcw,cwd->bcd", tokens, self.to_latent).chunk(2, dim=-1)
        identity = functional.pad(ranks[..., None], (0, mean.shape[-1] - 1))
        return mean + identity, (log_variance + self.log_variance).clamp(-12.0, 2.0)

    def decode(self, latent: Tensor) -> tuple[list[tuple[list[int], Tensor]], Tensor]:
        """State logits by group (see :class:`StateHeads`) and the mean rank (batch, columns) of p(x | z)."""
        tokens, rank = self._read(latent)
        if self.family_heads is not None:
            return self.family_heads.forward(tokens, rank).logits, rank
        return self.state_heads(tokens, rank), rank

    def loss(
        self, states: Tensor, ranks: Tensor, generator: torch.Generator, ends: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction (−log p(x | z) a column, mean) and KL(q(z | x) ‖ N(0, I)) a latent number, mean.

        Args:
            states: Of shape (batch, columns).
            ranks: Of shape (batch, columns).
            generator: Draws z.
            ends: Coordinates of the bodies, (2, batch, columns), which family heads read; see
                :class:`tabsyn_core.heads.Measured`.
        """
        mean, log_variance = self.encode(states, ranks)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        tokens, rank = self._read(mean + (log_variance / 2).exp() * noise)
        if self.family_heads is None:
            nll = self._rank_loss(tokens, rank, states, ranks)
        elif ends is None:
            raise ValueError("family heads need the ends of the bodies; see tabsyn_core.heads.Measured")
        else:
            nll = -self.family_heads.log_prob(self.family_heads.forward(tokens, rank), states, ends).sum(1)
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp())
        return nll.mean() / states.shape[1], kl.mean()

    @torch.no_grad()
    def realise(
        self, latent: Tensor, rng: np.random.Generator | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """States and ranks, each (batch, columns), for :meth:`tabsyn_core.codec.Codec.decode`.

        Args:
            latent: Of shape (batch, columns, d_token).
            rng: Draws from p(x | z); None takes the likeliest states and the decoded ranks.
        """
        if self.family_heads is not None:
            if rng is not None:  # a latent is a posterior mean, and the heads have learned what its noise leaves untold
                noise = torch.from_numpy(rng.standard_normal(tuple(latent.shape), dtype=np.float32)).to(latent.device)
                latent = latent + (self.log_variance.clamp(-12.0, 2.0) / 2).exp() * noise
            return self.family_heads.realise(self.family_heads.forward(*self._read(latent)), rng)
        tokens, rank = self._read(latent)
        states = choose_states(self.state_heads(tokens, rank), (len(rank), rank.shape[1]), rng)
        ranks = rank.double().cpu().numpy()
        if rng is not None:
            scale = self.rank_log_scale.clamp(min=_MIN_LOG_SCALE).exp().double().cpu().numpy()
            ranks = ranks + scale * rng.standard_normal(ranks.shape)
        return states, ranks

    def _read(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's tokens (batch, columns, width) and ranks (batch, columns)."""
        tokens = torch.einsum("bcd,cdw->bcw", latent, self.from_latent) + self.position
        tokens = self.norm(self.decoder(tokens))
        return tokens, latent[..., 0] + (tokens * self.rank_correction).sum(-1)

    def _rank_loss(self, tokens: Tensor, rank: Tensor, states: Tensor, ranks: Tensor) -> Tensor:
        """−log p of states, and of ranks in the body, under the heads that know no families; shape (batch,)."""
        nll = torch.zeros_like(rank[:, 0])
        for columns, group in self.state_heads(tokens, rank):
            target = states[:, columns].t()
            nll = nll - group.log_softmax(-1).gather(-1, target[..., None]).sum((0, 2))
        log_scale = self.rank_log_scale.clamp(min=_MIN_LOG_SCALE)
        gaussian = 0.5 * ((ranks - rank) / log_scale.exp()) ** 2 + log_scale
        return nll + (gaussian * (states == self.body_state)).sum(1)
