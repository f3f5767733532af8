"""A study of a Trainable of the user's own: its base is its schema. And parts of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.study.errors import StudyError
from ablate.study.study import Study

Loader = Callable[..., Study]

STUDY = """\
study: forest
question: How many trees?
trainable: my_training:train
metric: {name: accuracy, direction: maximize}
seeds: 2
base:
  trees: 10
  rate: 0.5
  flag: true
  kind: gini
  data: {source: "s3://one", sizes: [1, 2]}
  extra: null
  noise: {level: 0.1, steps: 3}
factors:
  trees: {reference: 10, levels: {30: {trees: 30}}}
  rate: {reference: 0.5, levels: {1: {rate: 1}}}
  data: {reference: one, levels: {two: {data.source: "s3://two"}}}
  noise: {reference: some, levels: {none: {noise: null}, more: {noise: {level: 0.2}}}}
"""


@pytest.fixture
def training(folder: Path) -> Path:
    """The user's module, beside the study; importing it would fail."""
    path = folder / "my_training.py"
    path.write_text("raise SystemExit('imported')\n\n\ndef train(recipe, seed, report, folder):\n    return {}\n")
    return path


@pytest.mark.usefixtures("training")
def test_factors_and_designs_work_on_any_mapping(load: Loader) -> None:
    """Every Level becomes a Variant, whose changes are told field by field; the module is not imported."""
    study = load(STUDY)
    assert {v.name: dict(v.changes) for v in study.variants[1:]} == {
        "trees=30": {"trees": (10, 30)},
        "rate=1": {"rate": (0.5, 1.0)},
        "data=two": {"data.source": ("s3://one", "s3://two")},
        "noise=none": {"noise": ({"level": 0.1, "steps": 3}, None)},
        "noise=more": {"noise.level": (0.1, 0.2)},
    }
    assert study.trainable == "my_training:train"
    assert study.data_fingerprint == ""


@pytest.mark.usefixtures("training")
def test_fields_of_a_users_recipe_have_no_meaning_of_ours(load: Loader) -> None:
    """A `data.source` is not taken for the vision trainer's: another value is another Trial."""
    ids = [t.id for t in load(STUDY, seeds=1).trials]
    assert len(set(ids)) == len(ids)


@pytest.mark.usefixtures("training")
def test_an_int_given_for_a_float_is_that_float(load: Loader) -> None:
    """1 and 1.0 are one Recipe, and a Level that only writes it otherwise changes nothing."""
    assert type(load(STUDY).variants[2].recipe["rate"]) is float
    with pytest.raises(StudyError, match="Level '1' of 'rate' changes nothing"):
        load(STUDY.replace("rate: 0.5", "rate: 1.0").replace("reference: 0.5", "reference: one"))


@pytest.mark.usefixtures("training")
def test_null_takes_any_value(load: Loader) -> None:
    """A field that the base leaves empty may be filled by a Level with what it likes, and by another otherwise."""
    text = STUDY + "  extra: {reference: no, levels: {a: {extra: 3}, b: {extra: text}, c: {extra: {x: 1}}}}\n"
    assert [v.recipe["extra"] for v in load(text, only=["extra=*"]).variants] == [None, 3, "text", {"x": 1}]


