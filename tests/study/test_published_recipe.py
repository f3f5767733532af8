"""The published recipes, field by field: no edit of a study or of a default changes one unseen."""

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
        "test_split": "val",
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
    "compute": {"tf32": True},  # matrices in the TPU's default precision, bfloat16
}

#: DeiT's main.py with its defaults, which CeiT and DeepViT (lib_deit) have kept, and arXiv 2012.12877, table 9.
DEIT: dict[str, Any] = {
    "data": {
        "source": "imagefolder:imagenet",
        "image_size": 224,  # --input-size
        "channels": 3,
        "classes": 1000,
        "mean": [0.485, 0.456, 0.406],  # IMAGENET_DEFAULT_MEAN
        "std": [0.229, 0.224, 0.225],
        "test_split": "val",
        "test_fraction": 0.0,
        "val_fraction": 0.0,
        "split_seed": 0,
        "evaluate_on": "test",
        "eval_resize": 256,  # int(256 / 224 * input_size)
        "eval_resampling": "bicubic",  # interpolation=3
    },
    "augment": {
        # create_transform: timm's RandomResizedCropAndInterpolation, --train-interpolation bicubic
        "crop": {
            "min_area": 0.08,
            "min_aspect": 0.75,
            "max_aspect": 4 / 3,
            "draw": "area",
            "resampling": "bicubic",
        },
        "flip": True,
        # --aa rand-m9-mstd0.5-inc1: two operations, each with probability .5
        "randaug": {
            "layers": 2,
            "level": 9.0,
            "probability": 0.5,
            "operations": "timm",
            "increasing": True,
            "noise": 0.5,
            "resampling": "bicubic",  # --train-interpolation, which create_transform hands on
        },
        # --reprob, --remode pixel, --recount 1; the rest are RandomErasing's own
        "erasing": {
            "probability": 0.25,
            "fill": "pixel",
            "min_area": 0.02,
            "max_area": 1 / 3,
            "min_aspect": 0.3,
            "count": 1,
        },
        "mixup": {"alpha": 0.8, "draw": "batch"},  # --mixup, --mixup-mode batch
        "cutmix": {"alpha": 1.0, "draw": "batch"},  # --cutmix; --mixup-prob 1 and --mixup-switch-prob .5 are neutral
        "repeats": 3,  # RASampler
    },
    "optimizer": {
        "name": "adamw",
        "learning_rate": 5e-4,  # --lr, times batch / 512
        "scaling": {"rule": "linear", "batch_size": 512},
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.05,
        "decay": "kernels",
        "clip_norm": "off",  # --clip-grad None
    },
    "schedule": {
        "epochs": 300,
        "batch_size": 1024,
        "warmup_steps": None,
        "warmup_epochs": 5.0,
        "warmup_rate": 1e-6,  # --warmup-lr
        "warmup_inside": True,  # timm's CosineLRScheduler without warmup_prefix
        "decay": "cosine",
        "final_rate": 1e-5,  # --min-lr
        "rate_changes": "every_epoch",  # lr_scheduler.step(epoch)
    },
    "loss": {"label_smoothing": 0.1},  # --smoothing
    "precision": "float16",  # torch.cuda.amp.autocast
}
#: ResMLP, arXiv 2105.03404, section 3: LAMB, learning rate 5e-3, weight decay .2, 400 epochs; the rest as DeiT.
RESMLP = DEIT | {
    "optimizer": {k: v for k, v in DEIT["optimizer"].items() if k != "scaling"}
    | {"name": "lamb", "learning_rate": 5e-3, "weight_decay": 0.2},
    "schedule": DEIT["schedule"] | {"epochs": 400},
}
#: ViT from scratch on ImageNet, arXiv 2010.11929, table 3 and section 4.1; images as in SimpleViT's config.
VIT = {
    "data": PUBLISHED["data"],
    "augment": PUBLISHED["augment"] | {"randaug": "off", "mixup": "off"},
    "optimizer": PUBLISHED["optimizer"] | {"learning_rate": 3e-3, "weight_decay": 0.3},
    "schedule": PUBLISHED["schedule"] | {"epochs": 300, "batch_size": 4096},
    "precision": "float32",
}
#: big_vision's configs/mlp_mixer_i1k.py.
MIXER = {
    "data": PUBLISHED["data"],
    "augment": PUBLISHED["augment"]
    | {
        "randaug": {"layers": 2, "level": 15.0, "probability": 1.0},  # randaug(2,15)
        "mixup": {"alpha": 0.5, "draw": "batch"},  # mixup=dict(p=0.5)
    },
    "optimizer": PUBLISHED["optimizer"],  # lr=0.001, wd=1e-4, grad_clip_norm=1
    "schedule": PUBLISHED["schedule"]
    | {
        "epochs": 300,
        "batch_size": 4096,
        "decay": "linear",  # decay_type='linear'
        "final_rate": 1e-5,  # linear_end=1e-5
    },
    "loss": {"kind": "sigmoid"},  # loss='sigmoid_xent'
    "precision": "float32",
    "compute": {"tf32": True},
}


@pytest.mark.parametrize(
    ("profile", "epochs"), [("imagenet-90ep", 90), ("imagenet-150ep", 150), ("imagenet-300ep", 300)]
)
def test_the_baseline_is_the_published_recipe(studies: Path, profile: str, epochs: int) -> None:
    """Every field of the ImageNet profiles' baseline has the published value; they differ in epochs alone."""
    expected = PUBLISHED | {"schedule": PUBLISHED["schedule"] | {"epochs": epochs}}
    assert decisive(load_study(studies / "simplevit.yaml", profile).baseline.recipe) == expected


@pytest.mark.parametrize(
    ("study", "profile", "recipe", "stochastic_depth"),
    [
        ("vit", "imagenet-300ep", VIT, 0.0),
        ("deit", "imagenet-300ep", DEIT, 0.1),
        ("ceit", "imagenet-300ep", DEIT, 0.1),
        ("deepvit", "imagenet-300ep", DEIT, 0.1),
        ("families", "imagenet-300ep", DEIT, 0.1),
        ("mixers", "imagenet-400ep", RESMLP, 0.05),
        ("mlp-mixer", "imagenet-300ep", MIXER, 0.1),
    ],
)
def test_the_other_papers_recipes_are_those_of_their_code(
    studies: Path, study: str, profile: str, recipe: dict[str, Any], stochastic_depth: float
) -> None:
    """Everything but the model, whose values are pinned elsewhere; an average of the weights changes no training."""
    found = decisive(load_study(studies / f"{study}.yaml", profile).baseline.recipe)
    assert found["model"]["stochastic_depth"] == stochastic_depth
    assert found["model"]["dropout"] == (0.1 if study == "vit" else 0.0)
    assert {k: v for k, v in found.items() if k not in ("model", "ema")} == recipe
