"""The absence of mixing."""

from __future__ import annotations

import torch

from ablate.models.block import Block
from ablate.models.mixers.none import NoMixing


def test_a_block_without_mixing_leaves_tokens_to_themselves() -> None:
    """With no feed-forward either, a block is the identity."""
    block = Block(torch.nn.Identity(), NoMixing(), torch.nn.Identity(), NoMixing())
    tokens = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(tokens), tokens)
