"""A learned gain for each channel of a residual branch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Generator, Tensor, nn

from ablate.models.init import Draw


class LayerScale(nn.Module):
    """Multiply each channel of a branch by a gain that starts small (CaiT, arXiv 2103.17239, eq. 4).

    CaiT starts at .1 up to 18 blocks, 1e-5 at 24 and 1e-6 above. ResMLP (arXiv 2105.03404, section 2) ends
    its branches with the same; its official S12 starts at .1, S24 at 1e-5, S36 and B24 at 1e-6.
    Raises ValueError where ``initial`` is no finite number.
    """

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        if not math.isfinite(initial):
            raise ValueError(f"layer scale needs a finite initial gain, got {initial}")
        self.gain = nn.Parameter(torch.full((dim,), float(initial)))
        self.roles: Mapping[str, Draw] = {"gain": partial(_constant, float(initial))}

    def forward(self, branch_BND: Tensor) -> Tensor:
        """The branch, (B, N, D), with every channel multiplied by its gain."""
        return branch_BND * self.gain


def _constant(value: float, shape: torch.Size, _fan_in: int, _generator: Generator) -> Tensor:
    return torch.full(shape, value)
