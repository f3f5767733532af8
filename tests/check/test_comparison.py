"""Every aspect of a Recipe: what shows, what must not, and what makes no difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ablate.training.probe import Probe, Values

MakePair = Callable[..., Any]
#: Overrides, and a word that the finding's effects must hold.
LEVELS = [
    ({"model.stem": {"name": "patches", "patch_size": 4}}, "patch_size 2 → 4"),
    ({"model.position": "learned"}, "position: SinCos2d → LearnedPosition; parameters 4.7k → 5.0k"),
    ({"model.position_at": "every_layer"}, "position_at"),
    ({"model.mixer": {"name": "token_mlp", "hidden": 8}}, "blocks.*.mixer: SelfAttention → TokenMLP"),
    ({"model.mixer.heads": 4}, "heads 2 → 4"),
    ({"model.feed_forward": {"name": "mlp", "ratio": 3.0}}, "blocks.*.feed_forward.up: out_features 32 → 48"),
    ({"model.feed_forward": {"name": "mlp", "ratio": 2.0, "activation": "gelu"}}, "approximate"),
    ({"model.norm": "affine"}, "norm: LayerNorm → Affine"),
    ({"model.norm": {"name": "layer_norm", "eps": 1e-5}}, "eps"),
    ({"model.readout": "cls"}, "readout: GlobalAveragePool → ClassToken"),
    ({"model.readout": "cls_distilled"}, "distilled_head: – → LinearHead"),
    ({"model.final_norm": "after_pooling"}, "final_norm"),
    ({"model.head": "mlp"}, "head: LinearHead → MLPHead"),
    ({"model.layer_scale": 0.1}, "blocks.*.scale_1: – → LayerScale"),
    ({"model.branch_factor": 2.0}, "blocks.*: factor 1.0 → 2.0"),
    ({"model.dropout": 0.1}, "dropout: p 0.0 → 0.1"),
    ({"model.stochastic_depth": 0.2}, "StochasticDepth"),
    ({"model.init": "jax"}, "other first values"),
    ({"model.dim": 24}, "parameters"),
    ({"model.depth": 3}, "blocks.2: – → Block"),
    ({"data.image_size": 16, "data.eval_resize": 16}, "training images"),
    ({"data.mean": 0.4}, "training images"),
    ({"data.split_seed": 1}, "order"),
    ({"data.evaluate_on": "val"}, "other held-out images, held-out labels"),
    ({"data.eval_resize": 10}, "held-out images"),
    ({"augment.crop": {}}, "training images"),
    ({"augment.flip": True}, "training images"),
    ({"augment.randaug.level": 4.0}, "training images"),
    ({"augment.mixup": "off"}, "training images, targets"),
    ({"optimizer.learning_rate": 1e-3}, "learning rates"),
    ({"optimizer.beta1": 0.8}, "evaluation loss after two updates "),
    ({"optimizer.beta2": 0.99}, "evaluation loss after two updates "),
    ({"optimizer.eps": 1e-9}, "other updates"),
    ({"optimizer.weight_decay": 0.05}, "loss after one update "),
    ({"optimizer.decay": "all"}, "loss after one update "),
    ({"optimizer.clip_norm": 0.1}, "loss after one update "),
    ({"schedule.epochs": 4}, "other learning rates"),
    ({"schedule.batch_size": 128}, "batch size 64 → 128; updates an epoch 18 → 9; other learning rates"),
    ({"schedule.warmup_steps": 6}, "other learning rates"),
    ({"schedule.decay": "constant"}, "other learning rates"),
    ({"precision": "bfloat16"}, "loss"),
]


@pytest.mark.parametrize(("overrides", "words"), LEVELS, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_a_level_of_every_aspect_does_what_it_says(make_pair: MakePair, overrides: Any, words: str) -> None:
    """A field of any section changes something, in its own component and what follows from it, and is told so."""
    finding = make_pair(overrides).finding()
    assert (finding.status, finding.problems) == ("ok", ())
    assert finding.effects
    assert words in "; ".join(finding.effects)


@pytest.mark.parametrize(
    ("overrides", "base"),
    [
        ({"model.mixer": {"name": "token_mlp", "hidden": 8}}, {"model.readout": "cls"}),
        ({"model.readout": "cls"}, {"model.mixer": {"name": "token_mlp", "hidden": 8}}),
        ({"model.readout": "cls"}, {"model.position": "learned", "model.position_covers": "all"}),
        ({"model.readout": "cls"}, {"model.feed_forward": "leff"}),
        ({"model.readout": {"name": "layer_wise_cls", "heads": 2}}, {"model.readout": "cls"}),
        ({"model.stem.patch_size": 4}, {"model.position": "learned"}),
        ({"model.stem.patch_size": 4}, {"model.mixer": "cross_patch_linear", "model.feed_forward": "leff"}),
        ({"model.mixer.heads": 4}, {"model.position": "relative", "model.position_at": "every_layer"}),
        ({"data.image_size": 16, "data.eval_resize": 16}, {"model.mixer": {"name": "token_mlp", "hidden": 8}}),
    ],
    ids=str,
)
def test_what_follows_from_a_change_is_no_leak(make_pair: MakePair, overrides: Any, base: Any) -> None:
    """Another grid, more prefix tokens or other heads give other parts other shapes, which is as it must be."""
    finding = make_pair(overrides, base).finding()
    assert (finding.status, finding.problems) == ("ok", ())


@pytest.mark.parametrize(
    ("overrides", "base"),
    [
        ({"model.position_covers": "all"}, {}),
        ({"model.final_norm": "after_pooling"}, {"model.readout": "cls"}),
        ({"model.position_at": "every_layer"}, {"model.position": "none"}),
        ({"model.head": "zero_linear"}, {"model.init": "jax"}),
        ({"model.stochastic_depth": 0.5}, {"model.depth": 1}),
    ],
    ids=str,
)
def test_a_level_without_effect_is_an_error(make_pair: MakePair, overrides: Any, base: Any) -> None:
    """A switch that is thrown and moves no loss, no gradient and no update is found, and shown from both sides."""
    finding = make_pair(overrides, base).finding()
    assert finding.status == "no effect"
    (field, value), *_ = overrides.items()
    said = next(d for d in finding.problems if d.name == field)
    assert said.after == str(value)
    losses = [d for d in finding.problems if d.aspect == "loss"]
    assert losses
    assert all(d.before == d.after for d in losses)


def test_rounding_is_no_effect_and_less_than_a_millionth_is_one(make_pair: MakePair) -> None:
    """What float32 cannot tell apart is decided in float64: the place of the norm is rounding, its eps is not."""
    moved = make_pair({"model.final_norm": "after_pooling"}, {"model.readout": "cls"})
    smaller = make_pair({"model.norm": {"name": "layer_norm", "eps": 1.001e-6}}, {"model.readout": "cls"})
    assert moved.finding().status == "no effect"
    assert smaller.finding().status == "ok"


def test_what_only_acts_on_running_statistics_is_an_effect(make_pair: MakePair) -> None:
    """A batch norm's momentum moves no training loss; the evaluation after two updates shows it."""
    pair = make_pair({"model.norm.momentum": 0.5}, {"model.norm": "batch_norm"})
    assert pair.baseline.losses["loss after one update"] == pair.variant.losses["loss after one update"]
    finding = pair.finding()
    assert finding.status == "ok"
    assert "evaluation loss after two updates" in finding.effects[-1]


