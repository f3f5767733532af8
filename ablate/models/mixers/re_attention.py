"""Self-attention whose heads are mixed with one another after the softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.models.init import Draw, torch_uniform
from ablate.models.mixers.self_attention import SelfAttention
from ablate.models.scaled_dot_product import Bias, attention_logits


class HeadMixing(nn.Conv2d):
    """DeepViT's Theta^T: every head's attention map becomes a weighted sum of all heads', plus a bias.

    Its weight is (A heads out, A heads in, 1, 1). The official code draws it as torch draws a convolution,
    while all its dense layers are drawn otherwise.
    """

    roles: ClassVar[Mapping[str, Draw]] = {"weight": torch_uniform, "bias": torch_uniform}

    def __init__(self, heads: int) -> None:
        super().__init__(heads, heads, kernel_size=1)


class ReAttention(SelfAttention):
    """Re-attention, Norm(Theta^T softmax(q k^T / sqrt(E))) v (DeepViT, arXiv 2103.11886, eq. 3).

    Theta acts along the heads; ``norm`` is a batch normalisation with one mean and variance a head, as in the
    official code, or ``none``. Only the last ``last_blocks`` blocks re-attend (all, if None) and those
    before them are plain self-attention: DeepViT-S has 5 of 16, DeepViT-L 12 of 32. ``rescale`` multiplies
    the maps by 1 / sqrt(E) once more, which the official DeepViT-S alone does. ``attention_dropout`` acts between
    softmax and Theta, as in the official code.

    Raises ValueError where the heads do not divide the width, and where ``last_blocks`` is below 0 or above
    the depth.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        block: int,
        dropout: float,
        attention_dropout: float = 0.0,
        *,
        heads: int,
        qkv_bias: bool = True,
        norm: Literal["batch", "none"] = "batch",
        last_blocks: int | None = None,
        rescale: bool = False,
    ) -> None:
        super().__init__(dim, dropout, attention_dropout, heads=heads, qkv_bias=qkv_bias)
        if last_blocks is not None and not 0 <= last_blocks <= depth:
            raise ValueError(f"re_attention cannot stand in the last {last_blocks} of {depth} blocks")
        self.theta: HeadMixing | None = None
        self.norm: nn.BatchNorm2d | None = None
        if last_blocks is None or block >= depth - last_blocks:
            self.theta = HeadMixing(heads)
            self.norm = nn.BatchNorm2d(heads) if norm == "batch" else None
        self.gain = (dim // heads) ** -0.5 if rescale else 1.0

    def forward(self, tokens_BND: Tensor, bias: Bias | None = None) -> Tensor:
        """The tokens after mixing, (B, N, D); ``bias`` as in `SelfAttention`."""
        if self.theta is None:
            return super().forward(tokens_BND, bias)
        return self.forward_with_weights(tokens_BND, bias)[0]

    def _attend(self, q_BANE: Tensor, k_BANE: Tensor, v_BANE: Tensor, bias: Bias | None) -> tuple[Tensor, Tensor]:
        if self.theta is None:
            return super()._attend(q_BANE, k_BANE, v_BANE, bias)
        maps_BANN = self._maps(attention_logits(q_BANE, k_BANE, bias), self.theta)
        return maps_BANN @ v_BANE, maps_BANN

    def _maps(self, logits_BANN: Tensor, theta: HeadMixing) -> Tensor:
        """The maps that v is multiplied with. Behind Theta their rows sum to no fixed number, and some are negative."""
        # At the start all weights are close to 1 / N, and the norm magnifies their differences, which half
        # precision would have rounded away: these small sums stay in the parameters' precision.
        with torch.autocast(logits_BANN.device.type, enabled=False):
            maps_BANN = theta(self.attention_dropout(logits_BANN.to(theta.weight.dtype).softmax(-1)))
            if self.norm is not None:
                maps_BANN = self.norm(maps_BANN)
            return maps_BANN * self.gain
