"""The command line's verbs beside a study's own: looking at models and runs, and help with writing a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ablate.mistake import mistake, settings_or_mistake
from ablate.options import DEFAULT_HOME, Home, ShowName, SlurmFields, Tracking


def model(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A preset, timm/NAME, or module:Class.")] = None,
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
            mistake(f"{option} needs the NAME of a model before it: ablate model NAME {option} ...")
        typer.echo(json.dumps(list(PRESETS), indent=2) if as_json else "\n".join(PRESETS))
        return
    images = Images(image_size, channels, classes)
    try:
        first = make_card(name, sets or (), images)
        second = make_card(diff, (), images) if diff is not None else None
    except ModelError as error:
        mistake(str(error))
    if as_json:
        shown = first.as_json()
        if second:
            changes = {field: {"from": a, "to": b} for field, (a, b) in model_differences(first, second).items()}
            shown = {"first": shown, "second": second.as_json(), "differences": changes}
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    Console().print(render_diff(first, second) if second else render_card(first))


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
        mistake(str(error))
    typer.echo("\n".join(map(str, pictures)))


def schema() -> None:
    """Print the JSON Schema of study files, for editors to complete and check them."""
    from ablate.study.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def init(path: Annotated[Path, typer.Argument(help="File to write.")] = Path("study.yaml")) -> None:
    """Write a commented starter study that runs as it is."""
    from ablate.study.starter import write_starter

    try:
        write_starter(path)
    except FileExistsError:
        mistake(f"{path} exists already; name another file")
    except OSError as error:
        mistake(f"cannot write {path}: {error.strerror}")
    typer.echo(f"wrote {path}; try: ablate plan {path}, then: ablate run {path}")


def ui(
    tracking_uri: Tracking = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open MLflow's UI on the runs."""
    from ablate.tracking.ui import NoRuns, serve

    try:
        raise typer.Exit(serve(tracking_uri, port))
    except NoRuns as error:
        mistake(str(error))


def doctor(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="STUDY", help="Whose project's settings count; else the working folder's."),
    ] = None,
    slurm: SlurmFields = None,
    deep: Annotated[bool, typer.Option("--deep", help="Start a tiny job on a node as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    home: Home = DEFAULT_HOME,
    tracking_uri: Tracking = None,
) -> None:
    """Examine this machine, its cluster and the tracking store, and say in plain words what is wrong."""
    from ablate.doctor import examine
    from ablate.doctor.finding import Subject
    from ablate.doctor.rendering import as_json as plain
    from ablate.doctor.rendering import failed, render_findings

    if study is not None and not study.is_file():
        mistake(f"{study}: there is no such file")
    settings = settings_or_mistake(study.parent if study else None, slurm)
    with Console(stderr=True).status("examining this machine"):
        found = list(examine(Subject(home, settings, tracking_uri), deep=deep))
    if as_json:
        typer.echo(json.dumps(plain(found), indent=2, ensure_ascii=False))
    else:
        Console().print(render_findings(found))
    raise typer.Exit(1 if failed(found) else 0)
