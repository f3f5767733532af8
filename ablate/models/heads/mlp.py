"""Dense, tanh, linear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class MLPHead(nn.Module):
    """A dense layer as wide as the tokens, tanh, then a linear layer (ViT's pre-training head).

    ViT: arXiv 2010.11929, section 3.1. big_vision: models/vit.py, `rep_size=True`. No dropout follows the
    dense layer, as in both of their implementations.
    """

    roles: ClassVar[Mapping[str, str]] = {
        "representation.weight": "representation",
        "classifier.weight": "classifier",
    }

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.representation = nn.Linear(dim, dim)
        self.classifier = nn.Linear(dim, classes)

    def forward(self, representation_BD: Tensor) -> Tensor:
        """Logits, (B, K)."""
        logits_BK: Tensor = self.classifier(self.representation(representation_BD).tanh())
        return logits_BK
