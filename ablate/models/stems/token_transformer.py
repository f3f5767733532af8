"""The small transformer layer between two soft splits of T2T-ViT."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ablate.models.scaled_dot_product import attend
from ablate.models.stems.performer import RandomFeatureAttention


class TokenTransformer(nn.Module):
    """One head of attention that narrows the tokens, and an MLP (T2T-ViT, arXiv 2101.11986, eqs. 1 and 2).

    As the width changes, the residual of the attention is taken from the values: y = v + out(mixed), and then
    y + MLP(LN(y)), an MLP as wide as the tokens. The two kinds differ as in the official code:

    * ``performer`` (models/token_performer.py): linear in the tokens, q, k and v with bias;
    * ``transformer`` (models/token_transformer.py): softmax attention, q, k and v without bias, and logits divided
      by the root of the width *before* narrowing.

    Dropout follows the attention's output projection and the MLP.
    """

    def __init__(
        self, inputs: int, width: int, *, kind: Literal["performer", "transformer"], dropout: float, stream: int
    ) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(inputs)
        self.qkv = nn.Linear(inputs, 3 * width, bias=kind == "performer")
        self.performer = RandomFeatureAttention(width, stream) if kind == "performer" else None
        # Over what `attend` divides by, the root of a head's width.
        self.scale = (width / inputs) ** 0.5
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """Tokens of ``width``, (B, N, E), from tokens of ``inputs``, (B, N, D)."""
        q_BNE, k_BNE, v_BNE = self.qkv(self.norm_1(tokens_BND)).chunk(3, dim=-1)
        if self.performer is not None:
            mixed_BNE = self.performer(q_BNE, k_BNE, v_BNE)
        else:
            q_B1NE, k_B1NE, v_B1NE = (x_BNE.unsqueeze(1) for x_BNE in (q_BNE * self.scale, k_BNE, v_BNE))
            mixed_BNE = attend(q_B1NE, k_B1NE, v_B1NE).squeeze(1)
        narrow_BNE = v_BNE + self.dropout(self.out(mixed_BNE))
        return narrow_BNE + self.dropout(self.down(F.gelu(self.up(self.norm_2(narrow_BNE)))))
