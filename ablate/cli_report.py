"""The command line's verb `report`: of one study, of several beside each other, of someone else's runs in MLflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ablate.mistake import mistake, study_or_mistake
from ablate.options import DEFAULT_HOME, DEFAULT_REPORTS, Home, Only, Profile, Reports, Seeds, Sets, Tracking
from ablate.reporting.formats import FORMATS, IN_ORDER
from ablate.wording import listing, nearest

if TYPE_CHECKING:
    from ablate.foreign import ForeignQuestion
    from ablate.study.study import Study

StudyPaths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="STUDY", help="The study file; several are compared.", show_default=False),
]


def report(
    studies: StudyPaths = None,
    profile: Profile = None,
    only: Only = None,
    seeds: Seeds = None,
    sets: Sets = None,
    formats: Annotated[
        str | None, typer.Option("--format", metavar="F,F", help="Write only these: html, md, tex, csv.")
    ] = None,
    home: Home = DEFAULT_HOME,
    reports: Reports = DEFAULT_REPORTS,
    tracking_uri: Tracking = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
    from_mlflow: Annotated[
        str | None, typer.Option(metavar="EXPERIMENT", help="Make the tables of an experiment of other code.")
    ] = None,
    factor: Annotated[
        list[str] | None, typer.Option(metavar="PARAM", help="With --from-mlflow: a Factor. Repeatable.")
    ] = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="With --from-mlflow: what is compared.")] = None,
    maximize: Annotated[
        bool | None, typer.Option("--maximize/--minimize", help="With --from-mlflow: which way is better.")
    ] = None,
    seed_param: Annotated[
        str | None, typer.Option(metavar="PARAM", help="With --from-mlflow: what pairs the runs of two Variants.")
    ] = None,
    unpaired: Annotated[
        bool, typer.Option("--unpaired", help="With --from-mlflow: nothing pairs them; Welch's test.")
    ] = False,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARAM=VALUE,...",
            help="With --from-mlflow: else the values with the most finished runs. Repeatable.",
        ),
    ] = None,
    condition: Annotated[
        str | None, typer.Option("--filter", metavar="SEARCH", help="With --from-mlflow: MLflow's search string.")
    ] = None,
    curves: Annotated[
        bool, typer.Option("--curves", help="With --from-mlflow: learning curves, too; a request per run and metric.")
    ] = False,
) -> None:
    """Rebuild the report, and deliver to MLflow what it lacks. Trains nothing.

    Several studies are compared with each other, and only that: their own reports stay as they are.
    """
    wanted = _formats(formats)
    foreign = {
        "--factor": factor,
        "--metric": metric,
        "--maximize/--minimize": maximize,
        "--seed-param": seed_param,
        "--unpaired": unpaired or None,
        "--baseline": baseline,
        "--filter": condition,
        "--curves": curves or None,
    }
    if from_mlflow is not None:
        selected = {"STUDY": studies, "--profile": profile, "--only": only, "--seeds": seeds, "--set": sets}
        for name, value in selected.items():
            if value is not None and value != []:
                mistake(
                    f"{name} is for studies of ablate, and --from-mlflow reads runs of other code: give one of both"
                )
        question = _question(factor, metric, maximize, seed_param, unpaired, baseline)
        _report_runs(from_mlflow, question, reports, tracking_uri, condition or "", curves, wanted, quiet)
    for name, value in foreign.items():
        if value is not None and value != []:
            mistake(f"{name} says how runs of other code are read: it needs --from-mlflow EXPERIMENT")
    if not studies:
        mistake("Missing argument 'STUDY...': a study file, or --from-mlflow EXPERIMENT for runs of other code")
    loaded = [study_or_mistake(path, profile, only, seeds, sets, home) for path in studies]
    if len(loaded) > 1:
        _compare(loaded, home, reports, tracking_uri, wanted, quiet)
    from ablate.run import RunOptions, report_study

    raise typer.Exit(report_study(loaded[0], RunOptions(home, reports, tracking_uri, quiet=quiet, formats=wanted)))


def _formats(text: str | None) -> frozenset[str]:
    """What `--format` names, all without it."""
    if text is None:
        return FORMATS
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in IN_ORDER:
            mistake(f"--format {text}: there is no format {name!r}; {listing(IN_ORDER)}{nearest(name, IN_ORDER)}")
    return frozenset(names)


def _compare(
    studies: list[Study], home: Path, reports: Path, tracking_uri: str | None, formats: frozenset[str], quiet: bool
) -> None:
    from ablate.comparing import compare_studies

    try:
        code = compare_studies(studies, home, reports, tracking_uri, formats, quiet)
    except ValueError as error:  # a StudyError is one
        mistake(str(error))
    raise typer.Exit(code)


def _question(
    factors: list[str] | None,
    metric: str | None,
    maximize: bool | None,
    seed_param: str | None,
    unpaired: bool,
    baseline: list[str] | None,
) -> ForeignQuestion:
    """What is asked of the runs; whatever cannot be guessed honestly has to be said."""
    from ablate.foreign import ForeignQuestion

    if not factors:
        mistake("--from-mlflow needs to know which params are Factors: --factor PARAM, once for each")
    if metric is None or maximize is None:
        mistake("--from-mlflow needs --metric NAME, and --maximize or --minimize: which way is better")
    if seed_param is None and not unpaired:
        mistake(
            "--from-mlflow needs --seed-param PARAM: runs of two Variants are compared in pairs that share a seed. The "
            "order in which runs were started pairs nothing. Where no param says it, --unpaired takes each Variant's "
            "runs for an independent sample (Welch's test)"
        )
    if seed_param is not None and unpaired:
        mistake("--seed-param pairs runs, and --unpaired says that nothing does: give one of both")
    direction: Literal["maximize", "minimize"] = "maximize" if maximize else "minimize"
    asked = _assignments(baseline, factors) if baseline else None
    return ForeignQuestion(tuple(dict.fromkeys(factors)), metric, direction, seed_param, asked)


def _assignments(texts: list[str], factors: list[str]) -> dict[str, str]:
    """`lr=0.1,model=vit` as a mapping; a comma parts two only before the name of a Factor, as values may have some."""
    names = "|".join(re.escape(name) for name in factors)
    found = {}
    for text in texts:
        for part in re.split(rf",(?=\s*(?:{names})=)", text):
            name, sign, value = part.strip().partition("=")
            if not sign:
                mistake(f"--baseline {text}: {part.strip()!r} is no PARAM=VALUE")
            found[name] = value
    return found


def _report_runs(
    experiment: str,
    question: ForeignQuestion,
    reports: Path,
    tracking_uri: str | None,
    condition: str,
    curves: bool,
    formats: frozenset[str],
    quiet: bool,
) -> None:
    from ablate.foreign_levels import ForeignError
    from ablate.foreign_report import report_runs
    from ablate.tracking.mlflow_foreign import BadSearch, NoSuchExperiment
    from ablate.tracking.store import StoreUnavailable

    try:
        code = report_runs(experiment, question, reports, tracking_uri, condition, curves, formats, quiet)
    except (ForeignError, NoSuchExperiment, BadSearch, StoreUnavailable) as error:
        mistake(str(error))
    except OSError as error:
        mistake(f"cannot write the report: {error}")
    raise typer.Exit(code)
