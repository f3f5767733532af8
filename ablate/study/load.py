"""From a study file to a frozen Study at one profile. Whatever is wrong is found here, before anything trains."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ablate.study import identity
from ablate.study.analysis import resolve_analysis, resolve_seeds, resolve_sequential
from ablate.study.bases import BaseRecipe, UserRecipe, VisionRecipe
from ablate.study.checking import findings
from ablate.study.design_spec import DesignSpec
from ablate.study.document import Document, parse_setting, read_document
from ablate.study.errors import StudyError
from ablate.study.matched import Count, with_control_names, with_controls
from ablate.study.published import published_columns
from ablate.study.resolve import Scope, resolve_factors, resolve_teachers
from ablate.study.spec import ProfileSpec, StudyFile
from ablate.study.study import VISION, Growth, Metric, Study, Trial, Variant
from ablate.study.teachers import Teachers
from ablate.study.trials import Trials
from ablate.study.variants import Variants, resolve_variants
from ablate.wording import listing, nearest


def load_study(
    path: Path,
    profile: str | None = None,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    sets: Sequence[str] = (),
    cache: Path | None = None,
    growth: Growth = Growth(),  # noqa: B008 - frozen
    count: Count | None = None,
    led_to: Callable[[Study], Growth] | None = None,
) -> Study:
    """Read, check and resolve a study.

    ``only`` selects Variants by patterns on their names (the baseline always stays), ``seeds`` takes the first
    so many seeds (more than the study asks for, where it gives a number and not a list), ``sets`` are
    ``field=value`` overrides of the base for a quick try, and published numbers then hold no longer. ``cache``
    is where fingerprints of data folders are kept. ``growth`` is what results have added to a study that grows by
    them, and the Study's `regrow` resolves it again with more. ``count`` counts parameters, which a study with
    `match_parameters` needs. ``led_to`` says how far results have grown the whole study, so that ``only`` may name
    rungs to which they have led a greedy ladder; it is asked in no other case. The study's folder is put at the end
    of `sys.path`, where a trainable or a part of the user's own is found and shadows no other module. Raises
    `StudyError` with every mistake's place.
    """
    document = read_document(path)
    spec = _validated(document)
    scope = _scope(spec, document, profile)
    find_modules_in(path.parent)
    trials = Trials(spec.trainable or VISION, _revision(scope), cache)
    reading = _Reading(path, scope, trials, _base(scope, sets), tuple(only), seeds, tuple(sets), count)
    if only and led_to is not None and _has_greedy_ladder(scope):
        growth = Growth(rungs=led_to(replace(reading, only=()).resolved(growth)).rungs)
    return reading.resolved(growth)


@dataclass(frozen=True)
class _Reading:
    """A study's file and the training code behind it as they were when they were read.

    A study that grows while it runs grows from this: an edit meanwhile is for the next command.
    """

    path: Path
    scope: Scope
    trials: Trials
    base: BaseRecipe
    only: tuple[str, ...]
    seeds: int | None
    sets: tuple[str, ...]
    count: Count | None

    def resolved(self, growth: Growth) -> Study:
        """The Study with what results have added. Raises `StudyError`."""
        scope, spec, base = self.scope, self.scope.spec, self.base
        factors, specs = resolve_factors(scope), resolve_teachers(scope)
        variants = resolve_variants(scope, factors, base, specs, only=self.only, growth=growth)
        metric, sequential = spec.metric, resolve_sequential(scope, self.seeds)
        made = with_controls(variants.chosen, scope, base, self.count)
        names = with_control_names(variants.names, made, scope)
        published = () if self.sets else published_columns(scope, names)
        trained = {variant.name for variant in made}
        study = Study(
            name=spec.study,
            profile=scope.profile_name,
            path=self.path,
            question=spec.question.strip(),
            source=spec.source.strip(),
            expected=spec.expected.strip(),
            trainable=spec.trainable or VISION,
            metric=Metric(metric.name, metric.direction, metric.unit, metric.label or metric.name),
            factors=factors,
            variants=made,
            seeds=resolve_seeds(scope, self.seeds),
            trials=(),
            data_fingerprint=self.trials.data_of(base.tree),
            published=tuple(column for column in published if not trained.isdisjoint(column.values)),
            citation=spec.citation.strip(),
            selection=_selection(self.only, self.seeds, self.sets, led=variants.led),
            analysis=resolve_analysis(scope, names),
            blocks=variants.blocks,
            sequential=sequential,
            growth=growth,
            regrow=self.resolved if sequential is not None or variants.grows else None,
            header={"command": spec.command.strip(), "cost": spec.cost.strip(), "profile": scope.profile.note.strip()},
        )
        teachers = Teachers(scope, specs, base, self.trials)
        whole = _with_trials(study, teachers, self.trials)
        if whole.regrow is None:
            return whole
        return replace(whole, possible=lambda: self._possible(whole, variants, teachers))

    def _possible(self, study: Study, variants: Variants, teachers: Teachers) -> tuple[Trial, ...]:
        """The study's own Trials with all seeds that there may be, then those of rungs that it has not got to."""
        further = [teachers.taught(variant) for variant in variants.further()]
        seeds = resolve_seeds(self.scope, self.seeds)
        return tuple(t for variant in (*study.variants, *further) for t in self.trials.of(variant, seeds))


