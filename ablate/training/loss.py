"""The training loss."""

from __future__ import annotations

import torch


def cross_entropy(logits_BK: torch.Tensor, targets_BK: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy of each image against soft targets: shape (B,), in nats and float32.

    ``loss_b = -sum_k targets_bk * log(exp(logits_bk) / sum_j exp(logits_bj))``. A row of targets that sums
    to one makes this the loss of MixUp (Zhang et al., arXiv 1710.09412) and, with a single one in it, the
    ordinary one. It is computed in float32 where the logits have less.
    """
    precise_BK = logits_BK.to(torch.promote_types(logits_BK.dtype, torch.float32))
    return -(targets_BK * torch.log_softmax(precise_BK, dim=1)).sum(dim=1)
