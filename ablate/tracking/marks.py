"""Marks: one empty file for each outcome, all in one folder, so that news of thousands of Trials is one look.

::

    <root>/settled/<id>.<status>.<when>    when it ended, microseconds since the Unix epoch

A mark is a hint. It is made after the outcome is durable, so a kill in between, or a full disk, leaves an outcome
without one: whoever waits for outcomes looks at the Records themselves too, when it starts and from time to time.
"""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from ablate.tracking.record import Record


class Marks:
    """The marks of one spool."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "settled"

    def add(self, record: Record) -> None:
        """Mark an outcome. Nothing that goes wrong is raised."""
        name = f"{record.trial_id}.{record.status}.{round((record.ended or 0.0) * 1e6)}"
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            (self.folder / name).touch()

    def since(self, seen: Set[str]) -> tuple[list[str], frozenset[str]]:
        """Ids with a mark that is not among the ``seen`` ones, sorted, and all marks that are there now."""
        try:
            now = frozenset(os.listdir(self.folder))  # noqa: PTH208 - names are all that is wanted
        except FileNotFoundError:
            now = frozenset()
        return sorted({name.partition(".")[0] for name in now - seen}), now
