"""Early convolutions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from ablate.models.stems.conv_patches import ConvPatches


def widths(stem: ConvPatches) -> list[int]:
    """What the 3 x 3 convolutions give out."""
    return [layer.out_channels for layer in stem.convolutions if isinstance(layer, torch.nn.Conv2d)]


def test_tokens_are_convolved_normalised_cut_off_at_zero_and_projected() -> None:
    """In eval mode, each step written out: 3 x 3 at stride 2, (x - mean) / sqrt(variance + 1e-5), ReLU; to 1e-10."""
    stem = ConvPatches((8, 12), 3, 8, patch_size=4).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in stem.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
        stem.convolutions[0].weight.sub_(0.6)
        stem.convolutions[3].weight.sub_(0.6)
    images = torch.randn(2, 3, 8, 12, generator=generator, dtype=torch.float64)
    x = images
    for convolution, norm in (stem.convolutions[0:2], stem.convolutions[3:5]):
        x = F.conv2d(x, convolution.weight, stride=2, padding=1)
        mean, variance, scale, shift = (
            values.reshape(-1, 1, 1) for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        x = ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp(min=0)
    expected = F.conv2d(x, stem.projection.weight[..., None, None], stem.projection.bias).flatten(2).transpose(1, 2)
    torch.testing.assert_close(stem(images), expected, rtol=0, atol=1e-10)
    assert stem.grid == (2, 3)


@pytest.mark.parametrize(("dim", "expected"), [(192, [24, 48, 96, 192]), (384, [48, 96, 192, 384])])
def test_the_default_widths_are_the_papers(dim: int, expected: list[int]) -> None:
    """At patches of 16 they are those of ViT_C-1GF and ViT_C-4GF."""
    assert widths(ConvPatches((224, 224), 3, dim, patch_size=16)) == expected


def test_the_papers_large_stem_keeps_the_size_where_it_keeps_the_width() -> None:
    """64, 128, 128, 256, 256, 512 halve the image four times, and have the parameters one counts by hand."""
    stem = ConvPatches((224, 224), 3, 768, patch_size=16, conv_channels=[64, 128, 128, 256, 256, 512])
    assert [layer.stride[0] for layer in stem.convolutions if isinstance(layer, torch.nn.Conv2d)] == [2, 2, 1, 2, 1, 2]
    kernels = 9 * (3 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256 + 256 * 512)
    norms = 2 * (64 + 128 + 128 + 256 + 256 + 512)
    assert sum(parameter.numel() for parameter in stem.parameters()) == kernels + norms + 512 * 768 + 768
    assert stem.grid == (14, 14)


def test_first_values_are_those_of_the_authors_code() -> None:
    """The last weight is drawn with variance 2 / width, the others within 1 / sqrt(inputs)."""
    stem = ConvPatches((16, 16), 3, 512, patch_size=4)
    draws = stem.roles
    assert set(draws) == {"convolutions.0.weight", "convolutions.3.weight", "projection.weight"}
    last = draws["projection.weight"](stem.projection.weight.shape, 512, torch.Generator().manual_seed(0))
    assert last.std() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
    second = draws["convolutions.3.weight"](torch.Size((512, 256, 3, 3)), 2304, torch.Generator().manual_seed(0))
    assert 0.999 / 48 < second.abs().max() <= 1 / 48


@pytest.mark.parametrize(
    ("size", "dim", "options", "reason"),
    [
        ((8, 10), 8, {"patch_size": 4}, "do not tile"),
        ((12, 12), 8, {"patch_size": 6}, "not made by halving"),
        ((8, 8), 8, {"patch_size": 1}, "not made by halving"),
        ((8, 8), 6, {"patch_size": 8}, "dim 6 cannot be halved 2 times"),
        ((8, 8), 8, {"patch_size": 4, "conv_channels": [8, 8]}, "patches of 2 px, not 4 px"),
        ((8, 8), 8, {"patch_size": 1, "conv_channels": []}, r"at least 1, got \[\]"),
        ((8, 8), 8, {"patch_size": 4, "conv_channels": [0, 8]}, r"at least 1, got \[0, 8\]"),
    ],
)
def test_impossible_options_are_refused(size: tuple[int, int], dim: int, options: dict, reason: str) -> None:
    """The strides have to make the patch, and the patches to tile the image."""
    with pytest.raises(ValueError, match=reason):
        ConvPatches(size, 3, dim, **options)
