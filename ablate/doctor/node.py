"""A tiny job on a node: whether the folder, locks, Python and clocks there are what they are here."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ablate
from ablate.doctor.asking import NoAnswer, outside_of_jobs
from ablate.doctor.finding import Finding, Subject
from ablate.doctor.folder import judge_skew, scratch
from ablate.doctor.on_node import MARK
from ablate.execution.resources import Resources
from ablate.tracking.disk import Lock, is_held

#: How long the job may wait for a node, s, and how long all of it may take.
WAIT_S, PATIENCE_S = 60, 120.0
_KEPT_FLAGS = ("account", "constraint", "exclude", "partition", "qos", "reservation", "wckey", "clusters")
_ROUNDS = 5


class NodeJob:
    """A job on a node that answers questions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: str) -> dict[str, Any]:
        """One question, one answer. Raises `NoAnswer` where the job has ended or the node says that it cannot."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(f"{question}\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                said: dict[str, Any] = json.loads(line.removeprefix(MARK))
                if "error" in said:
                    raise NoAnswer(str(said["error"]))
                return said
        raise NoAnswer(self._last_words())

    def _last_words(self) -> str:
        self._process.wait()
        errors = self._process.stderr.read() if self._process.stderr is not None else ""
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        telling = [line for line in lines if "error" in line.lower()] or lines
        ended = f"srun ended with status {self._process.returncode}"
        return "; ".join(dict.fromkeys(telling[:2])) or f"{ended}, or the node did not answer within {PATIENCE_S:g} s"


def command(asked: Resources, folder: Path) -> list[str]:
    """The `srun` that starts the tiny job as a real one would be started: same queue, setup, container and Python."""
    flags = [flag for flag in asked.sbatch_flags() if flag.lstrip("-").partition("=")[0] in _KEPT_FLAGS]
    flags += [
        "--nodes=1",
        "--ntasks=1",
        "--time=3",
        "--job-name=ablate-doctor",
        f"--immediate={WAIT_S}",
        "--unbuffered",
    ]
    image = [argument for argument in asked.srun_arguments() if argument.startswith("--container-")]
    python = f"exec {asked.python_command()} -m ablate.doctor.on_node {shlex.quote(str(folder))}"
    return ["srun", *flags, *image, "bash", "-c", "\n".join([*asked.setup, python])]


@contextlib.contextmanager
def job_on_node(asked: Resources, folder: Path) -> Iterator[NodeJob]:
    """Start the job, and end it. Raises `NoAnswer` where srun cannot be started."""
    pipe = subprocess.PIPE
    environment = outside_of_jobs(os.environ)
    try:
        process = subprocess.Popen(
            command(asked, folder), stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace", env=environment
        )
    except OSError as error:
        raise NoAnswer(f"srun cannot be started: {error.strerror}") from None
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield NodeJob(process)
    finally:
        watchdog.cancel()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.communicate(timeout=10)  # the end of its input is the job's end
        process.kill()
        process.wait()


def examine_node(subject: Subject) -> Iterator[Finding]:
    """Start a job on a node and hold it beside this machine."""
    try:
        with scratch(subject.home) as folder, job_on_node(subject.settings.slurm, folder) as job:
            yield _who(job)
            yield _folder(job, folder)
            yield _locks(job, folder)
            yield from _clocks(job)
    except NoAnswer as why:
        advice = "look at setup, python and container in [executors.slurm]; no node may be free within a minute"
        yield Finding("node", "problem", f"the tiny job came to nothing: {why}", advice)
    except OSError as error:
        yield Finding("node", "problem", f"nothing can be written to {subject.home}: {error.strerror}")


def _who(job: NodeJob) -> Finding:
    said = job.ask("who")
    says = f"{said['host']}: Python {said['python']}, ablate from {said['ablate']}"
    here = str(Path(ablate.__file__).parent)
    if said["ablate"] != here:
        return Finding("node", "warning", f"{says}, and here from {here}", "see that both are of one version")
    return Finding("node", "ok", says)


def _folder(job: NodeJob, folder: Path) -> Finding:
    token = secrets.token_hex(8)
    (folder / "token").write_text(token)
    try:
        seen = job.ask("see")["text"] == token
    except NoAnswer as why:
        seen = False
        told = f" ({why})"
    else:
        told = ""
    if seen:
        return Finding("node: folder", "ok", "a file written here is seen on the node")
    says = f"{folder.parent} is another folder on the node, or none{told}"
    return Finding("node: folder", "problem", says, "choose a folder that nodes share: --home")


def _locks(job: NodeJob, folder: Path) -> Finding:
    with Lock(folder / "held-here") as lock:
        lock.acquire()
        there = job.ask("held")["held"]
    here = bool(job.ask("lock")["locked"]) and is_held(folder / "held-by-node")
    if there and here:
        return Finding("node: locks", "ok", "a lock held here is seen on the node, and the reverse")
    which = "neither here nor there" if not there and not here else "in one direction only"
    says = f"locks between this machine and the node are seen {which}"
    advice = "results are safe all the same, but run one `ablate run` of a study at a time, on one machine"
    return Finding("node: locks", "warning", says, advice)


def _clocks(job: NodeJob) -> Iterator[Finding]:
    rounds = []
    for _ in range(_ROUNDS):
        before = time.time()
        now = job.ask("clock")["now"]
        after = time.time()
        rounds.append((after - before, now - (before + after) / 2))
    yield judge_skew("node: clock", min(rounds)[1], "the node's clock")
    said = job.ask("write")
    dated, before, after = said["dated"], said["before"], said["after"]
    skew = dated - before if dated < before else max(0.0, dated - after)
    yield judge_skew("node: file dates", skew, "the file server's clock, seen from the node,")
