"""The nouns of a study, resolved and frozen: Level, Factor, Variant, Trial, Study.

They are what loading produces and everything downstream reads. A study's Recipes are either `Recipe`
objects of the built-in vision trainer or, for a Trainable of the user's own, plain nested mappings; both
are carried here in their resolved form, as nested dicts of JSON types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

ResolvedRecipe = Mapping[str, Any]
BASELINE = "baseline"
#: Before the name of a teacher, where a Variant's name would stand; no Variant can be called so.
TEACHER = "teacher:"
VISION = "ablate.training.vision:train"
#: Before the name of a metric of the vision trainer: of the moving average of the weights, and not of the weights.
EMA = "ema_"


@dataclass(frozen=True)
class Level:
    """One answer to a Factor's question: a set of overrides of the base (`"model.position": "learned"`)."""

    name: str
    overrides: Mapping[str, Any]


@dataclass(frozen=True)
class Factor:
    """A question: its reference Level, which is the base itself, and the other Levels by name."""

    name: str
    reference: str
    levels: Mapping[str, Level]
    """Every Level but the reference, in the study's order."""
    label: str = ""
    """How tables and plots call it; the name where the study gives none."""


@dataclass(frozen=True)
class Variant:
    """One Level per Factor, and the Recipe which that makes."""

    name: str
    levels: Mapping[str, str]
    """Factor name -> Level name, for every Factor of the study."""
    recipe: ResolvedRecipe
    changes: Mapping[str, tuple[Any, Any]]
    """Dotted field -> (value in the baseline, value here), for every field that differs."""
    note: str = ""
    also: tuple[str, ...] = ()
    """Other names of the same Recipe in this study: what the design or a list asked for a second time."""
    control_of: str = ""
    """Of a matched-capacity control: the Variant whose twin it is."""

    @property
    def is_baseline(self) -> bool:
        """Whether every Factor is at its reference Level."""
        return self.name == BASELINE

    @property
    def is_teacher(self) -> bool:
        """Whether this is no Variant to compare, but a teacher of the study in a Variant's form."""
        return self.name.startswith(TEACHER)


@dataclass(frozen=True)
class Trial:
    """Variant x seed: the unit that is trained once and never again."""

    id: str
    variant: str
    seed: int
    recipe: ResolvedRecipe
    needs: tuple[str, ...] = ()
    """Ids of the Trials that must have finished before this one can begin: its teacher."""


@dataclass(frozen=True)
class Metric:
    """What the study compares: a key of the final metrics, which way is better, and its unit."""

    name: str
    direction: Literal["maximize", "minimize"]
    unit: str = ""
    label: str = ""


@dataclass(frozen=True)
class PublishedColumn:
    """A column of published numbers: Variant name -> value, where they come from and for what they hold."""

    label: str
    values: Mapping[str, float]
    source: str
    note: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Variant name -> the number in its source's own digits (`75.0`), behind `≈` where it is approximate."""


@dataclass(frozen=True)
class Analysis:
    """How a study's results are judged."""

    margin: float | None = None
    """In the metric's unit: differences smaller than this do not matter; None where the study names none."""
    alpha: float = 0.05
    """The rate of wrong verdicts over all comparisons of the study, of each kind (helps or hurts; no difference);
    intervals are of 1 - alpha."""
    over: Literal["seeds", "seeds_and_images"] = "seeds"
    """What verdicts speak of: other seeds on the same held-out images, or other seeds and other images."""
    tuned: Mapping[str, int | bool] = field(default_factory=dict)
    """Variant -> how many settings were tried for it, True where nobody counted; empty where nothing is said."""


@dataclass(frozen=True)
class Sequential:
    """Seeds that are added only where a verdict is still open: each Variant has from ``least`` to ``most``."""

    least: int
    most: int


@dataclass(frozen=True)
class Growth:
    """What the results so far have added to a study that grows by its results."""

    seeds: Mapping[str, int] = field(default_factory=dict)
    """Variant name -> how many seeds it has by now; `Sequential.least` where it is not named."""
    rungs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Place of a greedy ladder in the study's designs -> the steps chosen so far, as the study writes them."""


