"""How many processes write to a tracking server at once: as many as there are lanes, which are locks in the spool.

A server's worker has 15 connections to its database, and MLflow takes a second one while it holds one: 200 requests at
once block each other until they time out, and none gets through. A few at a time do.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ablate.tracking.spool import Spool

#: Where locks do not work between machines, so many for each machine.
_LANES = 8
#: Between two tries, doubling: hundreds may wait for one server that hangs, and each try is a request to a file server.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
#: So often a waiting one asks whether the lane is still wanted.
_ASK_S = 0.25


@contextmanager
def lane(spool: Spool, wanted: Callable[[], bool]) -> Iterator[bool]:
    """Have a lane to oneself; False where none was free for as long as it was ``wanted``."""
    folder = spool.root / "lanes"
    folder.mkdir(parents=True, exist_ok=True)
    longest_s = _FIRST_PAUSE_S
    while True:
        with _one_of_them(folder) as got:
            if got:
                yield True
                return
        if not _pause(random.uniform(0.5, 1.0) * longest_s, wanted):
            yield False
            return
        longest_s = min(2 * longest_s, _LONGEST_PAUSE_S)


@contextmanager
def _one_of_them(folder: Path) -> Iterator[bool]:
    """Try one lane, at random, once; a `Lock` looks several times, lest a mere probe look like an owner."""
    descriptor = os.open(folder / str(random.randrange(_LANES)), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing would not do where a forked child has it open, too
    finally:
        os.close(descriptor)


def _pause(pause_s: float, wanted: Callable[[], bool]) -> bool:
    """Sleep, or less where the lane is not wanted any more; whether it still is."""
    until = time.monotonic() + pause_s
    while wanted():
        left_s = until - time.monotonic()
        if left_s <= 0:
            return True
        time.sleep(min(left_s, _ASK_S))
    return False
