"""A program of its own: one process of a job of several, as `srun` would start it, and the Trainables of the tests.

It reads a Pack from the file it is given, and does what a job does with it. The exit status is 0, or 85 where it was
told to stop.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ablate.execution.cluster import leader
from ablate.execution.cluster.ranks import Ranks
from ablate.execution.stopping import StopWatch
from ablate.execution.worker import Around, train_pack
from ablate.trainable import Diverged, Stopped

leader.PATIENCE_S = float(os.environ.get("TEST_PATIENCE_S", "30"))


class Led(Around):
    def __init__(self, ranks: Ranks) -> None:
        self.trainable = ranks.lead


def main(file: Path) -> int:
    pack = pickle.loads(file.read_bytes())
    watch = StopWatch(pack.stop_file, pack.driver_lock)
    with watch.watching_signals(), Ranks.described(pack, watch) as ranks:
        if ranks.rank > 0:
            ranks.follow()
            return 0
        train_pack(pack, watch, Led(ranks))
    return 85 if watch.reason else 0


def add(recipe: dict[str, Any], seed: int, report: Any, folder: Path) -> dict[str, float]:
    """Of a user's own: adds ranks up for some steps, in a process group of torch's that it does not always leave.

    One rank, or every one, ends in step 3 as the recipe says; ``once``: in the first attempt only.
    """
    import torch
    import torch.distributed as dist

    told = {"pid": os.getpid(), "threads": torch.get_num_threads(), "master": os.environ["MASTER_ADDR"]}
    end, bad = recipe.get("end"), recipe.get("bad_rank") in (int(os.environ["RANK"]), "all")
    if recipe.get("once") and (folder / "attempted").exists():
        end = None
    if end == "early" and bad:
        raise OSError("this node has no such folder")
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    (folder / "attempted").touch()
    (folder / f"{rank}.tmp").write_text(json.dumps(told))
    (folder / f"{rank}.tmp").rename(folder.parent / f"{rank}.json")
    total = torch.zeros(())
    for step in range(1, recipe["steps"] + 1):
        if step == 3 and bad:
            _end(end)
        value = torch.tensor([float(rank + 1), float(report.stop_requested)])
        dist.all_reduce(value)
        total += value[0]
        if value[1]:
            raise Stopped
        report(step, {"score": float(total)})
        time.sleep(recipe["sleep"])
    return {"score": float(total) if rank == 0 else -1.0}


def joined(recipe: dict[str, Any], seed: int, report: Any, folder: Path) -> dict[str, float]:
    """The same with `World`, which tells a lost process from a failure."""
    import torch

    from ablate.training.companions import joined_world

    with joined_world(recipe, seed, folder) as world:
        (folder / f"{world.rank}.tmp").write_text(json.dumps({"pid": os.getpid()}))
        (folder / f"{world.rank}.tmp").rename(folder.parent / f"{world.rank}.json")
        total = torch.zeros(())
        for step in range(1, recipe["steps"] + 1):
            if step == 3 and recipe.get("bad_rank") in (world.rank, "all"):
                _end(recipe["end"])
            total += world.total(torch.tensor(float(world.rank + 1)))
            if world.rank == 0:
                report(step, {"score": float(total)})
            if world.any(report.stop_requested):
                raise Stopped
            time.sleep(recipe["sleep"])
        return {"score": float(total)}


def hanging(recipe: dict[str, Any], seed: int, report: Any, folder: Path) -> dict[str, float]:
    """One rank fails and one notices nothing, as with a collective of NCCL's that waits for the dead."""
    rank = int(os.environ["RANK"])
    if rank == recipe.get("bad_rank"):
        _end(recipe["end"])
    if rank == recipe.get("hangs"):
        time.sleep(600)
    return {"score": 1.0}


def gpus(recipe: dict[str, Any], seed: int, report: Any, folder: Path) -> dict[str, float]:
    """What it may see."""
    with Path(recipe["marks"]).open("a") as file:
        file.write(os.environ["CUDA_VISIBLE_DEVICES"] + "\n")
    return {"score": 1.0}


def _end(how: str | None) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "diverge":
        raise Diverged("the loss became nan")
    if how == "raise":
        raise OSError("the disk is full")
    if how == "hang":
        time.sleep(600)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
