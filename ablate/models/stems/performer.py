"""Attention in time linear in the tokens, by random features."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Generator, Tensor, nn

from ablate.draws import derive

#: What keeps the division finite where all features of a query have vanished; the official code's.
_EPSILON = 1e-8


class RandomFeatureAttention(nn.Module):
    """Performer's attention with positive random features (arXiv 2009.14794, section 2.3) as T2T-ViT has it.

    phi(x) = exp(W x - |x|^2 / 2) / sqrt(M), and the output of a query is phi(q) . sum of phi(k) v^T, divided by
    phi(q) . sum of phi(k). It stands for attention with weights exp(q . k): T2T-ViT's official code
    (models/token_performer.py) does not divide the queries and keys by E^(1/4), as the Performer does. Nor are
    the M orthogonal rows of W as long as the Performer's, sqrt(E), but sqrt(M), with M half of E.

    W is never trained. It is drawn by a generator of its own from a fixed seed and ``stream``, so it is the same in
    every model that has this width and stream, whatever the Trial's seed, and not part of the state.
    """

    table: Tensor

    def __init__(self, width: int, stream: int) -> None:
        super().__init__()
        self.features = width // 2
        self.register_buffer("table", _orthogonal(self.features, width, stream), persistent=False)

    def forward(self, q_BNE: Tensor, k_BNE: Tensor, v_BNE: Tensor) -> Tensor:
        """The values, mixed, (B, N, E). Computed in float32 at least: an exponential is not for half precision."""
        dtype = torch.promote_types(v_BNE.dtype, torch.float32)
        kind = v_BNE.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            q_BNM, k_BNM = self._positive(q_BNE.to(dtype)), self._positive(k_BNE.to(dtype))
            sums_BME = k_BNM.transpose(-2, -1) @ v_BNE.to(dtype)
            weights_BN1 = (q_BNM * k_BNM.sum(-2, keepdim=True)).sum(-1, keepdim=True)
            mixed_BNE = (q_BNM @ sums_BME) / (weights_BN1 + _EPSILON)
        return mixed_BNE.to(v_BNE.dtype)

    def _positive(self, x_BNE: Tensor) -> Tensor:
        half_norm_BN1 = x_BNE.square().sum(-1, keepdim=True) / 2
        return (x_BNE @ self.table.to(x_BNE.dtype).T - half_norm_BN1).exp() / math.sqrt(self.features)


def _orthogonal(rows: int, columns: int, stream: int) -> Tensor:
    """Orthogonal rows of length sqrt(rows), float32; found in float64, so that machines agree on them."""
    generator = Generator().manual_seed(derive(0, "random features", stream))
    table = torch.empty(rows, columns, dtype=torch.float64, device="cpu")
    nn.init.orthogonal_(table, gain=math.sqrt(rows), generator=generator)
    return table.float().to(torch.get_default_device())
