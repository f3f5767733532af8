"""A study, its spool made through Claims, and a Slurm that is a JSON file.

`squeue`, `sacct`, `scancel` and `scontrol` are scripts at the head of PATH.

The file holds ``queue`` (job id -> name, state, node, left, comment, reason), ``ended`` (job id -> state), ``calls``
(each command line) and ``down`` (what every command says instead of an answer).
"""

from __future__ import annotations

import json
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

COMMANDS = ("squeue", "sacct", "scancel", "scontrol")
_SCRIPT = """#!{python}
import json, sys
from pathlib import Path
file = Path({state!r})
state, name, words = json.loads(file.read_text()), {name!r}, sys.argv[1:]
state["calls"].append([name, *words])
file.write_text(json.dumps(state))
if state["down"]:
    sys.exit(name + ": error: " + state["down"])
if name == "squeue":
    wanted = words[words.index("-n") + 1]
    for job, it in state["queue"].items():
        if it["name"] == wanted:
            print("|".join((job, it["state"], it["node"], it["left"], it["comment"], it["reason"])))
elif name == "sacct":
    arrays = words[words.index("-j") + 1].split(",")
    for job, ended in state["ended"].items():
        if job.partition("_")[0] in arrays:
            print(job + "|" + ended + "|1:0|gpu9")
elif name == "scancel":
    for job in words:
        state["queue"].pop(job, None)
    file.write_text(json.dumps(state))
elif words == ["show", "config"]:
    print("KillWait                = 3 sec")
"""


class FakeSlurm:
    """The state, and the folder with the commands."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self._file = folder / "slurm.json"
        self.bin.mkdir(parents=True)
        self._save({"queue": {}, "ended": {}, "calls": [], "down": ""})
        for name in COMMANDS:
            script = self.bin / name
            script.write_text(_SCRIPT.format(python=sys.executable, state=str(self._file), name=name))
            script.chmod(0o755)

    @property
    def path(self) -> str:
        """What PATH is to be."""
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def calls(self, name: str) -> list[list[str]]:
        """The command lines with which a command was called."""
        return [call[1:] for call in self._load()["calls"] if call[0] == name]

    def queue(self, job: str, name: str, state: str = "RUNNING", **about: str) -> None:
        """Put a job into the queue, or change it."""
        it = {"node": "gpu1", "left": "1-00:00:10", "comment": "", "reason": "None", **about}
        self._change("queue", job, {"name": name, "state": state, **it})

    def end(self, job: str, state: str) -> None:
        """Take a job out of the queue."""
        values = self._load()
        values["queue"].pop(job, None)
        self._save(values)
        self._change("ended", job, state)

    def down(self, words: str) -> None:
        """Answer nothing more but these words."""
        self._save({**self._load(), "down": words})

    def _change(self, kind: str, job: str, value: object) -> None:
        values = self._load()
        values[kind][job] = value
        self._save(values)

    def _load(self) -> dict:
        return json.loads(self._file.read_text())

    def _save(self, values: dict) -> None:
        self._file.write_text(json.dumps(values))


class World:
    """A study of three Variants and two seeds, and what has happened to it."""

    def __init__(self, root: Path, slurm: FakeSlurm) -> None:
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
def slurm(tmp_path, monkeypatch):
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", fake.path)
    return fake


@pytest.fixture
def world(tmp_path, slurm, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    return World(tmp_path, slurm)
