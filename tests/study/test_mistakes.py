"""Every mistake in a study is one line: where it stands, what is allowed, what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.study.errors import StudyError
from ablate.study.load import load_study
from ablate.study.study import Study

#: (what is replaced in the example, by what with `¦` before the place to be told, a piece of the message)
MISTAKES = {
    "study key": ("question:", "¦qestion:", "unknown key 'qestion'; allowed: study, question"),
    "missing key": ("question: Which of these matter?\n", "", "'question' is missing"),
    "metric key": ("unit:", "¦units:", "unknown key 'units' in 'metric'"),
    "factor key": ("    label: batch size", "    ¦lable: batch size", "did you mean 'label'?"),
    "profile key": ("    base:\n      sch", "    ¦bsae:\n      sch", "unknown key 'bsae' in 'profiles.small'"),
    "base field": ("    dim: 16", "    ¦dmi: 16", "unknown key 'dmi' in 'model'; allowed: dim"),
    "base section": ("  augment:", "  ¦augmet:", "did you mean 'augment'?"),
    "base field of a switchable section": ("level: 10}", "¦levle: 10}", "unknown key 'levle' in 'augment.randaug'"),
    "base dotted": ("  precision: float32", "  ¦augment.flip: true\n  precision: float32", "each field stands in its"),
    "base type": ("    epochs: 30", "    ¦epochs: ten", "schedule.epochs: must be a whole number, not 'ten'"),
    "base bool for int": ("    dim: 16", "    ¦dim: true", "model.dim: must be a whole number, not true"),
    "base float for int": ("    dim: 16", "    ¦dim: 16.0", "model.dim: must be a whole number, not 16.0"),
    "base number for bool": ("flip: false", "¦flip: 0", "augment.flip: must be true or false, not 0"),
    "base list for mapping": ("mixup: {alpha: 0.2}", "¦mixup: [0.2]", "must be a mapping or 'off', not [0.2]"),
    "base switch": ("crop: off", "¦crop: of", "must be a mapping or 'off', not 'of'; did you mean 'off'?"),
    "base null": ("    dim: 16", "    ¦dim:", "model.dim: must be a whole number, not null"),
    "base choice": (
        "init: jax",
        "¦init: jxa",
        "must be 'jax', 'flax' or 'truncated_normal', not 'jxa'; did you mean 'jax'?",
    ),
    "base range": ("clip_norm: 1.0", "¦clip_norm: -1", "must be greater than 0 or 'off', not -1"),
    "base source": ("source: digits", "¦source: digit", "not 'digit'; did you mean 'digits'?"),
    "two warm-ups": (
        "  schedule:\n    epochs: 30",
        "  ¦schedule:\n    epochs: 30\n    warmup_epochs: 1",
        "schedule: give exactly one of warmup_steps and warmup_epochs",
    ),
    "part name": ("position: sincos2d", "¦position: sincos", "there is no position named 'sincos'; allowed: none"),
    "part option": (
        "norm: layer_norm",
        "norm: {name: layer_norm, ¦epps: 1.0}",
        "norm 'layer_norm' has no option 'epps'",
    ),
    "part option type": (
        "ratio: 2.0",
        "¦ratio: two",
        "option 'ratio' of feed_forward 'mlp' must be a number, not 'two'",
    ),
    "part option choice": ("ratio: 2.0", "¦activation: gelo", "'gelu_tanh' or 'gelu', not 'gelo'"),
    "part option missing": ("stem: {name: patches, patch_size: 2}", "¦stem: patches", "needs the option 'patch_size'"),
    "part without a name": ("position: sincos2d", "¦position: {temperature: 1.0}", "not a mapping without a name"),
    "part of no module": ("head: mlp", "¦head: no_such_module:Head", "cannot find the module 'no_such_module'"),
    "part of no class": ("head: mlp", "¦head: csv:Hed", "csv defines no class 'Hed'"),
    "level field": ("{model.position: learned}", "{¦model.positon: learned}", "there is no field 'positon' in 'model'"),
    "level field without its section": ("{model.position: learned}", "{¦epochs: 3}", "did you mean 'schedule.epochs'?"),
    "level field of a part": (
        "{model.position: learned}",
        "{¦model.position.temprature: 1.0}",
        "there is no field 'temprature' in 'model.position'; allowed: name, temperature; did you mean 'temperature'?",
    ),
    "level field below a value": ("{model.position: none}", "{¦model.dim.x: 1}", "'model.dim' is 16 here"),
    "level type": ("{schedule.batch_size: 128}", "{¦schedule.batch_size: '128'}", "a whole number, not '128'"),
    "level type, nested": (
        "{schedule.batch_size: 128}",
        "{schedule: {¦batch_size: 128.5}}",
        "a whole number, not 128.5",
    ),
    "level breaks a rule": (
        "{schedule.batch_size: 128}",
        "{¦schedule.warmup_epochs: 1}",
        "exactly one of warmup_steps",
    ),
    "level sets twice": (
        "{schedule.batch_size: 128}",
        "{schedule.batch_size: 128, schedule: {¦batch_size: 64}}",
        "'schedule.batch_size' is set twice",
    ),
    "level sets a part and its option": (
        "{model.position: none}",
        "{model.position: sincos2d, ¦model.position.temperature: 5.0}",
        "are both set here",
    ),
    "level null": ("128: {schedule.batch_size: 128}", "¦128:", "levels.128: must be a mapping, not null"),
    "level empty": ("128: {schedule.batch_size: 128}", "¦128: {}", "Level '128' of 'batch' changes nothing"),
    "level equal to the reference": (
        "learned: {model.position: learned}",
        "¦learned: {model.position: sincos2d}",
        "noth",
    ),
    "level equal but for an int": (
        "off: {augment.randaug: off}",
        "¦off: {augment.randaug.level: 10}",
        "changes nothing",
    ),
    "level named as reference": (
        "reference: sincos2d",
        "¦reference: none",
        "Level 'none' of 'posemb' is named as the ref",
    ),
    "level's name": ("      none:", "      ¦no position:", "'no position' cannot be a name here; it must be one word"),
    "profile field": ("{epochs: 3, b", "{¦epoch: 3, b", "there is no field 'epoch' in 'schedule'"),
    "profile type": ("{epochs: 3, b", "{¦epochs: '3', b", "schedule.epochs: must be a whole number, not '3'"),
    "profile factor": ("      randaug: {label", "      ¦randaugment: {label", "there is no Factor named 'randaugment'"),
    "profile takes out no level": (
        "64: {schedule.batch_size: 64}",
        "¦63: null",
        "there is no Level of 'batch' named '63'",
    ),
    "profile reference is a level": (
        "reference: 32",
        "¦reference: 64",
        "Level '64' of 'batch' is named as the reference",
    ),
    "profile level": ("64: {schedule.batch_size: 64}", "64: {¦schedule.batch: 64}", "did you mean 'batch_size'?"),
    "profile key unknown": (
        "profile: small",
        "¦profile: smal",
        "there is no profile named 'smal'; allowed: small, paper",
    ),
    "profile null": ("  paper:\n    seeds: 5", "  ¦paper:\n  other:\n    seeds: 5", "must be a mapping, not null"),
    "seed twice": ("[0, 1, 2]", "[0, 1, ¦1]", "seed 1 is given twice"),
    "no seeds": ("seeds: [0, 1, 2]", "¦seeds: []", "a list with at least 1 entry or a mapping, not []"),
    "seeds out of order": ("seeds: [0, 1, 2]", "¦seeds: {min: 5, max: 5}", "max must be more than min, which is 5"),
    "seeds without a most": ("seeds: [0, 1, 2]", "¦seeds: {min: 5}", "'max' is missing in 'seeds'"),
    "seeds too few": ("[0, 1, 2]", "{¦min: 1, max: 5}", "seeds.min: must be greater than or equal to 2, not 1"),
    "seeds' end": ("[0, 1, 2]", "{min: 2, max: 5, ¦stop: never}", "seeds.stop: must be 'decided', not 'never'"),
    "seeds negative": (
        "seeds: [0, 1, 2]",
        "¦seeds: -1",
        "seeds: must be greater than 0 or a list or a mapping, not -1",
    ),
    "seed of a wrong type": ("[0, 1, 2]", "[0, ¦one]", "must be a whole number, not 'one'"),
    "seed negative": ("[0, 1, 2]", "[0, ¦-1]", "must be greater than or equal to 0, not -1"),
    "design": ("design: one_at_a_time", "¦design: one_at_time", "did you mean 'one_at_a_time'?"),
    "listed factor": ("{posemb: learned, b", "{¦posem: learned, b", "there is no Factor named 'posem'"),
    "listed level": ("{posemb: learned, b", "{¦posemb: lerned, b", "there is no Level of 'posemb' named 'lerned'"),
    "levels that contradict each other": (
        "\ndesign: one_at_a_time",
        "  epochs: {reference: one, levels: {¦two: {schedule: {epochs: 5, batch_size: 256}}}}\n\ndesign: factorial",
        "'batch=128,epochs=two' contradicts itself: batch=128 sets 'schedule.batch_size' and epochs=two",
    ),
    "listed baseline": ("  original:", "  ¦baseline:", "'baseline' is the base itself"),
    "trainable form": (
        "study: example",
        "study: example\n¦trainable: mine",
        "must be like 'module:function', not 'mine'",
    ),
    "trainable module": ("study: example", "study: example\n¦trainable: no_mod:f", "cannot find the module 'no_mod'"),
    "trainable function": ("study: example", "study: example\n¦trainable: csv:reeder", "did you mean 'reader'?"),
    "revision alone": ("study: example", "study: example\n¦revision: a", "'revision' is for a trainable of your own"),
    "study name": ("study: example", "¦study: ../example", "study: must be one word"),
    "key twice": ("    dim: 16", "    dim: 16\n    ¦dim: 32", "key 'dim' is given twice, first in line"),
    "null section": ("design: one_at_a_time", "¦design:", "not null"),
    "tab": ("    dim: 16", "¦\tdim: 16", "a tab cannot indent; use spaces"),
    "syntax": ("question: Which", "question: what¦: Which", "mapping values are not allowed here"),
    "tag": ("    dim: 16", "    dim: ¦!!python/object:os.system {}", "is not allowed in a study"),
    "infinity": ("clip_norm: 1.0", "clip_norm: ¦.inf", "'.inf' is not a number that a study can have"),
    "key that is no name": ("      none:", "      ¦true:", "a key must be a name; write 'true' in quotes"),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_in_one_line_with_its_place(
    told: Callable[..., None], old: str, new: str, message: str
) -> None:
    """The message begins with file, line and column of the mistake, and no other is told with it."""
    told(old, new, message)


def test_every_mistake_of_one_reading_is_told(example: str, load: Callable[..., Study]) -> None:
    """Mistakes in two Levels are told together, one line each."""
    text = example.replace("{model.position: none}", "{model.positoin: none}")
    text = text.replace("64: {schedule.batch_size: 64}", "64: {schedule.batch_size: many}")
    with pytest.raises(StudyError) as caught:
        load(text)
    assert len(caught.value.problems) == 2
    assert len(str(caught.value).splitlines()) == 2


def test_levels_are_checked_also_where_no_variant_has_them(example: str, load: Callable[..., Study]) -> None:
    """With a listed design, a Level that nothing lists is checked all the same."""
    text = example.replace("design: one_at_a_time", "design: listed").replace(
        "{model.position: none}", "{model.pos: none}"
    )
    with pytest.raises(StudyError, match="there is no field 'pos' in 'model'"):
        load(text)


def test_a_design_too_large_to_resolve_is_told_at_once(example: str, load: Callable[..., Study]) -> None:
    """12 Factors of four Levels each would take hours; they are counted, and nothing is resolved."""
    levels = "levels: {b: {model.depth: 3}, c: {model.depth: 4}, d: {model.depth: 5}}"
    many = "factors:\n" + "".join(f"  f{i}: {{reference: a, {levels}}}\n" for i in range(12))
    head, tail = example.partition("factors:\n")[0], "design: factorial\n"
    study = head.replace("profile: small\n", "") + many + tail
    line = study.count("\n")
    with pytest.raises(StudyError, match=rf"study\.yaml:{line}:1: the design has 16,777,216 Variants; at most 10,000 "):
        load(study)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "smll"}, "there is no profile named 'smll'; allowed: small, paper; did you mean 'small'?"),
        ({"only": ["posem=*"]}, "--only posem=*: there is no such Variant; allowed: baseline, posemb=learned"),
        ({"seeds": 4}, "--seeds 4: the study lists 3 seeds; allowed: 1 to 3"),
        ({"seeds": 0}, "--seeds 0: there must be at least one seed"),
        ({"seeds": -1}, "--seeds -1: there must be at least one seed"),
        ({"sets": ["schedule.epochs"]}, "--set takes field=value, not 'schedule.epochs'"),
        ({"sets": ["=3"]}, "--set takes field=value, not '=3'"),
        ({"sets": ["schedule.epoch=3"]}, "--set schedule.epoch=3: there is no field 'epoch' in 'schedule'"),
        ({"sets": ["schedule.epochs=three"]}, "--set schedule.epochs=three: schedule.epochs: must be a whole number"),
        ({"sets": ["schedule.epochs=[3"]}, "--set schedule.epochs=[3: not YAML"),
        ({"sets": ["schedule.epochs="]}, "must be a whole number, not null"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_one_line(
    load: Callable[..., Study], options: dict[str, Any], message: str
) -> None:
    """What a caller asks for is checked as strictly as what the file says."""
    with pytest.raises(StudyError) as caught:
        load(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"# nothing but a comment\n", "the file is empty"),
        (b"- 1\n", "the file is not a mapping"),
        (b"study\n", "the file is not a mapping"),
        (b"study: a\n---\nstudy: b\n", "but found another document"),
        (b"study: \xff\n", "study.yaml:1:8: not text in UTF-8"),
        (b"study: a\nb: \x01\n", "study.yaml:2:4: not YAML: the character #x01 is not allowed"),
    ],
)
def test_a_file_that_is_no_study_is_told(folder: Path, content: bytes, message: str) -> None:
    """Empty files, lists, several documents and bytes that are no text are told in one line."""
    path = folder / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(folder: Path) -> None:
    """A path that leads nowhere, or to a folder, is told with the path."""
    with pytest.raises(StudyError, match=r"nowhere\.yaml: there is no such file"):
        load_study(folder / "nowhere.yaml")
    with pytest.raises(StudyError, match="cannot read the study"):
        load_study(folder)
