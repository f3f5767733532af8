from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.data.mixup import mixup_target
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from torch import Tensor
from torch.nn import functional as F

from ablate.recipe import Loss
from ablate.training.loss import cross_entropy, make_loss

LABELS = torch.tensor([0, 3, 2, 1, 1, 3])


def logits(dtype: torch.dtype = torch.float64) -> Tensor:
    return 3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)


def mixed(smoothing: float = 0.0) -> Tensor:
    """Targets of the labels mixed with those of the batch in reverse, .7 to .3, smoothed before that."""
    return mixup_target(LABELS, 4, lam=0.7, smoothing=smoothing).double()


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


def test_the_default_is_plain_cross_entropy() -> None:
    """Without smoothing nothing is computed that was not before there was any."""
    assert make_loss(Loss()) is cross_entropy


def test_smoothed_labels_agree_with_timm() -> None:
    """The mean over a batch is that of `LabelSmoothingCrossEntropy`, to a relative 1e-12."""
    ours = make_loss(Loss(label_smoothing=0.1))(logits(), F.one_hot(LABELS, 4).double())
    torch.testing.assert_close(ours.mean(), LabelSmoothingCrossEntropy(0.1)(logits(), LABELS), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_targets_agree_with_timm(smoothing: float) -> None:
    """Smoothing what is mixed is mixing what is smoothed, as timm does: to a relative 1e-6, its targets are float32."""
    ours = make_loss(Loss(label_smoothing=smoothing))(logits(), mixed())
    theirs = SoftTargetCrossEntropy()(logits(), mixed(smoothing))
    torch.testing.assert_close(ours.mean(), theirs, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sigmoid_agrees_with_timm(smoothing: float) -> None:
    """The mean is that of `BinaryCrossEntropy` summed over classes: of labels to 1e-12, of mixed ones to 1e-6."""
    loss = make_loss(Loss(kind="sigmoid", label_smoothing=smoothing))
    theirs = BinaryCrossEntropy(smoothing, sum_classes=True)
    ours = loss(logits(), F.one_hot(LABELS, 4).double()).mean()
    torch.testing.assert_close(ours, theirs(logits(), LABELS), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(loss(logits(), mixed()).mean(), theirs(logits(), mixed(smoothing)), rtol=1e-6, atol=0.0)


def test_sigmoid_follows_the_formula_image_by_image() -> None:
    """Minus the log-likelihood of K independent coins, as big_vision's `sigmoid_xent`, in NumPy to 1e-12."""
    targets = mixed().numpy()
    p = 1 / (1 + np.exp(-logits().numpy()))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum(1)
    ours = make_loss(Loss(kind="sigmoid"))(logits(), mixed())
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12)


def test_sigmoid_of_half_precision_logits_is_in_full_precision() -> None:
    """Logits in bfloat16 are raised to float32, and huge ones give a finite loss."""
    loss = make_loss(Loss(kind="sigmoid"))(
        torch.tensor([[1e4, -1e4]], dtype=torch.bfloat16), torch.tensor([[0.0, 1.0]])
    )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2 * torch.tensor(1e4).bfloat16().item())
