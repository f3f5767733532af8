"""One encoder block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ablate.models.scaled_dot_product import Bias


class Block(nn.Module):
    """Tokens mix, then channels, each behind a norm and beside a residual connection.

    The pre-norm block of ViT (arXiv 2010.11929, eqs. 2 and 3), MLP-Mixer (arXiv 2105.01601, eq. 1) and ResMLP
    (arXiv 2105.03404, eqs. 2 and 3). Its branches apply their own dropout. ``scale`` makes a learned gain for the end
    of a branch, ``factor`` is a constant one, and ``drop`` makes what leaves a branch out in training.
    """

    def __init__(
        self,
        norm_1: nn.Module,
        mixer: nn.Module,
        norm_2: nn.Module,
        feed_forward: nn.Module,
        *,
        scale: Callable[[], nn.Module] | None = None,
        drop: Callable[[], nn.Module] | None = None,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.factor = factor
        self.norm_1 = norm_1
        # Any: torch's annotations know no module's own methods.
        self.mixer: Any = mixer
        self.scale_1 = scale() if scale else None
        self.drop_1 = drop() if drop else None
        self.norm_2 = norm_2
        self.feed_forward = feed_forward
        self.scale_2 = scale() if scale else None
        self.drop_2 = drop() if drop else None

    def forward(self, tokens_BND: Tensor, bias: Bias | None = None) -> Tensor:
        """The tokens after both branches, (B, N, D). ``bias`` is for the mixer's attention logits."""
        normed_BND = self.norm_1(tokens_BND)
        branch_BND = self.mixer(normed_BND) if bias is None else self.mixer(normed_BND, bias=bias)
        return self._mix_channels(tokens_BND + self._ended(branch_BND, self.scale_1, self.drop_1))

    def forward_with_weights(self, tokens_BND: Tensor, bias: Bias | None = None) -> tuple[Tensor, Tensor]:
        """As `forward`, and the attention weights, (B, A, N, N).

        Raises TypeError where the mixer cannot give them.
        """
        attend = getattr(self.mixer, "forward_with_weights", None)
        if attend is None:
            name = type(self.mixer).__name__
            raise TypeError(f"{name} has no forward_with_weights, so it cannot give attention weights")
        normed_BND = self.norm_1(tokens_BND)
        branch_BND, weights_BANN = attend(normed_BND) if bias is None else attend(normed_BND, bias=bias)
        return self._mix_channels(tokens_BND + self._ended(branch_BND, self.scale_1, self.drop_1)), weights_BANN

    def _mix_channels(self, tokens_BND: Tensor) -> Tensor:
        return tokens_BND + self._ended(self.feed_forward(self.norm_2(tokens_BND)), self.scale_2, self.drop_2)

    def _ended(self, branch_BND: Tensor, scale: nn.Module | None, drop: nn.Module | None) -> Tensor:
        if scale is not None:
            branch_BND = scale(branch_BND)
        if self.factor != 1.0:
            branch_BND = branch_BND * self.factor
        return branch_BND if drop is None else drop(branch_BND)
