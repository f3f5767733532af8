"""Names that a study gives: of Factors, Levels, Variants, profiles."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

#: Names appear in file names, tags and tables, so they are one word; `=` and `,` join them in Variants' names.
NAME_PATTERN = r"^[^\s=,/\\*?\[\]:.][^\s=,/\\*?\[\]:]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
#: A Level may be called `10`: then it is named as it is written.
LevelName = Name | int | float
