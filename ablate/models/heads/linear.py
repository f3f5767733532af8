"""One linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class LinearHead(nn.Module):
    """One linear layer (SimpleViT's better head: arXiv 2205.01580, table 1, "Linear head")."""

    roles: ClassVar[Mapping[str, str]] = {"classifier.weight": "classifier"}

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, classes)

    def forward(self, representation_BD: Tensor) -> Tensor:
        """Logits, (B, K)."""
        logits_BK: Tensor = self.classifier(representation_BD)
        return logits_BK
