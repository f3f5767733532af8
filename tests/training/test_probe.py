"""A probe says what a Recipe is and does, and leaves no trace."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ablate.data.batches import TrainBatches
from ablate.data.sources import load
from ablate.models.build import make_model
from ablate.recipe import Recipe
from ablate.training.module_tree import module_tree
from ablate.training.probe import UntrainableError, probe
from ablate.training.stand_in import stand_in


def test_the_same_recipe_gives_the_same_probe(recipe: Recipe) -> None:
    """Nothing that was probed before, and no draw of the process's own, is in it."""
    first = probe(recipe)
    torch.rand(7)
    assert probe(recipe) == first


def test_a_probe_leaves_the_generator_as_it_was(recipe: Recipe) -> None:
    """A caller's own draws are the same with a probe between them as without."""
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    probe(recipe)
    assert torch.equal(torch.rand(4), expected)


def test_another_seed_is_another_probe(recipe: Recipe) -> None:
    """First values, order and augmentation are those of the seed."""
    one, other = probe(recipe, 0), probe(recipe, 1)
    assert one.parameters != other.parameters
    assert one.stream["order"] != other.stream["order"]
    assert one.stream["training images"] != other.stream["training images"]
    assert one.modules == other.modules


def test_losses_and_norm_are_those_of_the_first_values(make_recipe: Callable[..., Recipe]) -> None:
    """Loss and gradient norm equal torch's own on the same sixteen images, to 1e-6."""
    made = make_recipe()
    recipe = made.model_copy(update={"model": made.model.model_copy(update={"dropout": 0.0})})
    batches = TrainBatches(load(recipe.data).train, recipe.augment, recipe.data, 0, 64)
    batch = list(batches.epoch(0))[-1]
    model = make_model(recipe.model, recipe.data, 0)
    loss = F.cross_entropy(model(batch.images[:16]), batch.targets[:16])
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    seen = probe(recipe)
    assert seen.losses["training loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert seen.losses["evaluation loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert seen.norms["gradient norm"] == pytest.approx(norm.item(), rel=1e-6)


def test_an_update_is_adamw_at_the_peak_rate(make_recipe: Callable[..., Recipe]) -> None:
    """The first update is AdamW's closed form, w - r d w - r g / (|g| + eps), with r the peak rate; loss to 1e-5."""
    made = make_recipe(optimizer__decay="all", optimizer__clip_norm="off", schedule__warmup_steps=40)
    recipe = made.model_copy(update={"model": made.model.model_copy(update={"dropout": 0.0})})
    batches = TrainBatches(load(recipe.data).train, recipe.augment, recipe.data, 0, 64)
    batch = list(batches.epoch(0))[-1]
    model = make_model(recipe.model, recipe.data, 0)
    F.cross_entropy(model(batch.images[:16]), batch.targets[:16]).backward()
    rate, decay, eps = 3e-3, 0.1, 1e-8
    with torch.no_grad():
        for p in model.parameters():
            p -= rate * decay * p + rate * p.grad / (p.grad.abs() + eps)
        loss = F.cross_entropy(model(batch.images[:16]), batch.targets[:16])
    assert probe(recipe).losses["loss after one update"] == pytest.approx(loss.item(), rel=1e-5)


def test_what_was_updated_has_moved_and_moves_on(recipe: Recipe) -> None:
    """Every parameter differs after two updates, and again after the far too large one."""
    seen = probe(recipe)
    for name, first in seen.parameters.items():
        assert len({first.digest, seen.updated[name].digest, seen.beyond[name].digest}) == 3, name


def test_double_precision_is_the_same_computation(recipe: Recipe) -> None:
    """In float64 losses are those of float32 to 1e-5, and every random stream is the same."""
    single, double = probe(recipe), probe(recipe, double=True)
    assert double.losses["evaluation loss"] == pytest.approx(single.losses["evaluation loss"], rel=1e-5)
    assert (double.stream, double.parameters, double.rates) == (single.stream, single.parameters, single.rates)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("schedule__batch_size", 5000, "only"), ("schedule__warmup_steps", 5000, "does not fit")],
)
def test_what_cannot_be_trained_cannot_be_probed(
    make_recipe: Callable[..., Recipe], field: str, value: int, reason: str
) -> None:
    """A batch larger than the data, or a warm-up longer than the training, is an error here as there."""
    with pytest.raises(UntrainableError, match=reason):
        probe(make_recipe(**{field: value}))


def test_images_that_are_not_here_have_a_stand_in(recipe: Recipe) -> None:
    """A folder that is not on this machine can be probed on random images, the same each time."""
    data = recipe.data.model_copy(update={"source": "imagefolder:nowhere", "test_fraction": 0.0})
    absent = recipe.model_copy(update={"data": data})
    seen = probe(absent, splits=stand_in(data))
    assert seen == probe(absent, splits=stand_in(data))
    assert seen.stream["updates an epoch"] == 2**20 // 64


def test_a_probe_holds_no_tensor(recipe: Recipe) -> None:
    """What is kept of a model is text and numbers, so that a baseline's probe may stay in memory."""

    def leaves(value: object) -> list[object]:
        if isinstance(value, dict):
            return [leaf for item in value.values() for leaf in leaves(item)]
        return [leaf for item in value for leaf in leaves(item)] if isinstance(value, tuple | list) else [value]

    assert {type(leaf) for leaf in leaves(dataclasses.asdict(probe(recipe)))} <= {str, int, float, bool}


def test_a_probe_does_not_import_the_compiler() -> None:
    """torch's compiler, which takes seconds to import, stays unloaded."""
    code = "import sys, ablate.training.probe; assert not any(m.startswith('torch._dynamo') for m in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_bound_to_a_function_is_told_without_its_address() -> None:
    """Arguments of a partial are told by value, else by their own name or their class's: twice the same text."""

    class Own:
        pass

    def told() -> str:
        module = nn.Module()
        module.act = partial(F.pad, (1, 1), mode="reflect", value=Own())
        return module_tree(module)[":act"]

    assert told() == told() == "pad((1, 1), mode='reflect', value=Own)"
    module = nn.Module()
    module.norm = partial(nn.LayerNorm, eps=1e-6)
    assert module_tree(module)[":norm"] == "LayerNorm(eps=1e-06)"


def test_float64_leaves_the_default_dtype_as_it_was(recipe: Recipe) -> None:
    """What a caller makes afterwards is float32 as before."""
    probe(recipe, double=True)
    assert torch.get_default_dtype() == torch.float32


def test_a_module_tells_its_plain_values() -> None:
    """Numbers, text, switches, shapes and functions are told; tensors, modules and what is None are not."""

    class Told(nn.Module):
        grid = (2, 3)
        roles = {"w": "ones"}

        def __init__(self) -> None:
            super().__init__()
            self.rate, self.name, self.on, self.shape = 0.5, "x", True, torch.Size([4])
            self.act, self.nothing, self.table, self._own = F.relu, None, torch.ones(2), 1
            self.inner = nn.Dropout(0.1)

    assert module_tree(Told()) == {
        "": "Told",
        ":grid": "(2, 3)",
        ":rate": "0.5",
        ":name": "'x'",
        ":on": "True",
        ":shape": "(4)",
        ":act": "relu",
        "inner": "Dropout",
        "inner:p": "0.1",
        "inner:inplace": "False",
    }
