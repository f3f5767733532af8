"""A Slurm that is a JSON file: its commands are scripts at the head of PATH.

The file holds ``queue`` (job id -> name, state, node, left, comment, reason), ``ended`` (job id -> state), ``calls``
(each command line), ``submitted`` (what `sbatch` was given), ``canned`` (answers that a test prescribes) and ``down``
(what every command says instead of an answer).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

COMMANDS = ("squeue", "sacct", "scancel", "scontrol", "sbatch", "srun")
_SCRIPT = """#!{python}
import json, os, sys, time
from pathlib import Path
file = Path({state!r})
state, name, words = json.loads(file.read_text()), {name!r}, sys.argv[1:]
state["calls"].append([name, *words])
file.write_text(json.dumps(state))
if state["down"]:
    sys.exit(name + ": error: " + state["down"])
for it in state["canned"]:
    if it["command"] == name and (not it["given"] or it["given"] in words):
        time.sleep(it["seconds"])
        sys.stdout.write(it["out"])
        sys.stderr.write(it["err"])
        sys.exit(it["status"])
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
elif name == "sbatch" and words[0] != "--test-only":
    array = str(1000 + len(state["submitted"]))
    state["submitted"][array] = {{"script": Path(words[-1]).read_text(), "environment": dict(os.environ)}}
    file.write_text(json.dumps(state))
    print("Submitted batch job", array)
"""


class FakeSlurm:
    """The state, and the folder with the commands."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self._file = folder / "slurm.json"
        self.bin.mkdir(parents=True)
        self._save({"queue": {}, "ended": {}, "calls": [], "down": "", "canned": [], "submitted": {}})
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

    def answers(self, command: str, out="", err="", status=0, *, given="", seconds=0.0) -> None:
        """Let a command say this, if it is called with the word ``given``, after so many seconds."""
        values = self._load()
        about = {"command": command, "out": out, "err": err, "status": status, "given": given, "seconds": seconds}
        self._save({**values, "canned": [*values["canned"], about]})

    @property
    def submitted(self) -> dict[str, dict]:
        """By the id of the array the batch script that `sbatch` was given, and its environment."""
        return self._load()["submitted"]

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
