"""How a command ends where the user is mistaken."""

from __future__ import annotations

from typing import NoReturn

import typer


def mistake(message: str) -> NoReturn:
    """Say what is wrong, and leave with the code for a mistake of the user's."""
    typer.echo(message, err=True)
    raise typer.Exit(2)
