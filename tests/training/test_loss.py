from __future__ import annotations

import torch
from torch.nn import functional as F

from ablate.training.loss import cross_entropy


def test_soft_targets_agree_with_torch() -> None:
    """Value and gradient are those of torch's cross-entropy with class probabilities."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 10, generator=generator, requires_grad=True)
    targets = torch.softmax(torch.randn(6, 10, generator=generator), dim=1)
    ours, theirs = cross_entropy(logits, targets), F.cross_entropy(logits, targets, reduction="none")
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(ours.mean(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad(theirs.mean(), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)


def test_one_hot_targets_agree_with_labels() -> None:
    """A single one in a row of targets gives the loss of that label."""
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 3, 2, 1, 1])
    ours = cross_entropy(logits, F.one_hot(labels, 4).float())
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, reduction="none"), rtol=1e-6, atol=1e-6)


def test_half_precision_logits_give_a_full_precision_loss() -> None:
    """Logits in bfloat16 are raised to float32 before the softmax, and huge ones do not overflow."""
    logits = torch.tensor([[1e4, -1e4], [3.0, 1.0]], dtype=torch.bfloat16)
    loss = cross_entropy(logits, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), torch.tensor([1, 0]), reduction="none"))
