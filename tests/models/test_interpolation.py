"""Interpolation between grids, against timm and by what it must keep."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers.pos_embed import resample_abs_pos_embed

from ablate.models.interpolation import interpolate

GRID = st.tuples(st.integers(1, 9), st.integers(1, 9))
MODES = ["bicubic", "bilinear"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("old", "new"), [((14, 14), (24, 24)), ((14, 14), (7, 7)), ((4, 6), (9, 5)), ((6, 4), (4, 6)), ((3, 8), (3, 5))]
)
def test_it_is_timms(old: tuple[int, int], new: tuple[int, int], mode: str) -> None:
    """Up, down, square or not, the values are those of timm's `resample_abs_pos_embed`, to 1e-6 in float32."""
    values = torch.randn(old[0] * old[1], 5)
    theirs = resample_abs_pos_embed(
        values.unsqueeze(0), list(new), old_size=list(old), num_prefix_tokens=0, interpolation=mode
    )[0]
    torch.testing.assert_close(interpolate(values, old, new, mode), theirs, rtol=0, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(old=GRID, new=GRID, mode=st.sampled_from(MODES))
def test_a_constant_field_stays_constant(old: tuple[int, int], new: tuple[int, int], mode: str) -> None:
    """Wherever all places have the same vector, all places of any other grid have it, to 1e-12."""
    vector = torch.tensor([0.3, -7.0, 0.0], dtype=torch.float64)
    new_values = interpolate(vector.expand(old[0] * old[1], 3), old, new, mode)
    torch.testing.assert_close(new_values, vector.expand(new[0] * new[1], 3), rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(old=GRID, new=GRID, mode=st.sampled_from(MODES))
def test_rows_and_columns_are_alike(old: tuple[int, int], new: tuple[int, int], mode: str) -> None:
    """Interpolating the transposed field gives the transposed result, to 1e-12."""
    field = torch.randn(*old, 2, dtype=torch.float64)
    straight = interpolate(field.flatten(0, 1), old, new, mode).unflatten(0, new)
    turned = interpolate(field.transpose(0, 1).flatten(0, 1), old[::-1], new[::-1], mode).unflatten(0, new[::-1])
    torch.testing.assert_close(straight, turned.transpose(0, 1), rtol=0, atol=1e-12)


def test_a_ramp_on_twice_the_grid_is_known_by_hand() -> None:
    """Linear, from four columns 0, 1, 2, 3 to eight: a quarter of a step on either side of each, flat at the edges."""
    ramp = torch.arange(4.0, dtype=torch.float64).reshape(4, 1)
    expected = torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], dtype=torch.float64)
    torch.testing.assert_close(interpolate(ramp, (1, 4), (1, 8), "bilinear")[:, 0], expected, rtol=0, atol=1e-12)


def test_the_same_grid_gives_the_same_values() -> None:
    """On an unchanged grid not even rounding changes a bit."""
    values = torch.randn(12, 3)
    assert interpolate(values, (3, 4), (3, 4)) is values


def test_half_precision_is_interpolated_in_full() -> None:
    """bfloat16 comes back as bfloat16, and is float32's result rounded once."""
    values = torch.randn(12, 3).bfloat16()
    full = interpolate(values.float(), (3, 4), (5, 6))
    half = interpolate(values, (3, 4), (5, 6))
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, full.bfloat16())


def test_vectors_that_do_not_fill_the_grid_are_refused() -> None:
    """Thirteen vectors are no grid of 3 x 4: one of them may be the class token's."""
    with pytest.raises(ValueError, match="13 vectors are not one for each place of a grid of 3 x 4"):
        interpolate(torch.zeros(13, 2), (3, 4), (6, 8))
