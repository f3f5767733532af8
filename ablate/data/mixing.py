"""Mixing images and their targets in pairs: MixUp and CutMix.

MixUp (Zhang et al., arXiv 1710.09412, eq. 1) as in big_vision: an image keeps the larger share of itself. CutMix (Yun
et al., arXiv 1905.04899, eq. 1 and 2) with timm's box, clipped at the border, and targets that follow the area really
pasted. The choice between them is that of timm's `Mixup`; partners are not: here an image's partner is the one before
it in the batch (a roll by one).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import betaincinv
from torch import Tensor

from ablate import draws, recipe
from ablate.data.erasing import inside
from ablate.recipe import Augment

Keys = NDArray[np.int64]


class Mixer:
    """Mixes a batch with its partners as the Recipe says."""

    def __init__(self, augment: Augment) -> None:
        self._augment = augment

    @property
    def pairs(self) -> bool:
        """Whether it needs partners at all."""
        return self._augment.mixup != "off" or self._augment.cutmix != "off"

    def __call__(
        self,
        images: tuple[Tensor, Tensor],
        targets: tuple[Tensor, Tensor],
        seed: int,
        epoch: int,
        step: int,
        keys: Keys,
    ) -> tuple[Tensor, Tensor]:
        """Mixed images (B, C, H, W) and targets (B, K) from both, each given with its partners'.

        Draws for an image are keyed by (seed, epoch, ``keys`` (B,)), draws for the batch by (seed, ``step``), which
        counts updates from the start of training.
        """
        mixup, cutmix = self._augment.mixup, self._augment.cutmix
        mixed, cut = choices(self._augment, seed, epoch, step, keys)
        values, share = images[0], np.ones(len(keys), dtype=np.float32)
        if mixup != "off":
            share = np.where(mixed & ~cut, shares(mixup, seed, epoch, step, keys), share)
            values = mix(*images, torch.from_numpy(share).to(values.device))
        if cutmix != "off":
            size = values.shape[-2], values.shape[-1]
            pasted = np.where((mixed & cut)[:, None], boxes(cutmix, size, seed, epoch, step, keys), 0)
            values = torch.where(inside(pasted, *size).to(values.device), images[1], values)
            kept = 1.0 - pasted[:, 2] * pasted[:, 3] / (size[0] * size[1])
            share = np.where(mixed & cut, kept, share).astype(np.float32)
        return values, mix(*targets, torch.from_numpy(share).to(values.device))


def choices(augment: Augment, seed: int, epoch: int, step: int, keys: Keys) -> tuple[NDArray[np.bool_], ...]:
    """Which images are mixed at all, and which of them by CutMix, both (B,); draws only where there is a choice."""
    mixup, cutmix = augment.mixup, augment.cutmix
    always, never = np.ones(len(keys), dtype=np.bool_), np.zeros(len(keys), dtype=np.bool_)
    mixed, cut = always, always if mixup == "off" else never
    draw = cutmix.draw if cutmix != "off" else mixup.draw if mixup != "off" else "image"
    if augment.mixing_probability < 1.0:
        mixed = _uniform(draw, "mixing", seed, epoch, step, keys, 1)[:, 0] < augment.mixing_probability
    if mixup != "off" and cutmix != "off":
        cut = _uniform(draw, "mixing by", seed, epoch, step, keys, 1)[:, 0] < augment.cutmix_share
    return mixed, cut


def shares(settings: recipe.MixUp, seed: int, epoch: int, step: int, indices: Keys) -> NDArray[np.float32]:
    """What each image keeps of itself, (B,), in [.5, 1]: max(s, 1 - s) with s from Beta(alpha, alpha).

    With ``draw="image"`` a share is keyed by (seed, epoch, image). With ``draw="batch"`` there is one for
    all, keyed by (seed, step), where ``step`` counts updates from the start of training.
    """
    uniform = _uniform(settings.draw, "mixup", seed, epoch, step, indices, 1)[:, 0]
    share = betaincinv(settings.alpha, settings.alpha, uniform)
    return np.maximum(share, 1.0 - share).astype(np.float32)


def boxes(
    settings: recipe.CutMix, size: tuple[int, int], seed: int, epoch: int, step: int, keys: Keys
) -> NDArray[np.int64]:
    """Top, left, height and width, (B, 4), of the partner's pixels in images of height and width ``size``.

    With s from Beta(alpha, alpha), a box has the image's shape and 1 - s of its area before it is clipped; its centre
    is uniform over all pixels. Keyed as `shares` are.
    """
    uniform = _uniform(settings.draw, "cutmix", seed, epoch, step, keys, 3)
    sides = np.sqrt(1.0 - betaincinv(settings.alpha, settings.alpha, uniform[:, :1]))
    cut = np.floor(sides * size)
    centre = np.floor(uniform[:, 1:] * size)
    start = np.clip(centre - cut // 2, 0, size)
    end = np.clip(centre + (cut + 1) // 2, 0, size)
    return np.concatenate([start, end - start], axis=1).astype(np.int64)


def mix(values: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """``share * values + (1 - share) * partners``; both (B, ...), share (B,)."""
    share = share.view(-1, *[1] * (values.dim() - 1))
    return share * values + (1.0 - share) * partners


def _uniform(draw: str, purpose: str, seed: int, epoch: int, step: int, keys: Keys, count: int) -> NDArray[np.float64]:
    """Uniforms, (B, count): for each image, or the same for the whole batch."""
    if draw == "image":
        return draws.uniform(seed, purpose, epoch, keys, count)
    one = draws.uniform(seed, f"{purpose} batch", step, np.zeros(1, dtype=np.int64), count)
    return np.broadcast_to(one, (len(keys), count))
