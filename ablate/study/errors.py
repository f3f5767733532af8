"""A mistake in a study, told so that it can be mended: file, line, column, what is allowed, the nearest name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One mistake and where it stands; line and column count from 1, 0 where there is no place to point at."""

    message: str
    path: Path | None = None
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        message = " ".join(self.message.splitlines())  # an exception's text may have several
        if self.path is None:
            return message
        place = f"{self.path}:{self.line}:{self.column}" if self.line else str(self.path)
        return f"{place}: {message}"


class StudyError(ValueError):
    """The study cannot be run as it is written. `problems` holds every mistake found in one reading."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(str(p) for p in self.problems))
