"""Models in a study: presets with changes, timm's models, whole models of the user's own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.presets import PRESETS
from ablate.recipe import Model
from ablate.study.errors import StudyError
from ablate.study.models import spelled_out
from ablate.study.study import Study
from ablate.timm_source import timm_version

Load = Callable[..., Study]
SMALL = "{preset: SimpleViT-S/16, dim: 16, depth: 2, stem.patch_size: 2, mixer.heads: 2}"
LEVEL = "{model.position: learned}"


def with_model(example: str, model: str) -> str:
    """The example study with this model as its base's."""
    before, _, rest = example.partition("  model:\n")
    after = rest.partition("  data:\n")[2]
    return f"{before}  model: {model}\n  data:\n{after}"


def alone(example: str, model: str) -> str:
    """The same without listed Variants, profiles and published numbers."""
    return with_model(example, model).replace("profile: small\n", "").partition("\nvariants:")[0]


def model_of(study: Study, variant: str = "baseline") -> dict[str, Any]:
    """The resolved model section of a Variant."""
    return next(v.recipe["model"] for v in study.variants if v.name == variant)


def mistake(load: Load, text: str, **options: Any) -> str:
    """The one line that is told of the first `¦` place: `line:column: message`."""
    with pytest.raises(StudyError) as caught:
        load(text.replace("¦", "", 1), **options)
    assert len(caught.value.problems) == 1
    told = str(caught.value)
    assert "\n" not in told
    before = text.partition("¦")[0]
    place = f"study.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    assert "¦" not in text or place in told, (place, told)
    return told.partition(place)[2] if "¦" in text else told


# The base.


@pytest.mark.parametrize(
    "model",
    [
        SMALL,
        "{preset: SimpleViT-S/16, dim: 16, depth: 2, stem: {patch_size: 2}, mixer: {heads: 2}}",
        "{mixer: {heads: 2}, depth: 2, dim: 16, stem: {name: patches, patch_size: 2}, preset: SimpleViT-S/16}",
    ],
)
def test_a_preset_may_be_changed_nested_or_dotted(example: str, load: Load, model: str) -> None:
    """Each way of writing gives the same Recipe, in which every field and option is spelled out."""
    resolved = model_of(load(with_model(example, model)))
    changes = {"dim": 16, "depth": 2, "stem.patch_size": 2, "mixer.heads": 2}
    assert resolved == spelled_out({"preset": "SimpleViT-S/16", **changes})
    assert resolved.keys() == Model.model_fields.keys()
    assert resolved["stem"] == {"name": "patches", "patch_size": 2, "pre_norm": False, "post_norm": False}
    assert (resolved["position"], resolved["init"]) == ({"name": "sincos2d", "temperature": 10000.0}, "jax")


def test_a_part_given_by_name_replaces_that_of_the_preset(example: str, load: Load) -> None:
    """With its own defaults: nothing of the part before it is kept."""
    text = with_model(example, SMALL.replace("mixer.heads: 2", "mixer.heads: 2, feed_forward: leff, readout: cls"))
    text = text.replace("{model.position: none}", "{model.feed_forward: {name: mlp, ratio: 2.0}}")
    study = load(text)
    assert model_of(study)["feed_forward"] == {
        "name": "leff",
        "ratio": 4.0,
        "kernel": 3,
        "batch_norm": True,
        "cls_path": "identity",
        "final_activation": False,
        "activation": "gelu",
    }
    assert model_of(study, "posemb=none")["feed_forward"] == {"name": "mlp", "ratio": 2.0, "activation": "gelu_tanh"}


def test_a_preset_may_be_a_name_alone(example: str, load: Load) -> None:
    """`model: SimpleViT-S/16` is that preset as it is."""
    text = with_model(example, "SimpleViT-S/16").replace("image_size: 8", "image_size: 32")
    assert model_of(load(text)) == spelled_out("SimpleViT-S/16")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_spelled_out_in_full(name: str) -> None:
    """What a preset leaves out is there with its default, in the order of the schema, and it is a copy."""
    model = spelled_out(name)
    if "name" not in model:
        assert list(model) == list(Model.model_fields)
        assert all(model[key] == value or model[key]["name"] for key, value in PRESETS[name].items())
        assert Model.model_validate(model).model_dump(mode="json") == model
    model[next(iter(model))] = "changed"
    assert spelled_out(name) != model


