"""A glance at Trials in the spool: what their folders say now, and nothing is touched.

`Spool.record` is for who works with Trials: it reads all of a result and sets aside what is damaged. Here ten thousand
Trials are read at once by somebody who may only look, while others write: what cannot be read counts as not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.tracking import journal
from ablate.tracking.codec import FORMAT, unpack_metrics
from ablate.tracking.disk import is_held
from ablate.tracking.outcome import FAILURE, JOURNAL, RESULT, SEALED, WORK
from ablate.tracking.record import Cause, Row, Status


@dataclass(frozen=True)
class Glance:
    """What a Trial's folder says of it."""

    status: Status
    """`running` where a process that is visible from this machine holds its lock."""
    attempts: int
    latest: float
    """When something was last written about it, seconds since the Unix epoch."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Final metrics; empty until finished."""
    history: tuple[Row, ...] = ()
    """What was reported so far; empty once finished."""
    cause: Cause | None = None
    error: str = ""
    log_tail: str = ""

    def latest_value(self, metric: str) -> float | None:
        """The metric: the final one, else as it was last reported."""
        rows = (row.metrics[metric] for row in reversed(self.history) if metric in row.metrics)
        return self.metrics[metric] if metric in self.metrics else next(rows, None)


def glances(root: Path, trial_ids: Iterable[str], before: Mapping[str, Glance] | None = None) -> dict[str, Glance]:
    """Of those Trials that were ever started in the spool ``root``, by id.

    What was finished in an earlier look, ``before``, is not read again.
    """
    done = {i: seen for i, seen in (before or {}).items() if seen.status == "finished"}
    try:
        there = set(os.listdir(root / "trials"))  # noqa: PTH208 - names alone, ten thousand of them
    except OSError:
        return {}
    found = (
        (trial_id, done.get(trial_id) or glance(root, trial_id))
        for trial_id in dict.fromkeys(trial_ids)
        if trial_id in there
    )
    return {trial_id: seen for trial_id, seen in found if seen is not None}


def glance(root: Path, trial_id: str) -> Glance | None:
    """Of one Trial; None where it was never started."""
    home = root / "trials" / trial_id
    seen = _outcome(home)
    if seen is not None and seen.status == "finished":
        return seen
    story = _story(home)
    if seen is not None and story.attempts <= seen.attempts:
        return Glance("failed", seen.attempts, seen.latest, {}, story.history, seen.cause, seen.error, seen.log_tail)
    if story.started is None:
        return None
    if _is_held(home):
        return Glance("running", story.attempts, story.latest, {}, story.history)
    ended = _outcome(home)  # it may have finished between the first look and the second
    if ended is not None and ended.attempts >= story.attempts:
        return ended
    return Glance("interrupted", story.attempts, story.latest, {}, story.history)


def _outcome(home: Path) -> Glance | None:
    """As `outcome.load`, of a finished Trial without its history; None without an outcome that can be read."""
    failures = []
    for name in (RESULT, f"{WORK}/{SEALED}", FAILURE):
        seen = _read(f"{home}/{name}")
        if seen is not None and seen.status == "finished":
            return seen
        if seen is not None:
            failures.append(seen)
    return max(failures, key=lambda seen: seen.attempts, default=None)


def _read(file: str) -> Glance | None:
    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 - asked for thousands
            text = opened.read()
        head = _before_history(text)
        if head["format"] == FORMAT and head["status"] == "finished":
            return Glance("finished", head["attempts"], head["ended"] or 0.0, unpack_metrics(head["metrics"]))
        if head["format"] != FORMAT:
            return None
        failure = json.loads(text)
        about = failure["cause"], failure["error"], failure["log_tail"]
        return Glance("failed", failure["attempts"], failure["ended"] or failure["started"], {}, (), *about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _before_history(text: str) -> dict[str, Any]:
    """The fields of a result that `codec.encode` puts before the history, which is most of the file.

    Raises ValueError where the text is none of its making.
    """
    if not text.startswith("{") or not text.rstrip().endswith("}"):
        raise ValueError("not a result")
    decoder, fields, at = json.JSONDecoder(), dict[str, Any](), 1
    while True:
        name, at = decoder.raw_decode(text, at)
        if name == "history":
            return fields
        fields[name], at = decoder.raw_decode(text, at + len(": "))
        at += len(", ")


def _story(home: Path) -> journal.Story:
    try:
        return journal.read(home / JOURNAL)
    except (OSError, ValueError, KeyError, TypeError):
        return journal.Story()


def _is_held(home: Path) -> bool:
    try:
        return is_held(home / "lock")
    except OSError:  # a file system without locks, or a file of somebody else's
        return False
