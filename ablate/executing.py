"""From Trials that are left to an executor, while a thread delivers what becomes of them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ablate.estimate import estimate
from ablate.execution.gpus import measured_memory_gb
from ablate.execution.slots import plan_slots
from ablate.refusals import Refused
from ablate.run_options import RunOptions
from ablate.study.errors import StudyError
from ablate.study.study import Study, Trial
from ablate.tracking.delivery import Delivery, DeliveryReport
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.network_file_system import advice
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool
from ablate.tracking.worker_delivery import WorkerDelivery, prepare

if TYPE_CHECKING:
    from ablate.execution.cluster.snapshot import Snapshot
    from ablate.execution.cluster.submitter import Submitter
    from ablate.execution.pack import Pack
    from ablate.execution.progress import Observer, RunSummary
    from ablate.execution.run_folder import RunFolder
    from ablate.execution.slots import Slot
    from ablate.execution.stopping import Stop

SLURM = "slurm"
#: Below the spool: snapshots of the code that jobs on a cluster run.
CODE = "code"


@dataclass(frozen=True)
class Execution:
    """One invocation: what trains the Trials of a study, and where."""

    study: Study
    options: RunOptions
    spool: Spool
    store: MlflowStore
    run_folder: RunFolder
    stop: Stop
    console: Console
    snapshots: list[Snapshot] = field(default_factory=list)
    """Of the code that jobs run: at most one, taken at the first submission, for all that is submitted later."""

    def train(self, left: Sequence[Trial], known: Mapping[str, Record]) -> tuple[RunSummary, DeliveryReport]:
        """Train the Trials that are left and deliver on the way; where there is nothing to train, deliver.

        ``known`` are the Records of the study's Trials. Raises `ExecutionError` where nothing can be trained at all.
        """
        from ablate.execution.progress import RunSummary
        from ablate.tracking.live import LiveDelivery

        if not left:
            self._conclude_on_slurm(known)
            nothing = RunSummary(trained=(), reused=(), failed=(), interrupted=(), waiting=())
            return nothing, Delivery(self.store, self.spool, self.study).deliver_all(known.values())
        ids = {trial.id for trial in left}
        # Finished ones are passed as well, to be counted; a divergence that stands is not.
        finished = {trial_id for trial_id, record in known.items() if record.status == "finished"}
        trials = [trial for trial in self.study.all_trials if trial.id in ids | finished]
        on_slurm = self.options.executor == SLURM
        active: set[str] = set()
        jobs_deliver = self._delivery(left) if on_slurm else None
        delivery = LiveDelivery(
            self.store,
            self.spool,
            self.study,
            workers_deliver=jobs_deliver is not None,
            active=(lambda: tuple(active)) if on_slurm else None,
        )
        delivery.start()
        try:
            summary = self._on_slurm(trials, known, active, jobs_deliver) if on_slurm else self._here(trials, known)
        finally:
            leaves = self.options.detach or (on_slurm and self.stop.requested)  # what is left comes with the next run
            delivered = delivery.stop(timeout_s=0 if leaves or self.stop.at_once else 30)
        return summary, delivered

    def _here(self, trials: Sequence[Trial], known: Mapping[str, Record]) -> RunSummary:
        """In slots of this machine."""
        from ablate.execution.executors import make_executor
        from ablate.execution.scheduler import run_trials

        executor = make_executor(self.options.executor, self.run_folder.jobs)
        return run_trials(
            trials,
            make_pack=self._pack,
            executor=executor,
            spool=self.spool,
            slots=local_slots(self.options, known),
            observer=self._observer(in_process=executor.in_process),
            stop=self.stop,
        )

    def _on_slurm(
        self,
        trials: Sequence[Trial],
        known: Mapping[str, Record],
        active: set[str],
        jobs_deliver: WorkerDelivery | None,
    ) -> RunSummary:
        """In jobs that need no driver."""
        from ablate.execution.cluster.driver import run_on_slurm
        from ablate.execution.cluster.queue import SlurmAway, SlurmError
        from ablate.execution.scheduler import ExecutionError

        try:
            return run_on_slurm(
                trials,
                home=self.options.home.absolute(),
                slug=self.study.slug,
                submitter=self._submitter(known, jobs_deliver),
                spool=self.spool,
                observer=self._observer(in_process=False),
                stop=self.stop,
                detach=self.options.detach,
                keep_failures=self.options.retry is None and not self.options.retry_failed,
                poll_s=self.options.settings.slurm.poll_s,
                active=active,
            )
        except SlurmAway as error:
            raise ExecutionError(f"Slurm does not answer: {error}") from error
        except SlurmError as error:
            raise Refused(f"Slurm refuses: {error}") from error

    def _conclude_on_slurm(self, known: Mapping[str, Record]) -> None:
        """Take note that the jobs of a detached study have ended, where all its Trials have an outcome."""
        from ablate.execution.cluster.submission import any_submitted
        from ablate.execution.scheduler import ExecutionError

        if self.options.executor == SLURM and any_submitted(self.options.home, self.study.slug):
            # A failure that stands must not be taken for a Trial that somebody has yet to submit.
            finished = [t for t in self.study.all_trials if t.id in known and known[t.id].status == "finished"]
            with contextlib.suppress(ExecutionError, Refused):  # Slurm is away: the next run takes note
                self._on_slurm(finished, known, set(), None)

    def _submitter(self, known: Mapping[str, Record], jobs_deliver: WorkerDelivery | None) -> Submitter:
        from ablate.execution.cluster.queue import job_name
        from ablate.execution.cluster.submitter import Submitter

        return Submitter(
            run=self.run_folder,
            job_name=job_name(self.study.slug),
            trainable=self.study.trainable,
            make_pack=self._pack,
            resources_for=self.options.settings.slurm_for,
            seconds=lambda: estimate(self.study, finished_anywhere(known, self.spool)).seconds,
            snapshot=self._snapshot,
            delivery=jobs_deliver,
        )

    def _delivery(self, trials: Sequence[Trial]) -> WorkerDelivery | None:
        """With what jobs deliver these Trials; None where the driver does, with a word on what would be better."""
        said = advice(self.store.uri)
        if said:
            self.console.print(Text(said), soft_wrap=True)
            return None
        return prepare(self.store, self.study, trials, side_by_side=len(trials))

    def _snapshot(self) -> Snapshot:
        """Copy the code that jobs run, and say what of it was not copied; what was copied before is what they run."""
        if self.snapshots:
            return self.snapshots[0]
        from ablate.execution.cluster.own_code import own_code
        from ablate.execution.cluster.snapshot import forget_unused, take_snapshot
        from ablate.execution.cluster.submission import snapshots_in_use
        from ablate.execution.worker import import_paths

        home = self.options.home.absolute()
        with import_paths((self.study.path.parent.absolute(),)):
            sources = own_code(self.study)
        snapshot = take_snapshot(home / CODE, sources=sources, without=[home, self.options.reports.absolute()])
        forget_unused(home / CODE, snapshots_in_use(home) | {str(snapshot.path)})
        for note in snapshot.notes:
            self.console.print(Text(note), soft_wrap=True)
        self.snapshots.append(snapshot)
        return snapshot

    def _pack(self, trials: tuple[Trial, ...], slot: Slot) -> Pack:
        from ablate.execution.pack import Pack

        return Pack(
            trials=trials,
            trainable=self.study.trainable,
            metric=self.study.metric.name,
            data_fingerprint=self.study.data_fingerprint,
            spool=self.spool.root.absolute(),
            run=self.run_folder.path,
            slot=slot,
            import_paths=(self.study.path.parent.absolute(),),
        )

    def tidy(self, summary: RunSummary) -> None:
        """Delete logs and pickles; they are kept where something went wrong, or where a job may still need them."""
        if not summary.complete or summary.failed:
            return
        if self.options.executor == SLURM:
            from ablate.execution.cluster.submission import forget_concluded

            forget_concluded(self.options.home.absolute(), self.study.slug)
        if not self.run_folder.has_submissions:
            shutil.rmtree(self.run_folder.path, ignore_errors=True)

    def _observer(self, *, in_process: bool) -> Observer:
        from ablate.execution.display import choose_display

        metric, quiet = self.study.metric.name, self.options.quiet
        return choose_display(self.console, metric, quiet=quiet, in_process=in_process)


def finished_anywhere(known: Mapping[str, Record], spool: Spool) -> list[Record]:
    """Finished Trials to estimate times from: those of the study, else all that were trained here."""
    return [record for record in known.values() if record.status == "finished"] or spool.finished()


def check_executor(study: Study, options: RunOptions, console: Console) -> None:
    """Raises `Refused` for what the executor cannot do, and for settings that contradict one another."""
    if options.executor != SLURM:
        if options.detach:
            raise Refused("--detach is for jobs that go on without a driver: --executor slurm")
        if options.settings.has_options:
            raise Refused("--slurm says what jobs on a cluster ask for: give --executor slurm, too")
        local_slots(options)
        from ablate.execution.cluster.submission import any_submitted

        if any_submitted(options.home, study.slug):
            _tell_of_jobs(study, options, console)
        return
    here = {"--slots": options.slots, "--processes": options.processes, "--trials-per-gpu": options.trials_per_gpu}
    for option, value in here.items():
        if value is not None:
            raise Refused(f"{option} is for this machine; on Slurm say it with --slurm: processes=2, parallel=8, ...")
    names = [variant.name for variant in (*study.variants, *study.teacher_variants)]
    try:
        for name in names:
            options.settings.slurm_for(name)
    except StudyError as error:
        raise Refused(str(error)) from error
    for pattern in options.settings.unused_patterns(names):
        console.print(Text(f"the settings ask something for {pattern}, and no Variant here is called so"))


def _tell_of_jobs(study: Study, options: RunOptions, console: Console) -> None:
    """Say that what jobs on Slurm have in their hands is not trained here as well."""
    from ablate.execution.known_jobs import Jobs

    living = len(Jobs.of(options.home.absolute(), study.slug).living or ())
    if living:
        jobs = "a job" if living == 1 else f"{living} jobs"
        console.print(
            Text(f"{jobs} of this study are with Slurm: what they train is waited for here; --executor slurm attaches")
        )


def local_slots(options: RunOptions, known: Mapping[str, Record] | None = None) -> tuple[Slot, ...]:
    """The slots of this machine. Raises `Refused` where it has not what is asked for.

    ``known`` are Records of the study, of which the finished ones tell how much of a GPU's memory a Trial takes.
    """
    local = options.settings.local
    per_gpu, memory_gb = options.trials_per_gpu or local.trials_per_gpu, local.gpu_memory_gb
    if per_gpu == "auto":
        per_gpu, memory_gb = None, memory_gb or measured_memory_gb((known or {}).values())
    try:
        return plan_slots(
            options.slots or local.slots,
            processes=options.processes or local.processes,
            trials_per_gpu=per_gpu,
            gpu_memory_gb=memory_gb,
        )
    except ValueError as error:
        raise Refused(str(error)) from error
