"""From open Trials to arrays in Slurm's queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.execution.cluster import queue
from ablate.execution.cluster.packing import Batch, batches
from ablate.execution.cluster.snapshot import Snapshot
from ablate.execution.cluster.submission import Submission, SubmittedJob
from ablate.execution.cluster.submit import submit
from ablate.execution.pack import Pack
from ablate.execution.resources import Resources
from ablate.execution.run_folder import RunFolder
from ablate.execution.slots import Slot
from ablate.study.study import Trial
from ablate.tracking.worker_delivery import WorkerDelivery

#: The share of a machine that a job has is for Slurm to say, and known when it begins.
SLOT = Slot("slurm", threads=1)


@dataclass(frozen=True)
class Submitter:
    """Submits Trials of one study; everything it needs is asked for when there is something to submit."""

    run: RunFolder
    job_name: str
    trainable: str
    make_pack: Callable[[tuple[Trial, ...], Slot], Pack]
    resources_for: Callable[[str], Resources]
    """What the jobs of a Variant ask for."""
    seconds: Callable[[], Mapping[str, float | None]]
    """Expected training times by Trial id."""
    snapshot: Callable[[], Snapshot]
    """Takes one of the code."""
    delivery: WorkerDelivery | None
    """With what the jobs deliver; None where the driver does."""

    def submit(
        self, trials: Sequence[Trial], failed_before: Mapping[str, float], earlier: Sequence[SubmittedJob]
    ) -> Iterator[Submission]:
        """Submit Trials that no job has, array by array. Those that need others wait for their jobs, ``earlier`` ones
        too.

        Raises `SlurmError` with Slurm's own words where it refuses; the arrays before stay with Slurm.
        """
        snapshot = self.snapshot()
        arrays: dict[int, list[str]] = {}
        for batch in batches(trials, self.seconds(), self.resources_for, queue.max_array_size()):
            after = [array for wave, ids in arrays.items() if wave < batch.wave for array in ids]
            submission = submit(
                [self._pack(pack, failed_before) for pack in batch.packs],
                batch.resources,
                run=self.run,
                job_name=self.job_name,
                snapshot=snapshot.path,
                import_paths=snapshot.import_paths,
                after=[*after, *_jobs_of_teachers(batch, earlier)],
            )
            arrays.setdefault(batch.wave, []).append(str(submission.array))
            yield submission

    def _pack(self, trials: tuple[Trial, ...], failed_before: Mapping[str, float]) -> Pack:
        return replace(
            self.make_pack(trials, SLOT),
            attached=False,
            import_paths=(),  # the user's code is in the snapshot, too
            delivery=self.delivery.only(trial.id for trial in trials) if self.delivery else None,
            failed_before={trial.id: failed_before[trial.id] for trial in trials if trial.id in failed_before},
        )


def _jobs_of_teachers(batch: Batch, earlier: Sequence[SubmittedJob]) -> list[str]:
    needs = {need for pack in batch.packs for trial in pack for need in trial.needs}
    return [job.job_id for job in earlier if needs.intersection(job.trials)] if needs else []
