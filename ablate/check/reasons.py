"""Why a Level has no effect, where that can be told."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ablate.study.study import ResolvedRecipe

if TYPE_CHECKING:
    from ablate.training.probe import Probe

_UNAFFECTED = "losses, gradients and updates are those of {}: {}"
_UNREAD = "what differs is not read, or makes no difference here"


def why_no_effect(changed: Collection[str], recipe: ResolvedRecipe, probe: Probe, beside: str, *, rounded: bool) -> str:
    """The note of a Level without effect. ``recipe`` and ``probe`` are the Variant's.

    ``rounded``: it was decided in float32 alone, which may have rounded an effect away.
    """
    if not changed:
        return f"its Recipe is that of {beside}"
    known = [
        reason
        for field, holds, reason in (
            (
                "model.position_covers",
                probe.modules.get("readout:prefix_tokens") == "0",
                f"readout {_readout(recipe)} has no token of its own that positions could cover",
            ),
            ("optimizer.decay", recipe["optimizer"]["weight_decay"] == 0, "optimizer.weight_decay is 0"),
        )
        if field in changed and holds
    ]
    text = _UNAFFECTED.format(beside, "; ".join(known) or _UNREAD)
    return f"in float32, {text}" if rounded and not known else text


def _readout(recipe: ResolvedRecipe) -> str:
    readout = recipe["model"].get("readout", {})
    return repr(readout.get("name", readout))
