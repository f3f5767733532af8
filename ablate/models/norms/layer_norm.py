"""Layer normalisation."""

from __future__ import annotations

from torch import nn


class LayerNorm(nn.LayerNorm):
    """Layer normalisation over the width, with scale and shift (Ba et al., arXiv 1607.06450).

    ``eps`` is 1e-6 in Flax, big_vision and timm's ViT; PyTorch's own default is 1e-5.
    Raises ValueError where ``eps`` is not positive.
    """

    def __init__(self, dim: int, *, eps: float = 1e-6) -> None:
        if eps <= 0:
            raise ValueError(f"layer_norm needs a positive eps, got {eps}")
        super().__init__(dim, eps=eps)
