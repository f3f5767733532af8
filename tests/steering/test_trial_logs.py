"""Logs: found by Trial or job, of the job that has or had it last, and followed from job to job."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from ablate import trial_logs
from ablate.trial_logs import Found, find, follow, latest_job, tail


@pytest.mark.parametrize("name", ["width=two seed 1", "width=two:1"])
def test_by_variant_and_seed(world, name):
    """Within a study a Trial is found by what people call it."""
    assert find(name, world.home, world.study).trials == (world.trial("width=two", 1).id,)


def test_by_id_and_by_job(world):
    """An id, its beginning and a job's id lead to the Trial, also before anything of it has begun."""
    trial = world.trial("baseline")
    world.submit([trial, world.trial("width=two")])
    assert find(trial.id, world.home) == find(trial.id[:7], world.home) == Found(world.study.slug, (trial.id,))
    assert find("100_0", world.home).trials == (trial.id, world.trial("width=two").id)


def test_what_is_not_there_or_not_clear(world):
    """An unknown name, an ambiguous beginning and a Variant without its study are each told in one line."""
    world.submit(world.study.trials)
    for text, words in (("zzz", "no Trial and no job"), ("width=two seed 0", "--study")):
        with pytest.raises(ValueError, match=words):
            find(text, world.home)
    with pytest.raises(ValueError, match="did you mean 'width=two seed 0'"):
        find("widht=two seed 0", world.home, world.study)
    world.submit([replace(world.study.trials[0], id="abc1")], [replace(world.study.trials[1], id="abc2")], key="b")
    with pytest.raises(ValueError, match="2 Trials begin with 'abc': abc1, abc2; give more of the id"):
        find("abc", world.home)


def test_the_newest_job_that_printed_something(world):
    """Of two jobs the later one's files count, those of all its processes, output before errors."""
    trial = world.trial("baseline")
    world.submit([trial], key="a", array="100", submitted=1000.0)
    world.submit([trial], key="b", array="200", submitted=2000.0)
    world.log("100_0", "old\n")
    found = find(trial.id, world.home)
    assert latest_job(world.home, found).job_id == "100_0"
    files = [world.log("200_0", "out", kind="out"), world.log("200_0", "a"), world.log("200_0", "b", task=1)]
    world.log("200_00", "another job's")
    assert latest_job(world.home, found).log_files() == files


def test_logs_of_a_local_run(world):
    """A job on one machine has a folder of its own, and is found by the Trial that it has or had."""
    trial = world.trial("baseline")
    world.holds("slot0-1", None, trained=(trial.id,))
    file = world.log("slot0-1", "hello", local=True)
    assert latest_job(world.home, find(trial.id[:9], world.home)).log_files() == [file]


def test_the_tail(world, tmp_path):
    """The last lines, of a file of any size and any bytes; nothing where there is no file."""
    file = tmp_path / "log"
    file.write_bytes(b"\xff first\n" + b"x" * 10**6 + b"\nlast but one\nlast")
    assert tail(file, 2) == "last but one\nlast"
    assert tail(tmp_path / "none", 2) == ""


def test_following_a_trial_into_its_next_job(world, monkeypatch):
    """What is appended is told, also in the files of the job that has the Trial after a resubmission, until it ends."""
    monkeypatch.setattr(trial_logs, "POLL_S", 0.01)
    monkeypatch.setattr(trial_logs, "ASK_S", 0.01)
    trial = world.trial("baseline")
    world.submit([trial], key="a", array="100", submitted=1000.0)
    first = world.log("100_0", "before\n")
    world.slurm.queue("100_0", world.name)
    said = []

    def listen():
        said.extend(follow(world.home, find(trial.id, world.home)))

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.3)
    with first.open("a") as file:
        file.write("requeued and resumed\n")
    while not said:
        time.sleep(0.01)
    world.submit([trial], key="b", array="200", submitted=2000.0)
    world.slurm.queue("200_0", world.name)
    second = world.log("200_0", "the next job\n")
    while len(said) < 2:
        time.sleep(0.01)
    world.finish(trial)
    thread.join(30)
    assert not thread.is_alive()
    assert said == [(first, "requeued and resumed\n"), (second, "the next job\n")]


def test_following_ends_when_no_job_has_the_trial(world, monkeypatch):
    """Nobody waits for ever for a Trial that nothing trains."""
    monkeypatch.setattr(trial_logs, "POLL_S", 0.01)
    monkeypatch.setattr(trial_logs, "ASK_S", 0.01)
    trial = world.trial("baseline")
    world.interrupt(trial)
    assert list(follow(world.home, find(trial.id, world.home))) == []
