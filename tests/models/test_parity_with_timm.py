"""The same numbers as timm's models, from the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from ablate.study.models import spelled_out

DATA = {"image_size": 12, "channels": 3, "classes": 7}
TIMM = {
    "img_size": 12,
    "patch_size": 4,
    "in_chans": 3,
    "num_classes": 7,
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2.0,
}
GELU = {"name": "mlp", "ratio": 2.0, "activation": "gelu"}
CASES = {
    "gap, norm before pooling": (
        {"position": "learned", "feed_forward": GELU},
        {"class_token": False, "global_pool": "avg", "fc_norm": False},
    ),
    "gap, norm after pooling": (
        {"position": "learned", "feed_forward": GELU, "final_norm": "after_pooling"},
        {"class_token": False, "global_pool": "avg"},
    ),
    "gap, no position, tanh GELU": (
        {"position": "none"},
        {"class_token": False, "global_pool": "avg", "fc_norm": False, "pos_embed": "none", "act_layer": "gelu_tanh"},
    ),
    "cls with a position, no qkv bias": (
        {
            "position": "learned",
            "position_covers": "all",
            "readout": "cls",
            "feed_forward": GELU,
            "mixer": {"name": "self_attention", "heads": 4, "qkv_bias": False},
        },
        {"qkv_bias": False},
    ),
    "cls without a position": (
        {"position": "learned", "readout": "cls", "feed_forward": GELU},
        {"no_embed_class": True},
    ),
}


def _as_timm(ours: dict[str, Tensor], after_pooling: bool) -> dict[str, Tensor]:
    """Values of our parameters (or gradients) under timm's names and in its shapes."""
    theirs = {}
    renames = {
        "norm_1": "norm1",
        "norm_2": "norm2",
        "mixer.qkv": "attn.qkv",
        "mixer.out": "attn.proj",
        "feed_forward.up": "mlp.fc1",
        "feed_forward.down": "mlp.fc2",
        "head.classifier": "head",
        "stem.projection": "patch_embed.proj",
        "readout.token": "cls_token",
    }
    for name, value in ours.items():
        if name.startswith("position."):
            continue
        new = name
        for old, timm_name in renames.items():
            new = new.replace(old, timm_name)
        if after_pooling and new.startswith("norm."):
            new = f"fc_{new}"
        theirs[new] = value.reshape(32, 3, 4, 4) if new == "patch_embed.proj.weight" else value
    table = [ours[name] for name in ("position.prefix", "position.patches") if name in ours]
    if table:
        theirs["pos_embed"] = torch.cat(table)[None]
    return theirs


