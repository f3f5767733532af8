"""A study's teachers: Trials that others learn from, and that are therefore trained first.

A teacher is the base without distillation, changed as its study says. Recipes name it `study:NAME` where they are
written; once its Trial is known its id stands there, and so whatever decides the teacher decides the ids of those that
learn from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ablate.study.bases import BaseRecipe, VisionRecipe
from ablate.study.errors import Problem, StudyError
from ablate.study.overrides import differences
from ablate.study.resolve import Scope
from ablate.study.spec import TeacherSpec
from ablate.study.study import TEACHER, Trial, Variant
from ablate.study.trials import Trials
from ablate.study.weights import FIELD, STUDY, checkpoint_of, with_checkpoint
from ablate.wording import listing, nearest

_ALONE = {"distillation": "off", "judge": "weights"}


def check_teacher(recipe: BaseRecipe, teachers: Collection[str]) -> None:
    """Raises `StudyError` where a checked Recipe learns from a teacher that its study does not have."""
    name = _named(recipe)
    if name and name not in teachers:
        message = f"there is no teacher named {name!r}; {listing(teachers)}{nearest(name, teachers)}"
        raise StudyError(recipe.problem(message, FIELD))


def _named(recipe: BaseRecipe) -> str:
    """The name of the study's teacher that a Recipe learns from, else nothing."""
    checkpoint = checkpoint_of(recipe.tree) if isinstance(recipe, VisionRecipe) else ""
    return checkpoint.removeprefix(STUDY) if checkpoint.startswith(STUDY) else ""


class Teachers:
    """The teachers of a study at one profile."""

    def __init__(self, scope: Scope, specs: Mapping[str, TeacherSpec], base: BaseRecipe, trials: Trials) -> None:
        """Resolves all of them, whether or not they are learnt from. Raises `StudyError` for every mistake at once."""
        self._scope, self._specs, self._base, self._trials = scope, specs, base, trials
        self._made: dict[str, tuple[Variant, Trial]] = {}
        problems: list[Problem] = []
        for name in specs:
            try:
                self._make(name, ())
            except StudyError as error:
                problems += error.problems
        if problems:
            raise StudyError(*problems)
        self._check_distinct()

    def taught(self, variant: Variant) -> Variant:
        """The Variant with the id of its teacher's Trial in its Recipe; `changes` name the teacher as before."""
        checkpoint = checkpoint_of(variant.recipe) if self._specs else ""
        if not checkpoint.startswith(STUDY):
            return variant
        _, trial = self._made[checkpoint.removeprefix(STUDY)]
        return replace(variant, recipe=with_checkpoint(variant.recipe, f"trial:{trial.id}"))

    def needed(self, trials: Collection[Trial]) -> list[tuple[Variant, Trial]]:
        """The teachers that these Trials learn from, or their teachers do; each behind those that it needs itself."""
        wanted = {need for trial in trials for need in trial.needs}
        for _, trial in reversed(self._made.values()):
            if trial.id in wanted:
                wanted.update(trial.needs)
        return [made for made in self._made.values() if made[1].id in wanted]

    def _make(self, name: str, pupils: tuple[str, ...]) -> Trial:
        """Raises `StudyError`; ``pupils`` are the teachers for whose sake this one is made."""
        if name not in self._made:
            recipe = self._recipe(name)
            check_teacher(recipe, self._specs)
            own = _named(recipe)
            tree = recipe.tree
            if own in (*pupils, name):
                raise StudyError(recipe.problem(f"the teacher {own!r} would have to be trained before itself", FIELD))
            if own:
                tree = with_checkpoint(tree, f"trial:{self._make(own, (*pupils, name)).id}")
            spec = self._specs[name]
            changes = differences(self._base.tree, recipe.tree)
            variant = Variant(f"{TEACHER}{name}", {}, tree, changes, spec.note.strip())
            [trial] = self._trials.of(variant, [spec.seed])
            self._made[name] = variant, trial
        return self._made[name][1]

    def _recipe(self, name: str) -> BaseRecipe:
        document, place = self._scope.document, self._scope.teacher_place(name)
        alone = self._base.changed(_ALONE, document, place)
        recipe = alone.changed(self._specs[name].base, document, (*place, "base")).checked()
        if recipe.tree["judge"] != "weights":
            raise StudyError(recipe.problem("a teacher teaches with its final weights, and is judged by them", "judge"))
        return recipe

    def _check_distinct(self) -> None:
        seen: dict[str, str] = {}
        for name, (_, trial) in self._made.items():
            if trial.id in seen:
                message = f"teachers {seen[trial.id]!r} and {name!r} are the same Trial; take one out"
                raise self._scope.document.error(message, self._scope.teacher_place(name))
            seen[trial.id] = name
