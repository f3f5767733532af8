"""The command line: verbs and arguments. What they do is in `run`, `plan` and the packages below.

The verbs of a study stand here but for `report`, which is in `cli_report`; those beside one are in `cli_tools`.

Exit codes: 0 all is well, 1 a Trial failed or the run was stopped, 2 a mistake of the user's.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ablate import __version__
from ablate.cli_report import report
from ablate.cli_steering import cancel, logs, retry, status
from ablate.cli_tools import attention, doctor, init, model, schema, ui
from ablate.mistake import mistake, settings_or_mistake, study_or_mistake
from ablate.options import (
    DEFAULT_HOME,
    DEFAULT_REPORTS,
    Detach,
    DeviceName,
    Executor,
    ExecutorName,
    Home,
    Only,
    Processes,
    Profile,
    Reports,
    Seeds,
    Sets,
    Slots,
    SlurmFields,
    StudyPath,
    Tracking,
    TrialsPerGpu,
    Utilisation,
)
from ablate.study.errors import StudyError

if TYPE_CHECKING:
    from ablate.execution.cluster.packing import Batch
    from ablate.gpu_cost import StudyCost
    from ablate.plan import Plan
    from ablate.settings_schema import TrialsPerGpu as TrialsOnGpu

app = typer.Typer(
    help="Ablation studies of vision models: a YAML file in, tables with honest statistics out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def run(
    study: StudyPath,
    profile: Profile = None,
    only: Only = None,
    seeds: Seeds = None,
    sets: Sets = None,
    executor: Executor = ExecutorName.local,
    slots: Slots = None,
    processes: Processes = None,
    trials_per_gpu: TrialsPerGpu = None,
    slurm: SlurmFields = None,
    detach: Detach = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Train diverged Trials again, too.")] = False,
    check: Annotated[bool, typer.Option(help="First prove that each Level changes what it says.")] = True,
    home: Home = DEFAULT_HOME,
    reports: Reports = DEFAULT_REPORTS,
    tracking_uri: Tracking = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Train what the study lacks, and write its report. The same command again resumes, or only reports."""
    loaded = study_or_mistake(study, profile, only, seeds, sets, home)
    from ablate.run import RunOptions, run_study

    options = RunOptions(
        home,
        reports,
        tracking_uri,
        executor.value,
        slots,
        processes,
        trials_per_gpu=_per_gpu(trials_per_gpu),
        settings=settings_or_mistake(loaded.path.parent, slurm),
        detach=detach,
        retry_failed=retry_failed,
        check=check,
        quiet=quiet,
    )
    raise typer.Exit(run_study(loaded, options))


app.command()(report)


@app.command()
def plan(
    study: StudyPath,
    profile: Profile = None,
    only: Only = None,
    seeds: Seeds = None,
    sets: Sets = None,
    executor: Executor = ExecutorName.local,
    slots: Slots = None,
    slurm: SlurmFields = None,
    device: DeviceName = None,
    utilisation: Utilisation = None,
    full: Annotated[bool, typer.Option("--full", help="Print every value of every Variant's Recipe.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    home: Home = DEFAULT_HOME,
    tracking_uri: Tracking = None,
) -> None:
    """Show what a run would train, and how long it takes. Trains nothing."""
    if slurm and executor is not ExecutorName.slurm:
        mistake("--slurm says what jobs on a cluster ask for: give --executor slurm, too")
    if utilisation is not None and device is None:
        mistake("--utilisation is a share of a device's peak: name it with --device")
    loaded = study_or_mistake(study, profile, only, seeds, sets, home)
    from ablate.plan import render_plan, render_recipes
    from ablate.run import RunOptions, plan_study

    try:
        planned = plan_study(loaded, RunOptions(home, DEFAULT_REPORTS, tracking_uri, slots=slots))
    except OSError as error:
        mistake(f"cannot read what has been trained in {home}: {error.strerror}")
    cost = _cost(planned, device, utilisation, home) if device is not None else None
    arrays = _arrays(planned, slurm) if executor is ExecutorName.slurm else None
    if as_json:
        shown = planned.as_json(full=full) | ({"cost": cost.as_json()} if cost else {})
        if arrays is not None:
            from ablate.jobs_plan import jobs_as_json

            shown["arrays"] = jobs_as_json(arrays)
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    console = Console()
    if full:
        console.print(render_recipes(loaded))
    console.print(render_plan(planned))
    if cost:
        from ablate.gpu_cost import render_cost

        console.print(render_cost(cost))
    if arrays is not None:
        from ablate.jobs_plan import render_jobs

        console.print(render_jobs(arrays))


@app.command()
def check(
    study: StudyPath,
    profile: Profile = None,
    only: Only = None,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Prove that each Level changes only what it says, on one batch and two updates. Trains nothing."""
    loaded = study_or_mistake(study, profile, only, None, sets, home)
    from ablate.run import check_levels

    found = check_levels(loaded, home, Console(stderr=True))
    from ablate.check import as_json as plain
    from ablate.check import render_check

    if as_json:
        typer.echo(json.dumps(plain(found), indent=2, ensure_ascii=False))
    else:
        Console().print(render_check(found))
    raise typer.Exit(2 if found.failed else 0)


for verb in (status, logs, cancel, retry, doctor, model, attention, schema, init, ui):
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ablate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the verb."""


def _arrays(planned: Plan, overrides: list[str] | None) -> list[Batch]:
    from ablate.jobs_plan import planned_jobs

    try:
        return planned_jobs(planned, settings_or_mistake(planned.study.path.parent, overrides))
    except StudyError as error:
        mistake(str(error))


def _per_gpu(text: str | None) -> TrialsOnGpu:
    if text is None or text == "auto":
        return "auto" if text else None
    if not text.isdecimal() or int(text) < 1:
        mistake(f"--trials-per-gpu takes a number from 1, or auto, not {text!r}")
    return int(text)


def _cost(planned: Plan, device: str, utilisation: float | None, home: Path) -> StudyCost:
    from ablate.devices import DeviceError, device_named
    from ablate.gpu_cost import CostError, cost_of, recipes_in

    left = [trial.id for trial in planned.left]
    try:
        found = device_named(device)
        return cost_of(planned.study, found, utilisation, left=left, recipe_of=recipes_in(home))
    except (DeviceError, CostError) as error:
        mistake(str(error))


def main() -> None:
    """The `ablate` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show × or − shows ? instead
            stream.reconfigure(errors="replace")
    app(prog_name="ablate")


if __name__ == "__main__":
    main()
