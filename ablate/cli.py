"""The command line: verbs and arguments. What they do is in `run`, `plan` and the packages below.

Exit codes: 0 all is well, 1 a Trial failed or the run was stopped, 2 a mistake of the user's.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ablate import __version__
from ablate.options import (
    DEFAULT_HOME,
    DEFAULT_REPORTS,
    ExecutorName,
    Home,
    Only,
    Profile,
    Reports,
    Seeds,
    Sets,
    ShowName,
    Slots,
    StudyPath,
    Tracking,
)
from ablate.study.errors import StudyError
from ablate.study.study import Study

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
    executor: Annotated[ExecutorName, typer.Option(help="local: processes of their own; debug: this process.")] = (
        ExecutorName.local
    ),
    slots: Slots = None,
    retry_failed: Annotated[bool, typer.Option(help="Train diverged Trials again, too.")] = False,
    check: Annotated[bool, typer.Option(help="First prove that each Level changes what it says.")] = True,
    home: Home = DEFAULT_HOME,
    reports: Reports = DEFAULT_REPORTS,
    tracking_uri: Tracking = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Train what the study lacks, and write its report. The same command again resumes, or only reports."""
    loaded = _load(study, profile, only, seeds, sets, home)
    from ablate.run import RunOptions, run_study

    options = RunOptions(
        home, reports, tracking_uri, executor.value, slots, retry_failed=retry_failed, check=check, quiet=quiet
    )
    raise typer.Exit(run_study(loaded, options))


