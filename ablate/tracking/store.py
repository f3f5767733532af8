"""What a Store is: where finished Trials live, whoever trained them and wherever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from ablate.study.study import Study, Trial, Variant
from ablate.tracking.record import Record, Status


class StoreUnavailable(Exception):  # noqa: N818 - a state of the world, which passes
    """The Store cannot be reached or refuses; the message says why. Nothing is lost: the spool has it all."""


class Stamp(NamedTuple):
    """Which outcome of a Trial the Store holds complete."""

    status: Status
    """`finished` or `failed`."""
    attempts: int
    variant_key: str = ""
    """`variant_key` of the Variant under which it is held."""

    def settles(self, record: Record) -> bool:
        """Whether ``record`` has nothing that is not held, whatever the Variant's name."""
        return self.status == "finished" or self[:2] == (record.status, record.attempts)


def variant_key(variant: Variant) -> str:
    """Identifies a Variant in a Store: one whose name or Recipe was edited is another Variant."""
    text = json.dumps([variant.name, variant.recipe], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def places(study: Study) -> dict[str, tuple[Variant, Trial]]:
    """Trial id -> the Variant under which a Store holds it, and the Trial as that Variant's.

    That is the first Variant that has it, and for a teacher that is no Variant's Trial as well, the teacher.
    """
    variants = {variant.name: variant for variant in (*study.variants, *study.teacher_variants)}
    found: dict[str, tuple[Variant, Trial]] = {}
    for trial in (*study.trials, *study.teachers):
        found.setdefault(trial.id, (variants[trial.variant], trial))
    return found


def database(uri: str) -> Path | None:
    """The file of an SQLite database's URI, absolute; None for another place and for one in memory."""
    scheme, _, path = uri.partition(":///")
    name = unquote(path.partition("?")[0])
    if scheme.partition("+")[0] != "sqlite" or name in ("", ":memory:"):
        return None
    return Path(name).absolute()


def is_server(uri: str) -> bool:
    """Whether many processes may write to it at once, each from its own machine: a tracking server, by HTTP."""
    return uri.startswith(("http://", "https://"))


class Store(Protocol):
    """Every method raises `StoreUnavailable`, and nothing else, when the Store is at fault."""

    @property
    def uri(self) -> str:
        """Where it is."""
        ...

    def known(self, trial_ids: Iterable[str], study: Study | None = None) -> dict[str, Stamp]:
        """The outcomes held complete: in this study's experiment, or anywhere when none is given."""
        ...

    def fetch(self, trial_id: str, folder: Path) -> Record:
        """The Record of a Trial held complete, finished rather than failed; its artifacts go into ``folder``.

        Raises KeyError where the Store does not hold it.
        """
        ...

    def deliver(self, study: Study, record: Record, artifacts: Mapping[str, Path]) -> None:
        """Write a Record into the study's experiment; the same one twice is written once.

        One held already under another name of its Variant is moved to where the study has it now.
        A running or interrupted one is written as far as it goes and completed by a later call. ``artifacts``:
        name -> file. The caller sees to it that no two processes deliver the same Trial at once.
        """
        ...

    def summarise(
        self,
        study: Study,
        aggregates: Mapping[str, Mapping[str, float]],
        report_files: Sequence[Path],
        description: str = "",
    ) -> None:
        """Write Variant name -> aggregates, and the report's files (files or folders), beside the Trials.

        ``description`` is the table of results in Markdown, for people who look at the report there.

        An aggregate that an earlier summary had and this one has not is NaN from now on. Through
        `Delivery.summarise`, lest two processes do it at once.
        """
        ...
