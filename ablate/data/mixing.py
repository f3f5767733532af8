"""Mixing images and their targets in pairs: MixUp (Zhang et al., arXiv 1710.09412, eq. 1) as in big_vision.

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
from ablate.recipe import Augment


class Mixer:
    """Mixes a batch with its partners as the Recipe says."""

    def __init__(self, augment: Augment) -> None:
        self._augment = augment

    @property
    def pairs(self) -> bool:
        """Whether it needs partners at all."""
        return self._augment.mixup != "off"

    def __call__(
        self,
        images: tuple[Tensor, Tensor],
        targets: tuple[Tensor, Tensor],
        seed: int,
        epoch: int,
        step: int,
        keys: NDArray[np.int64],
    ) -> tuple[Tensor, Tensor]:
        """Mixed images (B, C, S, S) and targets (B, K) from both, each given with its partners'.

        Draws for an image are keyed by (seed, epoch, ``keys`` (B,)), draws for the batch by (seed, ``step``), which
        counts updates from the start of training.
        """
        mixup = self._augment.mixup
        if mixup == "off":
            return images[0], targets[0]
        share = torch.from_numpy(shares(mixup, seed, epoch, step, keys)).to(images[0].device)
        return mix(*images, share), mix(*targets, share)


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


def mix(values: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """``share * values + (1 - share) * partners``; both (B, ...), share (B,)."""
    share = share.view(-1, *[1] * (values.dim() - 1))
    return share * values + (1.0 - share) * partners
