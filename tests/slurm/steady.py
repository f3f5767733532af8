"""A Trainable without torch whose result depends on every step: one that is lost, doubled or mixed up shows in it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from ablate.trainable import Stopped


def train(recipe, seed, report, folder):
    """Digest after digest, with a checkpoint after each step, written beside the one before it and then renamed."""
    if recipe["mode"] == "tell":
        mark(recipe, f"sees {os.environ.get('RANK', '0')} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
    if os.environ.get("RANK", "0") != "0":  # nothing to do for the other processes of its job
        return None
    checkpoint = folder / "state.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "digest": f"{seed}"}
    mark(recipe, f"begin {state['step']}")
    ends_badly(recipe, folder)
    while state["step"] < recipe["steps"]:
        time.sleep(recipe["sleep"])
        digest = hashlib.sha256(f"{state['digest']} {recipe['shade']}".encode()).hexdigest()
        state = {"step": state["step"] + 1, "digest": digest}
        report(state["step"], {"score": number(digest)})
        new = folder / f"state.{os.getpid()}"
        new.write_text(json.dumps(state))
        new.replace(checkpoint)
        if report.stop_requested and recipe["mode"] != "deaf":
            mark(recipe, f"stopped {state['step']}")
            raise Stopped
    (folder / "artifacts" / "digest.txt").write_text(state["digest"])
    mark(recipe, f"end {state['step']}")
    return {"score": number(state["digest"])}


def ends_badly(recipe, folder):
    """What the Recipe says goes wrong."""
    if recipe["mode"] == "tell":
        (folder / "artifacts" / "environment.json").write_text(json.dumps(dict(os.environ)))
    if recipe["mode"] == "raise":
        raise ValueError("not with this Recipe")
    if recipe["mode"] == "broken" and Path(recipe["marks"]).with_name("broken").exists():
        raise ValueError("it is broken")
    if recipe["mode"] == "die":
        print("these are its last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if recipe["mode"] == "last":
        threading.Thread(target=die_when_finished, args=(folder.parent / "result.json",), daemon=True).start()
    if recipe["mode"] == "leave":  # a COMPLETED job that has done nothing
        print("gone without a word of farewell", file=sys.stderr, flush=True)
        os._exit(0)
    if recipe["mode"] == "memory":  # and wait until it is noticed
        held = bytearray(os.urandom(1 << 20)) * 700
        time.sleep(20)
        raise AssertionError(f"{len(held)} bytes were allowed")


def die_when_finished(result):
    """The process has done its work, and is killed before it can begin with the next."""
    while not result.exists():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


def number(digest):
    """Between 0 and 100."""
    return int(digest[:8], 16) / 0xFFFFFFFF * 100


def mark(recipe, text):
    """One line in a file that all jobs share, with the node."""
    with Path(recipe["marks"]).open("a") as file:
        file.write(f"{recipe['shade']} {text} {os.uname().nodename} {time.time()}\n")
