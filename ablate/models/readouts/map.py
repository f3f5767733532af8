"""Attention pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from ablate.models.init import Draw

_EPS = 1e-6


def _probe(shape: torch.Size, _fan_in: int, generator: Generator) -> Tensor:
    """big_vision's: Glorot's uniform from one input to ``dim`` outputs."""
    bound = (6 / (1 + shape[-1])) ** 0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


class AttentionPool(nn.Module):
    """Multihead attention pooling, MAP (Zhai et al., arXiv 2106.04560; big_vision models/vit.py, `MAPHead`).

    A learned probe attends over the tokens, and a feed-forward follows::

        y = attention(query=probe, keys and values=tokens)
        representation = y + feed_forward(norm(y))

    Of the attention there is no residual, so that the probe itself does not reach the representation. As in
    big_vision, no dropout acts here, and ``heads`` and ``ratio`` are those of the model's blocks.
    ``activation`` is as in the MLP: JAX's approximate GELU, or the exact one of timm's `AttentionPoolLatent`.
    Raises ValueError where the heads do not divide the width, or the feed-forward would have no hidden unit.
    """

    prefix_tokens = 0
    roles: ClassVar[Mapping[str, str | Draw]] = {
        "probe": _probe,
        "q.weight": "encoder",
        "k.weight": "encoder",
        "v.weight": "encoder",
        "out.weight": "encoder",
        "up.weight": "encoder",
        "up.bias": "mlp_bias",
        "down.weight": "encoder",
        "down.bias": "mlp_bias",
    }

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        ratio: float = 4.0,
        activation: Literal["gelu_tanh", "gelu"] = "gelu_tanh",
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        hidden = round(dim * ratio)
        if hidden < 1:
            raise ValueError(f"a feed-forward of ratio {ratio} leaves no hidden unit at dim {dim}")
        self.heads = heads
        self.probe = nn.Parameter(torch.zeros(1, 1, dim))
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.up = nn.Linear(dim, hidden)
        self.activation = nn.GELU(approximate="tanh" if activation == "gelu_tanh" else "none")
        self.down = nn.Linear(hidden, dim)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The representation, (B, D)."""
        y_BD, _ = self.forward_with_weights(tokens_BND)
        return y_BD

    def forward_with_weights(self, tokens_BND: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, and the probe's attention weights, (B, A, N), of which each row sums to 1."""
        q_1A1E, k_BANE, v_BANE = map(self._split, (self.q(self.probe), self.k(tokens_BND), self.v(tokens_BND)))
        # Written out: one query has N weights, so a fused kernel would save no memory.
        weights_BA1N = (q_1A1E @ k_BANE.mT * q_1A1E.shape[-1] ** -0.5).softmax(-1)
        y_BD = self.out((weights_BA1N @ v_BANE).flatten(1))
        branch_BD = self.down(self.activation(self.up(self.norm(y_BD))))
        return y_BD + branch_BD, weights_BA1N.squeeze(2)

    def _split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(-1, (self.heads, -1)).transpose(1, 2)
