from __future__ import annotations

import fcntl
import time
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest

from ablate.tracking import lanes
from ablate.tracking.disk import Lock
from ablate.tracking.spool import Spool


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_who_waits_for_a_lane_asks_the_file_server_ever_more_seldom(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    """Five minutes behind a server that hangs cost each worker some 40 requests for a lock."""
    clock, asked = Clock(), list[float]()
    flock = fcntl.flock

    def counted(descriptor: int, operation: int) -> Any:
        asked.append(clock.now)
        return flock(descriptor, operation)

    folder = spool.root / "lanes"
    folder.mkdir(parents=True)
    with ExitStack() as held:
        for number in range(lanes._LANES):
            lock = held.enter_context(Lock(folder / str(number)))
            assert lock.acquire()
        monkeypatch.setattr(lanes.time, "monotonic", clock.monotonic)
        monkeypatch.setattr(lanes.time, "sleep", clock.sleep)
        monkeypatch.setattr(fcntl, "flock", counted)
        with lanes.lane(spool, lambda: clock.now < 300.0) as free:
            assert not free
        monkeypatch.undo()
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert 25 <= len(asked) <= 70
    assert pauses[0] <= 0.5
    assert max(pauses) <= 10.0 + 1e-6


def test_a_lane_is_free_again_after_its_block(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    """With one lane: taken within the block, whoever asks; free after it."""
    monkeypatch.setattr(lanes, "_LANES", 1)
    until = time.monotonic() + 0.1
    with lanes.lane(spool, lambda: True) as first, lanes.lane(spool, lambda: time.monotonic() < until) as second:
        assert (first, second) == (True, False)
    with lanes.lane(spool, lambda: False) as third:
        assert third
