"""The closed form of sincos2d."""

from __future__ import annotations

import math

import pytest
import torch

from ablate.models.positions.sincos2d import SinCos2d, sincos2d


@pytest.mark.parametrize("temperature", [10_000.0, 10.0])
def test_sincos2d_is_the_published_formula(temperature: float) -> None:
    """Each entry is the sine or cosine of column or row at temperature^(-i/(D/4-1)), to float32's rounding."""
    rows, columns, dim = 3, 5, 24
    table = sincos2d(dim, (rows, columns), temperature)
    assert table.shape == (15, 24)
    for y in range(rows):
        for x in range(columns):
            frequencies = [temperature ** (-i / 5) for i in range(6)]
            expected = [
                function(place * frequency)
                for place in (x, y)
                for function in (math.sin, math.cos)
                for frequency in frequencies
            ]
            torch.testing.assert_close(table[y * columns + x], torch.tensor(expected), rtol=0, atol=1e-7)


def test_sincos2d_starts_at_frequency_one_and_ends_at_the_inverse_temperature() -> None:
    """At column 2, row 1 and width 8 the eight values are those one writes down by hand."""
    by_hand = [math.sin(2), math.sin(2e-4), math.cos(2), math.cos(2e-4)]
    by_hand += [math.sin(1), math.sin(1e-4), math.cos(1), math.cos(1e-4)]
    torch.testing.assert_close(sincos2d(8, (2, 3), 1e4)[1 * 3 + 2], torch.tensor(by_hand), rtol=0, atol=1e-7)


def test_prefix_tokens_get_zeros() -> None:
    """A covered prefix token is left as it is, and the patches behind it get their positions."""
    position = SinCos2d(8, (2, 2), 1)
    added = position(torch.zeros(1, 5, 8))[0]
    assert not added[0].any()
    assert torch.equal(added[1:], sincos2d(8, (2, 2), 1e4))
