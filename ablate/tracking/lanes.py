"""How many processes write to a tracking server at once: as many as there are lanes, which are locks in the spool.

A server's worker has 15 connections to its database, and MLflow takes a second one while it holds one: 200 requests at
once block each other until they time out, and none gets through. A few at a time do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ablate.tracking.disk import Lock
from ablate.tracking.spool import Spool

#: Where locks do not work between machines, so many for each machine.
_LANES = 8


@contextmanager
def lane(spool: Spool, wanted: Callable[[], bool]) -> Iterator[bool]:
    """Have a lane to oneself; False where none was free for as long as it was ``wanted``."""
    folder = spool.root / "lanes"
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for number in random.sample(range(_LANES), _LANES):
            with Lock(folder / str(number)) as lock:
                if lock.acquire():
                    yield True
                    return
        if not wanted():
            yield False
            return
        time.sleep(random.uniform(0.05, 0.25))
