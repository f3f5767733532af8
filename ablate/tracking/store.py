"""What a Store is: where finished Trials live, whoever trained them and wherever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from ablate.study.study import Study
from ablate.tracking.record import Record, Status


class StoreUnavailable(Exception):  # noqa: N818 - a state of the world, which passes
    """The Store cannot be reached or refuses; the message says why. Nothing is lost: the spool has it all."""


class Stamp(NamedTuple):
    """Which outcome of a Trial the Store holds complete."""

    status: Status
    """`finished` or `failed`."""
    attempts: int

    def settles(self, record: Record) -> bool:
        """Whether delivering ``record`` would add nothing."""
        return self.status == "finished" or self == (record.status, record.attempts)


class Store(Protocol):
    """Every method raises `StoreUnavailable`, and nothing else, when the Store is at fault."""

    @property
    def uri(self) -> str:
        """Where it is."""
        ...

    def describe(self) -> str:
        """One line for a person: what and where it is."""
        ...

    def known(self, trial_ids: Iterable[str], study: Study | None = None) -> dict[str, Stamp]:
        """The outcomes held complete: in this study's experiment, or anywhere when none is given."""
        ...

    def finished(self, trial_ids: Iterable[str]) -> set[str]:
        """Those of the Trials that the Store holds finished, trained for whichever study."""
        ...

    def fetch(self, trial_id: str, folder: Path) -> Record:
        """The Record of a Trial held complete, finished rather than failed; its artifacts go into ``folder``.

        Raises KeyError where the Store does not hold it.
        """
        ...

    def deliver(self, study: Study, record: Record, artifacts: Mapping[str, Path]) -> None:
        """Write a Record into the study's experiment; the same one twice is written once.

        A running or interrupted one is written as far as it goes and completed by a later call. ``artifacts``:
        name -> file. The caller sees to it that no two processes deliver the same Trial at once.
        """
        ...

    def summarise(self, study: Study, aggregates: Mapping[str, Mapping[str, float]], report_files: list[Path]) -> None:
        """Write Variant name -> aggregates, and the report's files (files or folders), beside the Trials."""
        ...
