"""Batch normalisation of tokens."""

from __future__ import annotations

from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of each channel over images and tokens, with scale and shift (arXiv 1502.03167).

    In the place of ViT's layer normalisation it was studied by Yao et al. (ICCV Workshops 2021, pages
    413-422), who saw training crash often unless the feed-forward has one inside, too. In training an
    image's result depends on the others of its batch. The defaults of ``eps`` and ``momentum`` are PyTorch's.

    Raises ValueError where ``eps`` is not positive, or ``momentum`` not above 0 and at most 1.
    """

    def __init__(self, dim: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        if eps <= 0:
            raise ValueError(f"batch_norm needs a positive eps, got {eps}")
        if not 0 < momentum <= 1:
            raise ValueError(f"batch_norm needs a momentum above 0 and at most 1, got {momentum}")
        super().__init__(dim, eps=eps, momentum=momentum)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        """The tokens normalised; (B, D) works as well."""
        normalised: Tensor = super().forward(tokens_BND.flatten(0, -2))
        return normalised.reshape(tokens_BND.shape)
