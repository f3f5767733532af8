"""The spine: what `ablate run`, `report` and `plan` do, from a loaded Study to the report."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ablate.executing import SLURM, Execution, check_executor, local_slots
from ablate.growth import as_far_as_kept, told
from ablate.plan import Plan, make_plan, to_train, to_train_again
from ablate.refusals import Refused, check_places, check_teachers, only_driver
from ablate.reporting.kept import Kept
from ablate.run_options import RunOptions
from ablate.study.errors import StudyError
from ablate.study.study import Study, Trial
from ablate.tracking.delivery import Delivery, DeliveryReport
from ablate.tracking.mlflow_store import MlflowStore
from ablate.tracking.record import Record
from ablate.tracking.spool import Spool

if TYPE_CHECKING:
    from ablate.check import Check
    from ablate.execution.progress import RunSummary
    from ablate.execution.run_folder import RunFolder
    from ablate.execution.stopping import Stop
    from ablate.reporting.report import Report

__all__ = ["RunOptions", "check_levels", "plan_study", "report_study", "run_study"]
OK, FAILED, MISTAKE = 0, 1, 2


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
        check_executor(study, options, console)  # a mistake there is told before anything is read
        with only_driver(study, options.home), RunFolder(folder).driving() as run_folder:
            # On a cluster jobs go on when nobody watches them: there is no file that would stop them.
            stop = Stop(None if options.executor == SLURM else run_folder.stop_file)
            with stop_on_signals(stop):
                execution, summary, delivered = _train(study, options, spool, store, run_folder, stop, console)
                study = execution.study
                if not options.detach and not stop.at_once and (summary.complete or not summary.jobs_left):
                    records = spool.records(trial.id for trial in study.all_trials)
                    _report(study, records, options, Delivery(store, spool, study), delivered, console)
            execution.tidy(summary)
    except Refused as refusal:
        if not RunFolder(folder).has_submissions:
            shutil.rmtree(folder, ignore_errors=True)
        _say(str(refusal))
        return MISTAKE
    except (OSError, ExecutionError, StudyError) as error:
        _say(f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error))
    code = _last_line(study, spool, summary)
    return OK if options.detach and summary is not None else code


def _train(
    study: Study,
    options: RunOptions,
    spool: Spool,
    store: MlflowStore,
    run_folder: RunFolder,
    stop: Stop,
    console: Console,
) -> tuple[Execution, RunSummary, DeliveryReport]:
    """Train what is missing, then what the results ask for (more seeds, the next rung), until they ask no more.

    A failure asks for nothing before it has been tried again, and what has failed once in this command is not tried
    again because the study has grown. What is detached or stopped grows with the next command; the Execution's study
    then has what that will train.
    """
    there = store if store.begun() else None
    summary, delivered, checked = None, DeliveryReport(), frozenset[str]()

    def to_do(now: Study, records: Mapping[str, Record]) -> list[Trial]:
        left = to_train(now, records, retry_diverged=options.retry_failed, only=options.retry)
        return [trial for trial in left if summary is None or trial.id not in summary.failed]

    def grown() -> tuple[Study, Mapping[str, Record]]:
        return as_far_as_kept(whole, spool, there, lambda now, records: {trial.id for trial in to_do(now, records)})

    whole = study
    study, known = grown()
    execution = Execution(study, options, spool, store, run_folder, stop, console)
    while True:
        left = to_do(study, known)
        names = frozenset(variant.name for variant in study.variants)
        try:
            check_teachers(study, left, spool, there)
            if options.check and left and not names <= checked:
                _refuse_what_levels_do_not_say(study, options, console)
        except Refused as refusal:
            if summary is None:
                raise
            _say(f"what the results ask for next is not trained: {refusal}")
            return execution, summary, delivered
        checked = names
        this_time, delivered = execution.train(left, known)
        summary = this_time if summary is None else summary.followed_by(this_time)
        if study.regrow is None:  # nothing that was reported could ask for more: it need not be read again
            return execution, summary, delivered
        larger, known = grown()
        if larger.growth == study.growth:
            return execution, summary, delivered
        execution = replace(execution, study=larger)
        if options.detach or stop.requested:
            console.print(Text(f"the results ask for more: {told(study, larger)}; the same command goes on with it"))
            return execution, summary, delivered
        console.print(Text(told(study, larger)), soft_wrap=True)
        study = larger


def report_study(study: Study, options: RunOptions) -> int:
    """Deliver what the Store lacks and rebuild the report; the exit code. Trains nothing."""
    console, spool = Console(quiet=options.quiet), Spool(options.home)
    store = MlflowStore(options.tracking_uri)
    try:
        there = store if store.begun() else None
        study, records = as_far_as_kept(study, spool, there)
        delivery = Delivery(store, spool, study)
        _report(study, records, options, delivery, delivery.deliver_all(records.values()), console)
    except OSError as error:
        _say(f"{type(error).__name__}: {error}")
    return _last_line(study, spool, None)


def plan_study(study: Study, options: RunOptions) -> Plan:
    """What a run would do. Asks the Store only about Trials that the spool does not know, and only if there is one."""
    spool, store = Spool(options.home), MlflowStore(options.tracking_uri)
    there = store if store.begun() else None
    study, records = as_far_as_kept(study, spool, there, to_train_again)
    finished = [r for r in records.values() if r.status == "finished"] or spool.finished()
    slots = len(local_slots(options, records))
    return make_plan(study, records, finished, slots, Kept(artifact=spool.artifact))


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
            f"{study.path}: a Level does not do what it says, so nothing is trained; `ablate check` with the same "
            "options shows all of it, and --no-check trains all the same"
        )


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
    from ablate.report_sources import kept_here, nothing_of
    from ablate.reporting.comparison import aggregates
    from ablate.reporting.formats import FORMATS
    from ablate.reporting.renderers import TerminalReport, to_markdown
    from ablate.reporting.report import write_report
    from ablate.reporting.tables import comparison_table

    if not any(record.status in ("finished", "failed") for record in records.values()):
        console.print(Text(nothing_of(study)), soft_wrap=True)
        return
    kept = kept_here(study, options.home)
    report = write_report(study, records, _report_folder(study, options.reports), kept, options.formats)
    reason = delivered.reason
    if not reason and not study.selection:  # the Store's summary is that of the whole study
        description = to_markdown(comparison_table(report.comparison))
        # A report in some of its forms does not replace a whole one there.
        files = _top_level(report) if options.formats == FORMATS else []
        reason = delivery.summarise(aggregates(report.comparison), files, description)
    console.print(TerminalReport(report.comparison))
    pages = [str(page) for page in (report.markdown, report.html) if page in report.files]
    console.print(Text(f"\nreport: {' and '.join(pages) or report.folder}"), soft_wrap=True)
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
