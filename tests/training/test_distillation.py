from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.task import TokenDistillationTask
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.recipe import Distillation, Teacher
from ablate.training.distillation import distillation_loss

TEACHER = Teacher(checkpoint="trial:0123456789abcdef")


def settings(**fields: object) -> Distillation:
    return Distillation.model_validate({"teacher": TEACHER, **fields})


def logits(seed: int) -> Tensor:
    return 2 * torch.randn(5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_soft_follows_the_formula_image_by_image() -> None:
    """T^2 KL(teacher || student) of the softened distributions, in NumPy to a relative 1e-12."""

    def softened(values: Tensor) -> np.ndarray:
        powers = np.exp(values.numpy() / 3.0)
        return powers / powers.sum(1, keepdims=True)

    p, q = softened(logits(1)), softened(logits(0))
    ours = distillation_loss(settings(kind="soft", temperature=3.0), logits(0), logits(1))
    np.testing.assert_allclose(ours.numpy(), 9.0 * (p * np.log(p / q)).sum(1), rtol=1e-12)


def test_soft_has_the_mean_of_torch_and_k_times_that_of_deits_code() -> None:
    """Its mean is torch's `batchmean`; DeiT's losses.py divides by B * K, and so gives a K-th of it."""
    T = 2.5
    ours = distillation_loss(settings(kind="soft", temperature=T), logits(0), logits(1)).mean()
    student, teacher = F.log_softmax(logits(0) / T, 1), F.log_softmax(logits(1) / T, 1)
    batch_mean = F.kl_div(student, teacher, reduction="batchmean", log_target=True) * T**2
    torch.testing.assert_close(ours, batch_mean, rtol=1e-12, atol=0.0)
    official = F.kl_div(student, teacher, reduction="sum", log_target=True) * T**2 / student.numel()
    torch.testing.assert_close(ours, 7 * official, rtol=1e-12, atol=0.0)


def test_hard_learns_the_teachers_decision() -> None:
    """It is torch's cross-entropy with the teacher's argmax."""
    ours = distillation_loss(settings(kind="hard"), logits(0), logits(1))
    expected = F.cross_entropy(logits(0), logits(1).argmax(1), reduction="none")
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0.0)


class _Student(nn.Module):
    """Two heads as timm's task wants them, on images that are their own logits."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"mean": (0.0,), "std": (1.0,)}
        self.num_classes, self.in_chans = 7, 1
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def set_distilled_training(self, enable: bool) -> None:
        pass

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        values = images.flatten(1) * self.scale
        return values, values.flip(1)


class _Frozen(_Student):
    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return images.flatten(1) ** 2


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_agrees_with_timms_task(kind: str) -> None:
    """Loss and gradient are those of `TokenDistillationTask`'s teacher's term, to a relative 1e-12."""
    student = _Student()
    task = TokenDistillationTask(
        student, _Frozen(), criterion=nn.CrossEntropyLoss(), distill_type=kind, task_loss_weight=0.0, temperature=3.0,
        dtype=torch.float64, verbose=False,
    )  # fmt: skip
    images = logits(2).reshape(5, 1, 1, 7)
    theirs = task(images, torch.zeros(5, dtype=torch.long))["loss"]
    ours = distillation_loss(settings(kind=kind), student(images)[1], images.flatten(1) ** 2).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0.0)
    (expected,) = torch.autograd.grad(theirs, student.scale)
    (gradient,) = torch.autograd.grad(ours, student.scale)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_no_gradient_reaches_the_teacher(kind: str) -> None:
    """Only the student's logits are pulled; and logits in bfloat16 give a loss in float32."""
    student = logits(0).bfloat16().requires_grad_()
    teacher = logits(1).bfloat16().requires_grad_()
    loss = distillation_loss(settings(kind=kind), student, teacher)
    assert loss.dtype == torch.float32
    loss.sum().backward()
    assert student.grad is not None
    assert teacher.grad is None
