"""Every preset: its published size, and what a model must be able to do, on a small copy of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.models.build import build, make_model
from ablate.models.vision_transformer import count_parameters
from ablate.presets import PRESETS
from ablate.recipe import Data, Model, WholeModel
from ablate.recipe.recipe import AnyModel
from ablate.study.models import spelled_out

#: Preset -> trainable parameters, 224 px, 1,000 classes. The rows are checked against timm below where timm has the
#: model; the others were counted by running the authors' code, and agree with the papers' rounded numbers.
PARAMETERS = {
    "ViT-Ti/16": 5_717_416,  # timm
    "ViT-S/16": 22_050_664,  # timm
    "ViT-B/16": 86_567_656,  # timm; "86M" in ViT, table 1
    "ViT-L/16": 304_326_632,  # timm; "307M" in ViT, table 1, which has a head of 21k classes
    "ViT-Ti/32": 6_131_560,  # ViT-Ti/16 and the formula below
    "ViT-S/32": 22_878_952,  # timm
    "ViT-B/32": 88_224_232,  # timm
    "ViT-L/32": 306_535_400,  # timm
    "SimpleViT-S/16": 21_974_632,  # big_vision's vit_s16 with sincos2d, gap and the linear head
    "DeiT-Ti/16": 5_717_416,  # timm; "5M" in the paper
    "DeiT-S/16": 22_050_664,  # timm; "22M"
    "DeiT-B/16": 86_567_656,  # timm; "86M"
    "DeiT-Ti/16-distilled": 5_910_800,  # timm; "6M" in the paper
    "DeiT-S/16-distilled": 22_436_432,  # timm; "22M"
    "DeiT-B/16-distilled": 87_338_192,  # timm; "87M"
    "CeiT-T": 6_356_904,  # coeusguo/ceit; "6.4M" in the paper
    "CeiT-S": 24_204_840,  # coeusguo/ceit; "24.2M"
    "CeiT-B": 94_405_416,  # coeusguo/ceit
    "DeepViT-S": 27_312_632,  # zhoudaquan/dvit_repo, deepvit_S; "27M" in the paper
    "DeepViT-L": 58_883_708,  # zhoudaquan/dvit_repo, deepvit_L; the paper says 55M
    "DeepViT-16": 24_426_664,  # zhoudaquan/dvit_repo; "24.5M" in the authors' README
    "DeepViT-24": 36_261_448,  # zhoudaquan/dvit_repo; "36.3M"
    "DeepViT-32": 48_096_232,  # zhoudaquan/dvit_repo; "48.1M"
    "Mixer-S/16": 18_528_264,  # timm; "18M" in MLP-Mixer, table 1
    "Mixer-S/32": 19_104_624,  # timm; "19M"
    "Mixer-B/16": 59_880_472,  # timm; "59M"
    "Mixer-B/32": 60_293_428,  # timm; "60M"
    "Mixer-L/16": 208_196_168,  # timm; "207M"
    "Mixer-L/32": 206_939_264,  # timm; "206M"
    "ResMLP-S12": 15_350_872,  # timm; "15M" in the paper
    "ResMLP-S24": 30_020_680,  # timm; "30M"
    "ResMLP-B24": 115_736_776,  # "116M"; timm has it with patches of 8, see below
    # Trainable ones of yitu-opensource/T2T-ViT; the papers' 4.3M, 5.9M, 6.9M, 21.5M and 39.2M count its fixed
    # positions and random features, too: 4,310,222, 5,889,230, 6,941,902, 21,545,550 and 39,177,422.
    "T2T-ViT-7": 4_255_694,
    "T2T-ViT-10": 5_834_702,
    "T2T-ViT-12": 6_887_374,
    "T2T-ViT-14": 21_465_806,
    "T2T-ViT-19": 39_085_070,
    "CSWin-T": 22_320_552,  # "23M" in the paper
    "CSWin-S": 34_643_304,  # "35M"
    "CSWin-B": 77_382_184,  # "78M"
    "PVT-Tiny": 13_229_288,  # "13.2M" in the paper
    "PVT-Small": 24_485_864,  # "24.5M"
}
TIMM = {
    **{
        f"ViT-{s}/16": f"vit_{t}_patch16_224"
        for s, t in {"Ti": "tiny", "S": "small", "B": "base", "L": "large"}.items()
    },
    **{f"ViT-{s}/32": f"vit_{t}_patch32_224" for s, t in {"S": "small", "B": "base", "L": "large"}.items()},
    **{f"DeiT-{s}/16": f"deit_{t}_patch16_224" for s, t in {"Ti": "tiny", "S": "small", "B": "base"}.items()},
    "DeiT-Ti/16-distilled": "deit_tiny_distilled_patch16_224",
    "DeiT-S/16-distilled": "deit_small_distilled_patch16_224",
    "DeiT-B/16-distilled": "deit_base_distilled_patch16_224",
    **{f"Mixer-{s}/{p}": f"mixer_{s.lower()}{p}_224" for s in "SBL" for p in (16, 32)},
    "ResMLP-S12": "resmlp_12_224",
    "ResMLP-S24": "resmlp_24_224",
}


def spelled(name: str, **changes: Any) -> Model | WholeModel:
    """A preset with changes, as a study would write them."""
    return TypeAdapter(AnyModel).validate_python(spelled_out({"preset": name, **changes}))


def on_meta(model: Model | WholeModel, data: Data) -> nn.Module:
    """The model without memory for its weights."""
    with torch.device("meta"):
        return build(model, data)


@pytest.fixture
def imagenet(data_recipe: Callable[..., Data]) -> Data:
    """224 px, three channels, 1,000 classes."""
    return data_recipe(image_size=224, channels=3, classes=1000)


def test_every_preset_has_its_number_here() -> None:
    """No preset is forgotten, and none is gone."""
    assert PARAMETERS.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_exactly_its_published_size(name: str, imagenet: Data) -> None:
    """Parameters, to the last one."""
    assert count_parameters(on_meta(spelled(name), imagenet)) == PARAMETERS[name]


@pytest.mark.parametrize("name", TIMM)
def test_the_numbers_are_those_of_timms_models(name: str) -> None:
    """Built by timm, the published models have the parameters that stand here."""
    with torch.device("meta"):
        theirs = timm.create_model(TIMM[name], num_classes=1000)
    assert count_parameters(theirs) == PARAMETERS[name]


def test_resmlp_b24_with_patches_of_8_has_the_size_of_timms(imagenet: Data) -> None:
    """timm has the B24 that was trained with patches of 8 px."""
    with torch.device("meta"):
        theirs = timm.create_model("resmlp_big_24_224", num_classes=1000)
    ours = on_meta(spelled("ResMLP-B24", **{"stem.patch_size": 8}), imagenet)
    assert count_parameters(ours) == count_parameters(theirs) == 129_138_280


def test_patches_of_32_change_the_projection_and_the_positions_alone() -> None:
    """Each ViT/32 has 3 x (32^2 - 16^2) more inputs to its projection and 14^2 - 7^2 fewer positions."""
    for size, dim in {"Ti": 192, "S": 384, "B": 768, "L": 1024}.items():
        difference = 3 * (32**2 - 16**2) * dim - (14**2 - 7**2) * dim
        assert PARAMETERS[f"ViT-{size}/32"] - PARAMETERS[f"ViT-{size}/16"] == difference


def test_the_mlp_head_of_simplevits_table_adds_its_dense_layer(imagenet: Data) -> None:
    """With the MLP head, SimpleViT-S/16 has 384^2 + 384 = 147,840 parameters more: 22,122,472."""
    assert count_parameters(on_meta(spelled("SimpleViT-S/16", head="mlp"), imagenet)) == 22_122_472


# What follows is about small copies: 16 or 32 px, three channels, 5 classes, a width of 16, and two blocks.

_SMALL = {"dim": 16, "depth": 2}
_SMALL_PVT = {"dims": [8, 16, 16, 16], "heads": [1, 2, 2, 2], "reductions": [4, 2, 1, 1], "depths": [1, 1, 1, 1]}
#: First part of a preset's name -> side of the image, and the changes that make it small.
SMALL: dict[str, tuple[int, dict[str, Any]]] = {
    "ViT": (16, _SMALL | {"stem.patch_size": 4, "mixer.heads": 2}),
    "SimpleViT": (16, _SMALL | {"stem.patch_size": 4, "mixer.heads": 2}),
    "DeiT": (16, _SMALL | {"stem.patch_size": 4, "mixer.heads": 2}),
    "CeiT": (16, _SMALL | {"stem.patch_size": 1, "mixer.heads": 2, "readout.heads": 2}),
    "DeepViT": (16, _SMALL | {"stem.patch_size": 4, "mixer.heads": 2}),
    "Mixer": (16, _SMALL | {"stem.patch_size": 4, "mixer.hidden": 12}),
    "ResMLP": (16, _SMALL | {"stem.patch_size": 4, "layer_scale": 0.1}),
    "T2T": (32, _SMALL | {"stem.token_dim": 8, "mixer.heads": 2}),
    "CSWin": (32, {"dim": 8, "depths": [1, 1, 1, 1], "heads": [2, 2, 2, 2], "split_sizes": [1, 2, 2, 1]}),
    "PVT": (32, _SMALL_PVT),
}


def _small_copy(name: str) -> Model | WholeModel:
    changes = SMALL[name.partition("-")[0]][1]
    if name in ("DeepViT-S", "DeepViT-L"):
        changes = changes | {"mixer.last_blocks": 1}
    return spelled(name, **changes)


def _distinct() -> dict[str, str]:
    """Presets whose small copies are equal, such as a paper's sizes, as one: its first -> all of their names."""
    alike: dict[Any, list[str]] = {}
    for name in PRESETS:
        alike.setdefault((name.partition("-")[0], _small_copy(name)), []).append(name)
    return {names[0]: " = ".join(names) for names in alike.values()}


