"""The command line's verbs for a study that runs: watching it and steering it."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from ablate.mistake import mistake, settings_or_mistake
from ablate.options import (
    DEFAULT_HOME,
    DEFAULT_REPORTS,
    Detach,
    Executor,
    ExecutorName,
    Home,
    Processes,
    Profile,
    Reports,
    Seeds,
    Sets,
    Slots,
    SlurmFields,
    StudyPath,
    Tracking,
)

if TYPE_CHECKING:
    from ablate.standing import StudyStanding
    from ablate.study.study import Study

OnlyThese = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="PATTERN", help="These Variants, by a pattern on their names. Repeatable."),
]


def status(
    study: StudyPath,
    profile: Profile = None,
    seeds: Seeds = None,
    sets: Sets = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew until nothing runs or waits.")] = False,
    every: Annotated[float, typer.Option(min=1, help="With --watch: draw it anew this often, s.")] = 5.0,
    whole: Annotated[bool, typer.Option("--all", help="Show every Trial of a long study.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known as JSON.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show how every Trial of a study stands, here and on Slurm. Changes nothing."""
    loaded = _load(study, profile, seeds, sets, home)
    from ablate import standing_table
    from ablate.standing import standing

    if as_json:
        shown = standing_table.as_json(loaded, standing(loaded, home))
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(loaded, home, every, whole)
    else:
        console = Console()
        console.print(standing_table.render(loaded, standing(loaded, home), width=console.width, whole=whole))


