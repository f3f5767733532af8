"""A few small convolutions in place of one large one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from ablate.models.init import Draw, normal, torch_uniform
from ablate.models.stems.tiling import tiled


def _by_outputs(shape: torch.Size, fan_in: int, generator: Generator) -> Tensor:
    """A normal of variance 2 / outputs."""
    return normal(math.sqrt(2 / shape[0]))(shape, fan_in, generator)


class ConvPatches(nn.Module):
    """Convolve to one token for each patch: "early convolutions" (Xiao et al., arXiv 2106.14881, section 4).

    Convolutions of 3 x 3 without bias, each followed by batch normalisation and ReLU, then one of 1 x 1 to the
    width of the tokens, with bias and nothing after it. ``conv_channels`` are the widths of the former. A
    convolution that widens the map halves its sides, the first one always; one that keeps the width keeps the
    sides. Left out, they double up to the width of the tokens, one for each factor of 2 in ``patch_size``: at
    patches of 16, the paper's 24, 48, 96, 192 (ViT_C-1GF) and 48, 96, 192, 384 (ViT_C-4GF). Its two larger
    models have 64, 128, 128, 256, 256, 512. To keep the number of FLOPs, the paper takes one block out of the
    encoder: that is up to the Recipe's depth.

    First values are those of the authors' code whatever the scheme (facebookresearch/pycls, pycls/models/vit.py):
    torch's default, and for the last convolution a normal of variance 2 / width.
    Raises ValueError where the patches do not tile the image, where ``patch_size`` is not the product of the
    strides, or where the widths cannot be halved often enough.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        dim: int,
        *,
        patch_size: int,
        conv_channels: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.grid = tiled(image_size, patch_size)
        widths = _doubling(dim, patch_size) if conv_channels is None else list(conv_channels)
        if not widths or min(widths) < 1:
            raise ValueError(f"conv_patches needs conv_channels of at least 1, got {widths}")
        strides = [2 if width > before else 1 for before, width in pairwise([0, *widths])]
        if math.prod(strides) != patch_size:
            raise ValueError(
                f"convolutions of {widths} channels halve the image to patches of {math.prod(strides)} px, "
                f"not {patch_size} px"
            )
        layers: list[nn.Module] = []
        for (before, width), stride in zip(pairwise([channels, *widths]), strides, strict=True):
            layers.append(nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        # A 1 x 1 convolution is a linear layer on each place.
        self.projection = nn.Linear(widths[-1], dim)
        convolved = {f"convolutions.{3 * index}.weight": torch_uniform for index in range(len(widths))}
        self.roles: Mapping[str, Draw] = convolved | {"projection.weight": _by_outputs}

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Tokens of shape (B, rows x columns, D), the first row of places first."""
        map_BCHW = self.convolutions(images_BCHW)
        tokens_BND: Tensor = self.projection(map_BCHW.flatten(2).transpose(1, 2))
        return tokens_BND


def _doubling(dim: int, patch_size: int) -> list[int]:
    """Widths that double up to ``dim``, one for each factor of 2 in the patch."""
    count = patch_size.bit_length() - 1
    if count < 1 or patch_size != 2**count:
        raise ValueError(f"patches of {patch_size} px are not made by halving: take a power of 2, from 2")
    if dim % 2 ** (count - 1):
        raise ValueError(f"dim {dim} cannot be halved {count - 1} times: say conv_channels")
    return [dim >> halvings for halvings in reversed(range(count))]
