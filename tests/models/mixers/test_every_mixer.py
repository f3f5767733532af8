"""What the contract of parts asks of every mixer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ablate.models.init import initialise
from ablate.models.mixers.cross_patch_linear import CrossPatchLinear
from ablate.models.mixers.re_attention import ReAttention
from ablate.models.mixers.self_attention import SelfAttention
from ablate.models.mixers.token_mlp import TokenMLP

# A class token before a grid of 2 x 3, of width 8.
MIXERS: dict[str, Callable[[], nn.Module]] = {
    "self_attention": lambda: SelfAttention(8, 0.0, heads=2),
    "re_attention": lambda: ReAttention(8, 4, 3, 0.0, heads=2),
    "re_attention without norm": lambda: ReAttention(8, 4, 3, 0.0, heads=2, norm="none"),
    "token_mlp": lambda: TokenMLP((2, 3), 1, 0.0, hidden=5),
    "cross_patch_linear": lambda: CrossPatchLinear((2, 3), 1, 0.0),
}


@pytest.fixture(params=MIXERS)
def make(request: pytest.FixtureRequest) -> Callable[..., nn.Module]:
    """A mixer with drawn weights, as a function of the seed."""

    def drawn(seed: int = 0) -> nn.Module:
        mixer = MIXERS[request.param]()
        initialise(mixer, "truncated_normal", seed)
        return mixer

    return drawn


@pytest.fixture
def tokens() -> torch.Tensor:
    """Three images of 7 tokens of 8, float32."""
    return torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(1))


def test_images_do_not_see_one_another_in_evaluation(make: Callable[..., nn.Module], tokens: torch.Tensor) -> None:
    """The branch of an image alone is the one it has in a batch, to 1e-12 in float64."""
    mixer, tokens = make().double().eval(), tokens.double()
    torch.testing.assert_close(mixer(tokens[1:2]), mixer(tokens)[1:2], rtol=0, atol=1e-12)


def test_every_parameter_gets_a_gradient(make: Callable[..., nn.Module], tokens: torch.Tensor) -> None:
    """No gradient is absent, and none is all zeros."""
    mixer = make().double()
    mixer(tokens.double()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in mixer.parameters())


def test_stacked_parameters_give_what_single_ones_give(make: Callable[..., nn.Module], tokens: torch.Tensor) -> None:
    """Two mixers evaluated as one batched mixer agree with themselves, to 1e-6."""
    mixers = [make(seed).eval() for seed in (0, 1)]
    parameters, buffers = stack_module_state(mixers)
    # The CPU's fused attention kernel has no batched form: torch would loop over it, with a warning.
    with sdpa_kernel(SDPBackend.MATH):
        batched = vmap(lambda p, b: functional_call(mixers[0], (p, b), (tokens,)))(parameters, buffers)
    torch.testing.assert_close(batched, torch.stack([mixer(tokens) for mixer in mixers]), rtol=0, atol=1e-6)


def test_it_can_be_exported(make: Callable[..., nn.Module], tokens: torch.Tensor) -> None:
    """The exported program gives the same numbers, to 1e-6."""
    mixer = make().eval()
    exported = torch.export.export(mixer, (tokens,)).module()
    torch.testing.assert_close(exported(tokens), mixer(tokens), rtol=0, atol=1e-6)


def test_half_precision_stays_close(make: Callable[..., nn.Module], tokens: torch.Tensor) -> None:
    """Under bfloat16 autocast, in training, the branch is within 5 percent of that in float32."""
    mixer = make().train()
    full = mixer(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        half = mixer(tokens)
    assert (half.float() - full).norm() / full.norm() < 0.05