DISTINCT = _distinct()


@pytest.fixture
def recipe_of(data_recipe: Callable[..., Data]) -> Callable[[str], tuple[Model | WholeModel, Data]]:
    """A small copy of a preset, and images for it."""
    return lambda name: (
        _small_copy(name),
        data_recipe(image_size=SMALL[name.partition("-")[0]][0], channels=3, classes=5),
    )


Small = Callable[..., tuple[nn.Module, Tensor]]


@pytest.fixture
def small(recipe_of: Callable[[str], tuple[Model | WholeModel, Data]]) -> Small:
    """A small copy of a preset in evaluation, no parameter or statistic at its first value, and three images."""

    def built(name: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
        recipe, data = recipe_of(name)
        model = make_model(recipe, data, seed).to(dtype).eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():  # zero heads and unit gains would hide what is behind them
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.running_mean += 0.1 * torch.randn(module.num_features, generator=generator, dtype=dtype)
                    module.running_var *= 1 + torch.rand(module.num_features, generator=generator, dtype=dtype)
        side = data.image_size
        return model, torch.randn(3, 3, side, side, generator=generator, dtype=dtype)

    return built


def normalises_batches(model: nn.Module) -> bool:
    """Whether any part of it is a batch normalisation."""
    return any(isinstance(module, _BatchNorm) for module in model.modules())


every_preset = pytest.mark.parametrize("name", DISTINCT, ids=DISTINCT.values())


@every_preset
def test_it_tells_images_apart(name: str, small: Small) -> None:
    """Logits of the right shape, finite, and different for different images."""
    model, images = small(name)
    logits = model(images)
    assert logits.shape == (3, 5)
    assert logits.isfinite().all()
    assert (logits[0] - logits[1]).abs().max() > 1e-3


#: Beginnings of the names of parameters that change no logit.
NO_GRADIENT: dict[str, tuple[str, ...]] = {
    # After the last block only the class token is read, which LeFF leaves alone; and a key's bias adds the same to
    # all logits of a query, which the softmax does not see.
    "CeiT": ("blocks.1.feed_forward.", "blocks.1.norm_2.", "readout.k.bias"),
    # The second bias of a token MLP adds the same to all channels of a token, which the next norm takes out.
    "Mixer": ("blocks.0.mixer.down.bias", "blocks.1.mixer.down.bias"),
}


@every_preset
def test_every_parameter_gets_a_gradient(name: str, small: Small) -> None:
    """No gradient is absent or all zeros, but those that must be by the paper's own formula."""
    model, images = small(name)
    model(images).square().sum().backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 1e-12}
    assert without == {
        n for n, _ in model.named_parameters() if n.startswith(NO_GRADIENT.get(name.partition("-")[0], ()))
    }


