"""DeepViT's convolutional stem against its layers written out, and what it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ablate.models.init import initialise
from ablate.models.stems.cnn_patches import CNNPatches


def test_it_is_its_three_convolutions() -> None:
    """Convolution, norm and ReLU twice, then a convolution whose stride is its kernel; to 1e-12 in float64."""
    stem = CNNPatches((16, 8), 3, 10, patch_size=4, conv_channels=5)
    initialise(stem, "truncated_normal", 0)
    stem = stem.double().train()  # the norms use the batch's own mean and variance
    images = torch.randn(2, 3, 16, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def normed(maps: torch.Tensor) -> torch.Tensor:
        mean, variance = maps.mean((0, 2, 3), keepdim=True), maps.var((0, 2, 3), keepdim=True, correction=0)
        return (maps - mean) / (variance + 1e-5).sqrt()

    maps = normed(F.conv2d(images, stem.convolution_1.weight, stride=2, padding=3)).relu()
    maps = normed(F.conv2d(maps, stem.convolution_2.weight, padding=1)).relu()
    projection = stem.patches.projection
    tokens = F.conv2d(maps, projection.weight.view(10, 5, 2, 2), projection.bias, stride=2).flatten(2).transpose(1, 2)
    assert stem.grid == (4, 2)
    torch.testing.assert_close(stem(images), tokens, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"patch_size": 3}, "even patch_size"),
        ({"patch_size": 6}, "do not tile an image of 16 x 8 px"),
        ({"patch_size": 4, "conv_channels": 0}, "at least one channel"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, int], reason: str) -> None:
    """An odd patch, one that does not tile the image, no channels."""
    with pytest.raises(ValueError, match=reason):
        CNNPatches((16, 8), 3, 10, **options)
