"""Costs on an accelerator: the counts against formulas by hand, the hours against published trainings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ablate.devices import DEVICES, Device, DeviceError, device_named
from ablate.estimate import IMAGES
from ablate.gpu_cost import CostError, StudyCost, cost_of
from ablate.recipe import Recipe
from ablate.study.models import spelled_out
from ablate.study.study import VISION, Metric, Study, Trial, Variant

TRAIN, VAL = IMAGES["imagenet"]["train"], IMAGES["imagenet"]["val"]
#: Google's documentation of Cloud TPU v3: 123 bfloat16 TFLOPs/s a chip; a TPUv3-8 has four chips, eight cores.
TPU_V3_CHIP = Device("tpu-v3", 123e12, None, 123e12, "cloud.google.com/tpu/docs/v3")


def recipe(model: Any, epochs: int = 300, data: Any = None, **changes: Any) -> dict[str, Any]:
    """A resolved Recipe on ImageNet at 224 px, batch 1,024."""
    fields = {
        "model": spelled_out(model),
        "data": {
            "source": "imagenet:nowhere",
            "image_size": 224,
            "channels": 3,
            "classes": 1000,
            "mean": 0.5,
            "std": 0.5,
            "test_split": "val",
            "test_fraction": 0.0,
            "val_fraction": 0.0,
            "split_seed": 0,
            "evaluate_on": "test",
            "eval_resize": 256,
            **(data or {}),
        },
        "augment": {"crop": "off", "flip": False, "randaug": "off", "mixup": "off"},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "decay": "kernels",
            "clip_norm": "off",
        },
        "schedule": {"epochs": epochs, "batch_size": 1024, "warmup_steps": 0, "decay": "cosine"},
        "precision": "float16",
        **changes,
    }
    return Recipe.model_validate(fields).resolved()


def study(recipes: dict[str, dict[str, Any]], seeds: int = 1, trainable: str = VISION) -> Study:
    """A study of these Variants; the id of a Trial is its Recipe's first Variant and the seed."""
    first = {str(r): name for name, r in reversed(recipes.items())}
    trials = [Trial(f"{first[str(r)]}-{s}", name, s, r) for s in range(seeds) for name, r in recipes.items()]
    return Study(
        name="costs",
        profile="default",
        path=Path("costs.yaml"),
        question="",
        source="",
        expected="",
        trainable=trainable,
        metric=Metric("top1", "maximize"),
        factors={},
        variants=tuple(Variant(name, {}, r, {}) for name, r in recipes.items()),
        seeds=tuple(range(seeds)),
        trials=tuple(trials),
        data_fingerprint="",
    )


def cost(resolved: dict[str, Any], device: Device = DEVICES["v100"], **more: Any) -> StudyCost:
    """Of a study of one Trial."""
    return cost_of(study({"baseline": resolved}), device, **more)


def vit_flops(dim: int, depth: int, tokens: int = 197) -> int:
    """By hand: patches of 16 px, qkv, two products of attention, projection, MLP of ratio 4, a head of 1,000."""
    block = 2 * tokens * dim * (3 + 1 + 4 + 4) * dim + 4 * tokens**2 * dim
    return depth * block + 2 * 196 * 16 * 16 * 3 * dim + 2 * dim * 1000


