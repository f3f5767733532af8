"""Activations computed again: the same training in less memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from ablate.models.build import make_model
from ablate.models.checkpointing import recompute_blocks
from ablate.recipe import resolve_whole

RANDOM = {"dropout": 0.2, "stochastic_depth": 0.4}
SPACE: dict[str, dict[str, Any]] = {
    "self_attention": {"attention_dropout": 0.3},
    "re_attention": {"mixer": {"name": "re_attention", "heads": 4}, "attention_dropout": 0.3},
    "batch_norm": {"norm": "batch_norm"},
    "leff and layer_wise_cls": {"feed_forward": "leff", "readout": {"name": "layer_wise_cls", "heads": 4}},
    "relative positions": {"position": "relative", "position_at": "every_layer"},
    "token_mlp": {"mixer": {"name": "token_mlp", "hidden": 5}},
}
WHOLE: dict[str, dict[str, Any]] = {
    "pvt": {"dims": [8, 8, 8, 8], "depths": [1, 2, 1, 1], "heads": [1, 1, 1, 1]},
    "cswin": {"dim": 8, "depths": [1, 1, 1, 1], "split_sizes": [1, 2, 2, 1], "heads": [2, 2, 2, 2]},
    "timm/vit_tiny_patch16_224": {"depth": 3, "proj_drop_rate": 0.2, "drop_path_rate": 0.4},
}


@pytest.fixture(params=[*SPACE, *WHOLE])
def pair(request: pytest.FixtureRequest, model_recipe: Any, data_recipe: Any) -> tuple[nn.Module, nn.Module, Tensor]:
    """A model, its copy that computes its blocks again, and images for both."""
    name = request.param
    if name in SPACE:
        recipe, data = model_recipe(depth=3, **RANDOM, **SPACE[name]), data_recipe()
    else:
        options = RANDOM if not name.startswith("timm/") else {}
        recipe = resolve_whole({"name": name, **options, **WHOLE[name]})
        data = data_recipe(image_size=32, eval_resize=32)
    model = make_model(recipe, data, 0)
    other = copy.deepcopy(model)
    recompute_blocks(other)
    return model, other, torch.randn(4, 1, data.image_size, data.image_size)


def update(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of one forward pass in training, and every gradient and buffer behind one backward pass."""
    torch.manual_seed(3)
    logits = model.train()(images)
    logits.square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return logits.detach(), gradients | {f"buffer {name}": b.clone() for name, b in model.named_buffers()}


def kept_bytes(model: nn.Module, images: Tensor) -> int:
    """What autograd keeps of one forward pass, parameters aside."""
    kept = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model.train()(images)
    del logits
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)


def test_nothing_but_memory_changes(pair: tuple[nn.Module, nn.Module, Tensor]) -> None:
    """With every kind of dropout on: logits, gradients and BatchNorm's statistics are the same to the bit."""
    model, other, images = pair
    logits, rest = update(model, images)
    other_logits, other_rest = update(other, images)
    assert torch.equal(logits, other_logits)
    assert rest.keys() == other_rest.keys()
    assert [name for name in rest if not torch.equal(rest[name], other_rest[name])] == []
    assert rest.keys() >= {name for name, _ in model.named_parameters()}


def test_less_is_kept_for_the_backward_pass(pair: tuple[nn.Module, nn.Module, Tensor]) -> None:
    """Less than two thirds of the bytes, and names of parameters and state stay what they are."""
    model, other, images = pair
    assert kept_bytes(other, images) < 2 / 3 * kept_bytes(model, images)
    assert list(model.state_dict()) == list(other.state_dict())


def test_evaluation_is_the_same(pair: tuple[nn.Module, nn.Module, Tensor]) -> None:
    """Without gradients, to the bit."""
    model, other, images = pair
    with torch.no_grad():
        assert torch.equal(model.eval()(images), other.eval()(images))


def test_a_copy_computes_its_own_blocks_again(built: Callable[..., nn.Module]) -> None:
    """A deep copy of such a model is a model of its own: an average of weights may be made of it."""
    model = built()
    recompute_blocks(model)
    other = copy.deepcopy(model)
    images = torch.randn(2, 1, 8, 8)
    before = model(images).detach()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(model(images), before)
    assert not other(images).any()


class Plain(nn.Module):
    """A model that knows nothing of this."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: timm.create_model("resnet18", num_classes=5), "ResNet .* statistics of each batch twice"),
        (lambda: timm.create_model("crossvit_tiny_240", num_classes=5), "CrossVit .*not supported"),
        (Plain, "Plain .* no method set_grad_checkpointing"),
    ],
)
def test_a_model_that_cannot_is_refused(make: Callable[[], nn.Module], reason: str) -> None:
    """The error names the model, the field and the reason."""
    with pytest.raises(ValueError, match=reason) as caught:
        recompute_blocks(make())
    assert "compute.checkpoint_activations" in str(caught.value)
