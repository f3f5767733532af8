"""Values that lie on a grid, for a grid of another shape."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def interpolate(
    values_ND: Tensor,
    old_grid: tuple[int, int],
    new_grid: tuple[int, int],
    mode: Literal["bicubic", "bilinear"] = "bicubic",
) -> Tensor:
    """The vectors of the places of ``new_grid``, row by row, from those of ``old_grid``; the same type.

    The grids span the same image, and going to a coarser one averages over the places that fall together: the
    conventions of timm's `resample_abs_pos_embed`. On an unchanged grid the values come back as they are. Types
    below float32 are interpolated in float32. Raises ValueError where there is not one vector for each place.
    """
    rows, columns = old_grid
    if values_ND.shape[0] != rows * columns:
        raise ValueError(f"{values_ND.shape[0]} vectors are not one for each place of a grid of {rows} x {columns}")
    if tuple(old_grid) == tuple(new_grid):
        return values_ND
    exact_RCD = values_ND.to(torch.promote_types(values_ND.dtype, torch.float32)).unflatten(0, (rows, columns))
    by_column_DRC = _along_last(exact_RCD.permute(2, 0, 1), new_grid[1], mode)
    new_DCR = _along_last(by_column_DRC.transpose(1, 2), new_grid[0], mode)
    return new_DCR.permute(2, 1, 0).flatten(0, 1).to(values_ND.dtype)


def _along_last(values_DXL: Tensor, length: int, mode: str) -> Tensor:
    """The values at another number of places along the last axis.

    One axis after the other gives what both at once do, and torch 2.14 needs it: on the CPU, both at once leave
    the rows of a grid of a single column wrong.
    """
    D, X, L = values_DXL.shape
    lines = values_DXL.reshape(1, D * X, 1, L)
    return F.interpolate(lines, size=(1, length), mode=mode, align_corners=False, antialias=True).reshape(D, X, length)