@every_preset
def test_images_do_not_see_one_another_in_evaluation(name: str, small: Small) -> None:
    """An image's logits alone are those it has in a batch, to 1e-10 in float64."""
    model, images = small(name)
    torch.testing.assert_close(model(images[1:2]), model(images)[1:2], rtol=0, atol=1e-10)


@every_preset
def test_its_state_survives_a_round_trip(name: str, small: Small) -> None:
    """Saved, loaded safely into another model of the preset, the logits are the same to the last bit."""
    model, images = small(name)
    other, _ = small(name, seed=1)
    assert not torch.equal(other(images), model(images))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(images), model(images))


@every_preset
def test_it_can_be_exported(name: str, small: Small) -> None:
    """torch.export makes a program of it that computes the same, to 1e-5 in float32."""
    model, images = small(name, dtype=torch.float32)
    exported = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(exported(images), model(images), rtol=1e-5, atol=1e-5)


@every_preset
def test_it_computes_with_parameters_handed_to_it(name: str, small: Small) -> None:
    """As a function of another model's state, it gives that model's logits, to 1e-12 in float64."""
    model, images = small(name)
    other, _ = small(name, seed=1)
    logits = functional_call(model, dict(other.state_dict()), (images,))
    torch.testing.assert_close(logits, other(images), rtol=0, atol=1e-12)


@every_preset
def test_several_of_it_can_be_one_batched_model(name: str, small: Small) -> None:
    """Under vmap over the stacked parameters of two, both models' logits come out, to 1e-10 in float64."""
    models = [small(name, seed=seed)[0] for seed in (0, 1)]
    _, images = small(name)
    if normalises_batches(models[0]):
        assert name.startswith(("CeiT", "DeepViT"))  # no other paper normalises batches
        return
    state = stack_module_state(models)
    # The CPU's fused attention kernel has no batched form: torch would loop over it, with a warning.
    with sdpa_kernel(SDPBackend.MATH):
        both = vmap(lambda parameters, buffers: functional_call(models[0], (parameters, buffers), (images,)))(*state)
    torch.testing.assert_close(both, torch.stack([model(images) for model in models]), rtol=1e-10, atol=1e-10)


@every_preset
def test_training_begins_the_same_twice(name: str, recipe_of: Callable[[str], tuple[Model | WholeModel, Data]]) -> None:
    """Made twice from one seed it has the same first values; from another seed, others."""
    recipe, data = recipe_of(name)
    first, again, other = (make_model(recipe, data, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())
