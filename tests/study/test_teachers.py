"""Teachers in a study file: what they are, whose ids depend on them, and how mistakes are told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ablate.study.errors import StudyError
from ablate.study.study import Study

HARD = "distillation: {teacher: {checkpoint: 'study:NAME'}}"
FACTOR = f"""\
  taught:
    reference: off
    levels:
      large: {{{HARD.replace("NAME", "large")}}}
      deep: {{{HARD.replace("NAME", "deep")}}}
"""
TEACHERS = """\
teachers:
  large:
    seed: 3
    base: {model.dim: 32}
    note: Twice as wide.
  deep:
    base: {model: {depth: 4}, augment.mixup: off}

"""


@pytest.fixture
def text(example: str) -> str:
    """The example study with a Factor that asks who teaches, and two who do."""
    return example.replace("design: one", f"{FACTOR}\n{TEACHERS}design: one")


def ids(study: Study) -> dict[str, str]:
    """`variant/seed` -> id; a teacher's by its name alone."""
    return {t.variant: t.id for t in study.teachers} | {f"{t.variant}/{t.seed}": t.id for t in study.trials}


def changed(before: Study, after: Study) -> set[str]:
    """Names of the Variants and teachers whose Trials are others."""
    old, new = ids(before), ids(after)
    assert old.keys() == new.keys()
    return {key.partition("/")[0] for key in old if old[key] != new[key]}


def problem(load: Any, text: str, profile: str | None = None) -> str:
    """The one mistake of a study, with its place but without its folder."""
    with pytest.raises(StudyError) as caught:
        load(text, profile)
    [found] = caught.value.problems
    return re.sub(r"^.*/study\.yaml", "study.yaml", str(found))


def test_a_teacher_is_the_base_without_distillation_changed(load: Any, text: str) -> None:
    """At the profile, with the profile's overrides and its own; `changes` and the note say so."""
    written = text.replace("  precision: float32\n", f"  precision: float32\n  {HARD.replace('NAME', 'deep')}\n", 1)
    study = load(written.replace(f"      deep: {{{HARD.replace('NAME', 'deep')}}}", "      none: {distillation: off}"))
    large, deep = study.teachers
    assert (large.variant, large.seed, deep.variant, deep.seed) == ("teacher:large", 3, "teacher:deep", 0)
    base = study.baseline.recipe
    assert base["distillation"]["teacher"]["checkpoint"] == f"trial:{deep.id}"
    wider = {**base, "distillation": "off", "model": {**base["model"], "dim": 32}}
    assert large.recipe == wider
    assert deep.recipe["schedule"]["epochs"] == 3
    assert (deep.recipe["model"]["depth"], deep.recipe["augment"]["mixup"]) == (4, "off")
    variant = study.teacher_variants[0]
    assert (variant.name, variant.note) == ("teacher:large", "Twice as wide.")
    assert variant.changes.keys() == {"distillation", "model.dim"}


def test_a_resolved_recipe_has_the_teachers_id_and_changes_its_name(load: Any, text: str) -> None:
    """Machines need the Trial, people the name; every seed of a Variant learns from the same Trial."""
    study = load(text)
    teachers = {trial.variant: trial.id for trial in study.teachers}
    for name in ("large", "deep"):
        variant = next(v for v in study.variants if v.name == f"taught={name}")
        teacher = teachers[f"teacher:{name}"]
        assert variant.recipe["distillation"]["teacher"]["checkpoint"] == f"trial:{teacher}"
        assert variant.changes["distillation"][1]["teacher"]["checkpoint"] == f"study:{name}"
        trials = [t for t in study.trials if t.variant == variant.name]
        assert [t.needs for t in trials] == [(teacher,)] * 3
        assert all(t.recipe == variant.recipe for t in trials)
    assert all(t.needs == () for t in study.trials if not t.variant.startswith("taught"))
    assert study.borrowed == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [("model.dim: 32", "model.dim: 48"), ("seed: 3", "seed: 4"), ("model.dim: 32", "optimizer.learning_rate: 2e-3")],
)
def test_what_decides_the_teacher_decides_its_pupils(load: Any, text: str, before: str, after: str) -> None:
    """Another Recipe or seed of a teacher makes other Trials of those that learn from it, and of nobody else."""
    assert changed(load(text), load(text.replace(before, after))) == {"teacher:large", "taught=large"}


