"""Tokens from a strided convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ablate.models.init import Draw, torch_uniform


class StridedEmbedding(nn.Module):
    """A strided convolution, then layer normalisation: fewer tokens out of an image or a grid of tokens.

    The way into each stage of CSWin (arXiv 2107.00652) and PVT (arXiv 2102.12122, section 3.2), and the
    reduction in PVT's attention (section 3.3). The norm's epsilon is PyTorch's 1e-5, as in both official codes.
    maps_BCHW -> tokens_BND, row by row; ``grid`` is their rows and columns. Raises ValueError where the
    convolution leaves no token.
    """

    roles: ClassVar[Mapping[str, Draw]] = {"convolution.weight": torch_uniform, "convolution.bias": torch_uniform}

    def __init__(
        self, size: tuple[int, int], channels: int, dim: int, *, kernel: int, stride: int, padding: int
    ) -> None:
        super().__init__()
        rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in size)
        if min(rows, columns) < 1:
            raise ValueError(f"a convolution of kernel {kernel} leaves nothing of a map of {size[0]} x {size[1]}")
        self.grid = (rows, columns)
        self.convolution = nn.Conv2d(channels, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(dim)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        """Tokens, (B, N, D), in the maps' precision: the residual stream keeps it under autocast."""
        tokens_BND: Tensor = self.norm(self.convolution(maps_BCHW).flatten(2).transpose(1, 2))
        return tokens_BND.to(maps_BCHW.dtype)
