"""A program of its own: train Trials in child processes, kill each a number of times, then let it finish.

It reads from standard input, as JSON, the Recipe and a list of [folder, kills, seconds between checkpoints].
Each attempt is a fork of this process, which has imported torch and read the digits, but computed nothing. A
kill is SIGKILL, at a random moment after the attempt has written a checkpoint. Rows go to journal in the
folder, as a worker would write them: one line a report, one write a line.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ablate.data.sources import PACKAGED
from ablate.training.vision import INTERVAL_VARIABLE, train


class FileReport:
    stop_requested = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, step: int, metrics: Mapping[str, float]) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps({"step": step, "metrics": dict(metrics)}).encode() + b"\n")


def start(recipe: dict[str, Any], folder: Path) -> int:
    """Fork an attempt; its pid."""
    pid = os.fork()
    if pid:
        return pid
    metrics = train(recipe, 3, FileReport(folder / "journal"), folder)
    if "torch._dynamo" in sys.modules and "timm" not in sys.modules:  # which imports it, for what needs timm
        sys.exit("training imported torch's compiler, which takes each process seconds")
    (folder / "metrics").write_text(json.dumps(metrics))
    os._exit(0)


def wait_for_change(path: Path, before: int | None) -> None:
    while version(path) == before:
        time.sleep(0.001)


def version(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def main(recipe: dict[str, Any], folder: Path, kills: int) -> None:
    moments = random.Random(0)
    for _ in range(kills):
        before = version(folder / "checkpoint")
        pid = start(recipe, folder)
        wait_for_change(folder / "checkpoint", before)
        time.sleep(moments.uniform(0.0, 0.06))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit("an attempt ended before it was killed")
    _, status = os.waitpid(start(recipe, folder), 0)
    if status:
        sys.exit("the last attempt failed")


if __name__ == "__main__":
    torch.set_num_threads(1)
    PACKAGED["digits"]()  # in the parent, as importing scikit-learn takes seconds
    plan = json.load(sys.stdin)
    for folder, kills, interval_s in plan["trials"]:
        os.environ[INTERVAL_VARIABLE] = str(interval_s)
        main(plan["recipe"], Path(folder), kills)
