"""The one model of the space, assembled from the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
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
    """What the head reads, (B, D); (B, R, D) from a readout of several representations."""


class VisionTransformer(nn.Module):
    """Stem, position, blocks, norm, readout and head, in the order that the switches settle.

    ``position_at``: at the stem, or before each block (``positions`` are then one shared, or one for each block;
    a relative position is a bias of the blocks' attention instead). ``position_covers``: with ``patches``, positions
    are added before the readout prepends its tokens (big_vision); with ``all``, after (ViT, timm). ``final_norm``:
    before the readout (big_vision), or after it (timm with average pooling). Dropout acts on the tokens that enter
    the first block, prefix tokens included (big_vision models/vit.py).
    """

    def __init__(
        self,
        *,
        stem: nn.Module,
        positions: Sequence[nn.Module],
        blocks: Sequence[Block],
        norm: nn.Module,
        readout: nn.Module,
        heads: Sequence[nn.Module],
        position_at: Literal["stem", "every_layer", "every_layer_shared"],
        position_covers: Literal["patches", "all"],
        final_norm: Literal["before_pooling", "after_pooling"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = stem
        # Any: torch's annotations know neither a ModuleList's elements nor a module's own methods.
        self.position: Any = positions[0]
        self.later_positions: Any = nn.ModuleList(positions[1:])
        self.dropout = nn.Dropout(dropout)
        self.blocks: Any = nn.ModuleList(blocks)
        self.norm = norm
        self.readout: Any = readout
        self.head = heads[0]
        self.distilled_head = heads[1] if len(heads) > 1 else None
        self.position_at = position_at
        self.position_covers = position_covers
        self.final_norm = final_norm
        self.reads_blocks = getattr(readout, "reads_blocks", False)
        self.biases_attention = getattr(self.position, "acts_on", "tokens") == "attention"

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits, (B, K), in the images' precision: the mean of its heads' where there are two (DeiT, section 4)."""
        return _mean(self.forward_heads(images_BCHW))

    def forward_heads(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """The logits of each head, (B, K): the class token's and, if there is one, the distillation token's."""
        tokens_BND = self._embed(images_BCHW)
        after_block = []
        for index, block in enumerate(self.blocks):
            tokens_BND = block(self._placed(tokens_BND, index), self._bias(index))
            if self.reads_blocks:
                after_block.append(tokens_BND)
        return self._read(self._represent(tokens_BND, tuple(after_block)), images_BCHW.dtype)

    def forward_intermediates(
        self, images_BCHW: Tensor, *, attention_weights: bool = False
    ) -> tuple[Tensor, Intermediates]:
        """The logits as from `forward`, and what led to them.

        With ``attention_weights``, raises TypeError where the mixer cannot give them.
        """
        tokens_BND = self._embed(images_BCHW)
        after_block, weights = [], []
        for index, block in enumerate(self.blocks):
            tokens_BND, bias = self._placed(tokens_BND, index), self._bias(index)
            if attention_weights:
                tokens_BND, weights_BANN = block.forward_with_weights(tokens_BND, bias)
                weights.append(weights_BANN)
            else:
                tokens_BND = block(tokens_BND, bias)
            after_block.append(tokens_BND)
        representation = self._represent(tokens_BND, tuple(after_block))
        mean_BK = _mean(self._read(representation, images_BCHW.dtype))
        return mean_BK, Intermediates(tuple(after_block), tuple(weights) if attention_weights else None, representation)

    def _embed(self, images_BCHW: Tensor) -> Tensor:
        # Under autocast the stem's output has half the images' precision. The residual stream keeps theirs;
        # otherwise it would depend on whether a position in full precision is added to it.
        tokens_BND = self.stem(images_BCHW).to(images_BCHW.dtype)
        at_stem = self.position_at == "stem" and not self.biases_attention
        if at_stem and self.position_covers == "patches":
            tokens_BND = self.position(tokens_BND)
        if self.readout.prefix_tokens:
            tokens_BND = self.readout.prepend(tokens_BND)
        if at_stem and self.position_covers == "all":
            tokens_BND = self.position(tokens_BND)
        embedded: Tensor = self.dropout(tokens_BND)
        return embedded

    def _placed(self, tokens_BND: Tensor, block: int) -> Tensor:
        """The tokens that enter a block, with positions where they are added at every layer."""
        if self.position_at == "stem" or self.biases_attention:
            return tokens_BND
        position = self._position_of(block)
        if self.position_covers == "all" or not self.readout.prefix_tokens:
            placed: Tensor = position(tokens_BND)
            return placed
        prefix_BPD, patches_BND = tokens_BND.tensor_split([self.readout.prefix_tokens], dim=1)
        return torch.cat((prefix_BPD, position(patches_BND)), dim=1)

    def _bias(self, block: int) -> Any:
        return self._position_of(block) if self.biases_attention else None

    def _position_of(self, block: int) -> Any:
        return self.later_positions[block - 1] if block and len(self.later_positions) else self.position

    def _represent(self, tokens_BND: Tensor, after_block: tuple[Tensor, ...]) -> Tensor:
        if self.final_norm == "before_pooling":
            tokens_BND = self.norm(tokens_BND)
            after_block = (*after_block[:-1], tokens_BND)
        pooled: Tensor = self.readout(tokens_BND, after_block) if self.reads_blocks else self.readout(tokens_BND)
        return pooled if self.final_norm == "before_pooling" else self.norm(pooled)

    def _read(self, representation: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
        if self.distilled_head is None:
            return (self.head(representation).to(dtype),)
        class_BD, distillation_BD = representation.unbind(1)
        return self.head(class_BD).to(dtype), self.distilled_head(distillation_BD).to(dtype)


def _mean(logits: tuple[Tensor, ...]) -> Tensor:
    """The mean of the heads' logits, (B, K)."""
    return logits[0] if len(logits) == 1 else torch.stack(logits).mean(0)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
