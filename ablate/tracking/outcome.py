"""What a Trial's folder says of its outcome: a result, a failure, or neither yet.

A failure has a file of its own, so that not even a write that hung for hours on its way to a file server can put one
where a result is. Where the two are found together the result counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.tracking.codec import decode
from ablate.tracking.disk import set_aside
from ablate.tracking.journal import Story, read
from ablate.tracking.record import Record, Status

RESULT, FAILURE, JOURNAL, WORK = "result.json", "failure.json", "journal", "work"
#: The outcome, written within an attempt's folder before it takes effect.
SEALED = ".result.json"


def load(home: Path) -> Record | None:
    """The outcome that lies in a Trial's folder; None without one.

    One that is damaged or of a newer format counts as none and is set aside. Earlier versions wrote failures to
    `result.json`, too: of two failures the later one counts.
    """
    result = _read(home, RESULT)
    if result is not None and result.status == "finished":
        return result
    outcomes = (result, _read(home, WORK, SEALED), _read(home, FAILURE))  # sealed: a kill came right after publishing
    there = [record for record in outcomes if record is not None]
    return max(there, key=lambda record: (record.status == "finished", record.attempts), default=None)


def standing(home: Path, story: Story | None = None) -> Record | None:
    """The outcome that a Trial's folder holds, unless an attempt was started after that failure."""
    record = load(home)
    if record is None or record.status == "finished":
        return record
    story = read(home / JOURNAL) if story is None else story
    return record if story.attempts <= record.attempts else None


def compose(about: Mapping[str, Any], story: Story, status: Status) -> Record | None:
    """The Record of a Trial without an outcome; None where it was never started."""
    if story.started is None:
        return None
    return Record(
        trial_id=about["id"],
        seed=about["seed"],
        trainable=about["trainable"],
        recipe=about["recipe"],
        status=status,
        started=story.started,
        seconds=story.seconds,
        attempts=story.attempts,
        history=story.history,
        data_fingerprint=about["data_fingerprint"],
    )


def _read(home: Path, *names: str) -> Record | None:
    try:
        with open("/".join((str(home), *names)), encoding="utf-8") as file:  # noqa: PTH123 - asked for thousands
            return decode(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:  # a RecordError, or bytes that are no text
        set_aside(home.joinpath(*names), error)
        return None
