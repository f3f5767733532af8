"""The spine: what `ablate run`, `report` and `plan` do, from a loaded Study to the report."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ablate.execution.slots import plan_slots
from ablate.plan import Plan, make_plan, to_train
from ablate.refusals import Refused, check_places, check_teachers, only_driver
from ablate.study.study import Study, Trial
from ablate.tracking.delivery import Delivery, DeliveryReport
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.results import collect
from ablate.tracking.spool import Spool

if TYPE_CHECKING:
    from ablate.check import Check
    from ablate.execution.progress import RunSummary
    from ablate.execution.run_folder import RunFolder
    from ablate.execution.slots import Slot
    from ablate.execution.stopping import Stop
    from ablate.reporting.report import Report

OK, FAILED, MISTAKE = 0, 1, 2


@dataclass(frozen=True)
class RunOptions:
    """Where things lie, and how Trials are trained. None of it decides an outcome."""

    home: Path
    reports: Path
    tracking_uri: str | None = None
    executor: str = "local"
    slots: int | None = None
    processes: int = 1
    retry_failed: bool = False
    check: bool = True
    quiet: bool = False


def run_study(study: Study, options: RunOptions) -> int:
    """Train what is missing, deliver it, write the report; the exit code. Given again, it goes on from there."""
    from ablate.execution.run_folder import RunFolder
    from ablate.execution.scheduler import ExecutionError
    from ablate.execution.stopping import Stop, stop_on_signals

    console, spool = Console(quiet=options.quiet), Spool(options.home)
    store, summary = MlflowStore(options.tracking_uri), None
    folder = options.home / "runs" / study.slug / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    try:
        check_places(study, options.home, options.reports)
        _slots(options)  # a mistake in them is told before anything is read
        with only_driver(study, options.home), RunFolder(folder).driving() as run_folder:
            stop = Stop(run_folder.stop_file)
            with stop_on_signals(stop):
                there = store if store.begun() else None
                known = collect(study, spool, there)
                left = to_train(study, known, retry_diverged=options.retry_failed)
                check_teachers(study, left, spool, there)
                if options.check and left:
                    _refuse_what_levels_do_not_say(study, options, console)
                summary, delivered = _train(study, left, known, run_folder, spool, store, options, console, stop)
                if not stop.at_once:
                    records = spool.records(trial.id for trial in study.all_trials)
                    _report(study, records, options, Delivery(store, spool, study), delivered, console)
        if summary.complete and not summary.failed:
            shutil.rmtree(folder, ignore_errors=True)  # logs and pickles; they are kept where something went wrong
    except Refused as refusal:
        _say(str(refusal))
        return MISTAKE
    except (OSError, ExecutionError) as error:
        _say(f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error))
    return _last_line(study, spool, summary)


def report_study(study: Study, options: RunOptions) -> int:
    """Deliver what the Store lacks and rebuild the report; the exit code. Trains nothing."""
    console, spool = Console(quiet=options.quiet), Spool(options.home)
    store = MlflowStore(options.tracking_uri)
    try:
        records = collect(study, spool, store if store.begun() else None)
        delivery = Delivery(store, spool, study)
        _report(study, records, options, delivery, delivery.deliver_all(records.values()), console)
    except OSError as error:
        _say(f"{type(error).__name__}: {error}")
    return _last_line(study, spool, None)


def plan_study(study: Study, options: RunOptions) -> Plan:
    """What a run would do. Asks the Store only about Trials that the spool does not know, and only if there is one."""
    spool, store = Spool(options.home), MlflowStore(options.tracking_uri)
    records = collect(study, spool, store if store.begun() else None)
    finished = [r for r in records.values() if r.status == "finished"] or spool.finished()
    return make_plan(study, records, finished, len(plan_slots(options.slots, processes=options.processes)))


def check_levels(study: Study, home: Path, console: Console) -> Check:
    """Hold each Level beside the baseline, with a line on the console that says how far it is."""
    from ablate.check import check_study

    with console.status("checking that each Level changes what it says") as status:

        def progress(done: int, total: int, variant: str) -> None:
            status.update(f"checking that each Level changes what it says: {done} of {total}, {variant}")

        return check_study(study, cache=home / "checks.json", progress=progress)


def _refuse_what_levels_do_not_say(study: Study, options: RunOptions, console: Console) -> None:
    """Refuse a study of which a Level has no effect, or one beside what it names."""
    found = check_levels(study, options.home, console)
    if found.failed:
        from ablate.check import render_errors

        Console(stderr=True).print(render_errors(found), soft_wrap=True)
        raise Refused(
            f"{study.path}: a Level does not do what it says, and nothing was trained; `ablate check` with the same "
            "options shows all of it, and --no-check trains all the same"
        )


def _train(
    study: Study,
    left: Sequence[Trial],
    known: Mapping[str, Record],
    run_folder: RunFolder,
    spool: Spool,
    store: MlflowStore,
    options: RunOptions,
    console: Console,
    stop: Stop,
) -> tuple[RunSummary, DeliveryReport]:
    """Train the Trials that are left side by side while a thread delivers; where there is nothing to train, deliver."""
    from ablate.execution.display import choose_display
    from ablate.execution.executors import make_executor
    from ablate.execution.pack import Pack
    from ablate.execution.progress import RunSummary
    from ablate.execution.scheduler import run_trials
    from ablate.tracking.live import LiveDelivery

    if not left:
        nothing = RunSummary(trained=(), reused=(), failed=(), interrupted=(), waiting=())
        return nothing, Delivery(store, spool, study).deliver_all(known.values())
    executor, ids = make_executor(options.executor, run_folder.jobs), {trial.id for trial in left}

    def make_pack(trials: tuple[Trial, ...], slot: Slot) -> Pack:
        return Pack(
            trials=trials,
            trainable=study.trainable,
            metric=study.metric.name,
            data_fingerprint=study.data_fingerprint,
            spool=spool.root.absolute(),
            run=run_folder.path,
            slot=slot,
            import_paths=(study.path.parent.absolute(),),
        )

    delivery = LiveDelivery(store, spool, study)
    delivery.start()
    try:
        summary = run_trials(
            # Finished ones are passed as well, to be counted; a divergence that stands is not.
            [t for t in study.all_trials if t.id in ids or known[t.id].status == "finished"],
            make_pack=make_pack,
            executor=executor,
            spool=spool,
            slots=_slots(options),
            observer=choose_display(console, study.metric.name, quiet=options.quiet, in_process=executor.in_process),
            stop=stop,
        )
    finally:
        delivered = delivery.stop(timeout_s=0 if stop.at_once else 30)
    return summary, delivered


def _slots(options: RunOptions) -> tuple[Slot, ...]:
    try:
        return plan_slots(options.slots, processes=options.processes)
    except ValueError as error:
        raise Refused(str(error)) from error


def _report(
    study: Study,
    records: Mapping[str, Record],
    options: RunOptions,
    delivery: Delivery,
    delivered: DeliveryReport,
    console: Console,
) -> None:
    """Write the report and show its table; a selection of the study has a folder of its own.

    Nothing is written as long as no Trial has an outcome, so that a report which came with a clone stays.
    """
    from ablate.reporting.comparison import aggregates
    from ablate.reporting.renderers import TerminalReport
    from ablate.reporting.report import write_report

    if not any(record.status in ("finished", "failed") for record in records.values()):
        console.print(Text(f"nothing of {study.slug} has been trained here yet: `ablate run {study.path}`"))
        return
    report = write_report(study, records, _report_folder(study, options.reports))
    reason = delivered.reason
    if not reason and not study.selection:  # the Store's summary is that of the whole study
        reason = delivery.summarise(aggregates(report.comparison), _top_level(report))
    console.print(TerminalReport(report.comparison))
    console.print(Text(f"\nreport: {report.markdown} and {report.html}"), soft_wrap=True)
    if reason:
        lost = f"{len(delivered.undelivered)} Trials are" if delivered.undelivered else "the report is"
        line = f"{lost} not in MLflow yet ({reason}); the next run or report brings them there"
    else:
        line = f"every run: `ablate ui`, or `mlflow ui --backend-store-uri {delivery.store.uri}`"
    console.print(Text(line), soft_wrap=True)


def _report_folder(study: Study, reports: Path) -> Path:
    """`<study>/<profile>`; for a selection, a folder below it that is named after what was selected."""
    folder = reports / study.slug
    if not study.selection:
        return folder
    name = re.sub(r"[^A-Za-z0-9.]+", "-", study.selection).strip("-")
    short = hashlib.sha256(study.selection.encode()).hexdigest()[:6]
    return folder / "selections" / f"{name[:60]}-{short}"


def _top_level(report: Report) -> list[Path]:
    """Files and whole folders, so that the links between the report's files hold in the Store, too."""
    return sorted({report.folder / file.relative_to(report.folder).parts[0] for file in report.files})


def _last_line(study: Study, spool: Spool, summary: RunSummary | None) -> int:
    """Print the counts that scripts read, also with `--quiet`, and give the exit code."""
    trials = study.all_trials
    records = spool.records(trial.id for trial in trials)
    finished = {i for i, record in records.items() if record.status == "finished"}
    wanted = {(trial.id, study.metric_of(trial.recipe)) for trial in study.trials if trial.id in finished}
    lacking = {trial_id: name for trial_id, name in wanted if name not in records[trial_id].metrics}
    if lacking:  # another study, which compares something else, has trained them
        names = " or ".join(repr(name) for name in sorted(set(lacking.values())))
        _say(f"{len(lacking)} finished Trials have no metric {names}, which this study compares")
    failed = sum(record.status == "failed" for record in records.values())
    new = len(finished & set(summary.trained)) if summary else 0
    print(f"trained {new}, reused {len(finished) - new}, failed {failed}", flush=True)  # noqa: T201 - as promised
    return OK if len(finished) - len(lacking) == len(trials) else FAILED


def _say(message: str) -> None:
    Console(stderr=True).print(Text(message), soft_wrap=True)
