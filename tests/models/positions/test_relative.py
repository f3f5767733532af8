"""Relative positions, pair by pair."""

from __future__ import annotations

from itertools import product
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.models.mixers.self_attention import SelfAttention
from ablate.models.positions.relative import RelativePosition

OFFSETS = ["1d", "2d"]
GRID = st.tuples(st.integers(1, 5), st.integers(1, 5))


def scrambled(grid: tuple[int, int], offsets: Literal["1d", "2d"]) -> RelativePosition:
    """Two heads of 3, float64, every vector random."""
    position = RelativePosition(6, grid, 2, offsets=offsets).double()
    with torch.no_grad():
        for parameter in position.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(len(parameter)))
    return position


def vector(position: RelativePosition, query: tuple[int, int], key: tuple[int, int]) -> torch.Tensor:
    """The vector of a pair, looked up by the definition."""
    (rows, columns), (y, x), (key_y, key_x) = position.grid, query, key
    if position.patches is not None:
        return position.patches[(key_y * columns + key_x) - (y * columns + x) + rows * columns - 1]
    return position.rows[key_y - y + rows - 1] + position.columns[key_x - x + columns - 1]


@settings(max_examples=20, deadline=None)
@given(grid=GRID, offsets=st.sampled_from(OFFSETS), prefix=st.integers(0, 2))
def test_each_pair_has_the_logit_of_its_offset(grid: tuple[int, int], offsets: str, prefix: int) -> None:
    """On any grid, the bias of a pair of patches is its query times the vector of its offset, to 1e-12; else 0."""
    position = scrambled(grid, offsets)
    places = list(product(range(grid[0]), range(grid[1])))
    q = torch.randn(2, 2, prefix + len(places), 3, dtype=torch.float64)
    expected = torch.zeros(2, 2, q.shape[2], q.shape[2], dtype=torch.float64)
    for n, query in enumerate(places):
        for m, key in enumerate(places):
            expected[..., prefix + n, prefix + m] = q[:, :, prefix + n] @ vector(position, query, key)
    torch.testing.assert_close(position(q), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("offsets", OFFSETS)
def test_moving_both_patches_changes_nothing(offsets: str) -> None:
    """With one query for all, pairs (0,0)-(1,1) and (1,2)-(2,3) have the same bias: only the offset counts."""
    bias = scrambled((3, 4), offsets)(torch.randn(1, 2, 1, 3, dtype=torch.float64).expand(1, 2, 12, 3))
    torch.testing.assert_close(bias[..., 0, 5], bias[..., 6, 11], rtol=0, atol=1e-12)
    assert not torch.allclose(bias[..., 0, 5], bias[..., 5, 0])


def test_1d_offsets_cannot_tell_a_row_down_from_a_row_width_to_the_right() -> None:
    """The end of a row and the start of the next are neighbours in 1-D, and far apart in 2-D."""
    q = torch.randn(1, 2, 1, 3, dtype=torch.float64).expand(1, 2, 12, 3)
    one, two = (scrambled((3, 4), offsets)(q)[0, 0] for offsets in OFFSETS)
    torch.testing.assert_close(one[3, 4], one[0, 1], rtol=0, atol=1e-12)
    assert not torch.allclose(two[3, 4], two[0, 1])


def test_the_whole_logit_is_that_of_a_key_moved_by_its_position() -> None:
    """Within self-attention the weights are softmax(q . (k + r) / sqrt(E)), a class token among them, to 1e-12."""
    attention = SelfAttention(6, 0.0, heads=2).double()
    position = scrambled((2, 2), "1d")
    tokens = torch.randn(1, 5, 6, dtype=torch.float64)
    q, k, _ = (x.unflatten(-1, (2, 3)) for x in attention.qkv(tokens)[0].chunk(3, dim=-1))
    places = list(product(range(2), range(2)))
    logits = torch.zeros(2, 5, 5, dtype=torch.float64)
    for head, n, m in product(range(2), range(5), range(5)):
        r = vector(position, places[n - 1], places[m - 1]) if n and m else 0.0
        logits[head, n, m] = q[n, head] @ (k[m, head] + r) / 3**0.5
    output, weights = attention.forward_with_weights(tokens, bias=position)
    torch.testing.assert_close(weights[0], logits.softmax(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(attention(tokens, bias=position), output, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("offsets", "vectors"), [("1d", 2 * 196 - 1), ("2d", 27 + 27)])
def test_it_has_one_vector_of_a_heads_width_for_each_offset(offsets: str, vectors: int) -> None:
    """On 14 x 14 places with heads of 64, the parameters are those of the offsets that exist, shared by heads."""
    position = RelativePosition(768, (14, 14), 12, offsets=offsets)
    assert sum(parameter.numel() for parameter in position.parameters()) == vectors * 64


@settings(max_examples=20, deadline=None)
@given(old=GRID, new=GRID, offsets=st.sampled_from(OFFSETS))
def test_a_bias_that_ignores_the_offset_does_so_at_any_size(old: tuple[int, int], new: tuple[int, int], offsets: str):
    """Vectors that are all the same are the same for any other grid, to 1e-12."""
    before, after = scrambled(old, offsets), scrambled(new, offsets)
    for name, parameter in before.named_parameters():
        same = parameter.detach()[:1].expand_as(parameter)
        resampled = after.resampled(name, same, old)
        assert resampled.shape == getattr(after, name).shape
        torch.testing.assert_close(resampled, same[:1].expand_as(resampled), rtol=0, atol=1e-12)


@pytest.mark.parametrize("offsets", OFFSETS)
def test_the_vector_of_no_offset_stays_in_the_middle(offsets: str) -> None:
    """Vectors that change sign with the offset still do on a larger grid, and that of a patch with itself is 0."""
    for name, parameter in scrambled((3, 4), offsets).named_parameters():
        odd = parameter.detach() - parameter.detach().flip(0)
        resampled = scrambled((5, 7), offsets).resampled(name, odd, (3, 4))
        torch.testing.assert_close(resampled, -resampled.flip(0), rtol=0, atol=1e-12)


def test_1d_vectors_keep_what_they_say_of_rows_when_the_grid_grows() -> None:
    """A bias towards patches further down, whatever their column, points further down on twice the grid as well."""
    position = RelativePosition(3, (8, 8), 1)
    down = (torch.arange(31, dtype=torch.float64) - 15).div(4).round().reshape(-1, 1).expand(-1, 3)
    resampled = position.resampled("patches", down, (4, 4))[:, 0]
    one_row, one_column = resampled[63 + 2 * 8] - resampled[63], resampled[63 + 1] - resampled[63]
    assert 0.8 < one_row < 1.2  # two rows of the new grid are one of the old
    assert one_column.abs() < 0.3


@pytest.mark.parametrize("offsets", OFFSETS)
def test_at_the_training_size_the_values_stay_exact(offsets: str) -> None:
    """Nothing is interpolated where the grid is the same."""
    position = scrambled((3, 4), offsets)
    for name, parameter in position.named_parameters():
        assert position.resampled(name, parameter, (3, 4)) is parameter


def test_impossible_options_are_refused() -> None:
    """Heads have to divide the width, and offsets are of one kind or the other."""
    with pytest.raises(ValueError, match="4 attention heads do not divide the width, dim 6"):
        RelativePosition(6, (2, 2), 4)
    with pytest.raises(ValueError, match="'1d' or '2d', not '3d'"):
        RelativePosition(6, (2, 2), 2, offsets="3d")
