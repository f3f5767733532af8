"""A feed-forward that looks at the neighbours of each patch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeFF(nn.Module):
    """CeiT's locally-enhanced feed-forward (arXiv 2103.11816, eqs. 5-10).

    Dense to ``ratio`` times the width, depthwise ``kernel`` x ``kernel`` convolution over the grid padded with
    zeros, dense back; each followed by a batch normalisation (if ``batch_norm``), the first two by a GELU.
    Where paper and official code (coeusguo/ceit) disagree, it is an option:

    * ``cls_path``, what the branch holds for the tokens before the grid: with ``identity``, zero, so that the
      block leaves them as they are, as the paper says; with ``norm``, its own normalised input, so that x
      becomes x + norm(x), as in the code;
    * ``final_activation``, a GELU at the end, too: eq. 9 has it, the code, which made the published numbers,
      has none, and nor has the default.

    Dropout stands at the end of the patches' branch, where no batch normalisation sees training and
    evaluation differ; the official code has none. Its layers are convolutions in the official code, and so
    drawn as a scheme draws the convolution of the patches.

    Raises ValueError where the tokens lie on no grid, where ``kernel`` is even or below 1, and where no
    hidden unit is left.
    """

    roles: ClassVar[Mapping[str, str]] = {
        "up.weight": "patches",
        "up.bias": "patches_bias",
        "depthwise.weight": "patches",
        "depthwise.bias": "patches_bias",
        "down.weight": "patches",
        "down.bias": "patches_bias",
    }

    def __init__(
        self,
        dim: int,
        grid: tuple[int, int] | None,
        prefix_tokens: int,
        dropout: float,
        *,
        ratio: float = 4.0,
        kernel: int = 3,
        batch_norm: bool = True,
        cls_path: Literal["identity", "norm"] = "identity",
        final_activation: bool = False,
        activation: Literal["gelu_tanh", "gelu"] = "gelu",
    ) -> None:
        super().__init__()
        if grid is None:
            raise ValueError("leff needs a grid: it convolves over the neighbours of each patch")
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"leff needs an odd kernel, to keep the size of the grid, got {kernel}")
        hidden = round(dim * ratio)
        if hidden < 1:
            raise ValueError(f"a leff of ratio {ratio} leaves no hidden unit at dim {dim}")
        self.grid = grid
        self.prefix_tokens = prefix_tokens
        self.cls_path = cls_path
        self.up = nn.Conv2d(dim, hidden, 1)
        self.norm_up = nn.BatchNorm2d(hidden) if batch_norm else nn.Identity()
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden)
        self.norm_depthwise = nn.BatchNorm2d(hidden) if batch_norm else nn.Identity()
        self.down = nn.Conv2d(hidden, dim, 1)
        self.norm_down = nn.BatchNorm2d(dim) if batch_norm else nn.Identity()
        gelu = partial(nn.GELU, approximate="tanh" if activation == "gelu_tanh" else "none")
        self.activation = gelu()
        self.final_activation = gelu() if final_activation else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The residual branch, (B, N, D)."""
        patches_BDN = tokens_BND[:, self.prefix_tokens :].transpose(1, 2)
        x_BCHW = self.activation(self.norm_up(self.up(patches_BDN.unflatten(2, self.grid))))
        x_BCHW = self.activation(self.norm_depthwise(self.depthwise(x_BCHW)))
        x_BCHW = self.dropout(self.final_activation(self.norm_down(self.down(x_BCHW))))
        branch_BND = x_BCHW.flatten(2).transpose(1, 2)
        if self.cls_path == "identity":
            return F.pad(branch_BND, (0, 0, self.prefix_tokens, 0))
        return torch.cat((tokens_BND[:, : self.prefix_tokens], branch_BND), dim=1)
