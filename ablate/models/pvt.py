"""Pyramid Vision Transformer (version 1), a whole model beside the space of parts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ablate.models.positions.learned import LearnedPosition
from ablate.models.pyramid import Pyramid, PyramidBlock, Stage, check_lengths, check_probabilities, stage_rates
from ablate.models.readouts.cls import ClassToken
from ablate.models.spatial_reduction_attention import SpatialReductionAttention
from ablate.models.strided_embedding import StridedEmbedding

#: That of the official presets, in blocks and at the end; the embeddings' own is 1e-5.
_EPS = 1e-6


class PyramidVisionTransformer(Pyramid):
    """PVT (Wang et al., arXiv 2102.12122, section 3 and table 1; whai362/PVT, classification/pvt.py).

    images_BCHW -> logits_BK. Each stage cuts its map into squares of ``patch_sizes``, projects and normalises
    them, adds learned positions, and has ``depths`` blocks of spatial-reduction attention with ``heads`` heads and
    ``reductions``, and of MLPs with ``ratios``. A class token precedes the last stage, and is normalised and read
    at the end. The defaults are PVT-Small for images of 224 px.

    ``stochastic_depth`` is the last block's probability, and rises to it linearly from 0 at the first.
    ``dropout`` follows the positions and each dense layer except q, k and v.

    Raises ValueError where the lists do not have one value a stage, a patch size or a reduction does not divide
    its grid, the last reduction is not 1, or heads do not divide their width.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        classes: int,
        *,
        dims: list[int] = [64, 128, 320, 512],  # noqa: B006 - a Recipe has lists; these are only read
        depths: list[int] = [3, 4, 6, 3],  # noqa: B006
        heads: list[int] = [1, 2, 5, 8],  # noqa: B006
        ratios: list[float] = [8.0, 8.0, 4.0, 4.0],  # noqa: B006
        reductions: list[int] = [8, 4, 2, 1],  # noqa: B006
        patch_sizes: list[int] = [4, 2, 2, 2],  # noqa: B006
        qkv_bias: bool = True,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        check_probabilities(dropout=dropout)
        check_lengths(
            dims=dims, depths=depths, heads=heads, ratios=ratios, reductions=reductions, patch_sizes=patch_sizes
        )
        rates = stage_rates(stochastic_depth, depths)
        readout = ClassToken(dims[-1])
        stages: list[Stage] = []
        size = image_size
        for i, dim in enumerate(dims):
            last = i == len(dims) - 1
            try:
                embedding = _patches(size, dims[i - 1] if i else channels, dim, patch_sizes[i])
                size = embedding.grid
                attentions = [
                    SpatialReductionAttention(
                        dim, size, int(last), dropout, heads=heads[i], reduction=reductions[i], qkv_bias=qkv_bias
                    )
                    for _ in rates[i]
                ]
            except ValueError as error:
                raise ValueError(f"stage {i + 1}: {error}") from error
            blocks = [
                PyramidBlock(attention, dim, dropout, rate, ratio=ratios[i], eps=_EPS)
                for attention, rate in zip(attentions, rates[i], strict=True)
            ]
            stages.append(PositionedStage(embedding, blocks, dim, dropout, prefix_tokens=int(last)))
        super().__init__(stages, nn.LayerNorm(dims[-1], eps=_EPS), readout, nn.Linear(dims[-1], classes))

    def _embed(self, stage: Any, maps_BCHW: Tensor) -> Tensor:
        tokens_BND = stage.embedding(maps_BCHW)
        if stage is self.stages[-1]:
            tokens_BND = self.readout.prepend(tokens_BND)
        placed: Tensor = stage.dropout(stage.position(tokens_BND))
        return placed


class PositionedStage(Stage):
    """A stage whose tokens get learned positions, those of the prefix tokens included, and then dropout."""

    def __init__(
        self, embedding: StridedEmbedding, blocks: list[PyramidBlock], dim: int, dropout: float, *, prefix_tokens: int
    ) -> None:
        super().__init__(embedding, blocks)
        self.position = LearnedPosition(dim, embedding.grid, prefix_tokens)
        self.dropout = nn.Dropout(dropout)


def _patches(size: tuple[int, int], channels: int, dim: int, patch_size: int) -> StridedEmbedding:
    if patch_size < 1 or size[0] % patch_size or size[1] % patch_size:
        raise ValueError(f"patches of {patch_size} do not tile a map of {size[0]} x {size[1]}")
    return StridedEmbedding(size, channels, dim, kernel=patch_size, stride=patch_size, padding=0)
