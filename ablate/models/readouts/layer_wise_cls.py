"""The class tokens of all blocks, joined by attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-6


class LayerWiseClassToken(nn.Module):
    """CeiT's layer-wise class-token attention, LCA (Yuan et al., arXiv 2103.11816, section 3.3).

    With the class tokens after each of the L blocks as the rows of x_BLD, and the last of them as the query::

        y = x[last] + attention(query=norm_1(x)[last], keys and values=norm_1(x))
        representation = y + feed_forward(norm_2(y))

    The query's own token is among the keys. ``layer_embedding`` adds a learned vector to each of the L tokens
    first: so the official code (coeusguo/ceit, `pos_layer_embed`, zero at the start); the paper does not
    mention it. ``heads`` and ``ratio`` are those of CeiT's blocks: 3, 6 and 12 heads in T, S and B. Dropout
    follows each dense layer except q, k and v.

    The last class token is that of the tokens handed over beside the blocks', which a final norm before
    pooling has normalised; CeiT's final norm comes after the pooling. Raises ValueError where the heads do not
    divide the width, or the feed-forward would have no hidden unit.
    """

    prefix_tokens = 1
    reads_blocks = True
    roles: ClassVar[Mapping[str, str]] = {
        "token": "token",
        "layers": "zeros",
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
        depth: int,
        dropout: float,
        *,
        heads: int,
        ratio: float = 4.0,
        qkv_bias: bool = True,
        layer_embedding: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        hidden = round(dim * ratio)
        if hidden < 1:
            raise ValueError(f"a feed-forward of ratio {ratio} leaves no hidden unit at dim {dim}")
        self.heads = heads
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.layers = nn.Parameter(torch.zeros(depth, dim)) if layer_embedding else None
        self.norm_1 = nn.LayerNorm(dim, eps=_EPS)
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.k = nn.Linear(dim, dim, bias=qkv_bias)
        self.v = nn.Linear(dim, dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)
        self.norm_2 = nn.LayerNorm(dim, eps=_EPS)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def prepend(self, tokens_BND: Tensor) -> Tensor:
        """The tokens with the class token in front, (B, 1 + N, D)."""
        return torch.cat((self.token.expand(len(tokens_BND), -1, -1), tokens_BND), dim=1)

    def forward(self, tokens_BND: Tensor, blocks: tuple[Tensor, ...]) -> Tensor:
        """The representation, (B, D), from the last tokens and those after every block."""
        class_tokens = [block_BND[:, 0] for block_BND in blocks[:-1]] + [tokens_BND[:, 0]]
        x_BLD = torch.stack(class_tokens, dim=1)
        if self.layers is not None:
            x_BLD = x_BLD + self.layers
        y_BD = x_BLD[:, -1] + self._attention(self.norm_1(x_BLD))
        return y_BD + self._feed_forward(self.norm_2(y_BD))

    def _attention(self, x_BLD: Tensor) -> Tensor:
        q_BA1E = self._split(self.q(x_BLD[:, -1:]))
        k_BALE, v_BALE = self._split(self.k(x_BLD)), self._split(self.v(x_BLD))
        # Written out: for one query over a dozen keys a fused kernel has nothing to save.
        weights_BA1L = (q_BA1E @ k_BALE.mT * q_BA1E.shape[-1] ** -0.5).softmax(-1)
        branch_BD: Tensor = self.dropout(self.out((weights_BA1L @ v_BALE).flatten(1)))
        return branch_BD

    def _split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _feed_forward(self, y_BD: Tensor) -> Tensor:
        hidden = self.dropout(F.gelu(self.up(y_BD)))
        branch_BD: Tensor = self.dropout(self.down(hidden))
        return branch_BD
