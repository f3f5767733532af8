"""The training loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.recipe import Loss


def make_loss(settings: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of each image, (B,) and in nats, from logits and soft targets, (B, K) both.

    Label smoothing s makes targets t into ``(1 - s) * t + s / K`` (Szegedy et al., arXiv 1512.00567, section 7), for
    both kinds of loss. timm smooths before it mixes images; since this is linear in the targets, and rows of targets
    sum to one, smoothing the mixed ones gives the same.
    """
    loss = {"softmax": cross_entropy, "sigmoid": binary_cross_entropy}[settings.kind]
    share = settings.label_smoothing
    if not share:
        return loss
    return lambda logits_BK, targets_BK: loss(logits_BK, (1.0 - share) * targets_BK + share / targets_BK.shape[1])


def make_evaluation_loss(settings: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """The same kind of loss against the labels as they are, not smoothed."""
    return make_loss(settings.model_copy(update={"label_smoothing": 0.0}))


def cross_entropy(logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """Softmax cross-entropy of each image against soft targets: shape (B,), in nats and float32.

    ``loss_b = -sum_k targets_bk * log(exp(logits_bk) / sum_j exp(logits_bj))``. A row of targets that sums
    to one makes this the loss of MixUp (Zhang et al., arXiv 1710.09412) and, with a single one in it, the
    ordinary one. It is computed in float32 where the logits have less.
    """
    return -(targets_BK * torch.log_softmax(_precise(logits_BK), dim=1)).sum(dim=1)


def binary_cross_entropy(logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """Sigmoid cross-entropy of each image, summed over classes: shape (B,), in nats and float32.

    ``loss_b = -sum_k targets_bk * log(p_bk) + (1 - targets_bk) * log(1 - p_bk)`` with ``p = sigmoid(logits)`` (Beyer
    et al., arXiv 2006.07159, section 5; big_vision's `sigmoid_xent`; timm's BinaryCrossEntropy with ``sum_classes``).
    It is computed in float32 where the logits have less.
    """
    precise_BK = _precise(logits_BK)
    each_BK = F.binary_cross_entropy_with_logits(precise_BK, targets_BK.to(precise_BK.dtype), reduction="none")
    return each_BK.sum(dim=1)


def _precise(logits_BK: Tensor) -> Tensor:
    return logits_BK.to(torch.promote_types(logits_BK.dtype, torch.float32))
