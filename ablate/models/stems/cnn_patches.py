"""Two convolutions at half the image's sides, and patches of what they find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ablate.models.stems.patches import LinearPatches
from ablate.models.stems.tiling import tiled


class CNNPatches(nn.Module):
    """The stem of DeepViT-S and DeepViT-L (Zhou et al., arXiv 2103.11886; the authors' models/layers.py).

    A convolution of 7 x 7 at stride 2 and one of 3 x 3, to ``conv_channels`` channels, neither with a bias, each
    followed by batch normalisation and ReLU; then patches of the map, so that a token stands for ``patch_size`` x
    ``patch_size`` pixels. First values are torch's defaults, as in the authors' code.
    Raises ValueError where ``patch_size`` is odd or does not tile the image.
    """

    roles: ClassVar[Mapping[str, str]] = {"convolution_1.weight": "patches", "convolution_2.weight": "patches"}

    def __init__(
        self, image_size: tuple[int, int], channels: int, dim: int, *, patch_size: int, conv_channels: int = 64
    ) -> None:
        super().__init__()
        if patch_size < 2 or patch_size % 2:
            raise ValueError(f"cnn_patches needs an even patch_size, since it halves the image first, got {patch_size}")
        if conv_channels < 1:
            raise ValueError(f"cnn_patches needs at least one channel, got conv_channels {conv_channels}")
        self.grid = tiled(image_size, patch_size)
        self.convolution_1 = nn.Conv2d(channels, conv_channels, 7, stride=2, padding=3, bias=False)
        self.norm_1 = nn.BatchNorm2d(conv_channels)
        self.convolution_2 = nn.Conv2d(conv_channels, conv_channels, 3, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(conv_channels)
        half = (image_size[0] // 2, image_size[1] // 2)
        self.patches = LinearPatches(half, conv_channels, dim, patch_size=patch_size // 2)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Tokens of shape (B, rows x columns, D), the first row of patches first."""
        map_BCHW = self.norm_1(self.convolution_1(images_BCHW)).relu()
        map_BCHW = self.norm_2(self.convolution_2(map_BCHW)).relu()
        tokens_BND: Tensor = self.patches(map_BCHW)
        return tokens_BND