def test_names_and_notes_decide_nothing(load: Any, text: str) -> None:
    """A teacher that is renamed is the same Trial, and teaches the same ones."""
    renamed = load(text.replace("large:", "big:").replace("study:large", "study:big").replace("Twice as wide", "Wide"))
    assert set(ids(load(text)).values()) == set(ids(renamed).values())


def test_teachers_change_no_id_of_those_that_do_not_learn(load: Any, text: str, example: str) -> None:
    """A study that gets teachers keeps all that it has trained."""
    before, after = ids(load(example)), ids(load(text))
    assert before.items() <= after.items()


def test_teachers_come_first_and_only_those_that_are_needed(load: Any, text: str) -> None:
    """`--only` leaves out the teachers of the Variants that it leaves out."""
    study = load(text)
    assert study.all_trials[:2] == study.teachers
    assert study.all_trials[2:] == study.trials
    assert load(text, only=["posemb*"]).teachers == ()
    assert [t.variant for t in load(text, only=["taught=deep"]).teachers] == ["teacher:deep"]


def test_a_teacher_may_have_one_of_its_own(load: Any, text: str) -> None:
    """It stands behind it, and its id depends on it."""
    chain = text.replace("{model.dim: 32}", f"{{model.dim: 32, {HARD.replace('NAME', 'deep')}}}")
    study = load(chain, only=["taught=large"])
    deep, large = study.teachers
    assert (deep.variant, large.needs) == ("teacher:deep", (deep.id,))
    other = load(chain.replace("depth: 4", "depth: 3"), only=["taught=large"])
    assert changed(study, other) == {"teacher:deep", "teacher:large", "taught=large"}


def test_a_teacher_that_is_a_variants_trial_is_trained_once(load: Any, text: str) -> None:
    """A teacher that changes nothing is the baseline at its seed."""
    study = load(text.replace("    base: {model: {depth: 4}, augment.mixup: off}\n", "    note: As it is.\n"))
    deep = study.teachers[1]
    assert deep.id == ids(study)["baseline/0"]
    assert len(study.all_trials) == len(study.trials) + 1
    assert [t.id for t in study.all_trials].count(deep.id) == 1


def test_a_profile_replaces_adds_and_takes_out(load: Any, text: str) -> None:
    """As with listed Variants: a teacher is replaced whole, and null takes one out."""
    own = "    teachers:\n      large: {base: {model.dim: 8}}\n      third: {}\n      deep: null\n"
    levels = "      taught: {levels: {deep: {distillation: {teacher: {checkpoint: 'study:third'}}}}}\n"
    profile = text.replace(
        "      randaug: {label: RandAugment}\n", f"      randaug: {{label: RandAugment}}\n{levels}{own}"
    )
    study = load(profile)
    assert [(t.variant, t.seed) for t in study.teachers] == [("teacher:large", 0), ("teacher:third", 0)]
    assert study.teachers[0].recipe["model"]["dim"] == 8
    assert [t.variant for t in load(text, "paper").teachers] == ["teacher:large", "teacher:deep"]


