"""A study, its spool made through Claims, and the Slurm of `tests/fake_slurm.py`."""

from __future__ import annotations

import os
import platform
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from ablate.execution.cluster.queue import job_name
from ablate.execution.cluster.submission import Submission
from ablate.execution.run_folder import RunFolder
from ablate.execution.status import JobStatus, write_status
from ablate.standing import standing
from ablate.study.load import load_study
from ablate.tracking.spool import Spool

TRAINABLE = "def train(recipe, seed, report, folder):\n    return {'score': 1}\n"
STUDY = """\
study: watched
question: Does watching change anything?
metric: {name: score, direction: maximize}
trainable: watched_trainable:train
seeds: 2
base: {width: 1}
factors:
  width:
    reference: one
    levels: {two: {width: 2}, three: {width: 3}}
"""


class World:
    """A study of three Variants and two seeds, and what has happened to it."""

    def __init__(self, root: Path, slurm) -> None:
        (root / "watched_trainable.py").write_text(
            "def train(recipe, seed, report, folder):\n    return {'score': 1}\n"
        )
        self.file = root / "study.yaml"
        self.file.write_text(STUDY)
        self.root, self.home, self.slurm = root, root / "home", slurm
        self.study = load_study(self.file)
        self.name = job_name(self.study.slug)
        self.spool = Spool(self.home)

    def trial(self, variant: str, seed: int = 0):
        """One of its Trials."""
        return next(t for t in self.study.trials if (t.variant, t.seed) == (variant, seed))

    def claim(self, trial, rows=()):
        """A Claim whose attempt has reported these rows, step by step from 1."""
        claim = self.spool.claim(trial, self.study.trainable, "")
        _ = claim.folder
        for step, metrics in enumerate(rows, 1):
            claim.report(step, metrics)
        return claim

    def finish(self, trial, score=1.0):
        with self.claim(trial, [{"score": 0.5}]) as claim:
            claim.finish({"score": score}, {})

    def fail(self, trial, cause="error", error="ValueError: no", log_tail=""):
        with self.claim(trial, [{"score": 0.5}]) as claim:
            claim.fail(cause, error, log_tail)

    def interrupt(self, trial, rows=({"score": 0.25},)):
        with self.claim(trial, rows) as claim:
            claim.interrupted()

    def run(self, name="20260101-000000-1") -> RunFolder:
        folder = RunFolder(self.home / "runs" / self.study.slug / name)
        folder.path.mkdir(parents=True, exist_ok=True)
        return folder

    def submit(self, *packs, array="100", key="ablate-1", run="20260101-000000-1", **fields) -> Submission:
        """A submission whose jobs are not in the queue yet."""
        ids = tuple(tuple(trial.id for trial in pack) for pack in packs)
        fields = {"submitted": time.time() - 1000, **fields}
        return Submission(run=self.run(run).path, key=key, packs=ids, array=array, **fields).save()

    def holds(self, job: str, trial=None, run="20260101-000000-1", age_s=0.0, **fields) -> Path:
        """The job says that it has a Trial in its hands, so long ago."""
        file = self.run(run).status_file(job)
        since = time.time() - 100
        fields = {"since": since, "host": platform.node(), **fields}
        write_status(file, JobStatus(trial=trial.id if trial else None, **fields))
        os.utime(file, (time.time() - age_s,) * 2)
        return file

    def log(self, job: str, text: str, task=0, kind="err", run="20260101-000000-1", local=False) -> Path:
        folder = self.run(run).jobs / job if local else self.run(run).jobs
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{job}_{task}_log.{kind}"
        file.write_text(text)
        return file

    def stands(self, trial=None):
        """How a Trial stands, or all."""
        found = standing(self.study, self.home)
        return found if trial is None else next(item for item in found.trials if item.trial.id == trial.id)

    @contextmanager
    def driver(self, run="20260101-000000-1"):
        """A driver that lives."""
        with self.run(run).driving() as folder:
            yield folder


@pytest.fixture
def slurm(fake_slurm):
    return fake_slurm


@pytest.fixture
def world(tmp_path, slurm, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    return World(tmp_path, slurm)