def test_a_training_is_three_forward_passes_an_image_and_one_an_evaluation() -> None:
    """DeiT-S to the last FLOP: whole batches of 1,024, and the 50,000 images of val after each epoch."""
    one = cost(recipe("DeiT-S/16")).variants["baseline"]
    assert one.forward_flops == vit_flops(384, 12)
    assert one.flops == 300 * (TRAIN // 1024 * 1024 * 3 + VAL) * vit_flops(384, 12)
    assert one.hours == pytest.approx(one.flops / (0.25 * 125e12) / 3600)


@pytest.mark.parametrize(
    ("changes", "passes", "evaluations"),
    [
        ({"compute": {"checkpoint_activations": True}}, 4, 1),
        ({"ema": {}}, 3, 2),
        ({"augment": {"crop": "off", "flip": False, "randaug": "off", "mixup": "off", "repeats": 4}}, 3, 1),
        (
            {"schedule": {"epochs": 1, "batch_size": 1024, "micro_batch": 64, "warmup_steps": 0, "decay": "cosine"}},
            3,
            1,
        ),
    ],
)
def test_what_adds_passes(changes: dict[str, Any], passes: int, evaluations: int) -> None:
    """Checkpointing adds a forward pass an image, an average an evaluation; repeats and micro-batches none."""
    one = cost(recipe("DeiT-Ti/16", epochs=1, **changes)).variants["baseline"]
    assert one.flops == (TRAIN // 1024 * 1024 * passes + VAL * evaluations) * vit_flops(192, 12)


def test_a_teacher_adds_its_forward_pass_at_its_own_size() -> None:
    """A whole model of timm on 160 px beside the student's 224; a Trial's is looked up, or said to be left out."""
    teacher = {"checkpoint": "timm", "model": "timm/vit_tiny_patch16_224", "image_size": 160}
    plain = cost(recipe("DeiT-Ti/16", epochs=1)).variants["baseline"].flops
    taught = cost(recipe("DeiT-Ti/16", epochs=1, distillation={"teacher": teacher}))
    images = TRAIN // 1024 * 1024
    small = vit_flops(192, 12, tokens=101) - 2 * 96 * 16 * 16 * 3 * 192
    assert taught.variants["baseline"].flops - plain == images * small
    assert taught.notes == ()

    by_id = recipe("DeiT-Ti/16", epochs=1, distillation={"teacher": {"checkpoint": "trial:0123456789abcdef"}})
    found = cost(by_id, recipe_of={"0123456789abcdef": recipe("DeiT-S/16")}.get)
    assert found.variants["baseline"].flops - plain == images * vit_flops(384, 12)
    missing = cost(by_id)
    assert missing.variants["baseline"].flops == plain
    assert "trial:0123456789abcdef is not known here" in missing.notes[0]


def test_the_studys_own_teachers_are_counted_and_looked_up() -> None:
    """A teacher that is trained first has a row, and is in the total once."""
    taught = recipe("DeiT-Ti/16", epochs=1, distillation={"teacher": {"checkpoint": "trial:00000000000000aa"}})
    teacher = Trial("00000000000000aa", "teacher:big", 0, recipe("DeiT-S/16", epochs=1))
    whole = cost_of(dataclasses.replace(study({"baseline": taught}, 2), teachers=(teacher,)), DEVICES["v100"])
    assert list(whole.variants) == ["teacher:big", "baseline"]
    assert whole.notes == ()
    one, two = whole.variants.values()
    assert whole.hours() == pytest.approx(one.hours + 2 * two.hours)


def test_a_trial_that_variants_share_is_counted_once() -> None:
    """Two Variants of one training and two seeds are two Trials; what is left is counted apart."""
    same = recipe("DeiT-Ti/16", epochs=1)
    whole = cost_of(study({"baseline": same, "judged": same}, 2), DEVICES["v100"], left=["baseline-1"])
    hours = whole.variants["judged"].hours
    assert whole.hours() == pytest.approx(2 * hours)
    assert whole.hours(left=True) == pytest.approx(hours)
    shown = whole.as_json()
    assert shown["gpu_hours"] == whole.hours()
    assert shown["training_flops"] == 2 * whole.variants["judged"].flops


def within_a_factor_of_two(estimate: float, published: float) -> bool:
    return published / 2 < estimate < published * 2


def test_deit_costs_what_its_authors_say() -> None:
    """DeiT-B: 53 h on one node of eight GPUs; DeiT-S: less than three days on four (arXiv 2012.12877, section 6).

    The paper names V100s where it measures throughput, and no other GPU; the authors' code trains in mixed precision.
    """
    base = cost(recipe("DeiT-B/16")).hours()
    assert within_a_factor_of_two(base, 8 * 53)
    assert cost(recipe("DeiT-S/16")).hours() < 4 * 72


def test_simplevit_costs_what_its_authors_say() -> None:
    """ViT-S/16, 90 epochs: 6 to 7 h of a TPUv3-8 (big_vision configs/vit_s16_i1k.py), below 7 (arXiv 2205.01580)."""
    resolved = recipe("SimpleViT-S/16", epochs=90, data={"val_fraction": 0.01}, precision="bfloat16")
    hours = cost(resolved, TPU_V3_CHIP).hours()
    assert within_a_factor_of_two(hours, 4 * 6)
    assert within_a_factor_of_two(hours, 4 * 7)


@pytest.mark.parametrize(
    ("device", "changes", "images_per_second"),
    [
        ("v100", {}, 8322 / 8),
        ("v100", {"precision": "float32"}, 2855 / 8),
        ("a100", {}, 16621 / 8),
        ("a100", {"precision": "float32", "compute": {"tf32": True}}, 7248 / 8),
    ],
)
def test_resnet50_costs_what_nvidia_measured(device: str, changes: dict[str, Any], images_per_second: float) -> None:
    """Training throughput on eight V100 16GB and eight A100 80GB (NVIDIA DeepLearningExamples, ResNet50 v1.5)."""
    hours = cost(recipe("timm/resnet50", epochs=1, **changes), DEVICES[device]).hours()
    assert within_a_factor_of_two(hours, TRAIN / images_per_second / 3600)


def test_the_peak_is_that_of_the_precision() -> None:
    """Half precision has the tensor cores', float32 that of TF32 where Recipe and device have it."""

    def units(device: str, **changes: Any) -> tuple[float, str]:
        peak = DEVICES[device].peak(Recipe.model_validate(recipe("DeiT-Ti/16", **changes)))
        return peak.flops_per_s, peak.units

    assert units("h100") == (989.4e12, "float16")
    assert units("h100", precision="bfloat16") == (989.4e12, "bfloat16")
    assert units("h100", precision="float32") == (66.9e12, "float32")
    assert units("h100", precision="float32", compute={"tf32": True}) == (494.7e12, "tf32")
    assert units("v100", precision="float32", compute={"tf32": True}) == (15.7e12, "float32")
    with pytest.raises(DeviceError, match="v100 has no units for bfloat16"):
        units("v100", precision="bfloat16")


def test_no_device_is_faster_in_more_digits() -> None:
    """Half precision is at least as fast as TF32, and that as float32; every device names its source."""
    for name, device in DEVICES.items():
        assert device.name == name
        assert device.half >= (device.tf32 or device.float32) >= device.float32 > 0
        assert device.source


def test_an_unknown_device_is_told_with_the_nearest() -> None:
    """All names are listed; upper case is as good as lower."""
    assert device_named("A100") is DEVICES["a100"]
    with pytest.raises(DeviceError, match=r"'v10' is not known; allowed: a100, .*; did you mean 'v100'\?"):
        device_named("v10")


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (lambda: study({"baseline": {}}, trainable="mine:train"), "mine:train computes is not known here"),
        (
            lambda: study({"baseline": recipe("DeiT-Ti/16", data={"source": "wds/nowhere", "classes": 7})}),
            "baseline: how many images wds/nowhere has is not known here",
        ),
        (
            lambda: study({"odd": recipe({"name": "timm/vit_tiny_patch16_224", "num_heads": 5})}),
            "odd: its model cannot be counted: timm/vit_tiny_patch16_224 cannot be built so",
        ),
    ],
)
def test_what_cannot_be_counted_says_why(of: Any, message: str) -> None:
    """With the Variant, and the reason in one line."""
    with pytest.raises(CostError, match=message):
        cost_of(of(), DEVICES["h100"])
