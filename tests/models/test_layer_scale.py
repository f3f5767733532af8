"""The gain at the end of a residual branch."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from ablate.models.init import initialise
from ablate.models.layer_scale import LayerScale


def test_each_channel_has_its_gain() -> None:
    """A branch is multiplied by (2, -1, 0) channel by channel, and its gradient is what the branch was."""
    scale, branch = LayerScale(3, 0.1), torch.randn(2, 5, 3)
    scale.load_state_dict({"gain": torch.tensor([2.0, -1.0, 0.0])})
    scaled = scale(branch)
    assert torch.equal(scaled, torch.stack((2 * branch[..., 0], -branch[..., 1], 0 * branch[..., 2]), dim=-1))
    scaled.sum().backward()
    torch.testing.assert_close(scale.gain.grad, branch.sum((0, 1)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scheme", ["jax", "truncated_normal"])
def test_it_starts_at_its_initial_value(scheme: str) -> None:
    """Whatever the scheme and the seed, each instance is drawn with its own constant, also after a copy."""
    for initial in (0.1, 1e-5):
        scale = copy.deepcopy(LayerScale(4, initial))
        torch.nn.init.normal_(scale.gain)
        initialise(scale, scheme, 3)
        assert torch.equal(scale.gain, torch.full((4,), initial))


def test_a_gain_that_is_no_number_is_refused() -> None:
    """Not a number as initial gain is an error that says so."""
    with pytest.raises(ValueError, match="finite initial gain, got nan"):
        LayerScale(4, math.nan)
