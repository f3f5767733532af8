"""Submitting: Packs become a job array, through submitit.

submitit writes the batch script, calls `sbatch` and describes a job to itself. Its pickles are not used: it renames
them once `sbatch` has answered, and a driver that is killed in between leaves jobs that wait in vain for their task.
Here everything that a job needs is on disk before Slurm hears of it.
"""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from ablate.execution.cluster.queue import SlurmAway, SlurmError, is_outage, own_words, slurm
from ablate.execution.cluster.submission import Submission, new_key, pack_folder
from ablate.execution.executors.local import THREAD_VARIABLES
from ablate.execution.pack import Pack
from ablate.execution.resources import Resources
from ablate.execution.run_folder import RunFolder
from ablate.tracking.mlflow_client import own_settings

#: Exit status of a worker that was told in time to make room: its job is to be started again.
AGAIN = 85
#: Exit status of a worker that was told to end and has not done its work: its job is to be started again, unless that
#: is Slurm's affair, or nobody's.
AGAIN_IF_IT_RUNS = 86
_KILLS = "kills"
_NEVER = "Requested node configuration is not available"
#: What a job that was submitted from within another one must not inherit.
_LEAKING = ("SLURM_", "SBATCH_", "SRUN_", "SUBMITIT_", "PMI_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_")
_KEPT = ("SLURM_CONF",)


def submit(
    packs: Sequence[Pack],
    resources: Resources,
    *,
    run: RunFolder,
    job_name: str,
    snapshot: Path,
    import_paths: Sequence[Path],
    after: Sequence[str] = (),
) -> Submission:
    """Submit one array, a task to a Pack, whose jobs begin when the arrays ``after`` have ended, well or not.

    Raises `SlurmError` with Slurm's own words where it refuses; then nothing is left behind. Where it is not clear
    whether Slurm has the jobs (it did not answer, or `sbatch` was killed), the submission stays, as after a driver's
    death.
    """
    check_request(resources)
    key = new_key()
    submission = Submission(
        run=run.path,
        key=key,
        packs=tuple(tuple(trial.id for trial in pack.trials) for pack in packs),
        submitted=time.time(),
        resources=resources.model_dump(mode="json", exclude_defaults=True),
        snapshot=str(snapshot),
    )
    for index, pack in enumerate(packs):
        file = pack_file(run.path, key, index)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(pack))
    submission.save()
    try:
        with _outside_any_job():
            arrays = _Arrays(run.jobs, python=resources.python_command())
            array = arrays.submit_array(len(packs), resources, key, job_name, import_paths, after)
    except (FailedJobError, FailedSubmissionError) as error:
        words = own_words(_said_by_sbatch(error))
        if _is_refusal(error):
            submission.forget()
            for script in run.jobs.glob(".submission_file_*.sh"):
                script.unlink()
            raise SlurmError(words) from error
        unclear = "whether Slurm has the jobs all the same is seen by whoever asks next"
        raise SlurmAway(f"{words or 'sbatch ended without a word'}; {unclear}") from error
    return submission.begun_as(array)


def check_request(resources: Resources) -> None:
    """Raise `SlurmError` where the cluster could never serve a request; `sbatch` itself lets some wait for ever.

    What it says of nodes that are down or taken at the moment is no reason to refuse.
    """
    with _outside_any_job():
        try:
            slurm("sbatch", "--test-only", *resources.sbatch_flags(), "--wrap=true")
        except SlurmError as error:
            if _NEVER in str(error):
                raise


def pack_file(run: Path, key: str, index: int) -> Path:
    """Where a job finds its Pack."""
    return pack_folder(run, key) / f"{index}.pkl"


def load_pack(file: Path) -> Pack:
    """A Pack that `submit` wrote."""
    pack = pickle.loads(file.read_bytes())  # noqa: S301 - this program wrote it, in its own spool
    assert isinstance(pack, Pack)
    return pack


