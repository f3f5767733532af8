"""The starter study that `ablate init` writes: commented, and running as it is."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def write_starter(path: Path) -> None:
    """Write the starter study, with its own path where its comments name it; folders above it are made.

    Raises `FileExistsError` where the file exists, which is left as it is.
    """
    text = files("ablate.study").joinpath("starter.yaml").read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text.replace("THIS_FILE", str(path)))
