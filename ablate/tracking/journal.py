"""The journal of a Trial: JSON lines, appended and fsync'd, that say all that happened before its result.

Three kinds of line: the beginning of an attempt, a row that the Trainable reported, the end of an attempt. An
attempt without an end was killed. What the lines add up to is a `Story`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ablate.tracking.codec import pack_metrics, unpack_metrics
from ablate.tracking.record import Row

How = Literal["finished", "failed", "interrupted"]
_BLOCK = 1 << 14


@dataclass(frozen=True)
class Story:
    """What a journal adds up to."""

    started: float | None = None
    """Seconds since the Unix epoch; None before the first attempt."""
    latest: float = 0.0
    """Time of the last line."""
    attempts: int = 0
    seconds: float = 0.0
    """Over all attempts; of a killed one, up to its last row."""
    history: tuple[Row, ...] = ()
    deaths: int = 0
    """How many attempts in a row, up to and including the latest, have no end line, and did not get further than what
    was reported before them; one that did get further counts as the first. A living attempt is counted with them."""


class Journal:
    """The writing end, for the one process that holds the Trial's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._repair()

    def begin(self, attempt: int, time: float, *, clean: bool) -> None:
        """An attempt starts; ``clean`` forgets the rows of earlier ones."""
        self._append({"event": "attempt", "attempt": attempt, "time": time, "clean": clean, "pid": os.getpid()})

    def row(self, attempt: int, step: int, metrics: Mapping[str, Any], time: float, seconds: float) -> None:
        """What the Trainable measured; ``seconds`` since the attempt began."""
        packed = pack_metrics(metrics)
        self._append({"step": step, "metrics": packed, "time": time, "attempt": attempt, "seconds": seconds})

    def end(self, attempt: int, how: How, time: float, seconds: float) -> None:
        """An attempt ends by itself."""
        self._append({"event": "end", "attempt": attempt, "how": how, "time": time, "seconds": seconds})

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _repair(self) -> None:
        """Cut off what a killed writer left of a line, lest the next line be glued to it."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)


def read(path: Path) -> Story:
    """The Story so far; an empty one where there is no journal. A torn last line does not count."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Story()
    teller = _Teller()
    for line in _parse(content.split(b"\n")[:-1]):
        teller.hear(line)
    return teller.story()


def last_row(path: Path) -> Row | None:
    """The row reported last, read from the end of the file: its cost does not grow with the journal."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            tail = b""
            while position > 0:
                size = min(_BLOCK, position)
                position -= size
                file.seek(position)
                tail = file.read(size) + tail
                lines = tail.split(b"\n")[:-1]
                # Unless the file begins here, the first line of the tail is cut.
                for line in _parse(reversed(lines[1:] if position else lines)):
                    if "step" in line:
                        return _row(line)
    except FileNotFoundError:
        pass
    return None


def _parse(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:  # a full disk may leave half a line amid whole ones; the rest of the journal is good
            continue
        if isinstance(line, dict):
            yield line


def _row(line: Mapping[str, Any]) -> Row:
    return Row(int(line["step"]), unpack_metrics(line["metrics"]), float(line["time"]))


@dataclass
class _Attempt:
    number: int
    seconds: float = 0.0
    clean: bool = False
    ended: bool = False
    floor: float = float("inf")
    """The lowest step that it has reported."""
    top: float = float("-inf")
    """The highest."""


@dataclass
class _Teller:
    """Adds up lines in their order."""

    started: float | None = None
    latest: float = 0.0
    attempts: dict[int, _Attempt] = field(default_factory=dict)
    current: _Attempt | None = None
    rows: dict[int, tuple[int, Row]] = field(default_factory=dict)
    superseded: dict[int, Row] = field(default_factory=dict)

    def hear(self, line: Mapping[str, Any]) -> None:
        self.latest = max(self.latest, float(line["time"]))
        number = int(line["attempt"])
        if line.get("event") == "attempt":
            self._hear_beginning(number, bool(line["clean"]))
            return
        attempt = self.attempts.get(number)
        if attempt is None:
            return
        attempt.seconds = max(attempt.seconds, float(line["seconds"]))
        if attempt is not self.current:  # an orphan that writes after another has taken over
            return
        if "step" in line:
            self._hear_row(attempt, _row(line))
        elif line.get("event") == "end":
            attempt.ended = True

    def _hear_beginning(self, number: int, clean: bool) -> None:
        if self.current is not None and number <= self.current.number:
            return  # it was overtaken between taking its folder and saying so
        self.started = self.latest if self.started is None else self.started
        self.current = self.attempts[number] = _Attempt(number, clean=clean)
        if clean:
            self.rows.clear()
            self.superseded.clear()

    def _hear_row(self, attempt: _Attempt, row: Row) -> None:
        attempt.top = max(attempt.top, row.step)
        if row.step < attempt.floor:
            # Resumed at this step: what earlier attempts reported from here on is told anew.
            attempt.floor = row.step
            for step in [s for s, (number, _) in self.rows.items() if s >= row.step and number < attempt.number]:
                self.superseded[step] = self.rows.pop(step)[1]
        if row.step in self.rows:
            row = replace(row, metrics={**self.rows[row.step][1].metrics, **row.metrics})
        before = self.superseded.get(row.step)
        if before is not None and pack_metrics(before.metrics) == pack_metrics(row.metrics):
            row = before  # the same measurement keeps its time, so that a store that has it sees no second one
        self.rows[row.step] = (attempt.number, row)

    def story(self) -> Story:
        return Story(
            started=self.started,
            latest=self.latest,
            attempts=max(self.attempts, default=0),
            seconds=sum(a.seconds for a in self.attempts.values()),
            history=tuple(self.rows[step][1] for step in sorted(self.rows)),
            deaths=self._deaths(),
        )

    def _deaths(self) -> int:
        deaths, furthest = 0, float("-inf")
        for attempt in self.attempts.values():
            if attempt.clean:
                furthest = float("-inf")
            deaths = 0 if attempt.ended else 1 if attempt.top > furthest else deaths + 1
            furthest = max(furthest, attempt.top)
        return deaths
