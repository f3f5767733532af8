"""What every section of a Recipe is: frozen, strict, and of fields that say what they are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Off = Literal["off"]
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A frozen group of fields that takes no unknown key and converts no type."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class _Neutral:
    """See `NEUTRAL`."""

    def __repr__(self) -> str:
        return "NEUTRAL"


#: Marks a field whose default is to do nothing: a training whose Recipe has it at its default is the training that
#: was before the field existed. A Trial's identity leaves it out there, so that no result is lost when ablate learns
#: something new.
NEUTRAL = _Neutral()
#: Marks a field that decides what is read off a training, and not the training: no Trial's identity has it.
JUDGING = "judging"
