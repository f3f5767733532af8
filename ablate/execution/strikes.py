"""Strikes: how often processes have died with one Trial in their hands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Strikes:
    """Deaths of processes with one Trial in their hands, since it last got further."""

    count: int = 0
    furthest: int | None = None
    """The highest step that the Trial had reported when one of them died."""

    def one_more(self, step: int | None) -> Strikes:
        """After another death, with ``step`` reported last: progress forgives the deaths before it."""
        if step is not None and (self.furthest is None or step > self.furthest):
            return Strikes(1, step)
        return Strikes(self.count + 1, self.furthest)
