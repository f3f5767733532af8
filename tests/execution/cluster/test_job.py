"""A job in a process of the test: what it gives up, what it says, and with which status it ends."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from ablate.execution.cluster import job as job_module
from ablate.execution.cluster.job import MAX_DEATHS, _InJob, heartbeat, last_words_of_last_start, run_job
from ablate.execution.cluster.submit import AGAIN, AGAIN_IF_IT_RUNS, kills_file
from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus, read_status, write_status

BEGINS = "ablate: this job begins on"


@pytest.fixture(autouse=True)
def task(monkeypatch):
    """The environment of the only process of a job."""
    about = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "8", "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1"}
    about |= {"SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_ARRAY_JOB_ID": "7"}
    for name, value in {**about, "SLURM_ARRAY_TASK_ID": "0"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def pack(workplace):
    """A Pack of one Trial, as a job has it that nobody drives."""
    made = workplace.pack([workplace.trial("a")], run=RunFolder(workplace.root / "run").path, attached=False)
    return replace(made, job="7_0")


def log(pack, text, rank=0):
    folder = RunFolder(pack.run).jobs
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"7_0_{rank}_log.err").write_text(text)


def die(workplace, trial, times):
    """Starts that ended without a word."""
    for _ in range(times):
        with workplace.spool.claim(trial, "toy:train", "") as claim:
            _ = claim.folder


def note_kills(pack, times):
    """What the teardown leaves of starts that ended by a signal."""
    file = kills_file(pack.run, pack.job)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("137\n" * times)


def given_up(workplace, pack, ranks=1, before="a"):
    (trial,) = pack.trials
    around = _InJob(pack, type("Ranks", (), {"size": ranks})(), JobStatus(trial=before))
    with workplace.spool.claim(trial, "toy:train", "") as claim:
        return around.given_up(trial, claim)


@pytest.mark.parametrize("deaths", range(MAX_DEATHS + 2))
def test_a_trial_whose_process_died_too_often_is_given_up(workplace, pack, deaths):
    """Deaths without progress count as far as the batch script has noted that a process was killed."""
    die(workplace, pack.trials[0], deaths)
    note_kills(pack, deaths)
    log(pack, f"{BEGINS} gpu1\nwhat it said\n{BEGINS} gpu2\nnow\n")
    found = given_up(workplace, pack)
    if deaths < MAX_DEATHS:
        assert found is None
    else:
        assert found == (f"its process died {deaths} times without getting any further", "what it said")


def test_starts_that_the_cluster_ended_are_no_deaths(workplace, pack):
    """Preempted or lost with its node without a warning, the batch script is gone as well and has noted nothing."""
    die(workplace, pack.trials[0], 3 * MAX_DEATHS)
    note_kills(pack, MAX_DEATHS - 1)
    assert given_up(workplace, pack) is None


def test_out_of_memory_is_given_up_at_the_first_death(workplace, pack):
    """Slurm says so in the log of the start before, of any of the job's processes."""
    die(workplace, pack.trials[0], 1)
    log(pack, f"{BEGINS} gpu1\nfine\n{BEGINS} gpu1\n")
    log(pack, f"{BEGINS} gpu1\nslurmstepd: error: Detected 1 oom_kill event in StepId=7.0\n{BEGINS} gpu1\n", rank=1)
    assert given_up(workplace, pack, ranks=1) is None
    reason, tail = given_up(workplace, pack, ranks=2)
    assert reason.startswith("out of memory")
    assert tail.startswith("fine\n")
    assert given_up(workplace, pack, ranks=2, before="b") is None  # it was another Trial's memory


@pytest.mark.parametrize(
    ("kills", "said", "status"),
    [(1, "exceeded memory limit (2 > 1), being killed", 1), (3, "Segmentation fault", 1), (2, "Segmentation fault", 0)],
)
def test_a_job_that_never_reaches_a_trial_does_not_start_for_ever(workplace, pack, capfd, kills, said, status):
    """Killed for its memory while it imports, or three times for whatever, a job ends and says so."""
    write_status(pack.status_file, JobStatus(host="gpu1"))
    note_kills(pack, kills)
    log(pack, f"{BEGINS} gpu1\n{said}\n{BEGINS} gpu2\n")
    assert run_job(pack) == status
    assert ("before it reached a Trial" in capfd.readouterr().err) == (status == 1)


