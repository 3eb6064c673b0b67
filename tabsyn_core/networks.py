"""The networks: a transformer over column tokens, heads that speak each column's states, a residual denoiser."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

_START_BANDWIDTH = 0.02
_MIN_MASS = 1e-6


class ColumnTokenizer(nn.Module):
    """One token a column from its state and its rank (TabSyn §3.2, extended to atoms beside a body).

    A column's token is E[state] + rank · r + bias: what the value is (an atom, a level, the body), and where it
    stands among all values.

    Args:
        num_states: States of each column.
        width: Size of a token.
    """

    offset: Tensor

    def __init__(self, num_states: Sequence[int], width: int) -> None:
        super().__init__()
        sizes = torch.tensor(num_states)
        self.register_buffer("offset", sizes.cumsum(0) - sizes, persistent=False)
        self.embedding = nn.Embedding(int(sizes.sum()), width)
        nn.init.normal_(self.embedding.weight, std=0.3 / math.sqrt(width))
        self.rank = nn.Parameter(torch.randn(len(num_states), width) / math.sqrt(width))
        self.bias = nn.Parameter(torch.randn(len(num_states), width) / math.sqrt(width))

    def forward(self, states: Tensor, ranks: Tensor) -> Tensor:
        """Map states and ranks, each (batch, columns), to tokens (batch, columns, width)."""
        tokens: Tensor = self.embedding(states + self.offset)
        return tokens + ranks[..., None] * self.rank + self.bias


class TransformerBlock(nn.Module):
    """A pre-norm transformer block over column tokens."""

    def __init__(self, width: int, num_heads: int, expansion: int = 2) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, columns, width) to the same shape."""
        batch, columns, width = x.shape
        qkv = self.query_key_value(self.norm_attention(x)).view(batch, columns, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.project(attended.transpose(1, 2).reshape(batch, columns, width))
        out: Tensor = x + self.feed_forward(self.norm_feed_forward(x))
        return out


class StateHeads(nn.Module):
    """p(state | rank, token): the mass a kernel around the rank puts on each state's interval.

    The kernel is the discretised logistic of PixelCNN++ (Salimans et al., ICLR 2017) on the codec's intervals, or a
    normal one, the ordered probit; the body has what the atoms leave. Before any training the kernel alone says which
    state a rank belongs to, so the network only learns what other columns add, through a linear head on the column's
    token. Columns of similar size share one padded matrix product: 200 heads cost a few kernels, and a column of 5,000
    levels widens no other.

    Args:
        low: For each column, the lower rank of each state; NaN marks the body.
        high: The upper ranks.
        width: Size of a token.
        kernel: ``"logistic"`` learns a bandwidth a column, ``"normal"`` is told one with every rank.
    """

    def __init__(
        self,
        low: Sequence[Sequence[float]],
        high: Sequence[Sequence[float]],
        width: int,
        kernel: Literal["logistic", "normal"] = "logistic",
    ) -> None:
        super().__init__()
        self.cumulative = torch.sigmoid if kernel == "logistic" else torch.special.ndtr
        sizes = [len(column) for column in low]
        padded = [2 ** math.ceil(math.log2(size)) if size > 1 else 0 for size in sizes]
        self.groups = [[j for j, other in enumerate(padded) if other == size] for size in sorted(set(padded) - {0})]
        self.weights = nn.ParameterList()
        for number, columns in enumerate(self.groups):
            shape = (len(columns), 1, padded[columns[0]])
            bounds = torch.zeros(2, *shape)
            absent = torch.ones(shape, dtype=torch.bool)
            for row, j in enumerate(columns):
                bounds[0, row, 0, : sizes[j]] = torch.tensor(low[j])
                bounds[1, row, 0, : sizes[j]] = torch.tensor(high[j])
                absent[row, 0, : sizes[j]] = False
            self.weights.append(nn.Parameter(torch.zeros(len(columns), width, shape[2])))
            self.register_buffer(f"is_body_{number}", bounds[0].isnan(), persistent=False)
            self.register_buffer(f"bounds_{number}", bounds.nan_to_num(0.0), persistent=False)
            self.register_buffer(f"absent_{number}", absent, persistent=False)
        if kernel == "logistic":
            self.log_bandwidth = nn.Parameter(torch.full((len(low),), math.log(_START_BANDWIDTH)))

    def forward(self, tokens: Tensor, ranks: Tensor, bandwidth: Tensor | None = None) -> list[tuple[list[int], Tensor]]:
        """Map tokens (batch, columns, width), ranks and bandwidths (batch, columns) to logits by group.

        Returns:
            For each group its columns and their logits, (columns, batch, states).
        """
        by_column, rank_by_column = tokens.transpose(0, 1), ranks.t()[..., None]
        scale = self.log_bandwidth.clamp(-6, 0).exp()[:, None] if bandwidth is None else bandwidth.t()
        scale = scale[..., None]
        logits = []
        for number, (columns, weight) in enumerate(zip(self.groups, self.weights, strict=True)):
            low, high = (self.get_buffer(f"bounds_{number}") - rank_by_column[columns]) / scale[columns]
            mass = self.cumulative(high) - self.cumulative(low)
            mass = torch.where(self.get_buffer(f"is_body_{number}"), 1 - mass.sum(-1, keepdim=True), mass)
            kernel = mass.clamp(min=_MIN_MASS).log().masked_fill(self.get_buffer(f"absent_{number}"), -1e4)
            logits.append((columns, torch.baddbmm(kernel, by_column[columns], weight)))
        return logits


class ResidualDenoiser(nn.Module):
    """F of EDM: a residual MLP on the flattened latent, conditioned on the noise level.

    Args:
        dim: Size of the latent.
        width: Size of the hidden layers.
        num_blocks: Residual blocks.
    """

    frequencies: Tensor

    def __init__(self, dim: int, width: int, num_blocks: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, 5, 32)), persistent=False)
        self.condition = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
            for _ in range(num_blocks)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        for layer in [*(block[-1] for block in self.blocks), self.leave[-1]]:  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Map (batch, dim) and c_noise (batch,) to (batch, dim)."""
        angles = c_noise[:, None] * self.frequencies
        condition = self.condition(torch.cat([angles.sin(), angles.cos()], dim=1))
        hidden = self.enter(x) + condition
        for block in self.blocks:
            hidden = hidden + block(hidden + condition)
        out: Tensor = self.leave(hidden)
        return out
