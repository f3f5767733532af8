"""Self-attention whose keys and values come from a coarser grid."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ablate.models.scaled_dot_product import attend, attention_weights
from ablate.models.strided_embedding import StridedEmbedding


class SpatialReductionAttention(nn.Module):
    """PVT's spatial-reduction attention, SRA (Wang et al., arXiv 2102.12122, section 3.3).

    attention(x W_q, SR(x) W_k, SR(x) W_v), with SR(x) = norm(reshape(x) W_s): queries are all tokens, keys and
    values are made from the grid after a convolution, whose kernel and stride are ``reduction``, and layer
    normalisation. With a reduction of 1 there is neither, and the attention is ordinary; only then may prefix
    tokens precede the grid. Dropout follows the output projection.
    tokens_BND, on the grid row by row -> the residual branch, (B, N, D).
    Raises ValueError where the heads do not divide the width, the reduction does not divide the grid, or there
    are prefix tokens and a reduction.
    """

    def __init__(
        self,
        dim: int,
        grid: tuple[int, int],
        prefix_tokens: int,
        dropout: float,
        *,
        heads: int,
        reduction: int,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} attention heads do not divide the width, dim {dim}")
        rows, columns = grid
        if reduction < 1 or rows % reduction or columns % reduction:
            raise ValueError(f"a reduction of {reduction} does not divide a grid of {rows} x {columns}")
        if prefix_tokens and reduction > 1:
            raise ValueError(f"a reduction of {reduction} has no place for a class token: it needs 1")
        self.grid = grid
        self.prefix_tokens = prefix_tokens
        self.heads = heads
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.reduce: Any = None
        if reduction > 1:
            self.reduce = StridedEmbedding(grid, dim, dim, kernel=reduction, stride=reduction, padding=0)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The residual branch, (B, N, D)."""
        mixed_BANE = attend(*self._project(tokens_BND))
        branch_BND: Tensor = self.dropout(self.out(mixed_BANE.transpose(1, 2).flatten(2)))
        return branch_BND

    def weights(self, tokens_BND: Tensor) -> Tensor:
        """The attention weights, (B, A, N queries, M keys), of which each row sums to 1."""
        q_BANE, k_BAME, _ = self._project(tokens_BND)
        return attention_weights(q_BANE, k_BAME)

    def received(self, tokens_BND: Tensor) -> Tensor:
        """The attention that each place of the reduced grid receives, (B, A, rows, columns).

        The mean weight that the queries give it, times the number of keys.
        """
        weights_BANM = self.weights(tokens_BND)
        received_BAM = weights_BANM.mean(dim=2) * weights_BANM.shape[3]
        return received_BAM[:, :, self.prefix_tokens :].unflatten(2, self._key_grid)

    @property
    def _key_grid(self) -> tuple[int, int]:
        return self.grid if self.reduce is None else self.reduce.grid

    def _project(self, tokens_BND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_BANE = self.q(tokens_BND).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        source_BMD = tokens_BND
        if self.reduce is not None:
            source_BMD = self.reduce(tokens_BND.transpose(1, 2).unflatten(2, self.grid))
        k_BAME, v_BAME = self.kv(source_BMD).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q_BANE, k_BAME, v_BAME
