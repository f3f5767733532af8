"""What a student's logits lose by differing from a teacher's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.recipe import Distillation


def distillation_loss(settings: Distillation, student_BK: Tensor, teacher_BK: Tensor) -> Tensor:
    """The teacher's term of the loss, not yet weighted, of each image: shape (B,), in nats and float32.

    ``hard`` is the cross-entropy with the class that the teacher puts first (DeiT, arXiv 2012.12877, eq. 3). ``soft``
    is ``T**2 * KL(softmax(teacher / T) || softmax(student / T))`` with the temperature T (Hinton et al., arXiv
    1503.02531; DeiT, eq. 2), so that its mean over a batch is torch's ``batchmean`` and timm's TokenDistillationTask.
    DeiT's official losses.py divides the sum over the batch by B * K instead: its soft term is smaller by the number of
    classes K than that of the paper's equation, and so is its effect at the same weight.

    No gradient reaches the teacher. Logits of less than float32 are raised to it.
    """
    dtype = torch.promote_types(student_BK.dtype, torch.float32)
    student_BK, teacher_BK = student_BK.to(dtype), teacher_BK.detach().to(dtype)
    if settings.kind == "hard":
        return F.cross_entropy(student_BK, teacher_BK.argmax(dim=1), reduction="none")
    T = settings.temperature
    student_BK, teacher_BK = (torch.log_softmax(logits_BK / T, dim=1) for logits_BK in (student_BK, teacher_BK))
    return T**2 * F.kl_div(student_BK, teacher_BK, reduction="none", log_target=True).sum(dim=1)
