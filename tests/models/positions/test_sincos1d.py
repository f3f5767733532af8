"""The closed form of sincos1d."""

from __future__ import annotations

import math

import pytest
import torch

from ablate.models.positions.sincos1d import SinCos1d, sincos1d


@pytest.mark.parametrize("temperature", [10_000.0, 10.0])
def test_sincos1d_is_the_published_formula(temperature: float) -> None:
    """Component 2i of token n is sin(n / temperature^(2i/D)), component 2i + 1 its cosine, to float32's rounding."""
    table = sincos1d(6, 200, temperature)
    for n in (0, 1, 7, 199):
        angles = [n / temperature ** (2 * i / 6) for i in range(3)]
        expected = [function(angle) for angle in angles for function in (math.sin, math.cos)]
        torch.testing.assert_close(table[n], torch.tensor(expected), rtol=0, atol=1e-7)


def test_covered_prefix_tokens_are_counted() -> None:
    """As in T2T-ViT's official code the class token is number 0, and the patches go on from there."""
    zeros = torch.zeros(1, 7, 8)
    table = SinCos1d(8, (2, 3), 1)(zeros)[0]
    assert torch.equal(table[0], torch.tensor([0.0, 1.0] * 4))
    torch.testing.assert_close(table[1, :2], torch.tensor([math.sin(1), math.cos(1)]), rtol=0, atol=1e-7)
    assert torch.equal(SinCos1d(8, (2, 3), 0)(zeros[:, 1:])[0], table[:6])


def test_the_table_is_no_state() -> None:
    """A state dict holds nothing of it, and no parameter is trained."""
    position = SinCos1d(8, (2, 3), 1)
    assert not position.state_dict()
    assert not list(position.parameters())


@pytest.mark.parametrize(("dim", "temperature", "reason"), [(7, 1e4, "even width"), (8, 0.0, "positive temperature")])
def test_impossible_options_are_refused(dim: int, temperature: float, reason: str) -> None:
    """Sines and cosines cannot share an odd width, and a temperature of 0 has no frequencies."""
    with pytest.raises(ValueError, match=reason):
        SinCos1d(dim, (2, 2), 0, temperature=temperature)