def test_what_is_no_preset_is_left_as_it_is() -> None:
    """Right or wrong, it is for the schema to judge."""
    for model in ("timm/vit_tiny_patch16_224", {"dim": 3}, {"name": "pvt"}, 3, None, ["ViT-S/16"]):
        assert spelled_out(model) is model


BASE_MISTAKES = {
    "misspelt preset": ("{¦preset: SimpleVit-S/16}", "there is no preset named 'SimpleVit-S/16'; allowed: ViT-Ti/16"),
    "nearest preset": ("{¦preset: SimpleVit-S/16}", "did you mean 'SimpleViT-S/16'?"),
    "misspelt preset by its name alone": ("SimpleVit-S/16", "did you mean 'SimpleViT-S/16'?"),
    "no name": ("{¦preset: 3}", "model.preset must be the name of a preset, not 3"),
    "misspelt field": ("{preset: ViT-S/16, ¦dpeth: 2}", "no field 'dpeth' in 'model'; allowed: dim, depth, stem"),
    "nearest field": ("{preset: ViT-S/16, ¦dpeth: 2}", "did you mean 'depth'?"),
    "misspelt option": ("{preset: ViT-S/16, ¦mixer.heds: 2}", "no field 'heds' in 'model.mixer'; allowed: name, heads"),
    "misspelt nested option": ("{preset: ViT-S/16, mixer: {¦heds: 2}}", "did you mean 'heads'?"),
    "misspelt part": ("{preset: ViT-S/16, stem.patch_size: 2, ¦position: lerned}", "no position named 'lerned'"),
    "wrong type": ("{preset: ViT-S/16, stem.patch_size: 2, ¦dim: wide}", "must be a whole number, not 'wide'"),
    "wrong option": ("{preset: ViT-S/16, ¦stem.patch_size: two}", "must be a whole number, not 'two'"),
    "option of another part": ("{preset: ResMLP-S12, ¦mixer.heads: 2}", "no field 'heads' in 'model.mixer'"),
    "set twice": (
        "{preset: ViT-S/16, stem.patch_size: 2, stem: {¦patch_size: 4}}",
        "'model.stem.patch_size' and 'model.stem.patch_size' are both set here",
    ),
    "a part and its option": (
        "{preset: ViT-S/16, stem: {name: patches, patch_size: 2}, ¦stem.patch_size: 4}",
        "'model.stem' and 'model.stem.patch_size' are both set here; set it once, as a whole",
    ),
    "preset and name": ("{preset: ViT-S/16, ¦name: pvt}", "is given by its name or by a preset, not by both"),
    "misspelt whole model": ("{¦name: cswinn}", "no whole model named 'cswinn'; allowed: cswin, pvt, one of timm's"),
    "misspelt option of a whole model": ("{name: pvt, ¦dmis: [8]}", "model 'pvt' has no option 'dmis'"),
    "misspelt option of a preset that is one": ("{preset: PVT-Tiny, ¦depth: 2}", "did you mean 'depths'?"),
    "misspelt model of timm": (
        "timm/vit_tny_patch16_224",
        "timm has no model named 'vit_tny_patch16_224'; did you mean",
    ),
    "misspelt option of timm's": (
        "{name: timm/vit_tiny_patch16_224, ¦dpeth: 2}",
        "model 'timm/vit_tiny_patch16_224' has no option 'dpeth'",
    ),
    "what the data decide": ("{name: timm/vit_tiny_patch16_224, ¦num_classes: 2}", "the data section decides it"),
    "what the data decide, of one whose source does not tell its options": (
        "{name: timm/caformer_m36, ¦img_size: 64}",
        "model 'timm/caformer_m36' takes no option 'img_size' here: the data section decides it",
    ),
    "module of no model": ("nowhere:Net", "cannot find the module 'nowhere'"),
    "dotted without a preset": ("{¦mixer.heads: 2}", "in the base each field stands in its section"),
}


@pytest.mark.parametrize(("model", "message"), BASE_MISTAKES.values(), ids=BASE_MISTAKES)
def test_a_mistake_in_the_bases_model_is_told_with_its_place(
    example: str, load: Load, model: str, message: str
) -> None:
    """One line, with the choices and the nearest name."""
    assert message in mistake(load, with_model(example, model))


# Levels, profiles, and the command line.

