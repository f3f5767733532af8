"""CSWin Transformer, a whole model beside the space of parts."""

from __future__ import annotations

from torch import nn

from ablate.models.cross_shaped_attention import CrossShapedAttention
from ablate.models.pyramid import Pyramid, PyramidBlock, Stage, check_lengths, check_probabilities, stage_rates
from ablate.models.readouts.gap import GlobalAveragePool
from ablate.models.strided_embedding import StridedEmbedding

#: The official code's norms have PyTorch's default.
_EPS = 1e-5


class CSWinTransformer(Pyramid):
    """CSWin Transformer (Dong et al., arXiv 2107.00652, section 3 and table 1; microsoft/CSWin-Transformer, cswin.py).

    images_BCHW -> logits_BK. An overlapping convolution makes the first tokens, of width ``dim``; between
    stages a 3 x 3 convolution of stride 2 halves the grid (an odd side is rounded up) and doubles the width.
    Each stage has ``depths`` blocks with ``heads`` heads in stripes of ``split_sizes``; a split size equal to
    the (longer) side of the stage's grid makes one window of everything. The tokens are normalised and averaged.
    The defaults are CSWin-T for images of 224 px; for 8 px, say, ``stem_kernel=3, stem_stride=1``.

    ``stochastic_depth`` is the last block's probability, and rises to it linearly from 0 at the first.
    ``dropout`` follows each dense layer except qkv. The official code takes the last stage for one window
    whatever its split size; at the published sizes that is the same.

    Raises ValueError where the lists do not have one value a stage, the stem's stride does not divide the
    image, the stem's kernel is smaller than its stride or even at stride 1, or a stage's heads, width, grid
    and split size do not fit.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        classes: int,
        *,
        dim: int = 64,
        depths: list[int] = [1, 2, 21, 1],  # noqa: B006 - a Recipe has lists; these are only read
        split_sizes: list[int] = [1, 2, 7, 7],  # noqa: B006
        heads: list[int] = [2, 4, 8, 16],  # noqa: B006
        ratio: float = 4.0,
        qkv_bias: bool = True,
        stem_kernel: int = 7,
        stem_stride: int = 4,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        check_probabilities(dropout=dropout)
        check_lengths(depths=depths, split_sizes=split_sizes, heads=heads)
        if dim < 1:
            raise ValueError(f"cswin needs a width of at least 1, got dim {dim}")
        rates = stage_rates(stochastic_depth, depths)
        embedding = _stem(image_size, channels, dim, stem_kernel, stem_stride)
        stages: list[Stage] = []
        for number, (split_size, stage_heads) in enumerate(zip(split_sizes, heads, strict=True), start=1):
            if stages:
                grid = stages[-1].embedding.grid
                embedding = StridedEmbedding(grid, dim, 2 * dim, kernel=3, stride=2, padding=1)
                dim = 2 * dim
            try:
                attentions = [
                    CrossShapedAttention(
                        dim, embedding.grid, dropout, heads=stage_heads, split_size=split_size, qkv_bias=qkv_bias
                    )
                    for _ in rates[number - 1]
                ]
            except ValueError as error:
                raise ValueError(f"stage {number}: {error}") from error
            blocks = [
                PyramidBlock(attention, dim, dropout, rate, ratio=ratio, eps=_EPS)
                for attention, rate in zip(attentions, rates[number - 1], strict=True)
            ]
            stages.append(Stage(embedding, blocks))
        super().__init__(stages, nn.LayerNorm(dim, eps=_EPS), GlobalAveragePool(), nn.Linear(dim, classes))


def _stem(image_size: tuple[int, int], channels: int, dim: int, kernel: int, stride: int) -> StridedEmbedding:
    height, width = image_size
    if stride < 1 or height % stride or width % stride:
        raise ValueError(f"a stem of stride {stride} does not divide an image of {height} x {width} px")
    # The least padding that gives one token for each stride x stride pixels: 2 for the paper's 7 and 4.
    padding = (kernel - stride + 1) // 2
    if kernel < stride or 2 * padding >= kernel:
        raise ValueError(f"a stem of kernel {kernel} at stride {stride} cannot see each pixel and keep the grid")
    return StridedEmbedding(image_size, channels, dim, kernel=kernel, stride=stride, padding=padding)
