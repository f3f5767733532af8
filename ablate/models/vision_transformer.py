"""The vision transformer that assembles the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from ablate.models.block import Block


@dataclass(frozen=True)
class Intermediates:
    """What the model computed on its way to the logits."""

    tokens: tuple[Tensor, ...]
    """After each block, (B, N, D), before the final norm; prefix tokens first."""
    attention: tuple[Tensor, ...] | None
    """The attention weights of each block, (B, A, N, N), or None where they were not asked for."""
    representation: Tensor
    """What the head reads, (B, D)."""


class VisionTransformer(nn.Module):
    """Stem, position, blocks, norm, readout and head, in the order that two switches settle.

    ``position_covers``: with ``patches``, positions are added before the readout prepends its tokens
    (big_vision); with ``all``, after (ViT, timm). ``final_norm``: before the readout (big_vision), or after
    it (timm with average pooling). Dropout acts on the tokens that enter the first block, prefix tokens
    included (big_vision models/vit.py).
    """

    def __init__(
        self,
        *,
        stem: nn.Module,
        position: nn.Module,
        blocks: Sequence[Block],
        norm: nn.Module,
        readout: nn.Module,
        head: nn.Module,
        position_covers: Literal["patches", "all"],
        final_norm: Literal["before_pooling", "after_pooling"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.position = position
        self.dropout = nn.Dropout(dropout)
        # Any: torch's annotations know neither a ModuleList's elements nor a module's own methods.
        self.blocks: Any = nn.ModuleList(blocks)
        self.norm = norm
        self.readout: Any = readout
        self.head = head
        self.position_covers = position_covers
        self.final_norm = final_norm

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits, (B, K), in the images' precision."""
        tokens_BND = self._embed(images_BCHW)
        for block in self.blocks:
            tokens_BND = block(tokens_BND)
        logits_BK: Tensor = self.head(self._represent(tokens_BND))
        return logits_BK.to(images_BCHW.dtype)

    def forward_intermediates(
        self, images_BCHW: Tensor, *, attention_weights: bool = False
    ) -> tuple[Tensor, Intermediates]:
        """The logits as from `forward`, and what led to them.

        With ``attention_weights``, raises TypeError where the attention cannot give them.
        """
        tokens_BND = self._embed(images_BCHW)
        after_block, weights = [], []
        for block in self.blocks:
            if attention_weights:
                tokens_BND, weights_BANN = block.forward_with_weights(tokens_BND)
                weights.append(weights_BANN)
            else:
                tokens_BND = block(tokens_BND)
            after_block.append(tokens_BND)
        representation_BD = self._represent(tokens_BND)
        logits_BK = self.head(representation_BD).to(images_BCHW.dtype)
        seen = Intermediates(tuple(after_block), tuple(weights) if attention_weights else None, representation_BD)
        return logits_BK, seen

    def _embed(self, images_BCHW: Tensor) -> Tensor:
        # Under autocast the stem's output has half the images' precision. The residual stream keeps theirs;
        # otherwise it would depend on whether a position in full precision is added to it.
        tokens_BND = self.stem(images_BCHW).to(images_BCHW.dtype)
        if self.position_covers == "patches":
            tokens_BND = self.position(tokens_BND)
        if self.readout.prefix_tokens:
            tokens_BND = self.readout.prepend(tokens_BND)
        if self.position_covers == "all":
            tokens_BND = self.position(tokens_BND)
        embedded: Tensor = self.dropout(tokens_BND)
        return embedded

    def _represent(self, tokens_BND: Tensor) -> Tensor:
        if self.final_norm == "before_pooling":
            representation_BD: Tensor = self.readout(self.norm(tokens_BND))
        else:
            representation_BD = self.norm(self.readout(tokens_BND))
        return representation_BD


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