LEVELS = {
    "{model: {preset: DeiT-Ti/16, dim: 16, stem.patch_size: 2, mixer: {heads: 2}}}": {"dim": 16, "depth": 12},
    "{model: {preset: CeiT-T, depth: 3, stem: {stride: 1, pool: 0, patch_size: 2}}}": {"dim": 192, "depth": 3},
    "{model: {name: timm/vit_tiny_patch16_224, patch_size: 2}}": {"name": "timm/vit_tiny_patch16_224", "patch_size": 2},
    "{model: timm/resnet18}": {"name": "timm/resnet18"},
    "{model.name: timm/resnet18}": {"name": "timm/resnet18"},
    "{model.depth: 5}": {"dim": 16, "depth": 5},
}


@pytest.mark.parametrize(("level", "expected"), LEVELS.items())
def test_a_level_may_put_another_model_in_place(example: str, load: Load, level: str, expected: dict[str, Any]) -> None:
    """As a whole, with nothing of the base's model, or change a field of the base's preset."""
    study = load(alone(example, SMALL).replace(LEVEL, level))
    model = model_of(study, "posemb=learned")
    assert {key: model[key] for key in expected} == expected
    assert ("name" in model) == ("name" in expected)
    assert "name" not in model_of(study)


LEVEL_MISTAKES = {
    "{model: {¦preset: CeiTT}}": "did you mean 'CeiT-T'?",
    "{¦model.preset: CeiTT}": "did you mean 'CeiT-T'?",
    "{model: {preset: CeiT-T, ¦deph: 2}}": "there is no field 'deph' in 'model'",
    "{model: {preset: CeiT-T, ¦stem.patchsize: 2}}": "did you mean 'patch_size'?",
    "{¦model: ViT-S/61}": "there is no preset named 'ViT-S/61'",
    "{¦model: timm/resnet81}": "timm has no model named 'resnet81'; did you mean",
    "{model: {preset: CeiT-T}, ¦model.depth: 2}": "'model' and 'model.depth' are both set here",
}


@pytest.mark.parametrize(("level", "message"), LEVEL_MISTAKES.items())
def test_a_mistake_in_a_levels_model_is_told_with_its_place(example: str, load: Load, level: str, message: str) -> None:
    """In the Level, not where the base has its model."""
    assert message in mistake(load, with_model(example, SMALL).replace(LEVEL, level))


def test_a_profile_may_have_another_preset(example: str, load: Load) -> None:
    """Its Levels then change that preset's parts."""
    text = with_model(example, "SimpleViT-S/16").replace("image_size: 8", "image_size: 32")
    text = text.replace(
        "  small:\n    base:\n", f"  small:\n    base:\n      model: {SMALL.replace('SimpleViT', 'ViT')}\n"
    )
    text = text.replace(LEVEL, "{model.position: sincos1d}")
    study = load(text)
    assert model_of(study)["readout"] == {"name": "cls"}
    assert model_of(study, "posemb=learned")["position"] == {"name": "sincos1d", "temperature": 10000.0}
    assert model_of(load(text, profile="paper"))["dim"] == 384


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("model={preset: ViT-Ti/16, stem.patch_size: 4}", (192, 12)),
        ("model.depth=3", (16, 3)),
        ("model.mixer.heads=4", (16, 2)),
    ],
)
def test_set_takes_presets_and_fields(example: str, load: Load, change: str, expected: tuple[int, int]) -> None:
    """As in a Level."""
    text = (
        with_model(example, SMALL)
        .replace(LEVEL, "{model.head: mlp}")
        .replace("{model.position: none}", "{model.norm: affine}")
    )
    model = model_of(load(text, sets=[change]))
    assert (model["dim"], model["depth"]) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.preset=DeiT-Ti/61", "did you mean 'DeiT-Ti/16'?"),
        ("model={preset: DeiT-Ti/16, stm: 2}", "there is no field 'stm' in 'model'"),
        ("model=ViT-S/61", "there is no preset named 'ViT-S/61'"),
    ],
)
def test_a_mistake_in_set_names_the_option(example: str, load: Load, change: str, message: str) -> None:
    """One line that begins with what was given on the command line."""
    told = mistake(load, with_model(example, SMALL), sets=[change])
    assert told.startswith(f"--set {change}: ")
    assert message in told


# A whole model of the user's own, and what identifies a Trial.

OWN = """
NEVER = __import__("sys").exit("imported")

class Net:
    def __init__(self, image_size, channels, classes, *, width: int = 8, kind: str = "plain"):
        pass
"""