MISTAKES = {
    "unknown": (
        ("study:deep", "study:dep"),
        "there is no teacher named 'dep'; allowed: large, deep; did you mean 'deep'?",
        "{distillation: {teacher: {checkpoint: 'study:dep'}}}",
    ),
    "override": (("model.dim: 32", "model.dmi: 32"), "there is no field 'dmi' in 'model'", "{model.dmi: 32}"),
    "value": (("model.dim: 32", "model.dim: wide"), "model.dim: must be a whole number, not 'wide'", "{model.dim: w"),
    "misfit": (("model.dim: 32", "model.dim: 30"), "a width that is a multiple of 4", "{model.dim: 30}"),
    "key": (
        ("    seed: 3", "    seeds: 3"),
        "unknown key 'seeds' in 'teachers.large'; allowed: seed, base",
        "seeds: 3",
    ),
    "seed": (("    seed: 3", "    seed: -3"), "teachers.large.seed: must be greater than or equal to 0", "seed: -3"),
    "itself": (
        ("{model.dim: 32}", "{distillation: {teacher: {checkpoint: 'study:large'}}}"),
        "the teacher 'large' would have to be trained before itself",
        "base: {distillation: {teacher: {checkpoint: 'study:large'}}}",
    ),
    "judge": (
        ("{model.dim: 32}", "{ema: {decay: 0.9}, judge: ema}"),
        "a teacher teaches with its final weights, and is judged by them",
        "{ema: {decay: 0.9}, judge: ema}",
    ),
    "twice": (
        ("    base: {model: {depth: 4}, augment.mixup: off}", "    seed: 3\n    base: {model: {dim: 32}}"),
        "teachers 'large' and 'deep' are the same Trial; take one out",
        "deep:\n    seed",
    ),
    "checkpoint": (
        ("study:deep", "trail:deep"),
        "must be 'study:NAME', 'trial:ID', 'file:PATH' or 'timm', not 'trail:deep'",
        "{distillation: {teacher: {checkpoint: 'trail",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_with_their_place(load: Any, text: str, mistake: str) -> None:
    """Line and column of what was written, what is allowed, and what was probably meant."""
    (before, after), expected, near = MISTAKES[mistake]
    assert before in text
    written = text.replace(before, after, 1)
    found = problem(load, written)
    assert expected in found
    line = written[: written.index(near)].count("\n") + 1
    assert found.startswith(f"study.yaml:{line}:")


def test_teachers_may_not_teach_in_a_circle(load: Any, text: str) -> None:
    """Two that learn from each other could never begin."""
    circle = text.replace("{model.dim: 32}", f"{{{HARD.replace('NAME', 'deep')}}}")
    circle = circle.replace("{model: {depth: 4}, augment.mixup: off}", f"{{{HARD.replace('NAME', 'large')}}}")
    with pytest.raises(StudyError, match="the teacher 'large' would have to be trained before itself"):
        load(circle)


def test_a_profile_cannot_take_out_what_is_not_there(load: Any, text: str) -> None:
    """The nearest name is told."""
    profile = text.replace("  paper:\n", "  paper:\n    teachers: {depe: null}\n")
    found = problem(load, profile, "paper")
    assert "there is no teacher named 'depe'; allowed: large, deep; did you mean 'deep'?" in found


def test_a_study_without_teachers_knows_none(load: Any, example: str) -> None:
    """The first thing that one forgets: a name needs a section."""
    taught = example.replace("design: one", f"{FACTOR}\ndesign: one")
    with pytest.raises(StudyError, match="there is no teacher named 'large'; allowed: none"):
        load(taught)


def test_a_trainable_of_the_users_own_has_no_teachers(load: Any, folder: Any) -> None:
    """What its weights are nobody knows, so nobody can hand them over."""
    (folder / "mine.py").write_text("def train(recipe, seed, report, folder): ...\n", encoding="utf-8")
    text = """\
study: own
question: Why?
trainable: mine:train
metric: {name: score, direction: maximize}
seeds: 1
base: {width: 3}
teachers:
  big: {base: {width: 30}}
"""
    found = problem(load, text)
    assert found == (
        "study.yaml:8:3: teachers are trained by the built-in trainer, and this study has a trainable of its own"
    )


def test_a_trial_of_another_study_is_borrowed(load: Any, text: str) -> None:
    """By its id; it is needed, and none of the study's own."""
    study = load(text.replace("study:deep", "trial:0123456789abcdef"))
    assert study.borrowed == ("0123456789abcdef",)
    assert [t.variant for t in study.teachers] == ["teacher:large"]


JUDGED = """\
  judged:
    reference: weights
    levels:
      ema: {judge: ema}
"""


@pytest.fixture
def judged(example: str) -> str:
    """The example with a moving average in all Variants, by which one is judged."""
    return example.replace("  precision: float32\n", "  precision: float32\n  ema: {decay: 0.9}\n", 1).replace(
        "design: one", f"{JUDGED}\ndesign: one"
    )


def test_variants_that_are_judged_differently_share_their_trials(load: Any, judged: str) -> None:
    """The Level changes something, and nothing that has to be trained again."""
    study = load(judged)
    by = {(t.variant, t.seed): t.id for t in study.trials}
    assert all(by["judged=ema", seed] == by["baseline", seed] for seed in study.seeds)
    assert len(study.all_trials) == len(study.trials) - 3
    assert next(t for t in study.all_trials if t.id == by["judged=ema", 0]).variant == "baseline"
    metrics = {v.name: study.metric_of(v.recipe) for v in study.variants}
    assert metrics.pop("judged=ema") == "ema_top1"
    assert set(metrics.values()) == {"top1"}


def test_two_variants_of_one_recipe_are_one(load: Any, judged: str) -> None:
    """What is judged alike and trained alike is one Variant, by the name that the list gives it."""
    study = load(judged.replace("variants:\n", "variants:\n  again: {levels: {judged: ema}}\n"))
    assert [v.also for v in study.variants if v.name == "again"] == [("judged=ema",)]
