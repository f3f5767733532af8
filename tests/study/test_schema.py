"""The JSON Schema takes what loading takes and refuses what an editor can see is wrong."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from ablate.parts import KINDS
from ablate.study.document import read_document
from ablate.study.schema import json_schema

STUDIES = Path(__file__).parents[2] / "studies"
STARTER = Path(__file__).parents[2] / "ablate" / "study" / "starter.yaml"
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def _errors(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return [error.message for error in VALIDATOR.iter_errors(read_document(path).tree)]


def test_it_is_a_schema() -> None:
    """Valid by the metaschema of its own draft."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", [*sorted(STUDIES.glob("*.yaml")), STARTER], ids=lambda path: path.name)
def test_our_studies_are_valid(path: Path) -> None:
    """Every study of the repository, and the starter."""
    assert [error.message for error in VALIDATOR.iter_errors(read_document(path).tree)] == []


def test_the_example_is_valid(tmp_path: Path, example: str) -> None:
    """Numbers as Levels, nested and dotted overrides, switches, null for a Level taken out."""
    assert _errors(tmp_path, example) == []
    more = "          128: null\n          256: {schedule: {batch_size: 256}, model: {stem.patch_size: 4}}\n"
    assert _errors(tmp_path, example.replace("          64: {schedule.batch_size: 64}\n", more)) == []


MISTAKES = {
    "study key": ("question:", "qestion:"),
    "missing key": ("question: Which of these matter?\n", ""),
    "factor key": ("reference: sincos2d", "refrence: sincos2d"),
    "profile key": ("    base:\n      sch", "    bsae:\n      sch"),
    "base field": ("    dim: 16", "    dmi: 16"),
    "base field missing": ("    dim: 16\n", ""),
    "base type": ("    epochs: 30", "    epochs: ten"),
    "base fraction": ("    epochs: 30", "    epochs: 2.5"),
    "base switch": ("crop: off", "crop: of"),
    "base option": ("level: 10}", "levle: 10}"),
    "base dotted": ("  precision: float32", "  precision: float32\n  augment.flip: true"),
    "base choice": ("init: jax", "init: jxa"),
    "base source": ("source: digits", "source: digit"),
    "part": ("position: sincos2d", "position: sincos"),
    "part option": ("norm: layer_norm", "norm: {name: layer_norm, epps: 1.0}"),
    "part option type": ("ratio: 2.0", "ratio: two"),
    "part option missing": ("stem: {name: patches, patch_size: 2}", "stem: patches"),
    "level field": ("{model.position: learned}", "{model.positon: learned}"),
    "level field without its section": ("{model.position: learned}", "{position: learned}"),
    "level part": ("{model.position: learned}", "{model.position: lerned}"),
    "level type": ("{schedule.batch_size: 128}", "{schedule.batch_size: '128'}"),
    "level nested": ("{schedule.batch_size: 128}", "{schedule: {batch: 128}}"),
    "level switch": ("{augment.randaug: off}", "{augment.randaug: of}"),
    "level empty": ("{schedule.batch_size: 128}", "{}"),
    "level null": ("128: {schedule.batch_size: 128}", "128: null"),
    "level name": ("      none:", "      no position:"),
    "profile base": ("{epochs: 3, b", "{epoch: 3, b"),
    "profile level": ("64: {schedule.batch_size: 64}", "64: {schedule.batch: 64}"),
    "seeds": ("seeds: [0, 1, 2]", "seeds: 0"),
    "design": ("design: one_at_a_time", "design: one_at_time"),
    "direction": ("maximize", "max"),
    "revision without a trainable": ("study: example", "study: example\nrevision: a"),
}


