"""Trainables that learn from one another: what they are handed and in what order they ran can be read afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from ablate.trainable import Diverged, Stopped


def train(recipe, seed, report, folder):
    """Leaves weights that name it, and scores one more than the Trial that it was handed."""
    needs = {place.name: place for place in (folder / "needs").iterdir()} if (folder / "needs").is_dir() else {}
    _mark(recipe, f"begin {','.join(sorted(needs))}")
    step = folder / "step"
    for number in range(int(step.read_text()) if step.exists() else 0, recipe["steps"]):
        time.sleep(recipe["sleep"])
        report(number + 1, {"score": 0.0})
        step.write_text(str(number + 1))
        if report.stop_requested:
            _mark(recipe, "stopped")
            raise Stopped
    broken = Path(recipe["marks"]).with_suffix(".broken")
    if recipe.get("mode") == "diverge":
        raise Diverged("loss is NaN at step 1")
    if recipe.get("mode") == "raise" and broken.exists():
        raise ValueError("not today")
    if recipe.get("mode") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    score = 0.0
    for place in needs.values():
        teacher = json.loads((place / "recipe.json").read_text())
        content = (place / "weights.pt").read_text()
        assert content.split() == ["weights", "of", teacher["name"], content.split()[-1]]
        score = float(content.split()[-1]) + 1
    (folder / "artifacts" / "weights.pt").write_text(f"weights of {recipe['name']} {score:g}")
    _mark(recipe, "end -")
    return {"score": score}


def _mark(recipe, text):
    with Path(recipe["marks"]).open("a") as file:
        file.write(f"{recipe['name']} {text} {time.time()} {os.getpid()}\n")
