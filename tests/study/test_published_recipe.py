"""The published recipe, field by field: no edit of the study or of a default changes it unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.recipe import decisive
from ablate.study.load import load_study

#: big_vision's configs/vit_s16_i1k.py (the config) and what that calls, at the names given.
PUBLISHED: dict[str, Any] = {
    "model": {
        # variant='S/16' in models/vit.py, decode_variant: width 384, depth 12, mlp_dim 1536, 6 heads
        "dim": 384,
        "depth": 12,
        "stem": {"name": "patches", "patch_size": 16, "pre_norm": False, "post_norm": False},
        "position": {"name": "sincos2d", "temperature": 10_000.0},  # posemb='sincos2d'; posemb_sincos_2d
        "position_at": "stem",
        "position_covers": "patches",  # models/vit.py adds it before the class token is prepended
        "mixer": {"name": "self_attention", "heads": 6, "qkv_bias": True},  # flax: use_bias
        "feed_forward": {"name": "mlp", "ratio": 4.0, "activation": "gelu_tanh"},  # flax's gelu is approximate
        "norm": {"name": "layer_norm", "eps": 1e-6},  # flax's LayerNorm
        "final_norm": "before_pooling",  # encoder_norm
        "readout": {"name": "gap"},  # pool_type='gap'
        "head": {"name": "mlp"},  # rep_size=True: dense, tanh, linear
        "layer_scale": "off",
        "branch_factor": 1.0,
        "dropout": 0.0,
        "stochastic_depth": 0.0,
        "init": "jax",
    },
    "data": {
        "source": "imagefolder:imagenet",
        "image_size": 224,
        "channels": 3,
        "classes": 1000,
        "mean": 0.5,  # value_range(-1, 1)
        "std": 0.5,
        "test_fraction": 0.0,
        "val_fraction": 0.01,  # split='train[:99%]'
        "split_seed": 0,
        "evaluate_on": "test",  # evals.val on ImageNet's validation images
        "eval_resize": 256,  # resize_small(256)|central_crop(224)
    },
    "augment": {
        # decode_jpeg_and_inception_crop(224): area_min=5, ratio_min=.75, ratio_max=1.33 (pp/ops_image.py)
        "crop": {"min_area": 0.05, "min_aspect": 0.75, "max_aspect": 1.33},
        "flip": True,  # flip_lr
        "randaug": {"layers": 2, "level": 10.0, "probability": 1.0},  # randaug(2,10)
        "mixup": {"alpha": 0.2, "draw": "batch"},  # mixup=dict(p=0.2)
    },
    "optimizer": {  # scale_by_adam with optax's b1, b2 and eps
        "name": "adamw",
        "learning_rate": 1e-3,  # lr
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.1,  # wd=0.0001, which is not multiplied by lr: 0.1 * 0.001
        "decay": "kernels",  # big_vision's wd_mults: '.*/kernel$'
        "clip_norm": 1.0,  # grad_clip_norm
    },
    "schedule": {
        "epochs": 90,  # total_epochs
        "batch_size": 1024,  # input.batch_size
        "warmup_steps": 10_000,  # schedule=dict(warmup_steps=10_000, decay_type='cosine')
        "warmup_epochs": None,
        "decay": "cosine",
    },
    "precision": "float32",
}


@pytest.mark.parametrize(
    ("profile", "epochs"), [("imagenet-90ep", 90), ("imagenet-150ep", 150), ("imagenet-300ep", 300)]
)
def test_the_baseline_is_the_published_recipe(studies: Path, profile: str, epochs: int) -> None:
    """Every field of the ImageNet profiles' baseline has the published value; they differ in epochs alone."""
    expected = PUBLISHED | {"schedule": PUBLISHED["schedule"] | {"epochs": epochs}}
    assert decisive(load_study(studies / "simplevit.yaml", profile).baseline.recipe) == expected
