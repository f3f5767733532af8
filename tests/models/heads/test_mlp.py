"""The MLP head."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ablate.models.heads.mlp import MLPHead


def test_the_mlp_head_is_dense_tanh_linear() -> None:
    """Logits are W2 tanh(W1 x + b1) + b2 with a hidden layer as wide as x, to 1e-12."""
    head = MLPHead(6, 3).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    (w1, b1), (w2, b2) = ((layer.weight, layer.bias) for layer in (head.representation, head.classifier))
    assert w1.shape == (6, 6)
    expected = F.linear(torch.tanh(F.linear(x, w1, b1)), w2, b2)
    torch.testing.assert_close(head(x), expected, rtol=0, atol=1e-12)