@dataclass(frozen=True)
class Block:
    """One design of a study's union: Variants whose results are read together."""

    design: str
    """`one_at_a_time`, `ladder`, `factorial`, `fractional`, `pairs` or `listed`."""
    variants: tuple[str, ...]
    """Names, in the design's order: of a ladder from its foot upwards."""
    factors: tuple[str, ...]
    """The Factors that it varies."""
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Factor -> the Levels that it takes here, the reference first."""
    steps: tuple[str, ...] = ()
    """Of a ladder: what each rung after the foot adds, or takes back: one fewer than `variants`."""
    backward: bool = False
    """Of a ladder: it begins with every change made, and takes back one after the other."""
    greedy: bool = False
    """Of a ladder: each rung was chosen by the results, among ``tried``."""
    tried: tuple[str, ...] = ()
    """Of a greedy ladder: all Variants that were candidates for a rung."""
    candidates: Mapping[str, str] = field(default_factory=dict)
    """Of a greedy ladder that is not at its top: step, as the study writes it -> the Variant that it would make."""
    resolution: int = 0
    """Of a fractional design: the length of its shortest alias, less one effect; 0 otherwise."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a fractional design: effect (`a`, `a:b`) -> the effects of up to two Factors that it cannot be told from."""
    zipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Factor in `factors` -> others that go together with it, for all of which it stands; a ladder names all itself."""
    excluded: int = 0
    """Combinations of the design that constraints took out."""
    cells: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Variant -> the Levels (of every Factor) by which this design has it, where a Variant that is merged with another
    one of the same Recipe carries other Levels."""


@dataclass(frozen=True)
class Study:
    """A study at one profile, ready to plan and run."""

    name: str
    profile: str
    path: Path
    question: str
    source: str
    expected: str
    """What the header says one should find."""
    trainable: str
    """`module:function`; `VISION` for the built-in trainer."""
    metric: Metric
    factors: Mapping[str, Factor]
    variants: tuple[Variant, ...]
    """The baseline first, then in the study's order; after `--only` the selected ones."""
    seeds: tuple[int, ...]
    trials: tuple[Trial, ...]
    """Variants x seeds, seeds outermost, so that early results cover all Variants; where seeds are added by results, a
    Variant has the first so many of `seeds`. Two Variants that are judged
    differently and trained alike have Trials of one id."""
    data_fingerprint: str
    """Digest of the data that the Trials read; empty for a user's own Trainable."""
    published: tuple[PublishedColumn, ...] = ()
    citation: str = ""
    """BibTeX of the source."""
    selection: str = ""
    """What `--only`, `--seeds` and `--set` changed, and whether that depends on results; empty when the study runs as
    written."""
    header: Mapping[str, str] = field(default_factory=dict)
    """The rest of the study's header: command, cost."""
    teachers: tuple[Trial, ...] = ()
    """Trials that are no results of the study, but are learnt from; each stands behind those that it needs itself."""
    teacher_variants: tuple[Variant, ...] = ()
    """What the teachers are, in the form of Variants: named as their Trials' `variant`."""
    absent: tuple[str, ...] = ()
    """Weights of teachers, as the study names them (`file:PATH`), that are not on this machine."""
    analysis: Analysis = Analysis()
    blocks: tuple[Block, ...] = ()
    """The designs, each with its Variants; a Variant may be in several."""
    sequential: Sequential | None = None
    """How seeds are added where a verdict is open; None where their number is fixed."""
    growth: Growth = Growth()
    """What results have added so far."""
    regrow: Callable[[Growth], Study] | None = field(default=None, compare=False, repr=False)
    """The same study with another growth; None where it does not grow."""
    possible: Callable[[], tuple[Trial, ...]] | None = field(default=None, compare=False, repr=False)
    """Of a study that grows: the Trials that any results could ask for, found when it is asked for; of the rungs of a
    greedy ladder those of the fewest steps, and no controls of rungs to which it has not got."""

    @property
    def baseline(self) -> Variant:
        """The Variant that every other is compared with."""
        return self.variants[0]

    @cached_property
    def all_trials(self) -> tuple[Trial, ...]:
        """What has to be trained: the teachers first, then all others, each id once."""
        each: dict[str, Trial] = {}
        for trial in (*self.teachers, *self.trials):
            each.setdefault(trial.id, trial)
        return tuple(each.values())

    @property
    def borrowed(self) -> tuple[str, ...]:
        """Ids of the Trials that are learnt from and that are not the study's own."""
        trials = self.all_trials
        own = {trial.id for trial in trials}
        return tuple(dict.fromkeys(need for trial in trials for need in trial.needs if need not in own))

    def metric_of(self, recipe: ResolvedRecipe) -> str:
        """The final metric by which Trials of a Recipe are compared: the study's, or that of the averaged weights."""
        averaged = self.trainable == VISION and recipe.get("judge") == "ema"
        return f"{EMA}{self.metric.name}" if averaged else self.metric.name

    @property
    def slug(self) -> str:
        """`<study>/<profile>`: the folder of its report and of its run files."""
        return f"{self.name}/{self.profile}"