def test_a_bound_that_no_gradient_reaches_is_told_as_one(make_pair: MakePair) -> None:
    """A Level of clip_norm above every norm seen takes effect beyond it, and the finding names that norm."""
    finding = make_pair({"optimizer.clip_norm": 90.0}, {"optimizer.clip_norm": 80.0}).finding()
    assert finding.status == "ok"
    assert "only where the gradient's norm is above 80" in finding.note


@pytest.mark.parametrize("field", ["model.stochastic_depth", "model.dropout"])
def test_what_is_hardly_ever_left_out_shows_all_the_same(make_pair: MakePair, field: str) -> None:
    """A probability so small that no draw fell so is an effect, since it scales what stays."""
    assert make_pair({field: 1e-6}).finding().status == "ok"


# Each wall by itself: a probe is tampered with where the Level must not reach.


def _other_values(probe: Probe, name: str) -> Probe:
    return replace(probe, parameters={**probe.parameters, name: Values(probe.parameters[name].shape, "0" * 16)})


def _other_module(probe: Probe, name: str) -> Probe:
    return replace(probe, modules={**probe.modules, name: "Another"})


def _other_stream(probe: Probe, name: str) -> Probe:
    return replace(probe, stream={**probe.stream, name: "0" * 16})


def _other_loss(probe: Probe, name: str) -> Probe:
    return replace(probe, losses={**probe.losses, name: 7.0})


def _other_rates(probe: Probe, name: str) -> Probe:
    return replace(probe, rates=name)


def _other_update(probe: Probe, name: str) -> Probe:
    return replace(probe, updated={**probe.updated, name: Values((), "0" * 16)})


