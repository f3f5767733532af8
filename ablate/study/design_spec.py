"""Designs and constraints as a study writes them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ablate.recipe import Section
from ablate.study.names import LevelName, Name

DesignName = Literal["one_at_a_time", "ladder", "factorial", "fractional", "pairs", "listed"]
_Factors = Annotated[list[Name], Field(min_length=1)] | None
_Steps = Annotated[list[str | Annotated[list[str], Field(min_length=1)]], Field(min_length=1)] | None
#: Factor -> Level, or any of several; what it says of several Factors holds where it holds of each.
Combination = Annotated[
    dict[Name, LevelName | Annotated[list[LevelName], Field(min_length=1)]],
    Field(min_length=1),
]


class OfFactors(Section):
    """A design of some of the study's Factors."""

    factors: _Factors = None
    """The Factors that it varies; all of them where it names none."""


class LadderSpec(Section):
    """Changes made one on top of the other."""

    factors: _Factors = None
    """Where `steps` are not given: the Factors whose only other Level is a step each, in this order."""
    steps: _Steps = None
    """`posemb=learned`, or a list of such that are made together; without them, one step for each Factor."""
    direction: Literal["forward", "backward"] = "forward"
    """Forward begins with the baseline and adds the steps; backward begins with every step made and takes back one
    after the other, in the same order."""
    order: Literal["given", "greedy"] = "given"
    """Greedy lets the results choose each rung among all steps that are left."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.steps is not None and self.factors is not None:
            raise ValueError("give 'steps' or 'factors', not both")
        return self


class FractionalSpec(Section):
    """A part of the crossing of Factors of two Levels each, from which their effects can be told."""

    resolution: Literal[3, 4, 5]
    """3: no main effect is mixed up with another one; 4: nor with an interaction of two; 5: nor are those with each
    other."""
    factors: _Factors = None
    """The Factors that it varies; all of them where it names none."""
    levels: dict[Name, LevelName] = {}
    """Which Level stands against the reference, of a Factor that has several others."""


class DesignSpec(Section):
    """One design with its options."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    one_at_a_time: OfFactors | None = None
    """The baseline and each other Level alone."""
    ladder: LadderSpec | None = None
    """Cumulative changes, each on top of the one before."""
    factorial: OfFactors | None = None
    """Every combination of Levels."""
    fractional: FractionalSpec | None = None
    """As few combinations of two Levels each as a resolution allows."""
    pairs: OfFactors | None = None
    """The baseline, each other Level alone, and each two of different Factors together."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one design with a mapping of its options; several designs are a list")
        return self


class OnlyIf(Section):
    """Levels that make sense only together with others."""

    levels: Combination
    """Where all of these hold,"""
    requires: Combination
    """all of these must hold, too; other combinations are not trained."""


Designs = DesignName | DesignSpec | Annotated[list[DesignName | DesignSpec], Field(min_length=1)]
