"""What the jobs of a Trial have printed: found by the Trial or the job, and followed from one job to the next."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ablate.execution.known_jobs import Jobs, KnownJob, local_jobs, readable_submissions, slurm_jobs
from ablate.execution.run_folder import RunFolder
from ablate.study.study import Study
from ablate.tracking.disk import is_held
from ablate.tracking.glance import glances
from ablate.wording import nearest

#: How often log files are looked at, and how often it is asked whether anything still writes them, s.
POLL_S, ASK_S = 0.5, 5.0
#: Looks in a row at which no job has the Trial, before nothing more is expected: a driver may be submitting it again.
_IDLE_LOOKS = 3
_READ_BYTES = 256 * 1024
_LISTED = 4
_BY_NAME = re.compile(r"(.+?)(?: seed |:)(\d+)")


@dataclass(frozen=True)
class Found:
    """What a person meant."""

    slug: str
    """The study whose jobs have it; empty where no job ever had."""
    trials: tuple[str, ...]
    """One Trial, or those of a job."""
    job: str = ""
    """The job, where it was the job that was named."""


def find(text: str, home: Path, study: Study | None = None) -> Found:
    """The Trial or the job that is meant: an id or the beginning of one, a job's id, or, in a study, Variant and seed.

    Raises ValueError, in one line for the user, where there is none or more than one.
    """
    if study is not None and (match := _BY_NAME.fullmatch(text)):
        for trial in (*study.teachers, *study.trials):
            if trial.variant == match[1] and trial.seed == int(match[2]):
                return Found(study.slug, (trial.id,))
    jobs = [(slug, job) for slug in _slugs(home, study) for job in _jobs(home, slug)]
    named = [(slug, job) for slug, job in jobs if job.job_id == text]
    if named:
        slug, job = max(named, key=lambda pair: pair[1].began)
        return Found(slug, job.trials, text)
    of = {trial_id: slug for slug, job in jobs for trial_id in job.trials}
    ids = [trial.id for trial in study.all_trials] if study is not None else _begun(home)
    begun = sorted({trial_id for trial_id in (*of, *ids) if trial_id.startswith(text)}) if text else []
    if text in begun or len(begun) == 1:
        found = text if text in begun else begun[0]
        return Found(of.get(found, ""), (found,))
    if begun:
        short = [i[: len(text) + 6] for i in begun[:_LISTED]]
        listed = ", ".join(short) + (f" and {len(begun) - _LISTED} more" if len(begun) > _LISTED else "")
        raise ValueError(f"{len(begun)} Trials begin with {text!r}: {listed}; give more of the id")
    if study is None and _BY_NAME.fullmatch(text):
        raise ValueError(f"{text!r}: a Variant's name belongs to a study; name that with --study STUDY")
    names = (
        [f"{t.variant} seed {t.seed}" for t in study.trials] if study is not None else [job.job_id for _, job in jobs]
    )
    raise ValueError(f"no Trial and no job {text!r} in {home}{nearest(text, names)}; `ablate status STUDY` lists them")


def latest_job(home: Path, found: Found) -> KnownJob | None:
    """The job that has what was found, or had it last, of those that have printed something."""
    jobs = [job for job in _jobs(home, found.slug) if found.slug and _has(job, found)]
    jobs = [job for job in jobs if job.log_files()]
    return max(jobs, key=lambda job: (job.status().trial in found.trials, job.began), default=None)


def tail(file: Path, lines: int) -> str:
    """The last lines of a file, of which it reads no more than a quarter of a megabyte; empty where there is none."""
    content = _read(file, max(0, _size(file) - _READ_BYTES))
    return "\n".join(content.decode(errors="replace").splitlines()[-lines:])


def follow(home: Path, found: Found) -> Iterator[tuple[Path, str]]:
    """What is printed from now on, file by file, until the Trials have an outcome or no job has them any more.

    A job that Slurm starts again goes on in its files; a Trial that is given to another job is followed there.
    """
    job = latest_job(home, found)
    positions = {file: _size(file) for file in (job.log_files() if job else ())}
    idle, asked = 0, float("-inf")
    while idle < _IDLE_LOOKS:
        settled = False
        if time.monotonic() - asked >= ASK_S:
            settled, lives = _look(home, found)
            idle = 0 if lives else idle + 1
            job, asked = latest_job(home, found), time.monotonic()
        for file in job.log_files() if job else ():
            position = positions.get(file, 0)
            start = position if position <= _size(file) else 0  # else it was begun anew
            content = _read(file, start)
            positions[file] = start + len(content)
            if content:
                yield file, content.decode(errors="replace")
        if settled:
            return
        time.sleep(POLL_S)


def _look(home: Path, found: Found) -> tuple[bool, bool]:
    """Whether all Trials have outcomes that stand, and whether something may still train one of them."""
    seen = glances(home, found.trials)
    jobs = Jobs.of(home, found.slug) if found.slug else None
    settled, lives = [], [one.status == "running" for one in seen.values()]
    for trial_id in found.trials:
        one, job = seen.get(trial_id), jobs.latest(trial_id) if jobs else None
        # A failure from before its job was submitted is what that job is to try again.
        stands = one is not None and one.status == "failed" and (job is None or one.latest >= job.began)
        settled.append(stands or (one is not None and one.status == "finished"))
        if jobs is not None and job is not None:
            lives.append(jobs.in_queue(job) is not None or (jobs.living is None and not job.concluded))
    lives += [is_held(RunFolder(job.run).driver_lock) for job in local_jobs(home, found.slug) if _has(job, found)]
    return all(settled), any(lives)


def _has(job: KnownJob, found: Found) -> bool:
    return job.job_id == found.job if found.job else not set(job.trials).isdisjoint(found.trials)


def _jobs(home: Path, slug: str) -> list[KnownJob]:
    return [*slurm_jobs(readable_submissions(home, slug)), *local_jobs(home, slug)]


def _slugs(home: Path, study: Study | None) -> list[str]:
    """Studies that have run folders here, or the one that is given."""
    if study is not None:
        return [study.slug]
    root = home / "runs"
    return sorted(folder.relative_to(root).as_posix() for folder in root.glob("*/*") if folder.is_dir())


def _begun(home: Path) -> list[str]:
    return [folder.name for folder in (home / "trials").glob("*")]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _read(file: Path, start: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read()
    except OSError:
        return b""
