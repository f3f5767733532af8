"""The papers' models as points of the space, by the names that the papers give them.

A preset is the model section of a Recipe, or a whole model, as plain JSON types; what it does not say has the
default of its part. It says what the model *is*: ``dropout`` and ``stochastic_depth``, which belong to how it is
trained, are off in all of them. (T2T-ViT's stem drops .1 inside of its Performer, always: ``stem.token_dropout``.)
Patch sizes and widths are those for images of 224 px. Parameter counts (1,000 classes) are in the tests.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Preset = dict[str, Any]


def preset(name: str) -> Preset:
    """A copy of a preset, free to be changed. Raises KeyError for a name that is none."""
    return copy.deepcopy(dict(PRESETS[name]))


def _attention(heads: int, **options: Any) -> Preset:
    return {"name": "self_attention", "heads": heads, **options}


def _patches(patch_size: int) -> Preset:
    return {"name": "patches", "patch_size": patch_size}


def _vit(dim: int, depth: int, heads: int, patch_size: int) -> Preset:
    """ViT (Dosovitskiy et al., arXiv 2010.11929, table 1; Ti and S: arXiv 2106.10270, table 2), for classification
    of ImageNet-1k: the head is linear. The paper's head for pre-training is ``mlp``, that for fine-tuning
    ``zero_linear``.
    """
    return {
        "dim": dim,
        "depth": depth,
        "stem": _patches(patch_size),
        "position": "learned",
        "position_covers": "all",
        "mixer": _attention(heads),
        "feed_forward": {"name": "mlp", "ratio": 4.0, "activation": "gelu_tanh"},
        "norm": "layer_norm",
        "final_norm": "before_pooling",
        "readout": "cls",
        "head": "linear",
        "dropout": 0.0,
        "init": "jax",
    }


def _simplevit(dim: int, depth: int, heads: int, patch_size: int) -> Preset:
    """SimpleViT (Beyer et al., arXiv 2205.01580, section 2; big_vision configs/vit_s16_i1k.py) with its linear head:
    fixed positions, no class token. The baseline of the paper's table 1 has head ``mlp``.
    """
    return _vit(dim, depth, heads, patch_size) | {
        "position": "sincos2d",
        "position_covers": "patches",
        "readout": "gap",
    }


def _deit(dim: int, heads: int) -> Preset:
    """DeiT (Touvron et al., arXiv 2012.12877, table 1): ViT's architecture, with the exact GELU and other first
    weights.
    """
    return _vit(dim, 12, heads, 16) | {
        "feed_forward": {"name": "mlp", "ratio": 4.0, "activation": "gelu"},
        "init": "truncated_normal",
    }


def _deit_distilled(dim: int, heads: int) -> Preset:
    """DeiT with the distillation token and its head (arXiv 2012.12877, section 4)."""
    return _deit(dim, heads) | {"readout": "cls_distilled"}


def _ceit(dim: int, heads: int) -> Preset:
    """CeiT (Yuan et al., arXiv 2103.11816, table 1): image-to-tokens, LeFF and layer-wise class-token attention.

    The class token passes LeFF by, as the paper says. In the authors' code LeFF's branch gives it back as the norm
    left it, so that the residual adds it: ``feed_forward.cls_path: norm``.
    """
    return _deit(dim, heads) | {
        "stem": {"name": "image_to_tokens", "patch_size": 4},
        "feed_forward": {"name": "leff", "ratio": 4.0},
        "readout": {"name": "layer_wise_cls", "heads": heads},
        "final_norm": "after_pooling",
    }


def _deepvit_of_depth(depth: int) -> Preset:
    """The models that DeepViT compares by depth (Zhou et al., arXiv 2103.11886, table 1; the authors'
    deepvit_patch16_224_re_attn_16b, 24b, 32b): re-attention in every block. The paper's plain ViTs beside them
    have ``mixer: {name: self_attention, heads: 12}``.
    """
    return _deit(384, 12) | {
        "depth": depth,
        "mixer": {"name": "re_attention", "heads": 12},
        "feed_forward": {"name": "mlp", "ratio": 3.0, "activation": "gelu"},
    }


def _deepvit(dim: int, depth: int, last_blocks: int, rescale: bool) -> Preset:
    """DeepViT-S and -L (arXiv 2103.11886; the authors' deepvit_S and deepvit_L): re-attention in the last blocks,
    and two convolutions before the patches. Their code's factors around the norms are a ``branch_factor`` of 2, up
    to the norms' eps.
    """
    return _deepvit_of_depth(depth) | {
        "dim": dim,
        "stem": {"name": "cnn_patches", "patch_size": 16},
        "mixer": {"name": "re_attention", "heads": 12, "last_blocks": last_blocks, "rescale": rescale},
        "branch_factor": 2.0,
    }


def _mixer(dim: int, depth: int, patch_size: int, hidden: int) -> Preset:
    """MLP-Mixer (Tolstikhin et al., arXiv 2105.01601, table 1). It has no positions: its token MLP tells tokens
    apart.
    """
    return _simplevit(dim, depth, 1, patch_size) | {
        "position": "none",
        "mixer": {"name": "token_mlp", "hidden": hidden},
        "init": "flax",
    }


def _resmlp(dim: int, depth: int, layer_scale: float) -> Preset:
    """ResMLP (Touvron et al., arXiv 2105.03404, section 2); the gains' first values are those of the official code,
    resmlp_models.py.
    """
    return {
        **_deit(dim, 1),
        "depth": depth,
        "position": "none",
        "mixer": "cross_patch_linear",
        "norm": "affine",
        "readout": "gap",
        "layer_scale": layer_scale,
    }


def _t2t(dim: int, depth: int, heads: int, ratio: float) -> Preset:
    """T2T-ViT (Yuan et al., arXiv 2101.11986, table 1), with the Performer in its stem."""
    return _deit(dim, heads) | {
        "depth": depth,
        "stem": "tokens_to_token",
        "position": "sincos1d",
        "norm": {"name": "layer_norm", "eps": 1e-5},
        "mixer": _attention(heads, qkv_bias=False),
        "feed_forward": {"name": "mlp", "ratio": ratio, "activation": "gelu"},
    }


def _cswin(**options: Any) -> Preset:
    """CSWin Transformer (Dong et al., arXiv 2107.00652, table 1)."""
    return {"name": "cswin", **options}


def _pvt(depths: list[int]) -> Preset:
    """Pyramid Vision Transformer (Wang et al., arXiv 2102.12122, table 1)."""
    return {"name": "pvt", "depths": depths}


_VITS = {"Ti": (192, 12, 3), "S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16)}
_DEITS = {"Ti": (192, 3), "S": (384, 6), "B": (768, 12)}
_MIXERS = {"S": (512, 8, 256), "B": (768, 12, 384), "L": (1024, 24, 512)}
#: Name -> model section of a Recipe.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        **{f"ViT-{size}/{patch}": _vit(*shape, patch) for size, shape in _VITS.items() for patch in (16, 32)},
        "SimpleViT-S/16": _simplevit(384, 12, 6, 16),
        **{f"DeiT-{size}/16": _deit(*shape) for size, shape in _DEITS.items()},
        **{f"DeiT-{size}/16-distilled": _deit_distilled(*shape) for size, shape in _DEITS.items()},
        **{f"CeiT-{size}": _ceit(*shape) for size, shape in {"T": (192, 3), "S": (384, 6), "B": (768, 12)}.items()},
        "DeepViT-S": _deepvit(396, 16, 5, rescale=True),
        "DeepViT-L": _deepvit(420, 32, 12, rescale=False),
        **{f"DeepViT-{depth}": _deepvit_of_depth(depth) for depth in (16, 24, 32)},
        **{
            f"Mixer-{size}/{patch}": _mixer(dim, depth, patch, hidden)
            for size, (dim, depth, hidden) in _MIXERS.items()
            for patch in (16, 32)
        },
        "ResMLP-S12": _resmlp(384, 12, 0.1),
        "ResMLP-S24": _resmlp(384, 24, 1e-5),
        "ResMLP-B24": _resmlp(768, 24, 1e-6),
        "T2T-ViT-7": _t2t(256, 7, 4, 2.0),
        "T2T-ViT-10": _t2t(256, 10, 4, 2.0),
        "T2T-ViT-12": _t2t(256, 12, 4, 2.0),
        "T2T-ViT-14": _t2t(384, 14, 6, 3.0),
        "T2T-ViT-19": _t2t(448, 19, 7, 3.0),
        "CSWin-T": _cswin(),
        "CSWin-S": _cswin(depths=[2, 4, 32, 2]),
        "CSWin-B": _cswin(dim=96, depths=[2, 4, 32, 2], heads=[4, 8, 16, 32]),
        "PVT-Tiny": _pvt([2, 2, 2, 2]),
        "PVT-Small": _pvt([3, 4, 6, 3]),
    }
)
