"""Many processes at once, as jobs of a cluster are: `python deliverers.py TASK.pickle`.

One process imports MLflow and forks the others, which saves most of the time. The task says what each of them does.
"""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.study.study import Study, Trial
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.spool import Spool
from ablate.tracking.worker_delivery import WorkerDelivery, prepare


@dataclass(frozen=True)
class Training:
    """Jobs that train Packs, each with a delivery of its own."""

    delivery: WorkerDelivery
    packs: tuple[tuple[Trial, ...], ...]
    spool: Path
    rows: int
    row_s: float
    wait_s: float


@dataclass(frozen=True)
class Starting:
    """Drivers that prepare the same study at the same moment, and say which parents they found."""

    uri: str
    study: Study
    drivers: int
    answers: Path


def train(task: Training, number: int) -> None:
    pack, spool = task.packs[number], Spool(task.spool)
    mine = pickle.loads(pickle.dumps(task.delivery.only(trial.id for trial in pack)))
    with mine.delivering(spool, task.wait_s) as courier:
        for trial in pack:
            claim = spool.claim(trial, "module:train", "f" * 64)
            assert claim is not None
            with claim:
                (claim.folder / "artifacts" / "per_example.npz").write_bytes(trial.id.encode())
                courier.watch(trial.id)
                for step in range(task.rows):
                    time.sleep(task.row_s)
                    claim.report(step, {"loss": 1 / (step + 1), "accuracy": step / task.rows})
                if trial.id.endswith("failing"):
                    claim.fail("diverged", "loss is NaN")
                else:
                    claim.finish({"accuracy": 0.5, "parameters": 10.0}, {"git_commit": "c" * 40})


def start(task: Starting, number: int) -> None:
    prepared = prepare(MlflowStore(task.uri), task.study, task.study.trials)
    assert prepared is not None
    parents = {i: place.own_tags["mlflow.parentRunId"] for i, place in prepared.destination.places.items()}
    (task.answers / str(number)).write_bytes(pickle.dumps(parents))


def main(path: Path) -> int:
    import mlflow  # noqa: F401

    task: Any = pickle.loads(path.read_bytes())
    fork = multiprocessing.get_context("fork")
    if isinstance(task, Training):
        task = replace(task, delivery=replace(task.delivery, every_s=0.2))
        children = [fork.Process(target=train, args=(task, number)) for number in range(len(task.packs))]
    else:
        children = [fork.Process(target=start, args=(task, number)) for number in range(task.drivers)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return max(child.exitcode or 0 for child in children)


if __name__ == "__main__":
    import deliverers  # the classes are known to pickle by this name

    sys.exit(deliverers.main(Path(sys.argv[1])))