@pytest.mark.parametrize(("old", "new"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_not_valid(tmp_path: Path, example: str, old: str, new: str) -> None:
    """What an editor can see without knowing the whole study."""
    assert old in example
    assert _errors(tmp_path, example.replace(old, new, 1)) != []


TEACHERS = """\
teachers:
  large: {seed: 3, base: {model.dim: 32, distillation: {teacher: {checkpoint: "study:small"}}}, note: Twice as wide.}
  small: {}
  known:
    base: {distillation: {teacher: {checkpoint: timm, model: timm/regnety_160, tag: deit_in1k}, kind: soft}}
profiles:
  own:
    teachers: {large: null, small: {base: {schedule: {epochs: 3}}}}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("seed: 3", "seed: -3"),
        ("model.dim", "model.dmi"),
        ("study:small", "studies:small"),
        ("small: {}", "a b: {}"),
        ("small: {}", "small: null"),
        ("note: Twice", "nota: Twice"),
        ("{epochs: 3}", "{epoch: 3}"),
    ],
)
def test_teachers_are_checked(tmp_path: Path, example: str, old: str, new: str) -> None:
    """Their overrides as a Level's, in the study and in a profile, which alone may take one out."""
    assert old in TEACHERS
    text = example.replace("profiles:\n", TEACHERS.replace(old, new, 1))
    assert (_errors(tmp_path, text) == []) == (old == new)


DESIGNS = """\
design:
  - pairs
  - one_at_a_time: {factors: [posemb]}
  - ladder: {steps: [posemb=learned, [batch=128, randaug=off]], direction: backward, order: greedy}
  - fractional: {resolution: 3, levels: {posemb: none, batch: 128}}
exclude: [{posemb: [learned, none], batch: 128}]
only_if: [{levels: {batch: 64}, requires: {randaug: off}}]
zip: [[posemb, batch]]
seeds: {min: 3, max: 12, stop: decided}
analysis: {margin: 0.5, tuned: {original: true, baseline: 3}}
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("pairs", "pair"),
        ("one_at_a_time: {factors: [posemb]}", "one_at_a_time: {factors: posemb}"),
        ("direction: backward", "direction: back"),
        ("{resolution: 3,", "{resolution: 2,"),
        ("fractional: {resolution: 3", "fractional: {resolutoin: 3"),
        ("  - pairs", "  - {}"),
        ("  - pairs", "  - {pairs: {}, factorial: {}}"),
        ("batch: 128}]", "batch: {a: 128}}]"),
        ("requires: ", "require: "),
        ("[[posemb, batch]]", "[posemb, batch]"),
        ("stop: decided", "stop: never"),
        ("margin: 0.5", "margin: -0.5"),
    ],
)
def test_designs_constraints_and_analysis_are_checked(tmp_path: Path, example: str, old: str, new: str) -> None:
    """Designs with options and lists of them, combinations of Levels, seeds that are added, how results are judged."""
    assert old in DESIGNS
    text = example.replace("design: one_at_a_time\n", DESIGNS.replace(old, new, 1)).replace("seeds: [0, 1, 2]\n", "")
    assert (_errors(tmp_path, text) == []) == (old == new)


def test_with_a_trainable_any_recipe_goes(tmp_path: Path, example: str) -> None:
    """The base of a user's own training code is what it likes; the study around it is as strict as ever."""
    start, end = example.index("base:"), example.index("factors:")
    text = f"trainable: mine:train\n{example[:start]}base: {{trees: 10}}\n{example[end:]}"
    text = text.replace("{model.position: learned}", "{trees: 20}").replace(
        "study: example", "study: example\nrevision: a"
    )
    assert _errors(tmp_path, text) == []
    assert _errors(tmp_path, text.replace("question:", "qestion:")) != []


@pytest.mark.parametrize("kind", KINDS)
def test_editors_are_offered_every_part(kind: str) -> None:
    """Each name of the catalogue stands in the schema, for the base and for overrides."""
    for text in (
        str(SCHEMA["$defs"]["Model"]["properties"][kind]),
        str(SCHEMA["$defs"]["OverridesOfRecipe"]["properties"]),
    ):
        assert all(repr(name) in text for name in KINDS[kind])


def test_fields_say_what_they_are() -> None:
    """Descriptions come from the attributes' docstrings, and stand with dotted overrides too."""
    dim = SCHEMA["$defs"]["Model"]["properties"]["dim"]
    assert dim["description"] == "Width of the tokens."
    assert SCHEMA["$defs"]["OverridesOfRecipe"]["properties"]["model.dim"] == dim
    assert all("description" in field for field in SCHEMA["properties"].values())
