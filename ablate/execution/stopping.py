"""Stopping: the driver asks, the workers notice.

Asked once, workers checkpoint and end; asked twice, they are killed. The request is a file, because it has
to reach processes that share nothing but a file system with the driver, now and on a cluster.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ablate.tracking.disk import is_held

#: How old an answer about the stop file and the driver may be, s: a Trainable asks at every step.
CHECK_INTERVAL_S = 0.2


class Stop:
    """The driver's side: counts the requests and writes the stop file, if there is one, at the first."""

    def __init__(self, stop_file: Path | None) -> None:
        self._stop_file = stop_file
        self.requests = 0
        self.interrupt_in_process = False
        """Whether a second request raises KeyboardInterrupt: set while a Trial runs in the driver's process."""

    def heed_file(self) -> None:
        """Count a stop file that somebody else has made (`ablate cancel`) as the first request."""
        if not self.requested and self._stop_file is not None and self._stop_file.exists():
            self.requests = 1

    @property
    def requested(self) -> bool:
        """Whether workers should checkpoint and end."""
        return self.requests >= 1

    @property
    def at_once(self) -> bool:
        """Whether jobs should be killed."""
        return self.requests >= 2

    def request(self) -> None:
        """Ask once more. Safe to call from a signal handler.

        Where the file cannot be written (a full disk), workers do not learn of the first request; the second
        one kills them all the same.
        """
        self.requests += 1
        if self.requests == 1 and self._stop_file is not None:
            with contextlib.suppress(OSError):
                self._stop_file.parent.mkdir(parents=True, exist_ok=True)
                self._stop_file.touch()
        elif self.interrupt_in_process:
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into requests to stop; call it in the main thread."""

    def handle(_signum: int, _frame: FrameType | None) -> None:
        stop.request()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {signum: signal.signal(signum, handle) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class StopWatch:
    """The worker's side: notices the stop file, a signal, or that the driver is gone, and remembers why."""

    def __init__(self, stop_file: Path, driver_lock: Path | None, interval_s: float = CHECK_INTERVAL_S) -> None:
        self._stop_file = stop_file
        self._driver_lock = driver_lock
        self._interval_s = interval_s
        self._checked = float("-inf")
        self.reason = ""
        """`stop file`, `driver gone` or a signal's name; empty while there is no reason to stop."""

    def requested(self) -> bool:
        """Whether to stop; looks at files at most every ``interval_s``."""
        now = time.monotonic()
        if self.reason or now - self._checked < self._interval_s:
            return bool(self.reason)
        self._checked = now
        if self._stop_file.exists():
            self.reason = "stop file"
        elif self._driver_lock is not None and not is_held(self._driver_lock):
            self.reason = "driver gone"
        return bool(self.reason)

    @contextmanager
    def watching_signals(self) -> Iterator[None]:
        """For a process of the worker's own: SIGTERM and SIGUSR2 request a stop, Ctrl-C is the driver's affair.

        A crash in native code leaves its stack in the log.
        """

        def handle(signum: int, _frame: FrameType | None) -> None:
            self.reason = self.reason or signal.Signals(signum).name

        handlers: dict[int, Any] = {signal.SIGTERM: handle, signal.SIGUSR2: handle, signal.SIGINT: signal.SIG_IGN}
        before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
        faulthandler.enable()
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