@pytest.fixture
def net(folder: Path) -> Path:
    """A module of the user's beside the study, with a whole model; it may not be imported."""
    path = folder / "my_net_of_study.py"
    path.write_text(textwrap.dedent(OWN), encoding="utf-8")
    return path


@pytest.mark.usefixtures("net")
def test_a_model_may_be_the_users_own_class(example: str, load: Load) -> None:
    """Its keyword-only parameters are fields of the Recipe, open to Levels, checked without importing it."""
    study = load(
        with_model(example, "{name: 'my_net_of_study:Net', width: 4}")
        .replace(LEVEL, "{model.kind: fancy}")
        .replace("{model.position: none}", "{model: SimpleViT-S/16, data: {image_size: 16, eval_resize: 16}}")
    )
    assert model_of(study) == {"name": "my_net_of_study:Net", "width": 4, "kind": "plain"}
    assert model_of(study, "posemb=learned") == {"name": "my_net_of_study:Net", "width": 4, "kind": "fancy"}
    assert model_of(study, "posemb=none")["dim"] == 384


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "{name: 'my_net_of_study:Net', ¦wdth: 4}",
            "model 'my_net_of_study:Net' has no option 'wdth'; allowed: width, kind",
        ),
        (
            "{name: 'my_net_of_study:Net', ¦width: four}",
            "option 'width' of model 'my_net_of_study:Net' must be a whole",
        ),
        ("'my_net_of_study:Nte'", "my_net_of_study defines no class 'Nte'; it defines Net; did you mean 'Net'?"),
    ],
)
def test_a_mistake_about_the_users_own_class_is_told(example: str, load: Load, model: str, message: str) -> None:
    """From its source, with the choices."""
    assert message in mistake(load, with_model(example, model))


def _ids(study: Study) -> dict[str, str]:
    return {trial.variant: trial.id for trial in study.trials if trial.seed == 0}


def test_an_edited_source_makes_other_trials_of_the_users_model_alone(example: str, load: Load, net: Path) -> None:
    """The source is part of their identity; a Variant without that model keeps its id, and a comment changes none."""
    text = alone(example, SMALL).replace(LEVEL, "{model: 'my_net_of_study:Net'}")
    before = _ids(load(text))
    net.write_text(net.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    assert _ids(load(text)) == before
    net.write_text(net.read_text(encoding="utf-8") + "\nTWICE = 2\n", encoding="utf-8")
    after = _ids(load(text))
    assert after.pop("posemb=learned") != before.pop("posemb=learned")
    assert after == before


def test_timms_version_is_part_of_the_identity_of_its_models_alone(
    example: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another timm makes other Trials of what it built."""
    text = alone(example, SMALL).replace(LEVEL, "{model: timm/resnet18}")
    before = _ids(load(text))
    monkeypatch.setattr("ablate.study.identity.timm_version", lambda: f"{timm_version()}.post1")
    after = _ids(load(text))
    assert after.pop("posemb=learned") != before.pop("posemb=learned")
    assert after == before


def test_a_preset_is_only_a_way_to_write_its_recipe(example: str, load: Load) -> None:
    """The base written part by part and as a preset with changes are the same Trials."""
    text = example.replace("feed_forward: {name: mlp, ratio: 2.0}", "feed_forward: mlp").replace(
        "head: mlp", "head: linear"
    )
    assert _ids(load(text)) == _ids(load(with_model(example, SMALL)))


def test_planning_presets_and_timm_needs_no_torch(example: str, folder: Path, net: Path) -> None:
    """`ablate plan` of presets, a model of timm and one of the user's own imports neither torch nor timm."""
    (folder / "study.yaml").write_text(
        alone(example, SMALL)
        .replace(LEVEL, "{model: timm/resnet18}")
        .replace("{model.position: none}", "{model: 'my_net_of_study:Net'}")
        .replace("off: {augment.randaug: off}", "off: {model: {preset: PVT-Tiny, patch_sizes: [1, 1, 1, 1]}}"),
        encoding="utf-8",
    )
    code = (
        "import sys\n"
        "from ablate.cli import app\n"
        "try:\n"
        "    app(['plan', 'study.yaml', '--full'])\n"
        "except SystemExit as leave:\n"
        "    assert not leave.code, leave.code\n"
        "heavy = {'torch', 'timm', 'mlflow', 'my_net_of_study'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "timm/resnet18" in done.stdout
