"""What the logits' queries read of the patches, from a model's attention weights: last attention and rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Rows of weights sum to 1 up to this, in half precision too.
_ROUNDING = 1e-2
#: Why models in stages, and those whose heads see windows, have no rollout.
CHANGING = "its grid or its windows change from block to block, and rollout multiplies all blocks"


@dataclass(frozen=True)
class Reading:
    """What one query reads."""

    query: str
    """Whose attention it is, in words."""
    maps: Tensor
    """The weights with which each head reads the patches, (B, A, rows, columns)."""
    rollout: Tensor | None
    """The share that each patch has in the query after all blocks so far, (B, rows, columns)."""


@dataclass(frozen=True)
class Attention:
    """The attention of one block."""

    block: int
    """Which one, counted from 1."""
    readings: tuple[Reading, ...]
    no_rollout: str
    """Why there is no rollout; empty where there is one."""


def last_attention(weights_BANN: Tensor, grid: tuple[int, int], prefix_tokens: int, read: int) -> Tensor:
    """The attention of the queries that are read at the end, (B, Q, A, rows, columns), from a block's weights.

    These are the first ``read`` of the prefix tokens (DINO, Caron et al., arXiv 2104.14294, figure 1:
    `get_last_selfattention`). With none, where the patches are averaged, Q is 1 and the weights are the mean over all
    patches as queries. Raises ValueError where the tokens are not the prefix tokens and the grid.
    """
    tokens = weights_BANN.shape[-1]
    if tokens != prefix_tokens + grid[0] * grid[1]:
        raise ValueError(f"{tokens} tokens are not {prefix_tokens} and a grid of {grid[0]} x {grid[1]}")
    queries_BAQN = weights_BANN[:, :, :read] if read else weights_BANN[:, :, prefix_tokens:].mean(2, keepdim=True)
    return queries_BAQN.transpose(1, 2)[..., prefix_tokens:].unflatten(-1, grid)


def rollout(weights: Sequence[Tensor]) -> Tensor:
    """Attention rollout, (B, N, N): how much of each token's input there is in each token after the last block.

    Abnar and Zuidema, arXiv 2005.00928, section 3: with W the mean over heads of a block's weights, (B, A, N, N),
    the blocks' matrices 0.5 W + 0.5 I, which stands for the residual connection, with rows normalised, are multiplied,
    later ones from the left. Rows sum to 1. Raises ValueError where weights are no shares (re-attention's may be
    negative) or the number of tokens changes.
    """
    if len({weights_BANN.shape[-2:] for weights_BANN in weights}) > 1:
        raise ValueError("the number of tokens changes from block to block, and rollout multiplies all blocks")
    rolled_BNN: Tensor | None = None
    for weights_BANN in weights:
        if not _are_shares(weights_BANN):
            raise ValueError("the weights are no shares that sum to 1, and rollout multiplies shares")
        identity_NN = torch.eye(weights_BANN.shape[-1], dtype=weights_BANN.dtype, device=weights_BANN.device)
        mixed_BNN = 0.5 * weights_BANN.mean(1) + 0.5 * identity_NN
        mixed_BNN = mixed_BNN / mixed_BNN.sum(-1, keepdim=True)
        rolled_BNN = mixed_BNN if rolled_BNN is None else mixed_BNN @ rolled_BNN
    assert rolled_BNN is not None, "a model has at least one block"
    return rolled_BNN


def rollout_or_reason(weights: Sequence[Tensor]) -> tuple[Tensor | None, str]:
    """The rollout, or None and why there is none."""
    try:
        return rollout(weights), ""
    except ValueError as error:
        return None, str(error)


def of_blocks(weights: Sequence[Tensor], grid: tuple[int, int], prefix_tokens: int, read: int) -> Attention:
    """The attention of the last of these blocks."""
    maps_BQAHW = last_attention(weights[-1], grid, prefix_tokens, read)
    rolled_BNN, why = rollout_or_reason(weights)
    readings = []
    for q, query in enumerate(_queries(read)):
        rolled_BHW = None
        if rolled_BNN is not None:
            row_BN = rolled_BNN[:, q] if read else rolled_BNN[:, prefix_tokens:].mean(1)
            rolled_BHW = row_BN[:, prefix_tokens:].unflatten(-1, grid)
        readings.append(Reading(query, maps_BQAHW[:, q], rolled_BHW))
    return Attention(len(weights), tuple(readings), why)


def of_last(weights_BANN: Tensor, grid: tuple[int, int], prefix_tokens: int, read: int, block: int) -> Attention:
    """The last block's attention, over all tokens, in a model whose earlier blocks have others."""
    maps_BQAHW = last_attention(weights_BANN, grid, prefix_tokens, read)
    readings = [Reading(query, maps_BQAHW[:, q], None) for q, query in enumerate(_queries(read))]
    return Attention(block, tuple(readings), CHANGING)


def _queries(read: int) -> tuple[str, ...]:
    if read <= 2:
        return ("class token", "distillation token")[:read] or ("mean over all queries",)
    return tuple(f"prefix token {number}" for number in range(1, read + 1))


def _are_shares(weights_BANN: Tensor) -> bool:
    sums = weights_BANN.sum(-1)
    return bool(weights_BANN.min() >= 0 and torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=_ROUNDING))