MISTAKES = {
    "unknown field": (
        "{trees: 30}",
        "{¦tree: 30}",
        "there is no field 'tree' at the top of the Recipe; allowed: trees",
    ),
    "unknown below": ("{noise: {level: 0.2}}", "{noise: {¦levl: 0.2}}", "there is no field 'levl' in 'noise'"),
    "text for a number": (
        "{trees: 30}",
        "{¦trees: many}",
        "must be a whole number as in the base (10), or null, not 'many'",
    ),
    "fraction for a whole number": ("{trees: 30}", "{¦trees: 2.5}", "not 2.5; write 10.0 in the base"),
    "number for a switch": ("{trees: 30}", "{¦flag: 1}", "must be true or false as in the base (true), or null, not 1"),
    "switch for a number": (
        "{trees: 30}",
        "{¦trees: true}",
        "must be a whole number as in the base (10), or null, not true",
    ),
    "value for a mapping": (
        "{noise: null}",
        "{¦noise: 3}",
        "noise: must be a mapping as in the base (a mapping), or null",
    ),
    "mapping for a value": (
        "{trees: 30}",
        "{¦trees: {a: 1}}",
        "must be a whole number as in the base (10), or null, not a",
    ),
    "list for a value": ("{trees: 30}", "{¦trees: [1]}", "not [1]"),
    "nothing changed": ("30: {trees: 30}", "¦30: {trees: 10}", "changes nothing"),
    "dotted base": ("  flag: true", "  ¦a.b: true", "in the base each field stands in its section: 'a.b'"),
    "function": ("my_training:train", "my_training:trian", "did you mean 'train'?"),
    "module": ("my_training:train", "my_trainin:train", "cannot find the module 'my_trainin'"),
    "profile field": ("seeds: 2", "seeds: 2\nprofile: p\nprofiles: {p: {base: {¦tree: 3}}}", "no field 'tree'"),
    "profile type": ("seeds: 2", "seeds: 2\nprofile: p\nprofiles: {p: {base: {¦trees: 'x'}}}", "not 'x'"),
}


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_overrides_are_strict_against_the_base(load: Loader, folder: Path, old: str, new: str, message: str) -> None:
    """A field exists if the base spells it out, and keeps its type; anything else is told with its place."""
    assert old in STUDY
    text = STUDY.replace(old, new, 1)
    before = text.partition("¦")[0] if "¦" in text else text[: text.index("trainable:")]
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    with pytest.raises(StudyError) as caught:
        load(text.replace("¦", ""))
    assert str(caught.value).startswith(f"{folder / 'study.yaml'}:{place}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_source_of_the_training_code_gives_other_trials(load: Loader, training: Path) -> None:
    """Comments and layout do not count, code does; a `revision` of the study's own stands instead of it."""
    named = STUDY.replace("seeds: 2", "seeds: 2\nrevision: v1")
    first, first_named = load(STUDY).trials, load(named).trials
    training.write_text("# a comment\n" + training.read_text().replace("return {}", "return   {}  # here"))
    assert load(STUDY).trials == first
    training.write_text(training.read_text().replace("{}", "{'accuracy': 1}"))
    assert {t.id for t in load(STUDY).trials}.isdisjoint(t.id for t in first)
    assert load(named).trials == first_named


def test_a_module_that_is_no_python_is_told(load: Loader, training: Path) -> None:
    """A syntax error in the user's file is told at the study's `trainable`."""
    training.write_text("def train(:\n")
    with pytest.raises(StudyError, match=r"study\.yaml:3:1: .*cannot read the module 'my_training'"):
        load(STUDY)


def test_a_package_that_fails_to_import_is_told(load: Loader, folder: Path) -> None:
    """Finding a module runs the packages above it; whatever they raise is told in one line."""
    (folder / "failing_package_of_a_study").mkdir()
    (folder / "failing_package_of_a_study" / "__init__.py").write_text("raise RuntimeError('not today')\n")
    with pytest.raises(StudyError, match="not today"):
        load(STUDY.replace("my_training:", "failing_package_of_a_study.train:"))


PART = """\
class Base:
    def __init__(self, dim: int, *, size: int, kind: "Literal['a', 'b']" = "a") -> None:
        pass


class Mine(Base):
    pass
"""


def test_a_part_of_the_users_own_is_found_beside_the_study(example: str, load: Loader, folder: Path) -> None:
    """Its keyword-only parameters are its options, read from the source and checked like those of our own."""
    (folder / "own_parts.py").write_text(PART)
    text = example.replace("head: mlp", "head: {name: 'own_parts:Mine', size: 3}")
    assert load(text).baseline.recipe["model"]["head"] == {"name": "own_parts:Mine", "size": 3, "kind": "a"}
    for option, message in [("size: x", "must be a whole number, not 'x'"), ("size: 3, kind: c", "must be 'a' or 'b'")]:
        with pytest.raises(StudyError, match=message):
            load(text.replace("size: 3", option))
    with pytest.raises(StudyError, match="defines no class 'Mien'; it defines Base, Mine; did you mean 'Mine'"):
        load(text.replace("Mine", "Mien"))


def test_another_source_of_a_users_part_gives_other_trials(example: str, load: Loader, folder: Path) -> None:
    """Only those Variants train anew that have the part."""
    (folder / "own_parts_2.py").write_text(PART)
    text = example.replace("none: {model.position: none}", "none: {model.head: {name: 'own_parts_2:Mine', size: 3}}")
    first = {(t.variant, t.seed): t.id for t in load(text).trials}
    (folder / "own_parts_2.py").write_text(PART.replace("pass", "self.x = 1", 1))
    second = {(t.variant, t.seed): t.id for t in load(text).trials}
    assert {variant for (variant, seed), key in second.items() if first[variant, seed] != key} == {"posemb=none"}
