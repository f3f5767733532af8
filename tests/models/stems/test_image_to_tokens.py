"""CeiT's image-to-tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ablate.models.stems.image_to_tokens import ImageToTokens


def test_tokens_are_patches_of_the_normalised_pooled_map() -> None:
    """In eval mode, each step written out: 7 x 7 at stride 2, BatchNorm, the largest of 3 x 3, patches; to 1e-10."""
    stem = ImageToTokens((32, 48), 3, 10).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in stem.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    images = torch.randn(2, 3, 32, 48, generator=generator, dtype=torch.float64)
    norm = stem.norm
    mean, variance, scale, shift = (
        values.reshape(-1, 1, 1) for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    x = F.conv2d(images, stem.convolution.weight, stride=2, padding=3)
    x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
    windows = F.pad(x, (1, 1, 1, 1), value=-torch.inf).unfold(2, 3, 2).unfold(3, 3, 2)
    x = windows.amax((-2, -1))
    projection = stem.patches.projection
    expected = F.conv2d(x, projection.weight.reshape(10, 64, 4, 4), projection.bias, stride=4)
    torch.testing.assert_close(stem(images), expected.flatten(2).transpose(1, 2), rtol=0, atol=1e-10)
    assert stem.grid == (2, 3)


@pytest.mark.parametrize(("dim", "parameters"), [(192, 206_336), (384, 403_136), (768, 796_736)])
def test_it_has_the_parameters_of_ceits(dim: int, parameters: int) -> None:
    """3 x 49 x 64 weights, 128 of BatchNorm, and 1024 + 1 for each component of a token: CeiT-T, -S and -B."""
    stem = ImageToTokens((224, 224), 3, dim)
    assert sum(parameter.numel() for parameter in stem.parameters()) == parameters == 9408 + 128 + 1025 * dim
    assert stem.grid == (14, 14)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"pool": 0, "patch_size": 8}, 9408 + 128 + (64 * 64 + 1) * 192),
        ({"batch_norm": False}, 9408 + 1025 * 192),
        ({"kernel": 5}, 25 * 192 + 128 + 1025 * 192),
        ({"stride": 4, "pool": 0}, 206_336),
        ({"stride": 1, "patch_size": 8}, 9408 + 128 + (64 * 64 + 1) * 192),
        ({"conv_channels": 32, "pool": 5}, 49 * 96 + 64 + (16 * 32 + 1) * 192),
    ],
)
def test_every_option_keeps_a_token_at_16_pixels_if_the_strides_do(options: dict, parameters: int) -> None:
    """The axes of CeiT's table: each changes the parameters it should, and gives 2 x 3 tokens of 32 x 48 pixels."""
    stem = ImageToTokens((32, 48), 3, 192, **options)
    assert sum(parameter.numel() for parameter in stem.parameters()) == parameters
    assert stem(torch.randn(2, 3, 32, 48)).shape == (2, 6, 192)
    assert stem.grid == (2, 3)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kernel": 4}, "odd kernel"),
        ({"stride": 0}, "stride"),
        ({"conv_channels": 0}, "conv_channels"),
        ({"pool": 2}, "odd pool"),
        ({"patch_size": 3}, "patches of 3 px do not tile the feature map of 8 x 8 px"),
        ({"pool": 0, "patch_size": 3}, "the feature map of 16 x 16 px"),
    ],
)
def test_impossible_options_are_refused(options: dict, reason: str) -> None:
    """Even windows would not divide the sides, and the map has to be tiled."""
    with pytest.raises(ValueError, match=reason):
        ImageToTokens((32, 32), 3, 8, **options)
