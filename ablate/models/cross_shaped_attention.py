"""Self-attention within stripes of the image, horizontal ones and vertical ones side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ablate.models.init import Draw, torch_uniform
from ablate.models.scaled_dot_product import attend, attention_weights


class CrossShapedAttention(nn.Module):
    """CSWin's cross-shaped window self-attention (Dong et al., arXiv 2107.00652, section 3).

    Half of the heads attend within vertical stripes, ``split_size`` columns wide and as high as the grid, the
    other half within horizontal ones, ``split_size`` rows high. A ``split_size`` equal to the longer side of
    the grid makes one window of everything, and then all heads attend over all tokens. To the mixed values
    is added LePE, the locally-enhanced positional encoding: softmax(q k^T / sqrt(E)) v + DWConv(v), with a
    depthwise 3 x 3 convolution within each window and zeros around it, as in the official code.

    The first half of the heads has the vertical stripes, as in the official code. Dropout follows the output
    projection (the official code builds one there and never calls it).

    tokens_BND, on the grid row by row -> the residual branch, (B, N, D).
    Raises ValueError where the heads do not divide the width, where stripes do not tile the grid, and for an
    odd number of heads in stripes.
    """

    def __init__(
        self, dim: int, grid: tuple[int, int], dropout: float, *, heads: int, split_size: int, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        rows, columns = grid
        self.grid = grid
        self.full = split_size == max(grid)
        if not self.full:
            if split_size < 1 or rows % split_size or columns % split_size:
                raise ValueError(f"stripes of split size {split_size} do not tile a grid of {rows} x {columns}")
            if heads % 2:
                raise ValueError(f"{heads} heads cannot be halved between horizontal and vertical stripes")
        windows = [grid] if self.full else [(rows, split_size), (split_size, columns)]
        parts = len(windows)
        # One matrix product for all three; its rows are q, then k, then v, each with the vertical half first.
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.branches: Any = nn.ModuleList(
            LocallyEnhancedAttention(dim // parts, grid, window, heads // parts) for window in windows
        )
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The residual branch, (B, N, D)."""
        mixed = [branch(part) for branch, part in zip(self.branches, self._project(tokens_BND), strict=True)]
        branch_BND: Tensor = self.dropout(self.out(torch.cat(mixed, dim=-1).flatten(1, 2)))
        return branch_BND

    def weights(self, tokens_BND: Tensor) -> Tensor:
        """The attention weights, (B, A, N queries, N keys). Raises ValueError where heads see only stripes."""
        if not self.full:
            raise ValueError("attention in stripes has no weights over all tokens; ask for the attention received")
        (part,) = self._project(tokens_BND)
        weights_BANN: Tensor = self.branches[0].weights(part)
        return weights_BANN

    def received(self, tokens_BND: Tensor) -> Tensor:
        """The attention that each place receives within its stripe, (B, A, rows, columns), with a mean of 1."""
        parts = zip(self.branches, self._project(tokens_BND), strict=True)
        return torch.cat([branch.received(part) for branch, part in parts], dim=1)

    def _project(self, tokens_BND: Tensor) -> tuple[Tensor, ...]:
        """For each branch its queries, keys and values, (3, B, rows, columns, D of the branch)."""
        qkv = self.qkv(tokens_BND).unflatten(1, self.grid).unflatten(-1, (3, -1))
        return qkv.movedim(-2, 0).chunk(len(self.branches), dim=-1)


class LocallyEnhancedAttention(nn.Module):
    """Multi-head attention within windows of a grid, plus LePE; see `CrossShapedAttention`.

    In its shapes W is the number of windows of an image, and P of the places in one.
    """

    roles: ClassVar[Mapping[str, Draw]] = {"lepe.weight": torch_uniform, "lepe.bias": torch_uniform}

    def __init__(self, dim: int, grid: tuple[int, int], window: tuple[int, int], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.height, self.width = window
        self.down, self.across = grid[0] // window[0], grid[1] // window[1]
        self.lepe = nn.Conv2d(dim, dim, kernel_size=3, padding=1, groups=dim)

    def forward(self, qkv_3BHWD: Tensor) -> Tensor:
        """The mixed values, (B, rows, columns, D)."""
        q, k, v = self._cut(qkv_3BHWD)
        local = self.lepe(v.transpose(-2, -1).reshape(len(v), -1, self.height, self.width))
        mixed = attend(q, k, v) + local.reshape(v.mT.shape).transpose(-2, -1)
        return self._join(mixed.permute(0, 2, 1, 3).flatten(2))

    def weights(self, qkv_3BHWD: Tensor) -> Tensor:
        """The attention weights of each window, (B W, A, P queries, P keys)."""
        q, k, _ = self._cut(qkv_3BHWD)
        return attention_weights(q, k)

    def received(self, qkv_3BHWD: Tensor) -> Tensor:
        """The attention that each place receives, (B, A, rows, columns): its weights, summed over the queries."""
        sums = self.weights(qkv_3BHWD).sum(dim=-2)
        return self._join(sums.transpose(-2, -1)).permute(0, 3, 1, 2)

    def _cut(self, qkv_3BHWD: Tensor) -> tuple[Tensor, ...]:
        """q, k and v of each window, (B W, A, P, E)."""
        tiled = qkv_3BHWD.unflatten(3, (self.across, self.width)).unflatten(2, (self.down, self.height))
        split = tiled.unflatten(-1, (self.heads, -1))  # 3, B, down, height, across, width, A, E
        return split.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5, 6).flatten(1, 3).unbind(0)

    def _join(self, windows: Tensor) -> Tensor:
        """Windows (B W, P, F) as a grid (B, rows, columns, F)."""
        tiled = windows.unflatten(1, (self.height, self.width)).unflatten(0, (-1, self.down, self.across))
        return tiled.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
