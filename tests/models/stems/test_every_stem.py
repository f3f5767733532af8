"""What every stem keeps to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from ablate.models.init import initialise
from ablate.models.stems.cnn_patches import CNNPatches
from ablate.models.stems.conv_patches import ConvPatches
from ablate.models.stems.image_to_tokens import ImageToTokens
from ablate.models.stems.patches import LinearPatches
from ablate.models.stems.tokens_to_token import TokensToToken

SPLITS = {"kernels": [3, 3, 3], "strides": [2, 2, 1], "paddings": [1, 1, 1], "token_dim": 8, "token_dropout": 0.0}
#: Each on images of 8 x 16, three channels, as 2 x 4 tokens of 12.
STEMS: dict[str, Callable[[], nn.Module]] = {
    "patches": lambda: LinearPatches((8, 16), 3, 12, patch_size=4),
    "patches, normalised": lambda: LinearPatches((8, 16), 3, 12, patch_size=4, pre_norm=True, post_norm=True),
    "convolutions": lambda: ConvPatches((8, 16), 3, 12, patch_size=4),
    "two convolutions": lambda: CNNPatches((8, 16), 3, 12, patch_size=4, conv_channels=6),
    "image to tokens": lambda: ImageToTokens((8, 16), 3, 12, patch_size=1),
    "image to tokens, bare": lambda: ImageToTokens((8, 16), 3, 12, batch_norm=False, pool=0, patch_size=2),
    "tokens to token": lambda: TokensToToken((8, 16), 3, 12, **SPLITS),
    "tokens to token, transformer": lambda: TokensToToken((8, 16), 3, 12, layer="transformer", **SPLITS),
}


@pytest.fixture(params=STEMS)
def make(request: pytest.FixtureRequest) -> Callable[[], nn.Module]:
    """A constructor of the stem."""
    return STEMS[request.param]


@pytest.fixture
def images() -> Tensor:
    """Four images of 8 x 16, float64."""
    return torch.randn(4, 3, 8, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def drawn(make: Callable[[], nn.Module], seed: int, scheme: str = "jax") -> nn.Module:
    """The stem with first values drawn, float64, eval mode."""
    stem = make()
    initialise(stem, scheme, seed)
    return stem.double().eval()


def test_it_gives_one_token_for_each_place_of_its_grid(make: Callable[[], nn.Module], images: Tensor) -> None:
    """Images that are not square give tokens of rows x columns places."""
    stem = drawn(make, 0)
    assert stem.grid == (2, 4)
    assert stem(images).shape == (4, 8, 12)


@pytest.mark.parametrize("scheme", ["jax", "truncated_normal"])
def test_its_tokens_are_of_order_one_at_the_start(make: Callable[[], nn.Module], images: Tensor, scheme: str) -> None:
    """Under each scheme every parameter has a first value, and tokens neither vanish nor explode."""
    assert 1e-3 < drawn(make, 0, scheme)(images).std() < 10


def test_every_parameter_gets_a_gradient(make: Callable[[], nn.Module], images: Tensor) -> None:
    """In training, with a loss that weighs all tokens differently."""
    stem = drawn(make, 0).train()
    (stem(images) * torch.randn(8, 12, dtype=torch.float64)).sum().backward()
    for name, parameter in stem.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_images_do_not_see_each_other(make: Callable[[], nn.Module], images: Tensor) -> None:
    """In eval mode an image's tokens are the same alone and in a batch, to 1e-12."""
    stem = drawn(make, 0)
    torch.testing.assert_close(stem(images)[2:3], stem(images[2:3]), rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap has no rule for the CPU's fused attention
def test_stacked_stems_give_what_each_gives(make: Callable[[], nn.Module], images: Tensor) -> None:
    """vmap over the stacked parameters of two stems, in eval mode, agrees with one after the other, to 1e-12."""
    stems = [drawn(make, seed) for seed in (0, 1)]
    parameters, buffers = stack_module_state(stems)
    call = torch.vmap(lambda p, b: functional_call(stems[0], (p, b), (images,)))
    expected = torch.stack([stem(images) for stem in stems])
    torch.testing.assert_close(call(parameters, buffers), expected, rtol=0, atol=1e-12)


def test_it_can_be_exported_for_any_batch(make: Callable[[], nn.Module], images: Tensor) -> None:
    """An exported stem gives the same tokens for a batch of another size, to 1e-12."""
    stem = drawn(make, 0)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(stem, (images,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(exported(images[:3]), stem(images[:3]), rtol=0, atol=1e-12)


def test_autocast_changes_the_rounding_alone(make: Callable[[], nn.Module], images: Tensor) -> None:
    """Under bfloat16 autocast the tokens differ by less than 3 % in norm."""
    stem = drawn(make, 0).float()
    full = stem(images.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = stem(images.float())
    assert (half.float() - full).norm() / full.norm() < 0.03
