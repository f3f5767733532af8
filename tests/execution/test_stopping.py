"""Requests to stop, on both sides."""

from __future__ import annotations

import os
import signal

import pytest

from ablate.execution.run_folder import RunFolder
from ablate.execution.stopping import Stop, StopWatch, stop_on_signals


def test_the_first_request_writes_the_file_and_the_second_kills(tmp_path):
    """Requests are counted; workers learn of the first one by the file."""
    stop = Stop(tmp_path / "run" / "stop")
    watch = StopWatch(tmp_path / "run" / "stop", None, interval_s=0.0)
    assert not watch.requested()
    stop.request()
    assert (stop.requested, stop.at_once) == (True, False)
    assert watch.requested()
    assert watch.reason == "stop file"
    stop.request()
    assert stop.at_once


def test_a_request_that_cannot_be_written_still_counts(tmp_path):
    """A disk that takes no stop file raises nothing in the signal handler, and the second request kills."""
    (tmp_path / "run").write_text("a file where a folder should be")
    stop = Stop(tmp_path / "run" / "stop")
    stop.request()
    assert (stop.requested, stop.at_once) == (True, False)
    stop.request()
    assert stop.at_once


def test_a_free_lock_means_that_the_driver_is_gone(tmp_path):
    """While the lock is held the worker goes on; free or missing, it stops."""
    folder = RunFolder(tmp_path / "run")
    with folder.driving():
        watch = StopWatch(folder.stop_file, folder.driver_lock, interval_s=0.0)
        assert not watch.requested()
        with pytest.raises(BlockingIOError, match="another driver"), folder.driving():
            pass
    assert watch.requested()
    assert watch.reason == "driver gone"
    assert StopWatch(folder.stop_file, tmp_path / "never", interval_s=0.0).requested()


def test_files_are_looked_at_only_now_and_then(tmp_path):
    """Between two looks the answer is remembered, so that asking at every step costs nothing."""
    watch = StopWatch(tmp_path / "stop", None, interval_s=60.0)
    assert not watch.requested()
    (tmp_path / "stop").touch()
    assert not watch.requested()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2])
def test_a_workers_signals_are_requests_and_ctrl_c_is_not(tmp_path, signum):
    """SIGTERM and SIGUSR2 stop, SIGINT is left to the driver; afterwards all is as before."""
    watch = StopWatch(tmp_path / "stop", None)
    before = signal.getsignal(signum), signal.getsignal(signal.SIGINT)
    with watch.watching_signals():
        os.kill(os.getpid(), signal.SIGINT)
        assert not watch.requested()
        os.kill(os.getpid(), signum)
        assert watch.requested()
    assert watch.reason == signum.name
    assert (signal.getsignal(signum), signal.getsignal(signal.SIGINT)) == before


def test_ctrl_c_requests_a_stop_and_is_itself_again_afterwards(tmp_path):
    """Inside, signals count as requests; outside, Python's own handlers are back."""
    stop = Stop(tmp_path / "stop")
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.requests == 2
    assert signal.getsignal(signal.SIGINT) is before
