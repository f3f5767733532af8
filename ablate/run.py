"""The spine: what `ablate run`, `report` and `plan` do, from a loaded Study to the report."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console
from rich.text import Text

from ablate.execution.slots import plan_slots
from ablate.plan import Plan, make_plan
from ablate.study.fingerprint import ABSENT
from ablate.study.study import Study, Trial
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.results import collect
from ablate.tracking.spool import Spool

if TYPE_CHECKING:
    from ablate.execution.progress import RunSummary
    from ablate.reporting.report import Report
    from ablate.tracking.delivery import DeliveryReport

OK, FAILED, MISTAKE = 0, 1, 2


@dataclass(frozen=True)
class RunOptions:
    """Where things lie, and how Trials are trained. None of it decides an outcome."""

    home: Path
    reports: Path
    tracking_uri: str | None = None
    executor: str = "local"
    slots: int | None = None
    retry_failed: bool = False
    quiet: bool = False


def run_study(study: Study, options: RunOptions) -> int:
    """Train what is missing, deliver it, write the report; the exit code. Given again, it goes on from there."""
    console = Console(quiet=options.quiet)
    if study.data_fingerprint == ABSENT:
        return _mistake(_no_data(study))
    store = MlflowStore(options.tracking_uri)
    spool = Spool(options.home)
    try:
        with _only_driver(study, options.home):
            known = collect(study, spool, store if store.begun() else None)
            left = _to_train(study, known, retry_diverged=options.retry_failed)
            summary, delivered = _train(study, left, known, spool, store, options, console)
            records = collect(study, spool, None)
            report = _report(study, records, options, store, delivered)
    except Timeout:
        return _mistake(_at_work(study, options.home))
    _show(report, delivered, store, console)
    return _last_line(study, records, trained=summary.trained, stopped=not summary.complete)


def report_study(study: Study, options: RunOptions) -> int:
    """Deliver what the Store lacks and rebuild the report; the exit code. Trains nothing."""
    from ablate.tracking.delivery import Delivery

    console = Console(quiet=options.quiet)
    store, spool = MlflowStore(options.tracking_uri), Spool(options.home)
    records = collect(study, spool, store if store.begun() else None)
    delivered = Delivery(store, spool, study).deliver_all(records.values())
    report = _report(study, records, options, store, delivered)
    _show(report, delivered, store, console)
    return _last_line(study, records, trained=(), stopped=False)


def plan_study(study: Study, options: RunOptions) -> Plan:
    """What a run would do. Asks the Store only about Trials that the spool does not know, and only if there is one."""
    spool = Spool(options.home)
    store = MlflowStore(options.tracking_uri)
    records = collect(study, spool, store if store.begun() else None)
    finished = [r for r in records.values() if r.status == "finished"] or spool.finished()
    return make_plan(study, records, finished, len(plan_slots(options.slots)))


def _to_train(study: Study, known: Mapping[str, Record], *, retry_diverged: bool) -> list[Trial]:
    """Trials without a result. A divergence is one: the same Recipe would diverge again."""

    def settled(trial: Trial) -> bool:
        record = known.get(trial.id)
        if record is None:
            return False
        diverged = record.status == "failed" and record.cause == "diverged"
        return record.status == "finished" or (diverged and not retry_diverged)

    return [trial for trial in study.trials if not settled(trial)]


def _train(
    study: Study,
    trials: list[Trial],
    known: Mapping[str, Record],
    spool: Spool,
    store: MlflowStore,
    options: RunOptions,
    console: Console,
) -> tuple[RunSummary, DeliveryReport]:
    """Train Trials side by side while a thread delivers; nothing is imported or started when there are none."""
    from ablate.execution.display import choose_display
    from ablate.execution.executors import make_executor
    from ablate.execution.pack import Pack
    from ablate.execution.progress import RunSummary
    from ablate.execution.run_folder import RunFolder
    from ablate.execution.scheduler import run_trials
    from ablate.execution.slots import Slot
    from ablate.execution.stopping import Stop, stop_on_signals
    from ablate.tracking.delivery import Delivery
    from ablate.tracking.live import LiveDelivery

    if not trials:
        nothing = RunSummary(trained=(), reused=(), failed=(), interrupted=(), waiting=())
        return nothing, Delivery(store, spool, study).deliver_all(known.values())
    folder = options.home / "runs" / study.slug / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    with RunFolder(folder).driving() as run_folder:
        executor = make_executor(options.executor, run_folder.jobs)

        def make_pack(trials: tuple[Trial, ...], slot: Slot) -> Pack:
            return Pack(
                trials=trials,
                trainable=study.trainable,
                metric=study.metric.name,
                data_fingerprint=study.data_fingerprint,
                spool=spool.root.absolute(),
                run=run_folder.path,
                slot=slot,
                import_paths=(study.path.parent.absolute(), Path.cwd()),
            )

        stop = Stop(run_folder.stop_file)
        with stop_on_signals(stop), LiveDelivery(store, spool, study) as delivery:
            summary = run_trials(
                trials,
                make_pack=make_pack,
                executor=executor,
                spool=spool,
                slots=plan_slots(options.slots),
                observer=choose_display(
                    console, study.metric.name, quiet=options.quiet, in_process=executor.in_process
                ),
                stop=stop,
                earlier=_seconds_by_variant(study, known, trials),
            )
        return summary, delivery.report


def _report(
    study: Study, records: Mapping[str, Record], options: RunOptions, store: MlflowStore, delivered: DeliveryReport
) -> Report:
    """Write the report folder, and bring it and the aggregates to the Store where that can be reached."""
    from ablate.reporting.comparison import aggregates
    from ablate.reporting.report import write_report
    from ablate.tracking.store import StoreUnavailable

    report = write_report(study, records, options.reports / study.slug)
    if not delivered.reason:
        try:
            # Whole folders, so that the links between the report's files hold in the Store, too.
            parts = sorted({report.folder / file.relative_to(report.folder).parts[0] for file in report.files})
            store.summarise(study, aggregates(report.comparison), parts)
        except StoreUnavailable as error:
            logging.getLogger(__name__).warning("the report is not in the Store: %s", error)
    return report


def _show(report: Report, delivered: DeliveryReport, store: MlflowStore, console: Console) -> None:
    from ablate.reporting.renderers import TerminalReport

    console.print(TerminalReport(report.comparison))
    console.print(Text(f"\nreport: {report.markdown} and {report.html}"), soft_wrap=True)
    if delivered.reason:
        count = len(delivered.undelivered)
        console.print(
            Text(f"{count} Trials are not in MLflow yet ({delivered.reason}); the next run or report brings them"),
            soft_wrap=True,
        )
    else:
        console.print(Text(f"every run: `ablate ui`, or `mlflow ui --backend-store-uri {store.uri}`"), soft_wrap=True)


def _last_line(study: Study, records: Mapping[str, Record], *, trained: tuple[str, ...], stopped: bool) -> int:
    """Print the counts that scripts read, also with `--quiet`, and give the exit code."""
    finished = {i for i, record in records.items() if record.status == "finished"}
    failed = sum(record.status == "failed" for record in records.values())
    new = len(finished & set(trained))
    print(f"trained {new}, reused {len(finished) - new}, failed {failed}", flush=True)  # noqa: T201 - the promised last line
    return OK if len(finished) == len(study.trials) and not stopped else FAILED


def _seconds_by_variant(study: Study, known: Mapping[str, Record], trials: list[Trial]) -> dict[str, list[float]]:
    left = {trial.id for trial in trials}
    seconds: dict[str, list[float]] = {}
    for trial in study.trials:
        if trial.id not in left and trial.id in known and known[trial.id].status == "finished":
            seconds.setdefault(trial.variant, []).append(known[trial.id].seconds)
    return seconds


@contextmanager
def _only_driver(study: Study, home: Path) -> Iterator[None]:
    """Hold the study for one driver at a time. Raises `Timeout` at once where another one has it."""
    folder = home / "runs" / study.slug
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "study.lock", timeout=0):
        yield


def _at_work(study: Study, home: Path) -> str:
    return (
        f"another `ablate run` of {study.slug} is at work in {home}, and a second one would only get in its way: wait "
        f"for it, or stop it with Ctrl-C and give the command again; `ablate plan {study.path}` shows how far it is"
    )


def _no_data(study: Study) -> str:
    source = study.baseline.recipe["data"]["source"]
    return (
        f"{study.path}: the data of profile {study.profile!r} ({source}) is not on this machine; a relative path "
        "starts at $ABLATE_DATA, or here where that is not set"
    )


def _mistake(message: str) -> int:
    Console(stderr=True).print(Text(message), soft_wrap=True)
    return MISTAKE
