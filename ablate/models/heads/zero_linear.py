"""One linear layer that starts at zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ablate.models.init import Draw, zeros


class ZeroLinearHead(nn.Module):
    """One linear layer, all zeros at the start whatever the scheme (ViT, arXiv 2010.11929, section 3.2).

    The head with which ViT is fine-tuned: at first all classes are equally likely, and no gradient flows into
    the trunk. Under the scheme ``jax`` the plain linear head starts at zero as well, and is this one.
    """

    roles: ClassVar[Mapping[str, str | Draw]] = {"classifier.weight": zeros, "classifier.bias": zeros}

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, classes)

    def forward(self, representation_BD: Tensor) -> Tensor:
        """Logits, (B, K)."""
        logits_BK: Tensor = self.classifier(representation_BD)
        return logits_BK
