"""Patches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ablate.models.stems.patches import LinearPatches


def test_patches_are_a_convolution_whose_stride_is_its_kernel() -> None:
    """The tokens are those of a convolution with the same weight, row by row, square or not, to 1e-12."""
    stem = LinearPatches(image_size=(12, 20), channels=3, dim=5, patch_size=4).double()
    images = torch.randn(2, 3, 12, 20, dtype=torch.float64)
    kernel = stem.projection.weight.reshape(5, 3, 4, 4)
    expected = F.conv2d(images, kernel, stem.projection.bias, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(stem(images), expected, rtol=0, atol=1e-12)
    assert stem.grid == (3, 5)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("post_norm", [False, True])
def test_the_norms_stand_before_and_behind_the_projection(pre_norm: bool, post_norm: bool) -> None:
    """Patch and token, each where its norm is on, are (x - mean) / sqrt(variance + 1e-5), scaled and shifted."""
    stem = LinearPatches((4, 8), 3, 5, patch_size=4, pre_norm=pre_norm, post_norm=post_norm).double()
    with torch.no_grad():
        for parameter in stem.parameters():
            parameter.normal_()
    images = torch.randn(2, 3, 4, 8, dtype=torch.float64)

    def norm(x: torch.Tensor, layer: torch.nn.LayerNorm) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias

    x = torch.stack((images[..., :4].flatten(1), images[..., 4:].flatten(1)), dim=1)
    x = norm(x, stem.pre_norm) if pre_norm else x
    x = x @ stem.projection.weight.T + stem.projection.bias
    x = norm(x, stem.post_norm) if post_norm else x
    torch.testing.assert_close(stem(images), x, rtol=0, atol=1e-12)


def test_norms_that_are_off_leave_no_parameters() -> None:
    """Each norm adds a scale and a shift: 2 x 768 for patches of 16, 2 x 384 for tokens."""
    sizes = {
        (pre, post): sum(
            p.numel()
            for p in LinearPatches((224, 224), 3, 384, patch_size=16, pre_norm=pre, post_norm=post).parameters()
        )
        for pre in (False, True)
        for post in (False, True)
    }
    assert sizes == {
        (False, False): 295_296,
        (False, True): 295_296 + 768,
        (True, False): 295_296 + 1536,
        (True, True): 295_296 + 2304,
    }


@pytest.mark.parametrize(("size", "patch_size"), [((12, 10), 4), ((10, 12), 4), ((8, 8), 0), ((4, 4), 8)])
def test_patches_that_do_not_tile_the_image_are_refused(size: tuple[int, int], patch_size: int) -> None:
    """Either side may be the one that does not fit."""
    with pytest.raises(ValueError, match=rf"patches of {patch_size} px do not tile an image of {size[0]} x {size[1]}"):
        LinearPatches(size, 1, 8, patch_size=patch_size)
