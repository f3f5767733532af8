"""The study file as it is written, before it is resolved at a profile: one pydantic model per mapping."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ablate.recipe import Section
from ablate.study.design_spec import Combination, Designs, OnlyIf
from ablate.study.names import LevelName, Name

TRAINABLE_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
#: `{model.position: learned}`: fields of the Recipe, dotted or nested, and their values.
Overrides = dict[str, Any]


class SequentialSeeds(Section):
    """Seeds that are added, one at a time, only where a verdict is still open."""

    min: Annotated[int, Field(ge=2, le=10_000)]
    """Seeds that every Variant has."""
    max: Annotated[int, Field(ge=2, le=10_000)]
    """Seeds that none has more than."""
    stop: Literal["decided"] = "decided"
    """When no more are added: once the Variant has a verdict that this way of stopping allows."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max <= self.min:
            raise ValueError(f"max must be more than min, which is {self.min}")
        return self


Seeds = (
    Annotated[int, Field(gt=0, le=10_000)]
    | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    | SequentialSeeds
)


class MetricSpec(Section):
    """What the study compares."""

    name: str
    """A key of the Trainable's final metrics."""
    direction: Literal["maximize", "minimize"]
    """Which way is better."""
    unit: str = ""
    """Shown behind numbers, `%` for instance."""
    label: str = ""
    """How tables and plots call it."""


class FactorSpec(Section):
    """A question, the name of the base's own answer to it, and the other answers."""

    reference: LevelName
    """Name of the reference Level, which is the base itself."""
    levels: Annotated[dict[Name, Overrides], Field(min_length=1)]
    """The other Levels: name -> overrides of the base."""
    label: str = ""
    """How tables and plots call the Factor."""


class FactorChange(Section):
    """What a profile changes in a Factor."""

    reference: LevelName | None = None
    """Another name for the reference Level."""
    levels: dict[Name, Overrides | None] = {}
    """Levels that are replaced or added; null takes one out."""
    label: str | None = None
    """Another label."""


class VariantSpec(Section):
    """A Variant that the study lists by name."""

    levels: Annotated[dict[Name, LevelName], Field(min_length=1)]
    """Factor -> Level; Factors not named stay at their reference."""
    note: str = ""
    """Said under the table."""


class TeacherSpec(Section):
    """A Trial that is trained so that others can learn from it: the base without distillation, changed."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Of its training; one teacher teaches every seed of a study."""
    base: dict[str, Any] = {}
    """Overrides of the base Recipe, nested or dotted."""
    note: str = ""
    """Why this one, in a sentence."""


class PublishedColumnSpec(Section):
    """One column of published numbers."""

    label: str
    """The column's heading."""
    where: dict[str, str | int | float]
    """Columns of the file and the values to choose its rows by; what is left must be one row per Variant."""
    rows: dict[str, str] = {}
    """Variant name -> the file's `variant`, where this column calls it otherwise than the others do."""
    note: str = ""
    """Said under the table."""


class PublishedSpec(Section):
    """Where published numbers are, and which row of the file is which Variant."""

    file: str
    """A CSV file beside the study, with columns variant, value, source and those that `where` names."""
    rows: dict[str, str]
    """Variant name -> the file's `variant`."""


class AnalysisSpec(Section):
    """How results are judged."""

    margin: Annotated[float, Field(gt=0)] | None = None
    """In the metric's unit: differences smaller than this do not matter. With one, a verdict can be "no difference"."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The rate of wrong verdicts over all comparisons of the study, of each kind (helps or hurts; no difference);
    intervals are of 1 - alpha."""
    over: Literal["seeds", "seeds_and_images"] = "seeds"
    """What verdicts speak of: other seeds on the same held-out images, or other seeds and other images."""
    tuned: dict[str, Annotated[int, Field(ge=0)] | Literal[True]] = {}
    """Variant -> how many settings were tried for it, true where nobody counted. The table says where it is unequal."""


class ProfileSpec(Section):
    """The same study at another scale."""

    note: str = ""
    """What the profile is, in one sentence."""
    base: dict[str, Any] = {}
    """Overrides of the base Recipe, nested or dotted."""
    factors: dict[Name, FactorChange] = {}
    """Changes to Factors."""
    design: Designs | None = None
    """Which Variants are trained at this profile."""
    variants: dict[Name, VariantSpec | None] = {}
    """Listed Variants that are replaced or added; null takes one out."""
    teachers: dict[Name, TeacherSpec | None] = {}
    """Teachers that are replaced or added; null takes one out."""
    seeds: Seeds | None = None
    """Seeds at this profile."""
    analysis: AnalysisSpec | None = None
    """How results are judged at this profile, in place of the study's own."""
    published: list[PublishedColumnSpec] = []
    """Columns of published numbers that hold at this profile, and at no other."""


class StudyFile(Section):
    """A study: one question, asked of one base Recipe."""

    study: Name
    """The study's name: its experiment in MLflow, its folder under reports/."""
    question: str
    """What the study answers."""
    source: str = ""
    """The paper or page that the study is about."""
    command: str = ""
    """How to run it."""
    cost: str = ""
    """What that takes."""
    expected: str = ""
    """What one should find."""
    citation: str = ""
    """BibTeX of the source."""
    trainable: Annotated[str, Field(pattern=TRAINABLE_PATTERN)] | None = None
    """`module:function` of your own training code; without it, the built-in vision trainer."""
    revision: str | None = None
    """Names the state of your training code; without it, a digest of the trainable's module."""
    profile: Name | None = None
    """The profile that is run when none is asked for."""
    metric: MetricSpec
    """What is compared."""
    seeds: Seeds
    """How many seeds, or which; or `{min: 3, max: 12, stop: decided}`."""
    analysis: AnalysisSpec = AnalysisSpec()
    """The margin that matters, the rate of errors, and what verdicts speak of."""
    match_parameters: str | None = None
    """A field of the Recipe, such as `model.dim`: each Variant with more or fewer parameters than the baseline gets a
    twin, `NAME@matched`, in which this field is adjusted until it has as many."""
    base: Annotated[dict[str, Any], Field(min_length=1)]
    """The Recipe of the baseline."""
    factors: dict[Name, FactorSpec] = {}
    """The questions."""
    design: Designs = "one_at_a_time"
    """Which Variants are trained: a design, one with options, or a list of them; `listed` is implied by `variants`."""
    exclude: list[Combination] = []
    """Combinations of Levels that are not trained: Factor -> Level, or several."""
    only_if: list[OnlyIf] = []
    """Levels that are trained only together with others."""
    zip: list[Annotated[list[Name], Field(min_length=2)]] = []
    """Factors whose Levels go together, the first with the first; they are varied as one."""
    variants: dict[Name, VariantSpec] = {}
    """Variants listed by name, beside those of the design."""
    teachers: dict[Name, TeacherSpec] = {}
    """Trials that are trained first, for `distillation.teacher.checkpoint: study:NAME` to learn from."""
    profiles: dict[Name, ProfileSpec] = {}
    """The same study at other scales."""
    published: PublishedSpec | None = None
    """Published numbers to stand beside the measured ones."""
