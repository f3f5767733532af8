"""Patches of the low-level features of one convolution, instead of the pixels'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ablate.models.stems.patches import LinearPatches
from ablate.models.stems.tiling import tiled


class ImageToTokens(nn.Module):
    """Convolve, normalise and pool the image, then cut the map into patches (CeiT, arXiv 2103.11816, section 3.2).

    I2T is x' = MaxPool(BN(Conv(x))): a convolution without bias, ``kernel`` x ``kernel`` at ``stride``, to
    ``conv_channels`` channels; batch normalisation, unless ``batch_norm`` is off; a max pool of ``pool`` x ``pool``
    at stride 2, or none at 0. No activation. Patches of ``patch_size`` places of that map are projected linearly.
    With the defaults, CeiT's (64 channels as in coeusguo/ceit, ceit_model.py), a token stands for 16 x 16 pixels.
    Raises ValueError for an even kernel or pool, which would not divide the sides by its stride, and where the
    patches do not tile the map.
    """

    # Like the patches, the convolution keeps torch's first values in the official code.
    roles: ClassVar[Mapping[str, str]] = {"convolution.weight": "patches"}

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        dim: int,
        *,
        kernel: int = 7,
        stride: int = 2,
        conv_channels: int = 64,
        batch_norm: bool = True,
        pool: int = 3,
        patch_size: int = 4,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0 or stride < 1 or conv_channels < 1:
            raise ValueError(
                "image_to_tokens needs an odd kernel, and a stride and conv_channels of at least 1, "
                f"got {kernel}, {stride} and {conv_channels}"
            )
        if pool and (pool < 0 or pool % 2 == 0):
            raise ValueError(f"image_to_tokens needs an odd pool, or 0 for none, got {pool}")
        shrinking = (stride, 2 if pool else 1)
        map_size = (_strided(image_size[0], *shrinking), _strided(image_size[1], *shrinking))
        tiled(map_size, patch_size, "the feature map")
        self.convolution = nn.Conv2d(channels, conv_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(conv_channels) if batch_norm else nn.Identity()
        self.pool = nn.MaxPool2d(pool, stride=2, padding=pool // 2) if pool else nn.Identity()
        self.patches = LinearPatches(map_size, conv_channels, dim, patch_size=patch_size)
        self.grid = self.patches.grid

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Tokens of shape (B, rows x columns, D), the first row of patches first."""
        tokens_BND: Tensor = self.patches(self.pool(self.norm(self.convolution(images_BCHW))))
        return tokens_BND


def _strided(side: int, *strides: int) -> int:
    """A side after layers with an odd kernel, padded by half of it: divided by each stride, rounded up."""
    for stride in strides:
        side = -(-side // stride)
    return side
