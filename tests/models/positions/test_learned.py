"""Learned positions, one vector a place."""

from __future__ import annotations

import torch
from timm.layers.pos_embed import resample_abs_pos_embed

from ablate.models.positions.learned import LearnedPosition


def test_each_token_gets_its_own_vector() -> None:
    """The prefix's vectors come first, then the patches' row by row."""
    position = LearnedPosition(4, (2, 3), 1)
    with torch.no_grad():
        position.prefix.fill_(-1.0)
        position.patches.copy_(torch.arange(6.0).reshape(6, 1).expand(6, 4))
    added = position(torch.ones(2, 7, 4))
    assert torch.equal(added[0, :, 0], torch.tensor([0.0, 1, 2, 3, 4, 5, 6]))
    assert torch.equal(added[0], added[1])


def test_another_image_size_is_timms_to_1e_6() -> None:
    """A table with class token from 4 x 6 places, resampled to 6 x 5: the whole of timm's, class token as it was."""
    position = LearnedPosition(8, (6, 5), 1)
    prefix, patches = torch.randn(1, 8), torch.randn(24, 8)
    mine = torch.cat((position.resampled("prefix", prefix, (4, 6)), position.resampled("patches", patches, (4, 6))))
    theirs = resample_abs_pos_embed(torch.cat((prefix, patches)).unsqueeze(0), [6, 5], old_size=[4, 6])[0]
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    assert torch.equal(mine[:1], prefix)


def test_at_the_training_size_the_values_stay_exact() -> None:
    """Nothing is interpolated where the grid is the same."""
    patches = torch.randn(30, 8)
    assert LearnedPosition(8, (6, 5), 0).resampled("patches", patches, (6, 5)) is patches
