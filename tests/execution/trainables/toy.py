"""Trainables of a user's own, as small as they can be. They leave marks, so that a test can count what ran."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from ablate.trainable import Diverged, Stopped


def mark(recipe, text):
    """One line, appended in one write, which the kernel keeps whole."""
    with Path(recipe["marks"]).open("a") as file:
        file.write(f"{recipe['name']} {text} {time.time()} {os.getpid()}\n")


def train(recipe, seed, report, folder):
    """Counts up to `steps` and checkpoints after each; `mode` says what goes wrong."""
    checkpoint = folder / "step"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    mark(recipe, f"begin {step}")
    mode = recipe.get("mode")
    if mode == "raise":
        raise ValueError("the first line\nand a second one")
    if mode == "exit":
        raise SystemExit(3)
    if mode == "diverge":
        raise Diverged("loss is NaN at step 1")
    if mode == "stop":
        raise Stopped
    while step < recipe["steps"]:
        time.sleep(recipe["sleep"])
        if mode == "kill_at" and step == recipe["at"]:
            print("these are its last words", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        step += 1
        report(step, {"score": step / 10})
        checkpoint.write_text(str(step))
        if mode == "kill_always" or (mode == "kill_once" and not (folder / "killed").exists()):
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if mode != "blind" and report.stop_requested:
            mark(recipe, f"stopped {step}")
            raise Stopped
    mark(recipe, f"end {step}")
    return {"loss": 1.0} if mode == "no_metric" else {"score": step / 10 + seed}


def deaf(recipe, seed, report, folder):
    """Never reports and never looks, and has a child that it does not wait for."""
    child = subprocess.Popen(["sleep", "300"])
    mark(recipe, f"child {child.pid}")
    time.sleep(300)


def forgetful(recipe, seed, report, folder):
    """Stops when it is asked to, and keeps nothing."""
    for step in range(recipe["steps"]):
        time.sleep(recipe["sleep"])
        if report.stop_requested:
            raise Stopped
        report(step + 1, {"score": 0.0})
    return {"score": 0.0}


def mute(recipe, seed, report, folder):
    """Never reports and never looks."""
    mark(recipe, "begin 0")
    time.sleep(300)


def environment(recipe, seed, report, folder):
    """Tells what the slot gave it, changes what it should not, and moves away."""
    Path(recipe["marks"]).with_suffix(".env").write_text(
        f"{os.environ.get('OMP_NUM_THREADS')} {os.environ.get('CUDA_VISIBLE_DEVICES')} {os.getsid(0) == os.getpid()}"
    )
    mark(recipe, f"in {Path.cwd()}")
    recipe["nested"]["value"] += 1
    os.chdir("/")
    return {"score": float(recipe["nested"]["value"])}