STEM = "stem.projection.weight"
MIXER = "blocks.0.mixer.qkv.weight"
LEAKS = [
    ({"model.head": "mlp"}, _other_values, STEM),
    ({"model.head": "mlp"}, _other_values, MIXER),
    ({"model.readout": "cls"}, _other_values, MIXER),
    ({"model.readout": "cls"}, _other_module, "blocks.0.mixer"),
    ({"model.readout": "cls"}, _other_module, ":final_norm"),
    ({"model.position": "learned"}, _other_module, "readout"),
    ({"model.mixer": {"name": "token_mlp", "hidden": 8}}, _other_module, "blocks.1.feed_forward.up:out_features"),
    ({"model.mixer": {"name": "token_mlp", "hidden": 8}}, _other_values, "blocks.1.feed_forward.up.weight"),
    ({"model.layer_scale": 0.1}, _other_values, "blocks.1.norm_2.weight"),
    ({"model.dropout": 0.1}, _other_values, STEM),
    ({"model.dropout": 0.1}, _other_module, "head"),
    ({"model.dropout": 0.1}, _other_loss, "evaluation loss"),
    ({"model.stochastic_depth": 0.1}, _other_loss, "evaluation loss"),
    ({"model.init": "jax"}, _other_module, "stem"),
    ({"model.init": "jax"}, _other_stream, "targets"),
    ({"model.depth": 3}, _other_stream, "order"),
    ({"model.head": "mlp"}, _other_stream, "training images"),
    ({"model.head": "mlp"}, _other_rates, "learning rates"),
    ({"augment.randaug": "off"}, _other_values, STEM),
    ({"augment.randaug": "off"}, _other_stream, "order"),
    ({"augment.randaug": "off"}, _other_stream, "targets"),
    ({"augment.mixup": "off"}, _other_stream, "held-out images"),
    ({"data.mean": 0.4}, _other_stream, "order"),
    ({"data.mean": 0.4}, _other_module, "stem:grid"),
    ({"data.evaluate_on": "val"}, _other_stream, "training images"),
    ({"data.evaluate_on": "val"}, _other_loss, "training loss"),
    ({"data.evaluate_on": "val"}, _other_update, STEM),
    ({"optimizer.weight_decay": 0.05}, _other_loss, "training loss"),
    ({"optimizer.weight_decay": 0.05}, _other_rates, "learning rates"),
    ({"optimizer.weight_decay": 0.05}, _other_values, STEM),
    ({"optimizer.learning_rate": 1e-3}, _other_stream, "training images"),
    ({"schedule.epochs": 4}, _other_update, STEM),
    ({"schedule.batch_size": 128}, _other_stream, "order"),
    ({"schedule.batch_size": 128}, _other_values, STEM),
    ({"precision": "bfloat16"}, _other_stream, "training images"),
    ({"precision": "bfloat16"}, _other_values, STEM),
]


@pytest.mark.parametrize(("overrides", "tamper", "name"), LEAKS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_what_a_level_must_not_touch_is_a_leak(make_pair: MakePair, overrides: Any, tamper: Any, name: str) -> None:
    """One difference outside what a Level says is an error that shows this place alone, with both sides."""
    pair = make_pair(overrides)
    finding = pair.finding(variant=tamper(pair.variant, name))
    assert finding.status == "leak"
    (problem,) = finding.problems
    assert problem.name == name
    assert problem.before != problem.after
    assert next(iter(pair.changes)) in finding.note


def test_a_leak_into_all_blocks_is_told_once(make_pair: MakePair) -> None:
    """What differs in every block is one line, which says in how many places."""
    pair = make_pair({"model.head": "mlp"})
    variant = _other_values(_other_values(pair.variant, MIXER), MIXER.replace("0", "1"))
    (problem,) = pair.finding(variant=variant).problems
    assert (problem.name, problem.places) == ("blocks.*.mixer.qkv.weight", 2)
    assert problem.before == str(pair.baseline.parameters[MIXER])
    assert problem.after == "(48, 16) 00000000"


def test_a_parameter_that_nothing_reads_is_no_effect(make_pair: MakePair, beside: Any) -> None:
    """A part that brings a parameter of its own and never uses it makes no Level."""
    beside(
        "idle_head",
        """
from torch import nn
import torch

class Idle(nn.Module):
    def __init__(self, dim, classes):
        super().__init__()
        self.linear = nn.Linear(dim, classes)

    def forward(self, x):
        return self.linear(x)

class Laden(Idle):
    roles = {"spare": "ones"}

    def __init__(self, dim, classes):
        super().__init__(dim, classes)
        self.spare = nn.Parameter(torch.zeros(dim))
""",
    )
    finding = make_pair({"model.head": "idle_head:Laden"}, {"model.head": "idle_head:Idle"}).finding()
    assert finding.status == "no effect"
    assert any(d.name == "head.spare" and d.before == "–" for d in finding.problems)