def _watch(study: Study, home: Path, every_s: float, whole: bool) -> None:
    """Draw the table anew until nothing runs or waits; the last one stays."""
    from rich.live import Live

    from ablate.standing import standing
    from ablate.standing_table import SHOWN, render

    console, silent_since = Console(), 0.0

    def drawn(now: StudyStanding, most: int) -> RenderableType:
        away = f" since {time.strftime('%H:%M:%S', time.localtime(silent_since))}" if now.slurm else ""
        return render(study, now, width=console.width, whole=whole, most=most, away=away)

    # Off a terminal nothing can be drawn anew: one table after another.
    with (
        Live(console=console, auto_refresh=False, transient=True)
        if console.is_terminal
        else contextlib.nullcontext() as live
    ):
        now: StudyStanding | None = None
        while True:
            now = standing(study, home, now)
            silent_since = (silent_since or now.now) if now.slurm else 0.0
            table = drawn(now, max(3, console.height // 4))
            if live is None:
                console.print(table)
            else:
                live.update(table, refresh=True)
            if not any(item.lives for item in now.trials):
                break
            time.sleep(every_s)
    if live is not None:
        console.print(drawn(now, SHOWN))


def logs(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="Its id or the beginning, a job's id, or with --study VARIANT:SEED.")
    ],
    study: Annotated[
        Path | None, typer.Option(metavar="STUDY", help="The study that it is of.", show_default=False)
    ] = None,
    profile: Profile = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the Trial has an outcome.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many lines of each file.")] = 40,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the end of what the job of a Trial has printed: the one that has it, or had it last."""
    loaded = _load(study, profile, None, None, home) if study is not None else None
    from ablate import trial_logs

    try:
        found = trial_logs.find(trial, home, loaded)
    except ValueError as error:
        mistake(str(error))
    job = trial_logs.latest_job(home, found)
    for file in job.log_files() if job is not None else ():
        _print_log(file, trial_logs.tail(file, lines))
    if job is None:
        _print_known(home, found.trials, will_follow=follow)
    if follow:
        last: Path | None = None
        with contextlib.suppress(KeyboardInterrupt):
            for file, text in trial_logs.follow(home, found):
                if file != last:
                    typer.echo(_heading(file))
                last = file
                typer.echo(text, nl=False)


def _print_log(file: Path, text: str) -> None:
    typer.echo(_heading(file))
    typer.echo(f"{text}\n" if text else "(nothing)\n")


def _heading(file: Path) -> str:
    return f"==> {file} <=="


def _print_known(home: Path, trials: Sequence[str], *, will_follow: bool) -> None:
    """What the spool says of Trials of which there is no log."""
    from ablate.tracking.glance import glances

    seen = glances(home, trials)
    for trial_id in trials:
        one = seen.get(trial_id)
        if one is None:
            typer.echo(f"Trial {trial_id}: not begun here, and no job has printed anything")
            continue
        attempts = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        why = f": {one.cause}: {one.error}" if one.status == "failed" else ""
        typer.echo(f"Trial {trial_id}: {one.status} after {attempts}{why}; there is no log of its job")
        if one.log_tail:
            typer.echo(one.log_tail)
    if will_follow:
        typer.echo("waiting for a job to print something")


def cancel(
    study: StudyPath,
    only: OnlyThese = None,
    profile: Profile = None,
    seeds: Seeds = None,
    sets: Sets = None,
    wait: Annotated[bool, typer.Option(help="Wait until the jobs have ended.")] = True,
    home: Home = DEFAULT_HOME,
) -> None:
    """End a study's jobs, with a checkpoint: `ablate run` goes on from there."""
    loaded = _load(study, profile, seeds, sets, home, ids=bool(only))
    from ablate import steering
    from ablate.execution.cluster.queue import SlurmError

    try:
        variants = steering.variants_like(loaded, only or ())
        ids = {t.id for t in (*loaded.teachers, *loaded.trials) if t.variant in variants} if only else None
        ended = steering.cancel(home, loaded.slug, ids)
        typer.echo("\n".join(steering.told(loaded, ended, variants)))
        left = steering.wait_until_ended(loaded.slug, ended, steering.patience()) if wait else []
    except ValueError as error:
        mistake(str(error))
    except SlurmError as error:
        typer.echo(f"Slurm: {error}", err=True)
        raise typer.Exit(1) from None
    if wait and ended.running:
        from ablate.standing import standing

        reached = steering.reached(standing(loaded, home), ended.running)
        if reached:
            typer.echo("\n".join(reached))
    if left:
        typer.echo(f"has not ended yet: {', '.join(left)}; `ablate status {study}` shows when", err=True)
        raise typer.Exit(1)


def retry(
    study: StudyPath,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed, and no others.")] = False,
    only: OnlyThese = None,
    profile: Profile = None,
    seeds: Seeds = None,
    sets: Sets = None,
    executor: Executor = ExecutorName.local,
    slots: Slots = None,
    processes: Processes = None,
    slurm: SlurmFields = None,
    detach: Detach = False,
    check: Annotated[bool, typer.Option(help="First prove that each Level changes what it says.")] = True,
    home: Home = DEFAULT_HOME,
    reports: Reports = DEFAULT_REPORTS,
    tracking_uri: Tracking = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Train again what failed, diverged Trials included, and what was interrupted, cancelled or lost."""
    loaded = _load(study, profile, seeds, sets, home)
    from ablate.standing import standing
    from ablate.steering import to_retry, variants_like, why_again, with_teachers

    try:
        variants = variants_like(loaded, only or ())
    except ValueError as error:
        mistake(str(error))
    settings = settings_or_mistake(loaded.path.parent, slurm)
    now = standing(loaded, home)
    if now.slurm:
        mistake(f"Slurm does not answer, so that nobody knows what still runs: {now.slurm}")
    chosen = to_retry(now, variants, failed_only=failed)
    if not chosen:
        typer.echo(f"nothing of {loaded.slug} is to be trained again; `ablate run {study}` trains what was never begun")
        return
    if not quiet:
        typer.echo("\n".join([f"{len(chosen):,} to train again:", *why_again(chosen)]))
    from ablate.run import RunOptions, run_study

    options = RunOptions(
        home,
        reports,
        tracking_uri,
        executor.value,
        slots,
        processes,
        settings=settings,
        detach=detach,
        retry=with_teachers(chosen, now),
        check=check,
        quiet=quiet,
    )
    raise typer.Exit(run_study(loaded, options))


def _load(
    path: Path, profile: str | None, seeds: int | None, sets: list[str] | None, home: Path, *, ids: bool = True
) -> Study:
    """The whole study, read without writing anything; a mistake where ``ids`` are needed that cannot be known here."""
    from ablate.loading import load
    from ablate.study.errors import StudyError
    from ablate.study.fingerprint import ABSENT

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "fingerprints.json"
        with contextlib.suppress(OSError):  # what is remembered of data is read, and what is new forgotten
            shutil.copyfile(home / cache.name, cache)
        try:
            study = load(path, home, profile, seeds=seeds, sets=sets, cache=cache, writes=False)
        except StudyError as error:
            mistake(str(error))
    if study.regrow is not None:
        from ablate.growth import as_far_as_kept
        from ablate.tracking.spool import Spool

        study, _ = as_far_as_kept(study, Spool(home))
    if ids and ABSENT in (study.data_fingerprint, *(ABSENT for _ in study.absent)):
        mistake(f"{path}: its data or its teacher's weights are not on this machine, and a Trial's id depends on them")
    return study
