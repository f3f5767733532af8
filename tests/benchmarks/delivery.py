"""What delivery costs training: the time of a training step with delivery to a tracking server and without.

    python tests/benchmarks/delivery.py [--trials 200] [--processes 4] [--rounds 3] [--seconds 20] [--row-s 1.0]

So many Trials train at once, each with a delivery of its own to one `mlflow server` over PostgreSQL, and report a row
every so often. They are threads of a few processes, as 200 imports of MLflow are more than a small machine has memory
for; a step is a wait (as for an accelerator) and a little Python. Server, database and Trials share the machine, which
on a cluster they do not, so the ratio is an upper bound. Rounds with and without delivery take turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.study.study import Metric, Study, Trial, Variant
from ablate.tracking.delivered import marked
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.spool import Spool
from ablate.tracking.worker_delivery import WorkerDelivery, prepare

_STEP_S = 0.05


@dataclass(frozen=True)
class Round:
    """What one round measured."""

    steps_s: tuple[float, ...]
    """Median time of a step of each Trial."""
    means_s: tuple[float, ...]
    """Mean time of a step of each Trial."""
    worst_s: float
    ended_s: float
    """How long the slowest job waited at its end for what was outstanding."""


def make_study(trials: int) -> Study:
    """A study of ten Variants."""
    base = {f"section{n}": {f"field{k}": k for k in range(10)} for n in range(4)}
    variants = tuple(
        Variant("baseline" if n == 0 else f"v{n}", {"f": str(n)}, {**base, "level": n}, {}) for n in range(10)
    )
    stem = uuid.uuid4().hex[:8]
    chosen = [variants[n % 10] for n in range(trials)]
    return Study(
        name=f"bench-{stem}",
        profile="p",
        path=Path("bench.yaml"),
        question="",
        source="",
        expected="",
        trainable="module:train",
        metric=Metric("accuracy", "maximize"),
        factors={},
        variants=variants,
        seeds=tuple(range(trials // 10)),
        trials=tuple(Trial(f"{stem}x{n}", v.name, n // 10, v.recipe) for n, v in enumerate(chosen)),
        data_fingerprint="f" * 64,
    )


def train(trial: Trial, spool: Spool, delivery: WorkerDelivery | None, seconds: float, row_s: float) -> list[float]:
    """One job of one Trial: the times of its steps, and last how long it waited at its end."""
    times: list[float] = []
    claim = spool.claim(trial, "module:train", "f" * 64)
    assert claim is not None
    with delivery.delivering(spool, wait_s=60) if delivery else nullcontext() as courier:
        with claim:
            _ = claim.folder
            if courier is not None:
                courier.watch(trial.id)
            until, reported, step = time.monotonic() + seconds, time.monotonic(), 0
            while time.monotonic() < until:
                begun = time.perf_counter()
                time.sleep(_STEP_S)
                sum(n * n for n in range(2000))
                times.append(time.perf_counter() - begun)
                if time.monotonic() - reported >= row_s:
                    reported += row_s
                    claim.report(step, {f"metric{n}": step + n for n in range(8)})
                    step += 1
            claim.finish({"accuracy": 0.5}, {})
        ended = time.perf_counter()
    return [*times, time.perf_counter() - ended]


def job(
    mine: Sequence[tuple[Trial, WorkerDelivery | None]], root: Path, seconds: float, row_s: float, out: Any
) -> None:
    """The Trials of one process, each a thread."""
    results: list[list[float]] = []
    spool = Spool(root)

    def one(trial: Trial, delivery: WorkerDelivery | None) -> None:
        results.append(train(trial, spool, delivery, seconds, row_s))

    threads = [threading.Thread(target=one, args=pair) for pair in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put(results)


def measure(study: Study, uri: str | None, options: argparse.Namespace, root: Path) -> Round:
    """One round, with delivery where there is a URI."""
    delivery = prepare(MlflowStore(uri), study, study.trials, options.trials) if uri else None
    context, n = multiprocessing.get_context("fork"), options.processes
    out = context.Queue()
    pairs = [(trial, delivery.only([trial.id]) if delivery else None) for trial in study.trials]
    arguments = [(pairs[k::n], root, options.seconds, options.row_s, out) for k in range(n)]
    jobs = [context.Process(target=job, args=each) for each in arguments]
    for one in jobs:
        one.start()
    results = [times for _ in jobs for times in out.get()]
    for one in jobs:
        one.join()
    steps = [times[:-1] for times in results]
    return Round(
        tuple(map(statistics.median, steps)),
        tuple(map(statistics.fmean, steps)),
        max(map(max, steps)),
        max(times[-1] for times in results),
    )


@contextmanager
def tracking_server() -> Iterator[str]:
    """The server of the tests."""
    path = Path(__file__).parents[1] / "tracking" / "tracking_server.py"
    spec = importlib.util.spec_from_file_location("tracking_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if why := module.missing():
        sys.exit(why)
    server = module.TrackingServer(workers=2)
    try:
        server.start()
        yield server.uri
    finally:
        server.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--row-s", type=float, default=1.0)
    options = parser.parse_args()
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60"}  # as in a job
    MlflowStore("http://127.0.0.1:9").prepare()  # imported once, and inherited by the processes
    print("round  delivery  median step/ms  mean step/ms  worst/ms  wait at end/s  delivered")
    rounds: dict[bool, list[Round]] = {False: [], True: []}
    with tracking_server() as uri:
        for number in range(options.rounds):
            for delivers in (False, True) if number % 2 == 0 else (True, False):
                study = make_study(options.trials)
                with tempfile.TemporaryDirectory() as folder:
                    got = measure(study, uri if delivers else None, options, Path(folder))
                    there = sum(bool(marked(Spool(Path(folder)), t.id, uri, study.slug)) for t in study.trials)
                rounds[delivers].append(got)
                median, mean = statistics.median(got.steps_s) * 1e3, statistics.fmean(got.means_s) * 1e3
                row = f"{number:5}  {'yes' if delivers else 'no':8}  {median:14.2f}  {mean:12.2f}"
                print(f"{row}  {got.worst_s * 1e3:8.0f}  {got.ended_s:13.1f}  {there:9}", flush=True)
    for name, of in (
        ("median", lambda r: statistics.median(r.steps_s)),
        ("mean", lambda r: statistics.fmean(r.means_s)),
    ):
        pairs = zip(rounds[True], rounds[False], strict=True)
        ratios = [of(with_) / of(without) for with_, without in pairs]
        print(f"{name} step with delivery / without: {statistics.median(ratios):.3f} (rounds: {ratios})")


if __name__ == "__main__":
    main()
