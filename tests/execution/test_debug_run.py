"""A run in the driver's own process."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from ablate.execution.run_folder import RunFolder
from ablate.execution.stopping import Stop, stop_on_signals


def test_debug_runs_one_trial_at_a_time_in_this_process(workplace, drive):
    """Whatever the number of slots, Trials follow each other here, and the observer hears of each in between."""
    listener = drive.Listener()
    summary = workplace.run([workplace.trial(n) for n in "abc"], executor="debug", slots=4, observer=listener)

    assert summary.trained == ("a", "b", "c")
    assert {line[4] for line in workplace.lines("begin")} == {str(os.getpid())}
    assert [progress.trained for progress in listener.progress if progress.trained] == sorted(
        progress.trained for progress in listener.progress if progress.trained
    )
    assert {1, 2} <= {progress.trained for progress in listener.progress}


@pytest.mark.parametrize(("trainable", "presses"), [("toy:train", 1), ("toy:mute", 2)])
def test_ctrl_c_stops_a_trial_in_this_process(workplace, until, trainable, presses):
    """Once asks a Trainable that looks; twice breaks into one that does not."""
    folder = RunFolder(workplace.root / "run")
    stop = Stop(folder.stop_file)

    def press():
        until(lambda: workplace.lines("begin"))
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    thread = threading.Thread(target=press)
    with stop_on_signals(stop):
        thread.start()
        trials = [workplace.trial("a", steps=600, sleep=0.05)]
        summary = workplace.run(trials, executor="debug", trainable=trainable, stop=stop)
        thread.join()

    assert summary.interrupted == ("a",)
    assert workplace.spool.record("a").status == "interrupted"
