"""How a command ends where the user is mistaken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from ablate.settings import Settings
    from ablate.study.study import Study


def mistake(message: str) -> NoReturn:
    """Say what is wrong, and leave with the code for a mistake of the user's."""
    typer.echo(message, err=True)
    raise typer.Exit(2)


def settings_or_mistake(study_folder: Path | None, overrides: Sequence[str] | None) -> Settings:
    """The settings that hold for a study in that folder; what is wrong in them ends the command."""
    from ablate.settings import load_settings
    from ablate.study.errors import StudyError

    try:
        return load_settings(study_folder, overrides or ())
    except StudyError as error:
        mistake(str(error))


def study_or_mistake(
    path: Path,
    profile: str | None,
    only: Sequence[str] | None,
    seeds: int | None,
    sets: Sequence[str] | None,
    home: Path,
) -> Study:
    """The study that the options choose; what is wrong in it ends the command."""
    from ablate.loading import load
    from ablate.study.errors import StudyError

    try:
        return load(path, home, profile, only=only, seeds=seeds, sets=sets)
    except StudyError as error:
        mistake(str(error))
