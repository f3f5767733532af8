"""A part of a batch draws what the whole batch would have drawn for it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from ablate.models.build import make_model
from ablate.models.checkpointing import recompute_blocks
from ablate.models.stochastic_depth import StochasticDepth
from ablate.training.whole_batch import draws, whole_batch_draws

BATCH = 10
CUTS = {"one": (0, 10), "two": (0, 4, 10), "three": (0, 1, 5, 10)}
Function = Callable[[Tensor], Tensor]


class Attention(nn.MultiheadAttention):
    """torch's own, whose dropout no layer shows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x, x, x)[0]


#: Functions of (B, 6, 4) that draw.
DRAWING: dict[str, Function] = {
    "dropout": lambda x: F.dropout(x, 0.3),
    "dropout in place": lambda x: F.dropout(x.clone(), 0.3, inplace=True),
    "module": nn.Dropout(0.3),
    "of columns": lambda x: F.dropout(x.transpose(1, 2), 0.3),
    "channels last": lambda x: F.dropout(x.unflatten(1, (2, 3)).to(memory_format=torch.channels_last), 0.3),
    "windows": lambda x: F.dropout(x.reshape(-1, 2, 4), 0.3).reshape(x.shape),
    "a number for each image": lambda x: x * F.dropout(x.new_ones(len(x), 1, 1), 0.3),
    "whole channels": lambda x: F.dropout2d(x[..., None], 0.3),
    "alpha": lambda x: F.alpha_dropout(x, 0.3, True),
    "fused": lambda x: torch.native_dropout(x, 0.3, True)[0],  # what GPUs are served by
    "half precision": lambda x: F.dropout(x.bfloat16(), 0.3),
    "stochastic depth": StochasticDepth(0.3),
    "timm's drop path": DropPath(0.3),
    "attention": lambda x: F.scaled_dot_product_attention(*3 * [x.unflatten(1, (2, 3))], dropout_p=0.3),
    "torch's attention": Attention(4, 2, dropout=0.3, batch_first=True),
    "uniform": lambda x: x + torch.rand(len(x), 1, 1),
    "normal": lambda x: x + torch.randn_like(x),
    "integers": lambda x: x + torch.randint(0, 9, (len(x), 6, 1)),
    "gumbel": lambda x: F.gumbel_softmax(x),
    "twice": lambda x: F.dropout(F.dropout(x, 0.3) + torch.rand(len(x), 1, 1), 0.5),
    "one order for all": lambda x: x[:, torch.randperm(6)],
}


def in_parts(function: Function, images: Tensor, cuts: tuple[int, ...], *, backward: bool = False) -> Tensor:
    """The function of the parts of a batch, and of each a gradient."""
    parts = []
    for start, stop in pairwise(cuts):
        torch.manual_seed(7)
        with whole_batch_draws(slice(start, stop), len(images)):
            output = function(images[start:stop])
            if backward:
                (output.square().sum() / len(images)).backward()
        parts.append(output.detach())
    return torch.cat(parts)


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("name", DRAWING)
def test_parts_draw_what_the_whole_draws(name, cuts):
    """Cut in uneven parts, put together again: the uncut batch, bit for bit."""
    images = torch.randn(BATCH, 6, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(7)
    want = DRAWING[name](images).detach()
    torch.testing.assert_close(in_parts(DRAWING[name], images, cuts), want, rtol=0, atol=0)
    if name != "one order for all":
        torch.manual_seed(7)
        uncut = DRAWING[name](images[4:]).detach()
        assert not torch.equal(uncut, want[4:]), "without it, a part would have drawn the same"


def _ours(make_recipe: Callable) -> nn.Module:
    recipe = make_recipe(model__stochastic_depth=0.3, model__depth=3)
    return make_model(recipe.model, recipe.data, 0)


def _recomputed(make_recipe: Callable) -> nn.Module:
    model = _ours(make_recipe)
    recompute_blocks(model)
    return model


def _swin(_: Callable) -> nn.Module:
    """Whose dropout sees windows first."""
    rates = {"proj_drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.3, "drop_rate": 0.1}
    sizes = {"img_size": 16, "patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (2, 1), "num_heads": (2, 2)}
    return timm.create_model("swin_tiny_patch4_window7_224", in_chans=1, num_classes=10, **sizes, **rates)


@pytest.mark.parametrize(("make", "side"), [(_ours, 8), (_recomputed, 8), (_swin, 16)])
def test_accumulated_gradients_are_those_of_the_whole(make, side, make_recipe):
    """Models in training, in float64: the same outputs and the same sum of gradients, to 1e-12."""
    model = make(make_recipe).double().train()
    for parameter in model.parameters():  # a head that begins with zeros would hide all behind it
        nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    images = torch.randn(BATCH, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = {}
    for name, cuts in CUTS.items():
        model.zero_grad()
        output = in_parts(model, images, cuts, backward=True)
        found[name] = [output, *(parameter.grad.clone() for parameter in model.parameters())]
    for name in ("two", "three"):
        torch.testing.assert_close(found[name], found["one"], rtol=1e-12, atol=1e-12)


def test_what_cannot_be_cut_is_refused():
    """A draw whose rows depend on others than the part's."""
    with pytest.raises(NotImplementedError, match="multinomial"), whole_batch_draws(slice(0, 2), 4):
        torch.multinomial(torch.ones(2, 3), 1)


def test_a_compiled_model_runs_as_if_it_were_not():
    """The compiler's own draws would be others; and the compiler has nothing to say about the mode."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3))
    compiled, images = torch.compile(model, backend="eager"), torch.randn(BATCH, 4)
    torch.manual_seed(7)
    want = model(images).detach()
    torch.testing.assert_close(in_parts(compiled, images, CUTS["two"]), want)


def test_it_is_known_whether_a_model_draws(make_recipe):
    """Of dropout, stochastic depth and dropped attention, in ours and in timm's; weights, buffers, generator stay."""
    state = torch.get_rng_state()
    for dropout in (0.0, 0.1):
        recipe = make_recipe(model__dropout=dropout)
        assert draws(make_model(recipe.model, recipe.data, 0), (1, 8, 8)) == bool(dropout)
    tiny = {"img_size": 8, "patch_size": 4, "embed_dim": 8, "num_heads": 2, "depth": 2}
    for rates in ({}, {"attn_drop_rate": 0.1}, {"drop_path_rate": 0.1}, {"drop_rate": 0.1}):
        model = timm.create_model("vit_tiny_patch16_224", **tiny, **rates).train()
        torch.manual_seed(0)
        assert draws(model, (3, 8, 8)) == bool(rates)
    norm = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    torch.set_rng_state(state)
    assert not draws(norm, (3, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_model_that_looks_at_values_is_taken_to_draw():
    """Shapes alone cannot say what it does."""

    class Looks(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images if images.sum().item() > 0 else -images

    assert draws(Looks(), (3, 8, 8))
