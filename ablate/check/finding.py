"""What came out of holding a Variant beside the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "no effect", "leak", "cannot be built", "cannot be trained"]
Aspect = Literal["field", "module", "parameter", "buffer", "stream", "loss", "update"]


@dataclass(frozen=True)
class Difference:
    """One thing that differs, with both sides."""

    aspect: Aspect
    name: str
    """Of a field, a module, a tensor or a number; a block's index is ``*`` where several blocks differ alike."""
    before: str
    """In the baseline; ``–`` where it lacks it."""
    after: str
    """In the Variant; of several places, both sides are those of the first."""
    places: int = 1


@dataclass(frozen=True)
class Finding:
    """What a Variant turned out to change."""

    status: Status
    effects: tuple[str, ...] = ()
    """What differs, in words."""
    problems: tuple[Difference, ...] = ()
    """Of a leak: what differs and may not. Of a Level without effect: what differs, to no effect."""
    note: str = ""
    """Why it cannot be built or trained, why it is an error, or beyond what it takes effect."""
    variant: str = ""
    beside: str = ""
    """The other Variant beside which it was held, too, since that is nearer to it than the baseline."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Finding:
        """The inverse of `as_json`. Raises KeyError or TypeError for anything else."""
        problems = tuple(Difference(**difference) for difference in plain["problems"])
        return cls(**{**plain, "effects": tuple(plain["effects"]), "problems": problems})