def _validated(document: Document) -> StudyFile:
    try:
        return StudyFile.model_validate(document.tree)
    except ValidationError as error:
        found = findings(error, StudyFile, document.tree)
        raise StudyError(*(document.problem(message, keys) for message, keys in found)) from None


def _scope(spec: StudyFile, document: Document, asked: str | None) -> Scope:
    name = asked or spec.profile
    if name is None:
        return Scope(spec, ProfileSpec(), "default", document)
    if name not in spec.profiles:
        choices = list(spec.profiles)
        message = f"there is no profile named {name!r}; {listing(choices)}{nearest(name, choices)}"
        raise document.error(message, ("profiles",) if asked else ("profile",))
    return Scope(spec, spec.profiles[name], name, document)


def _has_greedy_ladder(scope: Scope) -> bool:
    ladders = (asked.ladder for asked, _ in scope.designs if isinstance(asked, DesignSpec))
    return any(ladder is not None and ladder.order == "greedy" for ladder in ladders)


def find_modules_in(folder: Path) -> None:
    """Let modules of the user's own be found in a folder: last, so that they shadow no other."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)
    importlib.invalidate_caches()  # a module may have been written since Python last looked


def _base(scope: Scope, sets: Sequence[str]) -> BaseRecipe:
    kind: type[BaseRecipe] = UserRecipe if scope.spec.trainable else VisionRecipe
    base = kind.start(scope.spec.base, scope.document, ("base",)).checked()
    if scope.profile.base:
        base = base.changed(scope.profile.base, scope.document, scope.in_profile("base")).checked()
    for text in sets:
        field, value = parse_setting(text)
        base = base.changed({field: value}, None, (f"--set {text}",))
    return base.checked()


def _selection(only: Sequence[str], seeds: int | None, sets: Sequence[str], *, led: bool) -> str:
    count = [] if seeds is None else [f"--seeds {seeds}"]
    text = " ".join([*(f"--only {p}" for p in only), *count, *(f"--set {s}" for s in sets)])
    # Elsewhere the same command may choose other Trials. The text names the report's folder, so it is short, and the
    # same before and after results have led a ladder on.
    return f"{text}; rungs as far as results here have led" if led else text


def _revision(scope: Scope) -> str | None:
    """Of the study's own Trainable; None for the built-in trainer, whose revision depends on the Recipe's parts."""
    if scope.spec.trainable is None:
        if scope.spec.revision is not None:
            message = "'revision' is for a trainable of your own, and the study names none"
            raise scope.document.error(message, ("revision",))
        return None
    try:
        source = identity.revision_of(scope.spec.trainable)
    except ValueError as error:
        raise scope.document.error(str(error), ("trainable",)) from None
    return scope.spec.revision or source


def _with_trials(study: Study, teachers: Teachers, trials: Trials) -> Study:
    """The study with its Trials, and with those of its teachers that they learn from."""
    variants = tuple(teachers.taught(variant) for variant in study.variants)
    own = [trials.of(variant, study.seeds[: _seeds_by_now(study, variant)]) for variant in variants]
    chosen = tuple(t for of_one_seed in itertools.zip_longest(*own) for t in of_one_seed if t is not None)
    needed = teachers.needed(chosen)
    seeds = {trial.seed for trial in chosen}
    return replace(
        study,
        seeds=tuple(seed for seed in study.seeds if seed in seeds),
        variants=variants,
        trials=chosen,
        teachers=tuple(trial for _, trial in needed),
        teacher_variants=tuple(variant for variant, _ in needed),
        absent=trials.absent([*(trial for _, trial in needed), *chosen]),
    )


def _seeds_by_now(study: Study, variant: Variant) -> int:
    if study.sequential is None:
        return len(study.seeds)
    return study.growth.seeds.get(variant.name, study.sequential.least)