class _Arrays(submitit.SlurmExecutor):
    """submitit's executor, for arrays whose jobs run a command of ours."""

    def submit_array(
        self,
        count: int,
        resources: Resources,
        key: str,
        job_name: str,
        import_paths: Sequence[Path],
        after: Sequence[str],
    ) -> str:
        """Slurm's id of the new array."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parameters = resources.submitit_parameters()
        self.update_parameters(
            **parameters
            | {
                "job_name": job_name,
                "comment": key,
                "setup": [*_cores(), *(parameters.get("setup") or ()), *_last_setup(import_paths)],
                "teardown": _teardown(resources.requeues, self.folder.parent),
                "srun_args": ["--kill-on-bad-exit=1", *(parameters.get("srun_args") or ())],
            },
            **({"dependency": "afterany:" + ":".join(after)} if after else {}),
        )
        self.parameters["map_count"] = count
        run = self.folder.parent
        command = shlex.join(["-u", "-m", "ablate.execution.cluster.job", str(run), key])
        return str(self._submit_command(f"{self.python} {command}").job_id)


def _cores() -> list[str]:
    """Before the user's own lines: a process's cores for its threads."""
    return [
        # Since 22.05 srun does not ask sbatch any more. Without a number it is for the cluster to say.
        'if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi',
        "threads=${SLURM_CPUS_PER_TASK:-$((${SLURM_CPUS_ON_NODE:-1} / ${SLURM_NTASKS_PER_NODE:-1}))}",
        "if [ $threads -lt 1 ]; then threads=1; fi",
        *(f"export {name}=$threads" for name in THREAD_VARIABLES),
    ]


def _last_setup(import_paths: Sequence[Path]) -> list[str]:
    """After the user's lines, which may set PYTHONPATH, or end a script at its first failure: the snapshot comes first,
    and the lines after Python are reached.
    """
    paths = shlex.quote(os.pathsep.join(map(str, import_paths)))
    return ["set +eu", f"export PYTHONPATH={paths}${{PYTHONPATH:+:$PYTHONPATH}}"]


def kills_file(run: Path, job_id: str) -> Path:
    """In which a job's batch script notes each time that a process of it was killed."""
    return run / _KILLS / job_id


def _teardown(requeues: int, run: Path) -> list[str]:
    """After Python: start the job again where it asked for that, or where a process of it was killed.

    SIGTERM is no exception: with it `srun` ends the other processes of a job one of which was killed, and they may
    still be on their way up. Whether it came from `scancel` is for Slurm to say: then the job is not RUNNING any more.
    One that is about to be preempted is, and where it has ended within its grace time Slurm forgets it.
    A kill is noted, so that the next start can tell it from an accident of the cluster, which ends this script as well.
    """
    job = '"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"'
    runs = f'[ "$(squeue -h -j {job} -o %T)" = RUNNING ]'
    kills = shlex.quote(str(run / _KILLS))
    asked = f'[ "$status" -eq {AGAIN} ]'
    told = f'[ "$status" -eq {AGAIN_IF_IT_RUNS} ]'
    killed = f'[ "$status" -gt 128 ] && [ "$(wc -l < {kills}/{job})" -le {requeues} ]'
    return [
        "status=$?",
        f'if [ "$status" -gt 128 ]; then mkdir -p {kills} && echo "$status" >> {kills}/{job}; fi',
        f"if {asked} || {{ {{ {told} || {{ {killed}; }}; }} && {runs}; }}; then scontrol requeue {job}; fi",
        "exit $status",
    ]


@contextmanager
def _outside_any_job() -> Iterator[None]:
    """Hide from `sbatch` what is this process's alone: the job that it may be part of, and its own settings."""
    before = dict(os.environ)
    for name in before:
        if (name.startswith(_LEAKING) and name not in _KEPT) or name in own_settings():
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def _said_by_sbatch(error: Exception) -> str:
    """The lines of a failed command's output that are Slurm's: submitit puts its own around them."""
    lines = str(error).splitlines()
    return "\n".join(line for line in lines if line.startswith("sbatch: ")) or str(error)


def _is_refusal(error: Exception) -> bool:
    """Whether `sbatch` has said no; otherwise Slurm may have taken the jobs."""
    ended = error.__cause__
    said_no = isinstance(ended, subprocess.CalledProcessError) and ended.returncode > 0
    return said_no and not is_outage(str(error))
