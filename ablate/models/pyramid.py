"""Transformers in stages, each of which has fewer and wider tokens than the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ablate.models.feed_forwards.mlp import MLP
from ablate.models.stochastic_depth import StochasticDepth, linear_rates
from ablate.models.strided_embedding import StridedEmbedding


class PyramidBlock(nn.Module):
    """Attention, then an MLP, each behind a LayerNorm, beside a residual connection and under stochastic depth.

    ``attention`` maps normalised tokens_BND to the residual branch, and has a ``grid`` and a method
    ``received`` (see `Pyramid.attention_maps`).
    """

    def __init__(
        self, attention: nn.Module, dim: int, dropout: float, stochastic_depth: float, *, ratio: float, eps: float
    ) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(dim, eps=eps)
        self.attention: Any = attention
        self.norm_2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = MLP(dim, dropout, ratio=ratio, activation="gelu")
        self.stochastic_depth = StochasticDepth(stochastic_depth)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens after both branches, (B, N, D)."""
        tokens_BND = tokens_BND + self.stochastic_depth(self.attention(self.norm_1(tokens_BND)))
        return tokens_BND + self.stochastic_depth(self.mlp(self.norm_2(tokens_BND)))


class Stage(nn.Module):
    """An embedding and the blocks behind it."""

    def __init__(self, embedding: StridedEmbedding, blocks: list[PyramidBlock]) -> None:
        super().__init__()
        self.embedding = embedding
        self.blocks: Any = nn.ModuleList(blocks)


class Pyramid(nn.Module):
    """Stages, a final norm, a readout and a linear head; how they are made is the subclass's business."""

    #: How `ablate.models.init` draws the parameters.
    scheme = "truncated_normal"
    roles: ClassVar[Mapping[str, str]] = {"head.weight": "classifier"}

    def __init__(self, stages: list[Stage], norm: nn.Module, readout: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.stages: Any = nn.ModuleList(stages)
        self.norm = norm
        self.readout: Any = readout
        self.head = head

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits, (B, K), in the images' precision."""
        logits_BK: Tensor = self.head(self.forward_features(images_BCHW))
        return logits_BK.to(images_BCHW.dtype)

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        """What the head reads, (B, D)."""
        return self._represent(images_BCHW, lambda _block, _before, _after: None)

    def forward_intermediates(self, images_BCHW: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The logits as from `forward`, and the map after each block, (B, D, rows, columns) of its stage.

        The maps are those before the final norm, and leave out a class token.
        """
        maps: list[Tensor] = []
        features_BD = self._represent(
            images_BCHW, lambda block, _before, after: maps.append(_on_grid(after, block.attention.grid))
        )
        return self.head(features_BD).to(images_BCHW.dtype), tuple(maps)

    def attention_maps(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """The attention that each place receives, block by block: (B, A, rows, columns) of the block's keys.

        The mean weight that the queries which see a place give it, times the number of keys they choose from.
        So it is 1 everywhere where attention is uniform, whatever the size of the stripes or the grid, and
        its mean over the places is 1 (beside a class token, which is a query and a key without a place, the
        mean is not quite 1).
        """
        maps: list[Tensor] = []
        self._represent(
            images_BCHW, lambda block, before, _after: maps.append(block.attention.received(block.norm_1(before)))
        )
        return tuple(maps)

    def last_self_attention(self, images_BCHW: Tensor) -> Tensor:
        """The attention weights of the last block, (B, A, N queries, N keys), of which each row sums to 1.

        Raises ValueError where that block does not attend over all tokens.
        """
        seen: list[Tensor] = []
        last = self.stages[-1].blocks[-1]

        def keep(block: Any, before: Tensor, _after: Tensor) -> None:
            if block is last:
                seen.append(block.attention.weights(block.norm_1(before)))

        self._represent(images_BCHW, keep)
        return seen[0]

    def _embed(self, stage: Any, maps_BCHW: Tensor) -> Tensor:
        """The tokens that enter a stage's first block, (B, N, D)."""
        tokens_BND: Tensor = stage.embedding(maps_BCHW)
        return tokens_BND

    def _represent(self, images_BCHW: Tensor, observe: Callable[[Any, Tensor, Tensor], None]) -> Tensor:
        """What the head reads; ``observe`` is shown each block with the tokens before and after it."""
        maps_BCHW = images_BCHW
        for stage in self.stages:
            tokens_BND = self._embed(stage, maps_BCHW)
            for block in stage.blocks:
                before = tokens_BND
                tokens_BND = block(before)
                observe(block, before, tokens_BND)
            maps_BCHW = _on_grid(tokens_BND, stage.embedding.grid)
        representation_BD: Tensor = self.readout(self.norm(tokens_BND))
        return representation_BD


def stage_rates(maximum: float, depths: list[int]) -> list[list[float]]:
    """The stochastic depth of each block, stage by stage: one line from 0 to ``maximum`` over all blocks."""
    rates = iter(linear_rates(maximum, sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]


def check_lengths(**lists: list[Any]) -> None:
    """Raises ValueError unless all lists have the same length, at least 1, and hold nothing below or at zero."""
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or min(lengths.values()) < 1:
        raise ValueError(f"one value a stage is needed in each of {', '.join(lengths)}; they have {lengths}")
    if min(lists["depths"]) < 1:
        raise ValueError(f"each stage needs at least one block, but depths is {lists['depths']}")
    for name, values in lists.items():
        if min(values) <= 0:
            raise ValueError(f"{name} must be above zero in each stage, got {values}")


def check_probabilities(**values: float) -> None:
    """Raises ValueError for a probability that is not in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _on_grid(tokens_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    """The last tokens, which lie on the grid, as maps (B, D, rows, columns)."""
    places = grid[0] * grid[1]
    return tokens_BND[:, tokens_BND.shape[1] - places :].transpose(1, 2).unflatten(2, grid)
