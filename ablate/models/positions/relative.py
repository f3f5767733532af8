"""Positions as a bias of the attention: a logit for each offset between a query and a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.models.interpolation import interpolate


class RelativePosition(nn.Module):
    """Add to each attention logit the product of its query and a vector that is learned for the offset to the key.

    ViT's relative attention (arXiv 2010.11929, D.4): the original query attends to relative positions as keys, and
    these logits are added to those of the content. The vectors, of a head's width E, are shared by the heads. The
    queries come divided by sqrt(E), as for the content, so the whole logit is q . (k + r) / sqrt(E) (Shaw et al.,
    arXiv 1803.02155, eq. 5).

    ``offsets`` is ``1d``, as in ViT: one vector for each difference of the patches' numbers, counted row by row,
    2N - 1 of them. Or ``2d``: one for each difference of rows and one for each of columns, and r is their sum
    (Bello et al., arXiv 1904.09925, eq. 3). Prefix tokens have no offset: pairs with one get no bias. No tensor
    has more than O(N^2) elements for each head: products with the vectors come first, and are then laid out.
    Raises ValueError where the heads do not divide the width.
    """

    acts_on = "attention"
    roles: ClassVar[Mapping[str, str]] = {"patches": "position", "rows": "position", "columns": "position"}

    def __init__(
        self, dim: int, grid: tuple[int, int] | None, heads: int, *, offsets: Literal["1d", "2d"] = "1d"
    ) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("relative needs a grid: it tells places on it apart")
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        if offsets not in ("1d", "2d"):
            raise ValueError(f"relative offsets are '1d' or '2d', not {offsets!r}")
        self.grid = grid
        width = dim // heads
        one = offsets == "1d"

        def table(places: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(2 * places - 1, width))

        # Row j of each is for a key that lies j - (places - 1) places behind its query.
        self.patches = table(grid[0] * grid[1]) if one else None
        self.rows = None if one else table(grid[0])
        self.columns = None if one else table(grid[1])

    def forward(self, q_BANE: Tensor) -> Tensor:
        """What to add to the logits, (B, A, N queries, N keys), from scaled queries; prefix tokens come first."""
        rows, columns = self.grid
        prefix = q_BANE.shape[-2] - rows * columns
        q_BANE = q_BANE[..., prefix:, :]
        if self.patches is not None:
            bias_BANN = _by_key(q_BANE @ self.patches.T)
        else:
            assert self.rows is not None
            assert self.columns is not None
            q_BARCE = q_BANE.unflatten(-2, self.grid)
            by_row_BACRR = _by_key(q_BARCE.transpose(-3, -2) @ self.rows.T)
            by_column_BARCC = _by_key(q_BARCE @ self.columns.T)
            # (query row, query column, key row, key column)
            bias_BARCRC = by_row_BACRR.transpose(-3, -2).unsqueeze(-1) + by_column_BARCC.unsqueeze(-2)
            bias_BANN = bias_BARCRC.flatten(-4, -3).flatten(-2)
        return F.pad(bias_BANN, (prefix, 0, prefix, 0))

    def resampled(self, name: str, values: Tensor, old_grid: tuple[int, int]) -> Tensor:
        """The values of parameter ``name`` for this grid, from those for ``old_grid``.

        An offset is a fraction of the image: rows and columns are interpolated linearly along their axis. A
        difference of patches' numbers stands for two offsets (so many rows and columns, or one row more and a
        row's width back), so its vectors are laid out over rows and columns, interpolated there, and averaged
        again, each offset weighted by the number of pairs that have it.
        """
        if tuple(old_grid) == tuple(self.grid):
            return values
        if name != "patches":
            axis = 0 if name == "rows" else 1
            return interpolate(values, (_offsets(old_grid[axis]), 1), (_offsets(self.grid[axis]), 1), mode="bilinear")
        old_plane = _offsets(old_grid[0]), _offsets(old_grid[1])
        new_plane = _offsets(self.grid[0]), _offsets(self.grid[1])
        numbers, _ = _numbers_and_pairs(old_grid, values)
        plane = interpolate(values[numbers], old_plane, new_plane, mode="bilinear")
        numbers, pairs = _numbers_and_pairs(self.grid, values)
        count = _offsets(self.grid[0] * self.grid[1])
        total = plane.new_zeros(count, plane.shape[1]).index_add(0, numbers, plane * pairs[:, None])
        return total / plane.new_zeros(count).index_add(0, numbers, pairs)[:, None]


def _offsets(places: int) -> int:
    """How many differences there are between so many places on a line."""
    return 2 * places - 1


def _by_key(logits_XNO: Tensor) -> Tensor:
    """From a logit for each query and offset, (..., N, 2N - 1), to one for each query and key, (..., N, N).

    Query n finds key m at offset m - n, that is at column N - 1 - n + m: each row starts one column before the row
    above. Filling each row up by one and cutting the sequence into rows of 2N - 1 again shifts them so (Huang et
    al., arXiv 1809.04281, section 3.4.1), without an index.
    """
    N = logits_XNO.shape[-2]
    sequence = F.pad(F.pad(logits_XNO, (0, 1)).flatten(-2), (0, N - 1))
    return sequence.unflatten(-1, (N + 1, 2 * N - 1))[..., :N, N - 1 :]


def _numbers_and_pairs(grid: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """For each offset of rows and columns: the row of the 1-D table that holds it, and how many pairs have it."""
    rows, columns = grid
    down = torch.arange(1 - rows, rows, device=like.device).reshape(-1, 1)
    right = torch.arange(1 - columns, columns, device=like.device)
    numbers = down * columns + right + rows * columns - 1
    pairs = (rows - down.abs()) * (columns - right.abs())
    return numbers.flatten(), pairs.flatten().to(like.dtype)
