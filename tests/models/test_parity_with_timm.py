"""The same numbers as timm's VisionTransformer, from the same weights."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor

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
    theirs.load_state_dict(_as_timm(dict(ours.named_parameters()), after_pooling))

    generator = torch.Generator().manual_seed(3)
    images = torch.randn(5, 3, 12, 12, generator=generator, dtype=torch.float64)
    cotangent = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    pixels = [images.clone().requires_grad_() for _ in range(2)]
    logits = [model(x) for model, x in zip((ours, theirs), pixels, strict=True)]
    torch.testing.assert_close(*logits, rtol=1e-10, atol=1e-10)
    for output in logits:
        output.backward(cotangent)
    torch.testing.assert_close(pixels[0].grad, pixels[1].grad, rtol=1e-10, atol=1e-10)

    gradients = _as_timm({n: p.grad for n, p in ours.named_parameters()}, after_pooling)
    expected = {n: p.grad for n, p in theirs.named_parameters()}
    assert gradients.keys() == expected.keys()
    assert all(gradient.abs().max() > 1e-6 for gradient in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-10, msg=name)
