"""Learned positions of columns and rows."""

from __future__ import annotations

import pytest
import torch

from ablate.models.positions.learned2d import LearnedPosition2d


def scrambled(*args: object) -> LearnedPosition2d:
    """Float64, every parameter random."""
    position = LearnedPosition2d(*args).double()
    with torch.no_grad():
        for parameter in position.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(len(parameter)))
    return position


def test_each_patch_gets_its_column_and_its_row() -> None:
    """On a grid of 2 x 3, token (y, x) has the vector of column x, then that of row y; prefix tokens their own."""
    position = scrambled(6, (2, 3), 2)
    added = position(torch.zeros(1, 8, 6, dtype=torch.float64))[0]
    assert torch.equal(added[:2], position.prefix)
    for y in range(2):
        for x in range(3):
            assert torch.equal(added[2 + 3 * y + x], torch.cat((position.columns[x], position.rows[y])))


def test_it_has_a_vector_of_half_the_width_for_each_row_and_column() -> None:
    """On 14 x 14 places of width 768 it has 28 x 384 parameters where 1-D positions have 196 x 768."""
    position = LearnedPosition2d(768, (14, 14), 0)
    assert sum(parameter.numel() for parameter in position.parameters()) == 28 * 384


def test_rows_and_columns_are_resampled_along_their_own_axis() -> None:
    """Rows are made twice as many linearly, columns and prefix stay as they are, bit for bit."""
    position = LearnedPosition2d(2, (4, 3), 1)
    rows = position.resampled("rows", torch.tensor([[0.0], [1.0]], dtype=torch.float64), (2, 3))
    torch.testing.assert_close(rows[:, 0], torch.tensor([0, 0.25, 0.75, 1], dtype=torch.float64), rtol=0, atol=1e-12)
    columns, prefix = torch.randn(3, 1), torch.randn(1, 2)
    assert torch.equal(position.resampled("columns", columns, (2, 3)), columns)
    assert position.resampled("prefix", prefix, (2, 3)) is prefix


def test_at_the_training_size_the_values_stay_exact() -> None:
    """Nothing is interpolated where the grid is the same."""
    rows = torch.randn(4, 1)
    assert LearnedPosition2d(2, (4, 3), 1).resampled("rows", rows, (4, 3)) is rows


def test_an_odd_width_is_refused() -> None:
    """Column and row cannot share an odd width."""
    with pytest.raises(ValueError, match="even width, got dim 7"):
        LearnedPosition2d(7, (2, 2), 0)
