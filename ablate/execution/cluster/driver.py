"""The driver of a study on Slurm: submits what no job has yet, watches, and draws the conclusions.

Jobs need no driver. It may leave at any moment, killed or not, and whoever gives the same command again takes over: all
that it knows is in the spool, in the files of the submissions, and in Slurm's queue. It asks Slurm once a round for all
jobs, and the spool for what has been settled since; neither grows with the number of Trials that are done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ablate.execution.cluster import queue
from ablate.execution.cluster.conclusion import Conclusion, conclude
from ablate.execution.cluster.queue import SlurmError
from ablate.execution.cluster.submission import SubmittedJob
from ablate.execution.cluster.submitter import SLOT, Submitter
from ablate.execution.cluster.watch import Watch, running_in
from ablate.execution.handover import fail_untaught
from ablate.execution.ledger import Ledger
from ablate.execution.pack import is_settled
from ablate.execution.progress import Observer, Progress, Running, RunSummary
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
#: The same where it was the cluster that ended its jobs: its checkpoints may get further than its reports tell.
MAX_ACCIDENTS = 50
#: How often Slurm may refuse in a row what is to be submitted again.
MAX_REFUSALS = 30
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
    keep_failures: bool = True,
    poll_s: float,
    active: set[str] | None = None,
) -> RunSummary:
    """Submit what no job has yet, and watch until every Trial has an outcome or ``stop`` is requested.

    Jobs are left alone when this returns; with ``detach`` it returns as soon as Slurm has all of them. With
    ``keep_failures``, what failed in jobs of which others still live is an outcome, and not tried again. Raises
    `SlurmError` where Slurm refuses a submission. To ``active`` it adds the Trials of jobs that it has seen running.
    """
    seen, ledger = spool.settled_since()[1], Ledger(trials, spool)
    driver = Driver(ledger, Watch(home, slug, ledger.knows), submitter, spool, observer, seen)
    driver.active = set() if active is None else active
    try:
        driver.begin(keep_failures=keep_failures)
        while not stop.requested and (driver.is_in_doubt() if detach else driver.has_work()):
            driver.wait(poll_s, stop)
            if not stop.requested:
                driver.round()
        driver.leave()
    except SlurmError:
        ledger.open.clear()  # nothing of it is left over: nothing was begun
        raise
    finally:
        summary = replace(ledger.summary(), jobs_left=len(driver.watch.living))
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
        self.active: set[str] = set()
        self._silent = False
        self._refusals = 0
        self._held_elsewhere = False
        self._looked_at_all = time.monotonic()

    def begin(self, *, keep_failures: bool = True) -> None:
        """Attach to the jobs of earlier drivers, and submit the rest; as in `run_on_slurm`. Raises `SlurmError`."""
        self.watch.look()
        self.watch.attach()
        if keep_failures and self.watch.since is not None:
            self._settle(*self.ledger.keep_failures(self.watch.since))
        self._conclude(self.watch.gone(self.ledger.is_open))
        self._submit_or_note(patience=0)
        self.observer.started(self._progress())

    def round(self) -> None:
        """Look once at Slurm and at the spool, and act on what is seen."""
        try:
            self.watch.look()
        except SlurmError as error:
            if not self._silent:
                self.observer.noticed(f"Slurm does not answer, and is asked again: {error}")
            self._silent = True
            return
        if self._silent:
            self.observer.noticed("Slurm answers again")
        self._silent = False
        gone = self.watch.gone(self.ledger.is_open)
        self._scan(gone)
        self._conclude(gone)
        self._submit_or_note()

    def has_work(self) -> bool:
        """Whether there is anything to wait for: open Trials, then for a while jobs that are about to end."""
        if self.ledger.open:
            return bool(self.watch.jobs or self.watch.unanswered or self._refusals or self._held_elsewhere)
        self._all_settled_at = self._all_settled_at or time.monotonic()
        return bool(self.watch.living) and time.monotonic() - self._all_settled_at < LINGER_S

    def is_in_doubt(self) -> bool:
        """Whether there are open Trials of which nobody knows yet if Slurm has a job for them."""
        return bool(self.ledger.open) and (self.watch.in_doubt or self._refusals > 0)

    def wait(self, seconds: float, stop: Stop) -> None:
        """Until the next round, with the display kept alive."""
        begun = [job for job, state in self.watch.living if not state.waits]  # of the others no file is looked at
        self.active.update(trial for job in begun for trial in job.trials)
        seen = (running_in(job, self.ledger.open, self.spool, self.submitter.trainable) for job in begun)
        self._running = [running for running in seen if running is not None]
        until = time.monotonic() + seconds
        while not stop.requested and time.monotonic() < until:
            self.observer.updated(self._progress())
            time.sleep(min(TICK_S, seconds))

    def leave(self) -> None:
        """Say what goes on without a driver, and what it saw last."""
        self._scan([])
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
        self._settle(*self.ledger.newly_settled(None if everything else hints))
        for trial in self.ledger.untaught():
            pack = self.submitter.make_pack((trial,), SLOT)
            failure = fail_untaught(trial, self.spool, pack.trainable, pack.data_fingerprint)
            if failure is not None:
                self._settle(failure)

    def _settle(self, *records: Record) -> None:
        """Close Trials. Thousands may have settled since this driver last looked, so their jobs are counted once."""
        if not records:
            return
        progress = self._progress()
        for record in records:
            self.ledger.note(JobStatus(trial=record.trial_id))  # it came while this driver watched
            trial = self.ledger.settle(record)
            finished = record.status == "finished"
            progress = replace(progress, trained=progress.trained + finished, failed=progress.failed + (not finished))
            self.observer.settled(trial, record, progress)

    def _conclude(self, gone: Sequence[SubmittedJob]) -> None:
        """Draw the conclusions from jobs that have ended."""
        left = {job.job_id: tuple(filter(self.ledger.is_open, job.trials)) for job in gone}
        asked = {str(job.submission.array) for job in gone if left[job.job_id] and not job.cancelled}
        ended = queue.endings(asked) if asked else {}
        concluded = []
        for job in gone:
            how = ended.get(job.job_id)
            lags = ended and (how is None or how.lags) and not job.cancelled
            if left[job.job_id] and lags and self.watch.missing_s(job) < ACCOUNTING_S:
                continue  # the accounting does not know yet that it has ended
            trials = tuple(filter(self.ledger.is_open, left[job.job_id]))  # a teacher's end may have closed some
            if trials and how is None and job.status() is None:
                how = queue.cancelled_unseen(job.job_id, ended)
            if not trials or self._follow(job, self._judged(job, conclude(job, how, trials, self.spool))):
                concluded.append(job)
        others = [job for job in concluded if any(map(self._is_somebody_elses, job.trials))]
        self.watch.leave(others)
        self.watch.conclude(job for job in concluded if job not in others)

    def _judged(self, job: SubmittedJob, conclusion: Conclusion) -> Conclusion:
        """What failed before it began, while nobody watched, may have been repaired since: it is tried again."""
        if conclusion.failed and conclusion.before_any_trial and self.watch.was_over(job):
            return replace(conclusion, again=(*conclusion.again, *conclusion.failed), failed={})
        return conclusion

    def _is_somebody_elses(self, trial_id: str) -> bool:
        """Whether a Trial is none of this run's, and still to be trained."""
        return not self.ledger.knows(trial_id) and not is_settled(self.spool.record(trial_id), {})

    def _follow(self, job: SubmittedJob, conclusion: Conclusion) -> bool:
        """Act on a conclusion; False where an orphan still holds a Trial, so that it must wait."""
        failed, strikes = dict(conclusion.failed), {}
        # A Trial that another study's job has in its hands is no failure of this one's: it is waited for.
        for trial_id in (trial_id for trial_id in conclusion.again if not self.spool.held(trial_id)):
            row, before = self.spool.last_row(trial_id), self._strikes.get(trial_id, Strikes())
            strikes[trial_id] = now = before.one_more(row.step if row else None)
            if now.count > (MAX_ACCIDENTS if conclusion.accident else MAX_AGAIN):
                failed[trial_id] = f"{now.count} jobs ended without getting any further with it: {conclusion.why}"
        for trial_id, error in failed.items():
            trial = self.ledger.open[trial_id]
            pack = self.submitter.make_pack((trial,), SLOT)
            claim = self.spool.claim(trial, pack.trainable, pack.data_fingerprint)
            if claim is None:
                return False
            with claim:
                self._settle(claim.fail("lost", error, conclusion.log_tail))
        self._strikes |= strikes
        for trial_id in conclusion.dropped if not self.watch.was_over(job) else ():
            self.ledger.drop(trial_id)
        unfinished = len(conclusion.again) + len(conclusion.dropped)
        if unfinished:
            trials = "a Trial" if unfinished == 1 else f"{unfinished} Trials"
            self.observer.noticed(f"job {job.job_id} ended without the result of {trials}: {conclusion.why}")
        return True

    def _submit_or_note(self, patience: int = MAX_REFUSALS) -> None:
        """Submit. What Slurm refuses is tried again while jobs live, and else so many times; then `SlurmError`."""
        try:
            self._submit_missing()
            self._refusals = 0
        except SlurmError as error:
            self._refusals += 1
            if not self.watch.jobs and self._refusals > patience:
                raise
            if self._refusals == 1:
                self.observer.noticed(f"Slurm does not take all that is to be submitted, and is asked again: {error}")

    def _submit_missing(self) -> None:
        """Submit every open Trial that no job has."""
        if self._missing():
            self.watch.attach()  # another driver may have been quicker, where locks do not reach
        missing = self._missing()
        if missing:
            living = [job for job, _ in self.watch.living]
            for submission in self.submitter.submit(missing, self.ledger.failed_before, living):
                self.watch.add(submission)
            self.watch.look()

    def _missing(self) -> list[Trial]:
        """Open Trials that no job has, will have, or has failed while it goes on with others.

        Not among them are Trials that somebody trains for another study.
        """
        covered = {trial for submission in self.watch.unanswered for pack in submission.packs for trial in pack}
        for job in self.watch.jobs:
            tried = self.ledger.failed_before.keys() & job.trials
            status = job.status() if tried else None
            covered.update(set(job.trials) - tried.intersection(status.failed if status else ()))
        uncovered = [trial for trial in self.ledger.open.values() if trial.id not in covered]
        missing = [trial for trial in uncovered if not self.spool.held(trial.id)]
        self._held_elsewhere = len(missing) < len(uncovered)
        return missing

    def _progress(self) -> Progress:
        living = self.watch.living
        queued = sum(state.waits for _, state in living)
        return self.ledger.progress(self._running, max(1, len(living) - queued), False, queued=queued, place="job")
