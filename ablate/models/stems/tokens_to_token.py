"""Overlapping patches of patches, with a small transformer layer between the cuts."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ablate.models.stems.token_transformer import TokenTransformer


class TokensToToken(nn.Module):
    """T2T-ViT's progressive tokenisation (arXiv 2101.11986, section 3.1, eqs. 1 to 3).

    A *soft split* cuts its map into overlapping squares and flattens each, (channel, row, column), into a token.
    All but the last are followed by a `TokenTransformer` of width ``token_dim``, after which the tokens are laid
    out as a map again; the last is followed by a linear projection to the width of the model. ``kernels``,
    ``strides`` and ``paddings`` say the splits one after another, the paper's by default: 16 px to a token, in
    steps of 4, 2 and 2. A split at stride 1 with padding kernel // 2 keeps the size of the map, for small images.

    ``layer`` is the paper's choice for T2T-ViT-7 to -24, the Performer, or that for T2T-ViT_t-14 to -24.
    ``token_dropout`` is the dropout within these layers, whatever that of the model: in the official code .1 with
    the Performer and 0 with the transformer, which is for the Recipe to say.
    Raises ValueError where the lists are not of the same length, where a split leaves out pixels, or where it does
    not give one token for each square of its stride.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        channels: int,
        dim: int,
        *,
        kernels: list[int] = [7, 3, 3],  # noqa: B006 - a literal, as every option's default, and never changed
        strides: list[int] = [4, 2, 2],  # noqa: B006
        paddings: list[int] = [2, 1, 1],  # noqa: B006
        layer: Literal["performer", "transformer"] = "performer",
        token_dim: int = 64,
        token_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 <= token_dropout < 1:
            raise ValueError(f"token_dropout must be at least 0 and below 1, got {token_dropout}")
        if layer not in ("performer", "transformer"):
            raise ValueError(f"layer is 'performer' or 'transformer', not {layer!r}")
        if token_dim < 2:
            raise ValueError(f"tokens_to_token needs a token_dim of at least 2, got {token_dim}")
        if not kernels or not len(kernels) == len(strides) == len(paddings):
            raise ValueError(
                "kernels, strides and paddings name the splits one after another, but there are "
                f"{len(kernels)}, {len(strides)} and {len(paddings)}"
            )
        self.splits = tuple(zip(kernels, strides, paddings, strict=True))
        self.grids = _grids(image_size, self.splits)
        self.grid = self.grids[-1]
        flattened = [kernel**2 * (token_dim if index else channels) for index, kernel in enumerate(kernels)]
        self.transformers = nn.ModuleList(
            TokenTransformer(inputs, token_dim, kind=layer, dropout=token_dropout, stream=index)
            for index, inputs in enumerate(flattened[:-1])
        )
        self.projection = nn.Linear(flattened[-1], dim)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Tokens of shape (B, rows x columns, D), the first row of places first."""
        tokens_BND = _split(images_BCHW, *self.splits[0])
        for transformer, grid, split in zip(self.transformers, self.grids, self.splits[1:], strict=False):
            map_BCHW = transformer(tokens_BND).transpose(1, 2).unflatten(2, grid)
            tokens_BND = _split(map_BCHW, *split)
        projected_BND: Tensor = self.projection(tokens_BND)
        return projected_BND


def _split(map_BCHW: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return F.unfold(map_BCHW, kernel, stride=stride, padding=padding).transpose(1, 2)


def _grids(image_size: tuple[int, int], splits: tuple[tuple[int, int, int], ...]) -> list[tuple[int, int]]:
    """Rows and columns after each split."""
    grids = []
    rows, columns = image_size
    for number, (kernel, stride, padding) in enumerate(splits, start=1):
        said = f"split {number}, of kernel {kernel}, stride {stride} and padding {padding},"
        if stride < 1 or kernel < stride or not 0 <= padding < kernel:
            raise ValueError(f"{said} leaves out pixels or has squares of padding alone")
        after = [(side + 2 * padding - kernel) // stride + 1 for side in (rows, columns)]
        if after != [rows / stride, columns / stride]:
            raise ValueError(f"{said} does not give a token for every {stride} x {stride} of {rows} x {columns} places")
        rows, columns = after
        grids.append((rows, columns))
    return grids
