"""Asking other programs, which may be missing, fail or never answer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.execution.cluster.queue import own_words

#: How long a program may take to answer, s.
PATIENCE_S = 8.0


class NoAnswer(Exception):  # noqa: N818 - what was found out, and no mistake of ours
    """Why a program gave no answer, in one line."""


@dataclass(frozen=True)
class Answer:
    """What a program said."""

    status: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        """What it said of itself, in one line: its errors, else its last line of output."""
        return own_words(self.errors) or own_words("".join(self.output.splitlines()[-1:]))


def ask(*command: str, patience_s: float = PATIENCE_S) -> Answer:
    """Run a program to its end. Raises `NoAnswer` where it is not there or takes too long."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env=outside_of_jobs(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command[0]} has not answered for {patience_s:g} s") from None
    except OSError as error:
        raise NoAnswer(f"{command[0]} cannot be started: {error.strerror}") from None
    return Answer(done.returncode, done.stdout, done.stderr)


def answer_of(*command: str, patience_s: float = PATIENCE_S) -> str:
    """What a program prints. Raises `NoAnswer` where it fails as well."""
    answer = ask(*command, patience_s=patience_s)
    if answer.status != 0:
        raise NoAnswer(answer.words or f"{command[0]} failed with status {answer.status}")
    return answer.output


def outside_of_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a job of Slurm's would hand on to the jobs that it asks for."""
    kept = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")
    return {name: value for name, value in environment.items() if not name.startswith("SLURM_") or name in kept}