def test_memory_that_ran_out_two_starts_ago_is_forgotten(workplace, pack):
    """Only the last start's words are judged: the one before may have had another Trial in its hands."""
    die(workplace, pack.trials[0], 1)
    log(pack, f"{BEGINS} gpu1\noom-kill\n{BEGINS} gpu1\nkilled otherwise\n{BEGINS} gpu1\n")
    assert given_up(workplace, pack) is None


def test_a_trial_that_stopped_in_good_order_is_not_given_up(workplace, pack):
    """Preempted a hundred times, with a checkpoint each time: no death among them."""
    for _ in range(MAX_DEATHS + 5):
        with workplace.spool.claim(pack.trials[0], "toy:train", "") as claim:
            _ = claim.folder
            claim.interrupted()
    assert given_up(workplace, pack) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        (f"{BEGINS} gpu1\nnow\n", ""),  # there was no start before
        (f"{BEGINS} gpu1\none\ntwo\n{BEGINS} gpu2\nnow\n", "one\ntwo"),
        (f"from the batch script\n{BEGINS} gpu1\n", ""),
        ("".join(f"{BEGINS} gpu1\nstart {i}\n" for i in range(5)), "start 3"),
    ],
)
def test_the_last_start_s_words_are_between_two_marks(tmp_path, text, words):
    """All starts of a job write to one file, and the present one has left its mark already."""
    file = tmp_path / "log"
    file.write_text(text)
    assert last_words_of_last_start(file) == words
    assert last_words_of_last_start(tmp_path / "none") == ""


def test_a_job_trains_its_pack_and_ends_well(workplace, pack, capfd):
    """Status 0, a result in the spool, a status file of the job's name, and the mark of a start in the log."""
    assert run_job(pack) == 0
    assert workplace.spool.record("a").status == "finished"
    assert read_status(pack.status_file).trained == ("a",)
    assert capfd.readouterr().err.startswith(BEGINS)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGUSR2, AGAIN), (signal.SIGTERM, AGAIN_IF_IT_RUNS)])
def test_a_job_that_is_told_to_make_room_says_whether_it_wants_to_come_back(workplace, signum, status):
    """The time limit's signal ends it with the status that requeues it, SIGTERM with one that leaves it to Slurm."""
    trial = workplace.trial("a", steps=1000, sleep=0.01)
    run = RunFolder(workplace.root / "run")
    made = replace(workplace.pack([trial], run=run.path, attached=False), job="7_0")
    alarm = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signum))
    signal.setitimer(signal.ITIMER_REAL, 0.7)
    try:
        assert run_job(made) == status
    finally:
        signal.signal(signal.SIGALRM, alarm)
    assert workplace.spool.record("a").status == "interrupted"
    assert read_status(made.status_file).stopped == signum.name


def test_a_start_that_kept_nothing_does_not_ask_for_another(workplace):
    """Without a checkpoint the next start would get as far as this one: no end to it."""
    trial = workplace.trial("a", steps=1000, sleep=0.01)
    run = RunFolder(workplace.root / "run")
    made = workplace.pack([trial], run=run.path, attached=False, trainable="toy:forgetful")
    alarm = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGUSR2))
    signal.setitimer(signal.ITIMER_REAL, 0.7)
    try:
        assert run_job(replace(made, job="7_0")) == 0
    finally:
        signal.signal(signal.SIGALRM, alarm)
    assert workplace.spool.record("a").status == "interrupted"


def test_a_job_that_comes_back_skips_what_is_settled(workplace, pack):
    """The second start finds the result, trains nothing and ends with 0."""
    assert run_job(pack) == 0
    assert run_job(pack) == 0
    assert workplace.spool.record("a").attempts == 1
    assert read_status(pack.status_file).trained == ()


def test_a_heartbeat_touches_what_is_there_and_makes_nothing(tmp_path, monkeypatch, until):
    """The status file's time moves on while its text stays; without one nothing happens; afterwards it rests."""
    monkeypatch.setattr(job_module, "HEARTBEAT_S", 0.02)
    file = tmp_path / "status" / "7_0.json"
    with heartbeat(file):
        time.sleep(0.1)
        assert not file.exists()
        write_status(file, JobStatus(trial="a"))
        os.utime(file, (1.0, 1.0))
        until(lambda: file.stat().st_mtime > 1.0)
        assert read_status(file) == JobStatus(trial="a")
    os.utime(file, (1.0, 1.0))
    time.sleep(0.1)
    assert file.stat().st_mtime == 1.0
