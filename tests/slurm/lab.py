"""A working folder on the cluster's shared disk, with a study whose Trials are quick and whose results tell all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from ablate.execution.cluster.submission import submissions
from ablate.tracking.spool import Spool

STEADY = Path(__file__).with_name("steady.py")
STUDY = """
study: steady
question: Does every Trial finish exactly once?
trainable: steady:train
metric: {{name: score, direction: maximize}}
seeds: [0, 1]
base: {{steps: {steps}, sleep: {sleep}, shade: red, mode: "", marks: {marks}}}
factors:
  shade:
    reference: red
    levels:
{levels}
"""
LAST_LINE = re.compile(r"trained (\d+), reused (\d+), failed (\d+)")
#: A command that takes this long hangs, s.
HANG_S = 240
SETTINGS = """
[executors.slurm]
poll_s = 0.5
time = {minutes}
trials_per_job = {per_job}
cpus = 1
memory_gb = {memory_gb}
{more}
"""


class Lab:
    """One study in one folder; its commands run as a user starts them."""

    def __init__(self, root: Path, *, steps=6, sleep=0.3, shades=("blue",), minutes=5, more="", **modes) -> None:
        self.root = root
        self.marks = root / "marks"
        (root / "steady.py").write_text(STEADY.read_text())
        levels = [f"      {shade}: {{shade: {shade}, mode: {json.dumps(modes.get(shade, ''))}}}" for shade in shades]
        text = STUDY.format(steps=steps, sleep=sleep, marks=self.marks, levels="\n".join(levels))
        (root / "study.yaml").write_text(text)
        self.settings(minutes, more)
        self.started: list[subprocess.Popen[str]] = []

    def settings(self, minutes=5, more="", per_job=1, memory_gb=0.25):
        """What is asked of Slurm."""
        text = SETTINGS.format(minutes=minutes, more=more, per_job=per_job, memory_gb=memory_gb)
        (self.root / ".ablate.toml").write_text(text)

    def submissions(self):
        """What was handed to Slurm."""
        return submissions(self.root / ".ablate", "steady/default")

    def job(self, shade, seed=0):
        """Id in Slurm of the job that a Trial which has begun was last submitted with."""
        wanted = [r.trial_id for r in self.records().values() if (r.recipe["shade"], r.seed) == (shade, seed)]
        jobs = {trial: f"{s.array}_{i}" for s in self.submissions() for i, p in enumerate(s.packs) for trial in p}
        return jobs[wanted[0]]

    def worker(self, slurm, job):
        """The process that trains in a job, once it is there."""
        found = []

        def look():
            processes = [p for node in slurm.nodes for p in slurm.job_processes(node)]
            found.extend(p for p in processes if p.name.startswith("python") and job == job_of(p))
            return found

        self.until(look)
        return found[0]

    def until_requeued(self, slurm, job):
        """Wait until Slurm has put a job back into its queue, where it makes it wait for some seconds."""
        self.until(lambda: slurm.run("squeue", "-h", "-r", "-j", job, "-o", "%T") == "PENDING")

    def start(self, verb="run", *arguments, **environment):
        """Begin a command, and leave it running."""
        if verb in ("run", "retry"):
            arguments = ("--executor", "slurm", "--no-check", *arguments)
        if verb != "logs":  # that one takes a Trial
            arguments = ("study.yaml", *arguments)
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ablate"), verb, *map(str, arguments)],
            cwd=self.root,
            env={**os.environ, "COLUMNS": "200", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self, process, code=0):
        """Wait until a command has ended; its counts of trained, reused and failed Trials, and what it said."""
        out, err = process.communicate(timeout=HANG_S)
        assert code is None or process.returncode == code, f"exit {process.returncode}\n{out}\n{err}\n{self.logs()}"
        match = LAST_LINE.search(out.splitlines()[-1]) if out.strip() else None
        return tuple(map(int, match.groups())) if match else None, out + err

    def run(self, *arguments, code=0, **environment):
        """`ablate run` on Slurm, to its end."""
        return self.end(self.start("run", *arguments, **environment), code)

    def fake(self, name, body):
        """A search path on which a command of Slurm's is a shell script; ``$real`` is the command itself."""
        script = self.root / f"fake-{len(self.started)}" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\nreal={shutil.which(name)}\n{body}\n")
        script.chmod(0o755)
        return f"{script.parent}:{os.environ['PATH']}"

    def jobs_submitted(self):
        """How many jobs Slurm has been given from here; it remembers those that have ended for 5 minutes."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%Z"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split().count(str(self.root))

    def ablate(self, verb, *arguments, code=0, **environment):
        """Another verb, to its end; what it printed."""
        return self.end(self.start(verb, *arguments, **environment), code)[1]

    @property
    def spool(self):
        return Spool(self.root / ".ablate")

    def trials(self):
        """Ids of all Trials by Variant and seed, as `ablate plan` has them."""
        process = self.start("plan", "--json")
        out, err = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, err
        return {(t["variant"], t["seed"]): t["id"] for t in json.loads(out)["trials"]}

    def records(self):
        """Record of every Trial that was begun, by id."""
        folder = self.root / ".ablate" / "trials"
        return self.spool.records(sorted(p.name for p in folder.iterdir()) if folder.is_dir() else [])

    def lines(self, *, containing=""):
        """What the Trials have marked so far."""
        text = self.marks.read_text() if self.marks.exists() else ""
        return [line for line in text.splitlines() if containing in line]

    def logs(self):
        """The ends of all jobs' logs."""
        files = sorted((self.root / ".ablate" / "runs").rglob("*_log.err"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-1500:]}" for file in files)

    def until(self, condition, seconds=60.0):
        """Wait for a condition."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited in vain\n{self.lines()}\n{self.logs()}"
            time.sleep(0.05)

    def until_step(self, step=2, trials=1):
        """Wait until so many Trials have reported so many steps."""
        self.until(lambda: sum(len(r.history) >= step for r in self.records().values()) >= trials)

    def until_finished(self, trials=4):
        """Wait until so many Trials have their results, whoever watches."""
        self.until(lambda: sum(r.status == "finished" for r in self.records().values()) == trials, 120)

    def close(self):
        """End what a failed test has left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def job_of(process):
    """The job whose process this is; empty where it has just ended."""
    try:
        lines = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    about = dict(line.partition("=")[::2] for line in lines)
    return f"{about.get('SLURM_ARRAY_JOB_ID')}_{about.get('SLURM_ARRAY_TASK_ID')}"


def check_finished_once(lab, *, steps, shades=("red", "blue"), seeds=(0, 1)):
    """Every Trial has one result, and it is that of a Trial that nobody disturbed."""
    import steady

    records = lab.records()
    assert len(records) == len(shades) * len(seeds)
    for record in records.values():
        assert record.status == "finished", (record.cause, record.error, record.log_tail)
        digest = str(record.seed)
        expected = []
        for _ in range(steps):
            digest = steady.hashlib.sha256(f"{digest} {record.recipe['shade']}".encode()).hexdigest()
            expected.append(steady.number(digest))
        assert record.metrics == {"score": expected[-1]}
        assert [row.step for row in record.history] == list(range(1, steps + 1))
        assert [row.metrics["score"] for row in record.history] == expected
        assert lab.spool.artifact(record.trial_id, "digest.txt").read_text() == digest
    ends = [line.split()[0] for line in lab.lines(containing=" end ")]
    assert len(ends) == len(records), "a Trial was trained to its end more than once"