@pytest.mark.parametrize("case", CASES)
def test_logits_and_gradients_are_those_of_timm(case: str, scrambled, data_recipe) -> None:
    """With timm's weights the logits and the gradients of every parameter and pixel are timm's, to 1e-10."""
    changes, settings = CASES[case]
    ours = scrambled(data_recipe(**DATA), stem={"name": "patches", "patch_size": 4}, **changes)
    theirs = TimmVisionTransformer(**(TIMM | settings)).double().eval()
    after_pooling = changes.get("final_norm") == "after_pooling"

    def renamed(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return _as_timm(values, after_pooling)

    _compare(ours, theirs, renamed)


#: Our names in the presets -> timm's.
RENAMES = {
    "DeiT-S/16-distilled": {
        "norm_1": "norm1",
        "norm_2": "norm2",
        "mixer.qkv": "attn.qkv",
        "mixer.out": "attn.proj",
        "feed_forward.up": "mlp.fc1",
        "feed_forward.down": "mlp.fc2",
        "distilled_head.classifier": "head_dist",
        "head.classifier": "head",
        "stem.projection": "patch_embed.proj",
        "readout.token": "cls_token",
        "readout.distillation": "dist_token",
    },
    "Mixer-S/16": {
        "norm_1": "norm1",
        "norm_2": "norm2",
        "mixer.up": "mlp_tokens.fc1",
        "mixer.down": "mlp_tokens.fc2",
        "feed_forward.up": "mlp_channels.fc1",
        "feed_forward.down": "mlp_channels.fc2",
        "head.classifier": "head",
        "stem.projection": "stem.proj",
    },
    "ResMLP-S12": {
        "norm_1": "norm1",
        "norm_2": "norm2",
        "mixer.mix": "linear_tokens",
        "feed_forward.up": "mlp_channels.fc1",
        "feed_forward.down": "mlp_channels.fc2",
        "scale_1.gain": "ls1",
        "scale_2.gain": "ls2",
        "head.classifier": "head",
        "stem.projection": "stem.proj",
    },
}
SMALL = {"dim": 32, "depth": 2, "stem.patch_size": 4}
MIXER = {"img_size": 12, "patch_size": 4, "num_classes": 7, "embed_dim": 32, "num_blocks": 2}
#: Preset -> its changes, and timm's model.
PRESETS = {
    "DeiT-S/16-distilled": (
        SMALL | {"mixer.heads": 4, "feed_forward.ratio": 2.0},
        lambda: VisionTransformerDistilled(**TIMM),
    ),
    # timm has the exact GELU, where the paper's code has its tanh form.
    "Mixer-S/16": (
        SMALL | {"mixer.hidden": 16, "mixer.activation": "gelu", "feed_forward.activation": "gelu"},
        lambda: MlpMixer(**MIXER),
    ),
    "ResMLP-S12": (SMALL, lambda: MlpMixer(**MIXER, mlp_ratio=4, block_layer=ResBlock, norm_layer=Affine)),
}


def _as_timms(name: str, values: dict[str, Tensor], theirs: nn.Module) -> dict[str, Tensor]:
    """Values of a preset's parameters (or gradients) under timm's names and in its shapes."""
    shapes = {key: value.shape for key, value in theirs.named_parameters()}
    found = {}
    for name_of_ours, value in values.items():
        if name_of_ours.startswith("position."):
            continue
        key = name_of_ours
        for old, new in RENAMES[name].items():
            key = key.replace(old, new)
        found[key] = value.reshape(shapes[key])
    if "pos_embed" in shapes:
        found["pos_embed"] = torch.cat((values["position.prefix"], values["position.patches"]))[None]
    return found


@pytest.fixture(params=PRESETS)
def pair(request, scrambled, data_recipe) -> tuple[str, nn.Module, nn.Module]:
    """A preset's name, a small copy of it, and timm's model of that size."""
    changes, make = PRESETS[request.param]
    ours = scrambled(data_recipe(**DATA), **spelled_out({"preset": request.param, **changes}))
    return request.param, ours, make().double().eval()


def test_presets_compute_what_timms_models_do(pair) -> None:
    """Small copies of a preset and of timm's model agree as above, in the mean of both heads for DeiT."""
    name, ours, theirs = pair
    _compare(ours, theirs, lambda values: _as_timms(name, values, theirs))


@pytest.mark.parametrize("pair", ["DeiT-S/16-distilled"], indirect=True)
def test_each_of_deits_heads_gives_what_timms_gives(pair) -> None:
    """In training, timm's distilled model gives the logits of both heads: they are ours, to 1e-10."""
    name, ours, theirs = pair
    theirs.load_state_dict(_as_timms(name, dict(ours.named_parameters()), theirs))
    theirs.set_distilled_training(True)
    theirs.train()
    images = torch.randn(5, 3, 12, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for logits, expected in zip(ours.forward_heads(images), theirs(images), strict=True):
        torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)


def _compare(ours: nn.Module, theirs: nn.Module, renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Logits, and gradients of every parameter and pixel, from our weights in both."""
    theirs.load_state_dict(renamed(dict(ours.named_parameters())))
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(5, 3, 12, 12, generator=generator, dtype=torch.float64)
    cotangent = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    pixels = [images.clone().requires_grad_() for _ in range(2)]
    logits = [model(x) for model, x in zip((ours, theirs), pixels, strict=True)]
    torch.testing.assert_close(*logits, rtol=1e-10, atol=1e-10)
    for output in logits:
        output.backward(cotangent)
    torch.testing.assert_close(pixels[0].grad, pixels[1].grad, rtol=1e-10, atol=1e-10)

    gradients = renamed({n: p.grad for n, p in ours.named_parameters()})
    expected = {n: p.grad for n, p in theirs.named_parameters()}
    assert gradients.keys() == expected.keys()
    nothing = {name for name, gradient in gradients.items() if gradient.abs().max() <= 1e-6}
    assert all(name.endswith("mlp_tokens.fc2.bias") for name in nothing)  # the next norm takes it out
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-10, msg=name)
