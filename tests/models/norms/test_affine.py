"""The affine map in the place of a norm."""

from __future__ import annotations

import pytest
import torch

from ablate.models.init import initialise
from ablate.models.norms.affine import Affine


@pytest.mark.parametrize("shape", [(3, 2), (3, 5, 2)])
def test_it_scales_and_shifts_each_channel(shape: tuple[int, ...]) -> None:
    """Channels are multiplied by (2, -1) and moved by (10, 20), in tokens and in a representation alike."""
    affine = Affine(2)
    affine.load_state_dict({"alpha": torch.tensor([2.0, -1.0]), "beta": torch.tensor([10.0, 20.0])})
    x = torch.randn(shape)
    assert torch.equal(affine(x), torch.stack((2 * x[..., 0] + 10, 20 - x[..., 1]), dim=-1))


@pytest.mark.parametrize("scheme", ["jax", "truncated_normal"])
def test_it_starts_as_the_identity(scheme: str) -> None:
    """Whatever the scheme, the first values change nothing."""
    affine, x = Affine(4), torch.randn(2, 3, 4)
    initialise(affine, scheme, 0)
    assert torch.equal(affine(x), x)
