"""Models at other image sizes than that of their training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.models.cswin import CSWinTransformer
from ablate.models.positions.learned import LearnedPosition
from ablate.models.pvt import PyramidVisionTransformer
from ablate.models.resize import at_image_size
from ablate.models.vision_transformer import VisionTransformer
from ablate.recipe import WholeModel

HEADS = {"name": "self_attention", "heads": 4}
SPACE: dict[str, dict[str, Any]] = {
    "fixed positions": {},
    "1-d sines": {"position": "sincos1d", "position_covers": "all", "readout": "cls"},
    "learned positions": {"position": "learned", "position_covers": "all", "readout": "cls_distilled"},
    "learned rows and columns": {"position": "learned2d", "position_at": "every_layer"},
    "relative": {"position": "relative", "position_at": "every_layer", "readout": "cls", "position_covers": "all"},
    "relative in two dimensions": {
        "position": {"name": "relative", "offsets": "2d"},
        "position_at": "every_layer_shared",
    },
    "convolutions": {"feed_forward": "leff", "stem": {"name": "conv_patches", "patch_size": 2}},
    "image to tokens": {
        "stem": {"name": "image_to_tokens", "patch_size": 1},
        "position": "learned",
        "norm": "batch_norm",
    },
    "attention pooling": {"readout": {"name": "map", "heads": 2}, "position": "none"},
    "layer-wise class token": {"readout": {"name": "layer_wise_cls", "heads": 2}, "position": "learned"},
}
Scrambled = Callable[..., VisionTransformer]


@pytest.fixture(name="resized")
def _resized(
    scrambled: Scrambled, model_recipe: Callable[..., Any], data_recipe: Callable[..., Any]
) -> Callable[..., Any]:
    """A scrambled model built for 8 x 8 px, and the same for another size."""

    def both(image_size: tuple[int, int], **changes: Any) -> tuple[VisionTransformer, VisionTransformer]:
        model = scrambled(**changes)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                nn.init.uniform_(module.running_mean)
        return model, at_image_size(model, model_recipe(**changes), data_recipe(), image_size)

    return both


@pytest.mark.parametrize("changes", [*SPACE.values(), {"mixer": {"name": "token_mlp", "hidden": 5}}])
def test_at_the_training_size_nothing_changes(
    resized: Callable[..., Any], images: Tensor, changes: dict[str, Any]
) -> None:
    """The logits are the same to the last bit, also with layers along the tokens."""
    model, same = resized((8, 8), **changes)
    assert same is not model
    assert torch.equal(same(images), model(images))


@pytest.mark.parametrize("changes", SPACE.values(), ids=SPACE)
@pytest.mark.parametrize("size", [(16, 16), (8, 12), (4, 8)], ids=str)
def test_other_sizes_work_square_or_not(
    resized: Callable[..., Any], changes: dict[str, Any], size: tuple[int, int]
) -> None:
    """Every part that can be resampled gives finite logits for larger, smaller and oblong images."""
    _, other = resized(size, **changes)
    logits = other(torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()


def test_what_has_no_place_is_copied(resized: Callable[..., Any]) -> None:
    """The stem, the blocks, the class token and its position are the same; the patches' positions are not."""
    model, other = resized((8, 12), position="learned", position_covers="all", readout="cls", norm="batch_norm")
    before, after = model.state_dict(), other.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name, values in after.items() if not torch.equal(values, before[name])}
    assert changed == {"position.patches"}
    assert after["position.patches"].shape == (4 * 6, 32)


def test_positions_are_resampled_as_timm_does(resized: Callable[..., Any]) -> None:
    """The positions in an oblong image are timm's `resample_abs_pos_embed`, to 1e-6 in float32."""
    model, other = resized((4, 16), position="learned", position_covers="all", readout="cls")
    table = torch.cat((model.position.prefix, model.position.patches))[None].float()
    expected = resample_abs_pos_embed(table, new_size=[2, 8], old_size=[4, 4], num_prefix_tokens=1)
    found = torch.cat((other.position.prefix, other.position.patches))[None].float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_fixed_positions_are_those_of_the_new_grid(
    resized: Callable[..., Any], scrambled: Scrambled, data_recipe: Any
) -> None:
    """The sincos2d table is the one of a model built for the size."""
    _, other = resized((12, 12))
    assert torch.equal(other.position.table, scrambled(data_recipe(image_size=12)).position.table)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_a_position_that_is_everywhere_the_same_stays_so(rows: int, columns: int) -> None:
    """From a grid of 3 x 3 to any other, a table of equal vectors stays one of these, to 1e-6."""
    position = LearnedPosition(4, (rows, columns), 0)
    values = position.resampled("patches", torch.ones(9, 4, dtype=torch.float64) * torch.arange(4), (3, 3))
    torch.testing.assert_close(
        values, torch.arange(4.0, dtype=torch.float64).expand(rows * columns, 4), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("mixer", "parameter"),
    [
        ({"name": "token_mlp", "hidden": 5}, r"blocks\.0\.mixer\.up\.weight"),
        ("cross_patch_linear", r"blocks\.0\.mixer\.mix\.weight"),
    ],
)
def test_layers_along_the_tokens_cannot_be_resampled(resized: Callable[..., Any], mixer: Any, parameter: str) -> None:
    """A weight for each place of a fixed number is told by its name, with both shapes."""
    with pytest.raises(ValueError, match=rf"{parameter} is \(\d+, 16\), would have to be \(\d+, 36\) for 12 x 12 px"):
        resized((12, 12), mixer=mixer)


@pytest.mark.parametrize(
    ("mixer", "parameter"),
    [({"name": "token_mlp", "hidden": 5}, "up.weight"), ("cross_patch_linear", "mix.weight")],
)
@pytest.mark.parametrize("readout", ["gap", "cls"])
def test_as_many_places_elsewhere_are_not_the_same_places(
    resized: Callable[..., Any], mixer: Any, parameter: str, readout: str
) -> None:
    """From 4 x 4 to 2 x 8 all shapes stay, and the weights would still be those of other places."""
    told = rf"^blocks\.0\.mixer\.{parameter} has weights for the places of a grid of 4 x 4 and .* those of 2 x 8, and"
    with pytest.raises(ValueError, match=told):
        resized((4, 16), mixer=mixer, readout=readout)


@pytest.mark.parametrize("cls", [CSWinTransformer, PyramidVisionTransformer])
def test_models_beside_the_space_are_refused(cls: Callable[..., nn.Module], data_recipe: Callable[..., Any]) -> None:
    """In one line that names the class."""
    with torch.device("meta"):
        model = cls((224, 224), 3, 10)
    name = "cswin" if cls is CSWinTransformer else "pvt"
    with pytest.raises(ValueError, match=rf"^only models of the space can be .* size, not {cls.__name__}$"):
        at_image_size(model, WholeModel(name=name, options={}), data_recipe(), (256, 256))


def test_a_size_that_the_parts_do_not_fit_is_refused(resized: Callable[..., Any]) -> None:
    """As when the model is built."""
    with pytest.raises(ValueError, match=r"stem 'patches': patches of 2 px do not tile an image of 8 x 9 px"):
        resized((8, 9))


def test_precision_and_mode_are_the_models(built: Scrambled, model_recipe: Any, data_recipe: Any) -> None:
    """A model in training and bfloat16 comes back as such, and the original is not touched."""
    model = built(position="learned").to(torch.bfloat16).train()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    other = at_image_size(model, model_recipe(position="learned"), data_recipe(), (4, 4))
    assert other.training
    assert {values.dtype for values in other.state_dict().values()} == {torch.bfloat16}
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
