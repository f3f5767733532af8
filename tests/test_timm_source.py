"""What is read from timm's source, compared with timm itself."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys
from typing import Any

import pytest
import timm
import torch
from torch import nn

from ablate.parts import PartError
from ablate.timm_source import DECIDED_ELSEWHERE, keyword_arguments, model_names, takes, timm_version

FAMILIES = [
    "vit_tiny_patch16_224",
    "deit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "deit3_small_patch16_224",
    "swin_tiny_patch4_window7_224",
    "pvt_v2_b0",
    "mixer_s32_224",
    "resmlp_12_224",
    "cait_xxs24_224",
    "convnext_atto",
    "resnet18",
    "rdnet_tiny",
]
family = pytest.mark.parametrize("name", FAMILIES)


def made(name: str, **options: Any) -> nn.Module:
    """timm's own model, without memory for its weights."""
    with torch.device("meta"):
        return timm.create_model(name, **options)


def parameters_of(model: nn.Module) -> set[str]:
    """What its class takes; a constructor with ``**kwargs`` also what its base's takes."""
    found: set[str] = set()
    for cls in type(model).__mro__:
        signature = inspect.signature(cls.__init__).parameters.values()
        found |= {p.name for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in signature):
            break
    return found - {"self"}


def test_every_model_of_timm_is_found() -> None:
    """The names are those that timm lists, no more and no fewer, in order."""
    assert list(model_names()) == sorted(timm.list_models())


@family
def test_options_are_what_the_class_takes_and_timm_lets_through(name: str) -> None:
    """Each of the class's parameters is an option, or timm itself refuses it as given twice."""
    found = keyword_arguments(name)
    assert found is not None
    parameters = parameters_of(made(name)) - DECIDED_ELSEWHERE
    assert found.keys() <= parameters
    for settled in parameters - found.keys():
        with pytest.raises(TypeError, match="multiple values"):
            made(name, **{settled: 1})


@family
def test_defaults_are_those_that_timm_gives(name: str) -> None:
    """Written out, the defaults make the same modules and shapes as left out."""
    found = keyword_arguments(name)
    assert found is not None
    explicit = made(name, **{key: option.default for key, option in found.items() if option.default is not None})
    plain = made(name)
    assert repr(explicit) == repr(plain)
    assert [p.shape for p in explicit.parameters()] == [p.shape for p in plain.parameters()]
    assert not any(option.required for option in found.values())


def test_an_entry_points_own_value_is_the_default() -> None:
    """ViT-Ti is 192 wide and 12 deep, though its class says 768; a value that is no literal reads as None."""
    found = keyword_arguments("vit_tiny_patch16_224")
    assert found is not None
    assert (found["embed_dim"].default, found["depth"].default, found["mlp_ratio"].default) == (192, 12, 4.0)
    convnext = keyword_arguments("convnext_atto")
    assert convnext is not None
    assert convnext["dims"].default == (40, 80, 160, 320)
    assert convnext["norm_layer"].default is None


def test_types_are_read_where_timm_annotates_them_plainly() -> None:
    """A number, a switch and an optional number have types; a tuple, which YAML cannot write, may be anything."""
    found = keyword_arguments("swin_tiny_patch4_window7_224")
    assert found is not None
    chosen = {key: found[key].annotation for key in ("embed_dim", "mlp_ratio", "qkv_bias", "head_dim", "depths")}
    assert chosen == {"embed_dim": int, "mlp_ratio": float, "qkv_bias": bool, "head_dim": int | None, "depths": Any}


def test_what_an_entry_point_settles_is_no_option() -> None:
    """The widths of timm's ResMLP cannot be changed, its stochastic depth can; the data's fields never can."""
    found = keyword_arguments("resmlp_12_224")
    assert found is not None
    assert "embed_dim" not in found
    assert "drop_path_rate" in found
    for name in FAMILIES:
        assert not DECIDED_ELSEWHERE & (keyword_arguments(name) or {}).keys()


def test_what_a_function_on_the_way_writes_itself_is_no_option() -> None:
    """ViTamin's own stem replaces any that a caller gives, so a caller is not asked for one."""
    found = keyword_arguments("vitamin_small_224")
    assert found is not None
    assert "embed_layer" not in found
    assert "mlp_ratio" in found


@pytest.mark.parametrize("name", ["regnetx_002", "efficientnet_b0"])
def test_models_described_by_a_configuration_are_not_told(name: str) -> None:
    """Where a class keeps further keywords to itself, or its arguments are filtered, nothing is claimed."""
    assert keyword_arguments(name) is None
    assert takes(name, "img_size") is None


@pytest.mark.parametrize(("name", "sized"), [("vit_tiny_patch16_224", True), ("resnet18", False)])
def test_it_is_told_whether_a_model_is_built_for_one_image_size(name: str, sized: bool) -> None:
    """A ViT takes the image size, as timm's class does; a ResNet does not."""
    assert takes(name, "img_size") is sized
    assert ("img_size" in parameters_of(made(name))) is sized


def test_reading_imports_neither_torch_nor_timm_and_is_quick() -> None:
    """In a fresh process, all names take under half a second of CPU, and neither package is imported."""
    script = (
        "import sys, time; from ablate import timm_source\n"
        "start = time.process_time(); names = timm_source.model_names(); spent = time.process_time() - start\n"
        "timm_source.keyword_arguments('swin_tiny_patch4_window7_224'); timm_source.timm_version()\n"
        "print(len(names), spent < 0.5, sorted({'torch', 'timm'} & sys.modules.keys()))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.split(maxsplit=1) == [str(len(timm.list_models())), "True []\n"]


def test_the_version_is_timms() -> None:
    """As timm itself says."""
    assert timm_version() == timm.__version__


def test_without_timm_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said in one line, as a mistake in the model's name."""

    def missing(_name: str) -> str:
        raise importlib.metadata.PackageNotFoundError("timm")

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(PartError, match="needs the package timm, which is not installed") as raised:
        timm_version()
    assert raised.value.option == "name"
