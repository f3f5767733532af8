"""Residual branches that are left out at random in training."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Leave out a residual branch, image by image, with probability ``rate`` (Huang et al., arXiv 1603.09382, eq. 2).

    As in DeiT (arXiv 2012.12877), a branch that stays is divided by 1 - rate, so that evaluation needs no
    factor; Huang et al. leave training as it is and scale in evaluation.
    Raises ValueError where ``rate`` is not at least 0 and below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"stochastic depth needs a rate of at least 0 and below 1, got {rate}")
        self.rate = rate

    def forward(self, branch_BND: Tensor) -> Tensor:
        """The branch; in training, zero for some of the images, the first dimension, and larger for the others."""
        if not self.training or not self.rate:
            return branch_BND
        ones = branch_BND.new_ones(branch_BND.shape[:1] + (1,) * (branch_BND.dim() - 1))
        return branch_BND * F.dropout(ones, self.rate)


def linear_rates(maximum: float, depth: int) -> list[float]:
    """The rate of each block: 0 in the first, rising linearly to ``maximum`` in the last, as in DeiT.

    A single block has 0. (Huang et al., eq. 4, count from the input: their first block has maximum / depth.)
    """
    return [maximum * (block / max(depth - 1, 1)) for block in range(depth)]


def constant_rates(rate: float, depth: int) -> list[float]:
    """The same rate in each block, as in the code of CaiT and ResMLP."""
    return [rate] * depth


#: The Recipe's name of a rule -> the rates of all blocks by it.
RATES = {"linear": linear_rates, "constant": constant_rates}
