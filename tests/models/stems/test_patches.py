"""Patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ablate.models.stems.patches import LinearPatches


def test_patches_are_a_convolution_whose_stride_is_its_kernel() -> None:
    """The tokens are those of a convolution with the same weight, row by row, to 1e-12."""
    stem = LinearPatches(image_size=12, channels=3, dim=5, patch_size=4).double()
    images = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    kernel = stem.projection.weight.reshape(5, 3, 4, 4)
    expected = F.conv2d(images, kernel, stem.projection.bias, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(stem(images), expected, rtol=0, atol=1e-12)
    assert stem.grid == (3, 3)
