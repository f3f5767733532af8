"""What companions and the process that starts them train in the tests; and a program that waits to be killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from ablate.training.companions import companions, joined_world
from ablate.training.world import World


def train(recipe: dict[str, Any], seed: int, report: Any, folder: Path) -> None:
    """What a companion does: join, and then what the recipe says."""
    with joined_world(recipe, seed, folder) as world:
        play(world, recipe, seed, folder)


def play(world: World, recipe: dict[str, Any], seed: int, folder: Path) -> torch.Tensor:
    """Add up for some steps; the process that the recipe names ends in one of them as the recipe says."""
    told = {"rank": world.rank, "size": world.size, "seed": seed, "pid": os.getpid()}
    (folder / f"{world.rank}.json").write_text(json.dumps({**told, "threads": torch.get_num_threads()}))
    total = torch.zeros(())
    for step in range(recipe["steps"]):
        if world.rank == recipe.get("bad_rank") and step == 3:
            if recipe["end"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError("the disk is full")
        total += world.total(torch.tensor(float(world.rank + 1)))
        time.sleep(recipe.get("wait_s", 0))
    return total


if __name__ == "__main__":
    place, plan = Path(sys.argv[1]), {"steps": 10**6, "wait_s": 0.01}
    with companions(2, plan, 0, place, "companion_trainables:train") as meeting, World.met(0, 2, meeting) as member:
        play(member, plan, 0, place)