@app.command()
def report(
    study: StudyPath,
    profile: Profile = None,
    only: Only = None,
    seeds: Seeds = None,
    sets: Sets = None,
    home: Home = DEFAULT_HOME,
    reports: Reports = DEFAULT_REPORTS,
    tracking_uri: Tracking = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Rebuild the report from what is finished, and deliver to MLflow what it lacks. Trains nothing."""
    loaded = _load(study, profile, only, seeds, sets, home)
    from ablate.run import RunOptions, report_study

    raise typer.Exit(report_study(loaded, RunOptions(home, reports, tracking_uri, quiet=quiet)))


@app.command()
def plan(
    study: StudyPath,
    profile: Profile = None,
    only: Only = None,
    seeds: Seeds = None,
    sets: Sets = None,
    slots: Slots = None,
    full: Annotated[bool, typer.Option("--full", help="Print every value of every Variant's Recipe.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    home: Home = DEFAULT_HOME,
    tracking_uri: Tracking = None,
) -> None:
    """Show what a run would train, what each Variant changes, and how long it would take. Trains nothing."""
    loaded = _load(study, profile, only, seeds, sets, home)
    from ablate.plan import render_plan, render_recipes
    from ablate.run import RunOptions, plan_study

    try:
        planned = plan_study(loaded, RunOptions(home, DEFAULT_REPORTS, tracking_uri, slots=slots))
    except OSError as error:
        _mistake(f"cannot read what has been trained in {home}: {error.strerror}")
    if as_json:
        typer.echo(json.dumps(planned.as_json(full=full), indent=2, ensure_ascii=False))
        return
    console = Console()
    if full:
        console.print(render_recipes(loaded))
    console.print(render_plan(planned))


@app.command()
def check(
    study: StudyPath,
    profile: Profile = None,
    only: Only = None,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Prove that each Level changes what it says and nothing else, on one batch and two updates. Trains nothing."""
    loaded = _load(study, profile, only, None, sets, home)
    from ablate.run import check_levels

    found = check_levels(loaded, home, Console(stderr=True))
    from ablate.check import as_json as plain
    from ablate.check import render_check

    if as_json:
        typer.echo(json.dumps(plain(found), indent=2, ensure_ascii=False))
    else:
        Console().print(render_check(found))
    raise typer.Exit(2 if found.failed else 0)


@app.command()
def model(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A preset, timm/NAME, or module:Class.")] = None,
    diff: Annotated[str | None, typer.Option(metavar="NAME", help="Compare with another model.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of NAME, not of --diff's. Repeatable."),
    ] = None,
    image_size: Annotated[int, typer.Option(min=1, help="Side of the square image, px.")] = 224,
    channels: Annotated[int, typer.Option(min=1, help="Channels of an image.")] = 3,
    classes: Annotated[int, typer.Option(min=2, help="Number of classes.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show a model's parts, size and cost, or how two models differ; without a name, list the presets."""
    from ablate.model_card import Images, ModelError, make_card, model_differences, render_card, render_diff

    if name is None:
        from ablate.presets import PRESETS

        if diff is not None or sets:
            option = "--diff" if diff is not None else "--set"
            _mistake(f"{option} needs the NAME of a model before it: ablate model NAME {option} ...")
        typer.echo(json.dumps(list(PRESETS), indent=2) if as_json else "\n".join(PRESETS))
        return
    images = Images(image_size, channels, classes)
    try:
        first = make_card(name, sets or (), images)
        second = make_card(diff, (), images) if diff is not None else None
    except ModelError as error:
        _mistake(str(error))
    if as_json:
        shown = first.as_json()
        if second:
            changes = {field: {"from": a, "to": b} for field, (a, b) in model_differences(first, second).items()}
            shown = {"first": shown, "second": second.as_json(), "differences": changes}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    Console().print(render_diff(first, second) if second else render_card(first))


@app.command()
def attention(
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="Id of a finished Trial, or its beginning.")],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES...", help="Image files, or test:INDEX, val:INDEX of its own data.")
    ],
    block: Annotated[
        int | None, typer.Option(min=1, help="Block whose attention is shown; else the last.", show_default=False)
    ] = None,
    show: Annotated[ShowName, typer.Option(help="What to draw; with both, a model without attention is drawn too.")] = (
        ShowName.attention
    ),
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("attention"),
    home: Home = DEFAULT_HOME,
    tracking_uri: Tracking = None,
) -> None:
    """Draw what a trained model attends to: attention maps, attention rollout and features on given images."""
    from ablate.attention import draw_attention

    try:
        pictures = draw_attention(
            trial,
            images,
            home=home,
            out=out,
            block=block,
            show=show.value,
            tracking_uri=tracking_uri,
            import_from=[Path()],
        )
    except (ValueError, OSError) as error:
        _mistake(str(error))
    typer.echo("\n".join(map(str, pictures)))


@app.command()
def schema() -> None:
    """Print the JSON Schema of study files, for editors to complete and check them."""
    from ablate.study.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def init(path: Annotated[Path, typer.Argument(help="File to write.")] = Path("study.yaml")) -> None:
    """Write a commented starter study that runs as it is."""
    from ablate.study.starter import write_starter

    try:
        write_starter(path)
    except FileExistsError:
        _mistake(f"{path} exists already; name another file")
    except OSError as error:
        _mistake(f"cannot write {path}: {error.strerror}")
    typer.echo(f"wrote {path}; try: ablate plan {path}, then: ablate run {path}")


@app.command()
def ui(
    tracking_uri: Tracking = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open MLflow's UI on the runs."""
    from ablate.tracking.ui import NoRuns, serve

    try:
        raise typer.Exit(serve(tracking_uri, port))
    except NoRuns as error:
        _mistake(str(error))


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


def _load(
    path: Path, profile: str | None, only: list[str] | None, seeds: int | None, sets: list[str] | None, home: Path
) -> Study:
    from ablate.study.load import load_study

    cache = home / "fingerprints.json"
    try:
        return load_study(path, profile, only=only or (), seeds=seeds, sets=sets or (), cache=cache)
    except StudyError as error:
        _mistake(str(error))


def _mistake(message: str) -> NoReturn:
    """Say what is wrong, and leave with the code for a mistake of the user's."""
    typer.echo(message, err=True)
    raise typer.Exit(2)


def main() -> None:
    """The `ablate` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show × or − shows ? instead
            stream.reconfigure(errors="replace")
    app(prog_name="ablate")


if __name__ == "__main__":
    main()
