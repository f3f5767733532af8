"""A Slurm that is a script of events, and a clock that runs as fast as the driver sleeps."""

from __future__ import annotations

import time

import pytest

from ablate.execution.cluster import driver, queue, submitter, watch
from ablate.execution.cluster.driver import run_on_slurm
from ablate.execution.cluster.queue import Ended, Living, SlurmError
from ablate.execution.cluster.snapshot import Snapshot
from ablate.execution.cluster.submission import Submission, new_key
from ablate.execution.cluster.submitter import SLOT, Submitter
from ablate.execution.pack import Pack
from ablate.execution.resources import Resources
from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus, write_status
from ablate.execution.stopping import Stop
from ablate.study.study import Trial
from ablate.tracking.spool import Spool

SLUG = "study/default"
#: A driver that still waits then waits for ever, s.
PATIENCE_S = 20_000


class Cluster:
    """What Slurm says at each moment, in what the jobs do, as told by `at` and `when_submitted`."""

    def __init__(self, root) -> None:
        self.home = root
        self.spool = Spool(root)
        self.queue: dict[str, Living] = {}
        self.ended: dict[str, Ended] = {}
        self.silent = ""
        self.refuses = ""
        self.asked = {"squeue": 0, "sacct": 0}
        self.submitted: list[Submission] = []
        self.after: list[list[str]] = []
        self.now = 0.0
        self._events = []
        self._reactions = []
        self._runs = 0

    # the clock, in the place of the module `time`

    def monotonic(self):
        return self.now

    def time(self):
        return 1_000_000.0 + self.now

    def sleep(self, seconds):
        self.now += seconds
        assert self.now < PATIENCE_S, "the driver waits for ever"
        for event in sorted((e for e in self._events if e[0] <= self.now), key=lambda e: e[0]):
            self._events.remove(event)
            event[1]()

    def at(self, seconds, call):
        """Let something happen so many seconds from now."""
        self._events.append((self.now + seconds, call))

    def when_submitted(self, call):
        """Let something happen to every job that is submitted; it is told the job."""
        self._reactions.append(call)

    # what the driver asks

    def living(self, _name):
        self.asked["squeue"] += 1
        if self.silent:
            raise SlurmError(self.silent)
        return dict(self.queue)

    def endings(self, arrays):
        self.asked["sacct"] += 1
        wanted = set(arrays)
        return {job: ended for job, ended in self.ended.items() if job.partition("_")[0] in wanted}

    def submit(self, packs, resources, *, run, after=(), **_about):
        """In the place of `ablate.execution.cluster.submit.submit`."""
        if self.refuses:
            raise SlurmError(self.refuses)
        ids = tuple(tuple(trial.id for trial in pack.trials) for pack in packs)
        made = Submission(run=run.path, key=new_key(), packs=ids, submitted=self.time()).save()
        return self.accept(made, after)

    def accept(self, submission, after=(), noted=True):
        """Slurm has a submission; ``noted``: and its driver lived to write that down."""
        array = str(101 + len(self.submitted))
        made = submission.begun_as(array) if noted else submission
        self.submitted.append(made)
        self.after.append(list(after))
        for index in range(len(made.packs)):
            self.queue[f"{array}_{index}"] = Living("PENDING", key=made.key)
        for job in made.jobs():
            for call in self._reactions:
                call(job)
        return made

    # what jobs do

    def begins(self, job, trial_id=None, steps=0):
        """A job has a node and takes its first Trial, or that one; the Claim, with so many rows."""
        self.queue[job.job_id] = Living("RUNNING", "gpu1", "1:00:00", job.submission.key)
        trial_id = trial_id or job.trials[0]
        write_status(job.status_file, JobStatus(trial=trial_id, since=self.time(), host="gpu1"))
        claim = self.spool.claim(self.trials[trial_id], "toy:train", "")
        _ = claim.folder
        for step in range(1, steps + 1):
            claim.report(step, {"score": 1.0})
        return claim

    def finishes(self, job):
        """Its Trials have results, and it leaves the queue."""
        for trial_id in job.trials:
            with self.begins(job, trial_id, 1) as claim:
                claim.finish({"score": 1.0}, {})
        self.leaves(job, "COMPLETED", "0:0")

    def fails(self, job, error="ValueError: no"):
        """Its Trials have failed by an exception."""
        for trial_id in job.trials:
            with self.begins(job, trial_id, 1) as claim:
                claim.fail("error", error)
        self.leaves(job, "COMPLETED", "0:0")

    def dies(self, job, state="FAILED", code="0:9", steps=0):
        """Its process is gone with its first Trial in hand."""
        self.begins(job, steps=steps).release()
        self.leaves(job, state, code)

    def leaves(self, job, state=None, code="1:0"):
        """It is no more in the queue; ``state``: what the accounting says of it, if it says anything."""
        self.queue.pop(job.job_id, None)
        if state is not None:
            self.ended[job.job_id] = Ended(state, code, "gpu1")

    # a driver

    def run(self, trials, observer, *, per_job=1, detach=False, stop=None, poll_s=2.0):
        """`ablate run` from its attaching to its end."""
        self.trials = {trial.id: trial for trial in trials}
        self._runs += 1
        run = RunFolder(self.home / "runs" / SLUG / f"20260101-000000-{self._runs}")
        made = Submitter(
            run=run,
            job_name="ablate-study",
            trainable="toy:train",
            make_pack=lambda some, slot: Pack(some, "toy:train", "score", "", self.home, run.path, SLOT),
            resources_for=lambda _: Resources(trials_per_job=per_job),
            seconds=dict,
            snapshot=lambda: Snapshot(self.home / "code", (), ()),
            delivery=None,
        )
        about = {"home": self.home, "slug": SLUG, "submitter": made, "spool": self.spool, "observer": observer}
        return run_on_slurm(trials, **about, stop=stop or Stop(None), detach=detach, poll_s=poll_s)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A `Cluster` in Slurm's place."""
    made = Cluster(tmp_path / "home")
    for module in (driver, watch):
        monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(queue, "living", made.living)
    monkeypatch.setattr(queue, "endings", made.endings)
    monkeypatch.setattr(queue, "max_array_size", lambda: 1001)
    monkeypatch.setattr(submitter, "submit", made.submit)
    assert time.monotonic() != made.monotonic()
    return made


@pytest.fixture
def trials():
    """Makes Trials by their names; a name with an arrow needs the one before it (``b<a``)."""

    def make(*names):
        pairs = [name.partition("<") for name in names]
        return [Trial(name, name, 0, {"name": name}, needs=(need,) if need else ()) for name, _, need in pairs]

    return make


@pytest.fixture
def listener(drive):
    """An observer that remembers."""
    return drive.Listener()
