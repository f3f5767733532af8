"""ViT's head for fine-tuning."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ablate.models.heads.zero_linear import ZeroLinearHead
from ablate.models.init import initialise


@pytest.mark.parametrize("scheme", ["jax", "truncated_normal"])
def test_the_head_starts_at_zero_whatever_the_scheme(scheme: str) -> None:
    """At first each class gets logit zero, no gradient reaches the representation, and the head itself learns."""
    head = ZeroLinearHead(6, 4)
    for parameter in head.parameters():
        parameter.data.fill_(3.0)
    initialise(head, scheme, seed=1)
    representation = torch.randn(5, 6, requires_grad=True)
    logits = head(representation)
    assert not logits.any()
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3, 0])).backward()
    assert not representation.grad.any()
    assert all(parameter.grad.any() for parameter in head.parameters())


def test_the_head_is_linear() -> None:
    """Logits are W x + b, to 1e-12."""
    head = ZeroLinearHead(6, 4).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    expected = x @ head.classifier.weight.T + head.classifier.bias
    torch.testing.assert_close(head(x), expected, rtol=0, atol=1e-12)
