"""Killed, interrupted, or started twice: nothing is lost, nothing is trained twice, the table is the same."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

import psutil
import pytest

SLUG = "tiny/longer"
RUN = ("run", "tiny.yaml", "--profile", "longer", "--slots", "2")
#: Checkpoints within epochs, so that a resumed Trial goes on from the middle of one.
OFTEN = {"ABLATE_CHECKPOINT_INTERVAL_S": "0.2"}


@pytest.fixture(scope="module")
def undisturbed(make_place, tiny):
    """The study, run in one go."""
    place = make_place(tiny__yaml=tiny)
    assert place.ablate(*RUN, "--quiet").counts == (6, 0, 0)
    return place


@pytest.fixture
def place(make_place, tiny):
    """A working folder with the study, not yet run."""
    return make_place(tiny__yaml=tiny)


def in_the_middle(place):
    """Whether a Trial has finished and another one has some epochs behind it."""
    records = place.records().values()
    states = Counter(record.status for record in records)
    return states["finished"] >= 1 and any(r.status == "running" and len(r.history) >= 2 for r in records)


def check(place, undisturbed, before, interruptions):
    """Everything is finished once, as if nothing had happened, and what was finished ``before`` is untouched."""
    records = place.records()
    assert before.items() <= place.results().items()
    assert records.keys() == undisturbed.records().keys()
    for key, record in undisturbed.records().items():
        assert records[key].status == "finished"
        assert place.timeless(records[key]) == place.timeless(record)
        assert [row.step for row in records[key].history] == list(range(1, 17))
    assert sum(record.attempts - 1 for record in records.values()) <= interruptions
    assert place.comparison(SLUG) == undisturbed.comparison(SLUG)
    children = [r.data.tags["ablate.trial_id"] for r in place.runs(SLUG) if r.data.tags["ablate.kind"] == "trial"]
    assert sorted(children) == sorted(records)


def test_a_killed_driver_is_followed_by_the_same_command(place, undisturbed, until):
    """After SIGKILL of the driver in mid-study, the same command trains what is missing, and no Trial twice."""
    driver = place.start(*RUN, **OFTEN)
    until(lambda: in_the_middle(place))
    driver.kill()
    driver.communicate()
    before = place.results()
    trained, reused, failed = place.ablate(*RUN, "--quiet", **OFTEN).counts
    assert trained <= 6 - len(before)
    assert (trained + reused, failed) == (6, 0)
    check(place, undisturbed, before, interruptions=2)


def test_a_killed_worker_is_replaced(place, undisturbed, until):
    """After SIGKILL of a worker in mid-study the run goes on and ends well; the same command then trains nothing."""
    driver = place.start(*RUN, **OFTEN)
    until(lambda: in_the_middle(place))
    workers = [p for p in psutil.Process(driver.pid).children(recursive=True) if "submitit" in " ".join(p.cmdline())]
    assert workers
    before = place.results()
    workers[0].kill()
    done = place.end(driver)
    assert done.code == 0, done.out + done.err
    assert done.counts == (6, 0, 0)
    check(place, undisturbed, before, interruptions=1)
    assert place.ablate(*RUN, "--quiet").counts == (0, 6, 0)


def test_ctrl_c_in_a_terminal_stops_cleanly(place, undisturbed, terminal):
    """A live table shows counts and slots; Ctrl-C checkpoints and exits with 1; the same command ends equal."""
    screen = terminal(place, *RUN, **OFTEN)
    assert screen.read_until(lambda: in_the_middle(place) and re.search(r"slot1 +\S+ +\d +\d+/16", screen.text))
    screen.press("\x03")
    assert screen.end() == 1, screen.text
    assert re.search(r"\d/6 ", screen.text)
    assert re.search(r"slot0 +\S+ +\d +\d+/16", screen.text)
    assert "stopping: Trials write their checkpoints" in screen.text
    assert "the same command goes on from here" in screen.text
    states = Counter(record.status for record in place.records().values())
    last = screen.text.strip().splitlines()[-1]
    assert last == f"trained {states['finished']}, reused 0, failed 0"
    # Not "interrupted" for certain: those that ran may have been at their ends, and others have not begun.
    assert states["finished"] < 6
    assert states["running"] == 0
    before = place.results()
    assert place.ablate(*RUN, "--quiet", **OFTEN).counts == (6 - len(before), len(before), 0)
    check(place, undisturbed, before, interruptions=2)


WAITS = """
import pathlib, time
from ablate.trainable import Stopped

def train(recipe, seed, report, folder):
    report(1, {"score": 0.0})
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
        if report.stop_requested:
            raise Stopped
    return {"score": recipe["value"] + seed}
"""
WAITING = """
study: waiting
question: Is a second driver refused?
trainable: waits:train
metric: {name: score, direction: maximize}
seeds: 2
base: {value: 1.0}
factors:
  value: {reference: one, levels: {two: {value: 2.0}}}
"""


def test_a_second_run_of_the_study_is_refused(make_place, until):
    """While one run is at work a second one exits with 2, says what to do and changes nothing; the first ends well."""
    place = make_place(waits__py=WAITS, study__yaml=WAITING)
    first = place.start("run", "study.yaml", "--slots", 1)
    until(lambda: any(record.status == "running" for record in place.records().values()))
    refused = place.ablate("run", "study.yaml", code=2)
    assert refused.out == ""
    assert "another `ablate run` of waiting/default is at work in .ablate" in refused.err
    assert "ablate plan study.yaml" in refused.err
    assert not (place.root / "reports").exists()
    place.write("go", "")
    done = place.end(first)
    assert done.code == 0, done.out + done.err
    assert done.counts == (4, 0, 0)
    assert [record.attempts for record in place.records().values()] == [1, 1, 1, 1]


def test_a_closed_terminal_stops_the_run_cleanly(make_place, until):
    """SIGHUP, as from a lost connection, ends the driver by itself with its workers gone and Trials resumable."""
    place = make_place(waits__py=WAITS, study__yaml=WAITING)
    driver = place.start("run", "study.yaml", "--slots", 1)
    until(lambda: any(record.status == "running" for record in place.records().values()))
    workers = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGHUP)
    done = place.end(driver)
    assert done.code == 1
    assert done.counts == (0, 0, 0)
    assert [record.status for record in place.records().values()] == ["interrupted"]
    assert psutil.wait_procs(workers, timeout=30)[1] == []
