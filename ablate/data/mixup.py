"""MixUp (Zhang et al., arXiv 1710.09412, eq. 1) as in big_vision's `utils.get_mixup`.

An image keeps the larger share of itself, its partner is the one before it in the batch (a roll by one),
and targets are mixed as the images are.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from ablate import draws, recipe


def shares(settings: recipe.MixUp, seed: int, epoch: int, step: int, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """What each image keeps of itself, (B,), in [.5, 1]: max(s, 1 - s) with s from Beta(alpha, alpha).

    With ``draw="image"`` a share is keyed by (seed, epoch, image). With ``draw="batch"`` there is one for
    all, keyed by (seed, step), where ``step`` counts updates from the start of training.
    """
    if settings.draw == "batch":
        uniform = draws.uniform(seed, "mixup batch", step, np.zeros(1, dtype=np.int64), 1)[:, 0]
        uniform = np.broadcast_to(uniform, indices.shape)
    else:
        uniform = draws.uniform(seed, "mixup", epoch, indices, 1)[:, 0]
    share = betaincinv(settings.alpha, settings.alpha, uniform)
    return np.maximum(share, 1.0 - share).astype(np.float32)


def mix(values: Tensor, share: Tensor) -> Tensor:
    """``share * values + (1 - share) * values rolled by one`` along the batch; values (B, ...), share (B,)."""
    share = share.view(-1, *[1] * (values.dim() - 1))
    return share * values + (1.0 - share) * torch.roll(values, 1, dims=0)
