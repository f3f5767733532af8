"""Options that several verbs of the command line share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study file.", show_default=False)]
Profile = Annotated[str | None, typer.Option(help="Scale to run at; the study names its default.", show_default=False)]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Variants to take, by a pattern on their names (posemb=*); the baseline stays. Repeatable.",
    ),
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Take so many of the study's seeds.", show_default=False)]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of the base, for a quick try. Repeatable."),
]
Home = Annotated[
    Path,
    typer.Option(
        "--home", help="Folder of the spool: checkpoints, journals, results. On a cluster, one that all nodes see."
    ),
]
Tracking = Annotated[
    str | None,
    typer.Option(help="MLflow's tracking URI; else $MLFLOW_TRACKING_URI, else MLflow's default.", show_default=False),
]
Reports = Annotated[Path, typer.Option(help="Folder that reports are written to.")]
Slots = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Trials trained side by side on this machine; else one per GPU, or one per core.",
        show_default=False,
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes that train each Trial together, on as many GPUs or cores of this machine; else one.",
        show_default=False,
    ),
]
TrialsPerGpu = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto", help="Trials that share a GPU of this machine; auto: as many as its memory has room for."
    ),
]
SlurmFields = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="FIELD=VALUE",
        help="What a job asks of Slurm, over the settings: partition=a100, gpus=2, time=4h. Repeatable.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="With --executor slurm: submit, and leave.")]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="Print the cost on this kind of GPU, too: h100, a100, v100, ..."),
]
Utilisation = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=1.0, help="Share of the GPU's peak; else what published trainings reach.", show_default=False
    ),
]
DEFAULT_HOME, DEFAULT_REPORTS = Path(".ablate"), Path("reports")


class ExecutorName(StrEnum):
    """Where Trials are trained."""

    local = "local"
    debug = "debug"
    slurm = "slurm"


class ShowName(StrEnum):
    """What `ablate attention` draws."""

    attention = "attention"
    features = "features"
    both = "both"


Executor = Annotated[
    ExecutorName, typer.Option(help="local: processes of their own; debug: this process; slurm: jobs of a cluster.")
]
