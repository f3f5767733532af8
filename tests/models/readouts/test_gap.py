"""Global average pooling."""

from __future__ import annotations

import torch

from ablate.models.readouts.gap import GlobalAveragePool


def test_gap_is_the_mean_of_the_tokens() -> None:
    """Two tokens give their midpoint, image by image."""
    tokens = torch.tensor([[[0.0, 2.0], [4.0, 4.0]], [[1.0, 1.0], [3.0, -1.0]]])
    assert GlobalAveragePool()(tokens).tolist() == [[2.0, 3.0], [2.0, 0.0]]
