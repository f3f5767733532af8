"""The driver of a study on Slurm: submits what no job has yet, watches, and draws the conclusions.

Jobs need no driver. It may leave at any moment, killed or not, and whoever gives the same command again takes over: all
that it knows is in the spool, in the files of the submissions, and in Slurm's queue. It asks Slurm once a round for all
jobs, and the spool for what has been settled since; neither grows with the number of Trials that are done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ablate.execution.cluster import queue
from ablate.execution.cluster.conclusion import Conclusion, conclude
from ablate.execution.cluster.queue import SlurmError
from ablate.execution.cluster.submission import SubmittedJob
from ablate.execution.cluster.submitter import SLOT, Submitter
from ablate.execution.cluster.watch import Watch
from ablate.execution.handover import fail_untaught
from ablate.execution.ledger import Ledger
from ablate.execution.progress import Observer, Progress, Running, RunSummary, total_steps
from ablate.execution.status import JobStatus
from ablate.execution.stopping import Stop
from ablate.execution.strikes import Strikes
from ablate.study.study import Trial
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

#: How often the display is drawn, and a request to leave noticed, s.
TICK_S = 0.5
#: How often every open Trial is looked at, s: a mark in the spool may be missing.
LOOK_S = 300.0
#: For so long the accounting is asked again what became of a job, s.
ACCOUNTING_S = 30.0
#: How often a Trial is submitted again without having got any further.
MAX_AGAIN = 5
#: How long the last jobs have to leave the queue once all Trials have an outcome, s.
LINGER_S = 60.0


def run_on_slurm(
    trials: Sequence[Trial],
    *,
    home: Path,
    slug: str,
    submitter: Submitter,
    spool: Spool,
    observer: Observer,
    stop: Stop,
    detach: bool = False,
    poll_s: float,
) -> RunSummary:
    """Submit what no job has yet, and watch until every Trial has an outcome or ``stop`` is requested.

    Jobs are left alone when this returns; with ``detach`` it returns as soon as all is submitted. Raises `SlurmError`
    where Slurm refuses a submission.
    """
    watch, seen = Watch(home, slug), spool.settled_since()[1]
    ledger = Ledger(trials, spool)
    driver = Driver(ledger, watch, submitter, spool, observer, seen)
    try:
        driver.begin()
        while not detach and not stop.requested and driver.has_work():
            driver.wait(poll_s, stop)
            if not stop.requested:
                driver.round()
        driver.leave()
    finally:
        summary = ledger.summary()
        observer.ended(summary)
    return summary


class Driver:
    """One who watches; everything that it remembers could be found again."""

    def __init__(
        self,
        ledger: Ledger,
        watch: Watch,
        submitter: Submitter,
        spool: Spool,
        observer: Observer,
        seen: frozenset[str],
    ) -> None:
        self.ledger = ledger
        self.watch = watch
        self.submitter = submitter
        self.spool = spool
        self.observer = observer
        self._seen = seen
        self._strikes: dict[str, Strikes] = {}
        self._running: list[Running] = []
        self._all_settled_at: float | None = None
        self._looked_at_all = time.monotonic()

    def begin(self) -> None:
        """Attach to the jobs of earlier drivers, and submit the rest. Raises `SlurmError`.

        As long as jobs of an earlier submission live, what failed in them is an outcome, and not tried again.
        """
        self.watch.look()
        since = self.watch.attach()
        if since is not None:
            for record in self.ledger.keep_failures(since):
                self._settle(record)
        self._conclude(self.watch.gone(self.ledger.is_open))
        self._submit_missing()
        self.observer.started(self._progress())

    def round(self) -> None:
        """Look once at Slurm and at the spool, and act on what is seen."""
        try:
            self.watch.look()
        except SlurmError as error:
            self.observer.noticed(f"Slurm does not answer, and is asked again: {error}")
            return
        gone = self.watch.gone(self.ledger.is_open)
        self._scan(gone)
        self._conclude(gone)
        try:
            self._submit_missing()
        except SlurmError as error:
            self.observer.noticed(f"Slurm does not take what is to be submitted again: {error}")

    def has_work(self) -> bool:
        """Whether there is anything to wait for: open Trials, then for a while jobs that are about to end."""
        if self.ledger.open:
            return bool(self.watch.jobs)
        self._all_settled_at = self._all_settled_at or time.monotonic()
        return bool(self.watch.living) and time.monotonic() - self._all_settled_at < LINGER_S

    def wait(self, seconds: float, stop: Stop) -> None:
        """Until the next round, with the display kept alive."""
        self._running = [running for job, _ in self.watch.living if (running := self._running_in(job)) is not None]
        until = time.monotonic() + seconds
        while not stop.requested and time.monotonic() < until:
            self.observer.updated(self._progress())
            time.sleep(min(TICK_S, seconds))

    def leave(self) -> None:
        """Say what goes on without a driver."""
        if self.ledger.open and self.watch.living:
            self.observer.noticed(
                f"{len(self.watch.living)} jobs are with Slurm and need nobody here: `ablate status` shows them, the "
                "same `ablate run` attaches to them again, `ablate cancel` ends them"
            )

    def _scan(self, gone: Sequence[SubmittedJob]) -> None:
        """Settle what the spool's marks tell of, and the Trials of jobs that have ended; now and then look at all."""
        news, self._seen = self.spool.settled_since(self._seen)
        everything = time.monotonic() - self._looked_at_all >= LOOK_S
        if everything:
            self._looked_at_all = time.monotonic()
        hints = [*news, *(trial for job in gone for trial in job.trials)]
        for record in self.ledger.newly_settled(None if everything else hints):
            self._settle(record)
        for trial in self.ledger.untaught():
            pack = self.submitter.make_pack((trial,), SLOT)
            failure = fail_untaught(trial, self.spool, pack.trainable, pack.data_fingerprint)
            if failure is not None:
                self._settle(failure)

    def _settle(self, record: Record) -> None:
        self.ledger.note(JobStatus(trial=record.trial_id))  # it came while this driver watched
        trial = self.ledger.settle(record)
        self.observer.settled(trial, record, self._progress())

    def _conclude(self, gone: Sequence[SubmittedJob]) -> None:
        """Draw the conclusions from jobs that have ended."""
        left = {job.job_id: tuple(filter(self.ledger.is_open, job.trials)) for job in gone}
        asked = {str(job.submission.array) for job in gone if left[job.job_id]}
        ended = queue.endings(asked) if asked else {}
        concluded = []
        for job in gone:
            trials, how = left[job.job_id], ended.get(job.job_id)
            if trials and ended and (how is None or how.lags) and self.watch.missing_s(job) < ACCOUNTING_S:
                continue  # the accounting does not know yet that it has ended
            if not trials or self._follow(job, conclude(job, how, trials, self.spool)):
                concluded.append(job)
        self.watch.conclude(concluded)

    def _follow(self, job: SubmittedJob, conclusion: Conclusion) -> bool:
        """Act on a conclusion; False where an orphan still holds a Trial, so that it must wait."""
        failed = dict(conclusion.failed)
        for trial_id in conclusion.again:
            row = self.spool.last_row(trial_id)
            strikes = self._strikes[trial_id] = self._strikes.get(trial_id, Strikes()).one_more(
                row.step if row else None
            )
            if strikes.count > MAX_AGAIN:
                failed[trial_id] = f"{strikes.count} jobs ended without getting any further with it: {conclusion.why}"
        for trial_id, error in failed.items():
            trial = self.ledger.open[trial_id]
            pack = self.submitter.make_pack((trial,), SLOT)
            claim = self.spool.claim(trial, pack.trainable, pack.data_fingerprint)
            if claim is None:
                return False
            with claim:
                self._settle(claim.fail("lost", error, conclusion.log_tail))
        for trial_id in conclusion.dropped:
            self.ledger.drop(trial_id)
        unfinished = len(conclusion.again) + len(conclusion.dropped)
        if unfinished:
            trials = "a Trial" if unfinished == 1 else f"{unfinished} Trials"
            self.observer.noticed(f"job {job.job_id} ended without the result of {trials}: {conclusion.why}")
        return True

    def _submit_missing(self) -> None:
        """Submit every open Trial that no job has."""
        jobs = self.watch.jobs
        covered = {trial for job in jobs for trial in job.trials}
        missing = [trial for trial in self.ledger.open.values() if trial.id not in covered]
        if missing:
            for submission in self.submitter.submit(missing, self.ledger.failed_before, jobs):
                self.watch.add(submission)
            self.watch.look()

    def _running_in(self, job: SubmittedJob) -> Running | None:
        """What a job has in its hands, for the display."""
        status = job.status()
        trial = self.ledger.open.get(status.trial or "") if status is not None else None
        if status is None or trial is None:
            return None
        steps = total_steps(trial, self.submitter.trainable)
        place = f"{job.job_id} on {status.host}"
        return Running(place, trial, status.since, status.first_step, self.spool.last_row(trial.id), steps)

    def _progress(self) -> Progress:
        living = self.watch.living
        queued = sum(state.waits for _, state in living)
        return self.ledger.progress(self._running, max(1, len(living) - queued), False, queued=queued, place="job")
